// The group coordinator: finds or makes the group, checks what concerns no single group, forgets groups nobody is in.
//
// Invariants
// - What members of all groups bring (metadata, assignments, names) takes no more than `groupBytesMax`; who would go beyond is told
//   GROUP_MAX_SIZE_REACHED.
// - What is forgotten of a group is forgotten on disk too (group-record.ts). Who comes meanwhile finds a new group, and is kept behind the removal.
// Not for: what administrators ask (group-admin.ts), offsets (committed-offsets.ts).

import { assert } from '../base/assert.ts'
import { WadiError } from '../base/errors.ts'
import type { Clock } from '../io/clock.ts'
import type { Random } from '../io/random.ts'
import type { Store } from '../log/contract.ts'
import type { FaultName } from './fault.ts'
import { Group, type GroupSettings, type SyncRequest } from './group.ts'
import {
  type JoinAnswer,
  type JoinRequest,
  joinFault,
  memberBytes,
  NO_ASSIGNMENT,
  nameBytes,
  type SyncAnswer,
  syncFault
} from './group-member.ts'
import { canStoreGroup, type GroupRecord, GroupRecords } from './group-record.ts'
import type { MemberClaim } from './group-roster.ts'
import { type OnFull, quoted } from './shared-bound.ts'

export interface GroupsSettings extends GroupSettings {
  readonly sessionTimeoutMsMin: number
  readonly sessionTimeoutMsMax: number
  /** Of all groups together. */
  readonly groupBytesMax: number
}

const MEMBER_ID_RANDOM_BYTES = 16
/** With what follows it an id fits an answer of any version, and the room of the group. */
const MEMBER_ID_PREFIX_CHARACTERS_MAX = 200
const HALF_A_CHARACTER = /[\uD800-\uDBFF]$/

export interface GroupsContext {
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  readonly settings: GroupsSettings
  readonly onFull: OnFull
  /** Offsets are committed for the group, or will be: it is kept. */
  readonly hasOffsets: (groupId: string) => boolean
}

export class Groups {
  readonly #context: GroupsContext
  readonly #settings: GroupsSettings
  readonly #groups = new Map<string, Group>()
  readonly #records: GroupRecords

  /** @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
  constructor(context: GroupsContext) {
    this.#context = context
    this.#settings = context.settings
    this.#records = new GroupRecords(context.store)
    for (const [groupId, record] of this.#records.read()) this.#groups.set(groupId, this.#create(groupId, record))
  }

  get memberCount(): number {
    return [...this.#groups.values()].reduce((sum, group) => sum + group.memberCount, 0)
  }

  find(groupId: string): Group | null {
    return this.#groups.get(groupId) ?? null
  }

  groupIds(): readonly string[] {
    return [...this.#groups.keys()]
  }

  /** Resolves when the rebalance completes: that may take as long as the members' rebalance timeout. */
  join(request: JoinRequest): Promise<JoinAnswer> {
    const { groupId, memberId, sessionTimeoutMs } = request
    if (groupId === '' || !canStoreGroup(groupId)) return Promise.resolve(joinFault('INVALID_GROUP_ID', memberId))
    if (sessionTimeoutMs < this.#settings.sessionTimeoutMsMin || sessionTimeoutMs > this.#settings.sessionTimeoutMsMax) {
      return Promise.resolve(joinFault('INVALID_SESSION_TIMEOUT', memberId))
    }
    let group = this.#groups.get(groupId)
    if (!group && memberId !== '') return Promise.resolve(joinFault('UNKNOWN_MEMBER_ID', memberId))
    const growth = memberBytes({ ...request, assignment: NO_ASSIGNMENT }) + (group ? -group.bytesReplacedBy(request) : nameBytes(groupId))
    if (this.#isFull(growth)) {
      this.forgetUnused()
      if (this.#isFull(growth)) return Promise.resolve(this.#refuseJoin(memberId))
      group = this.#groups.get(groupId)
    }
    if (!group) {
      group = this.#create(groupId)
      this.#groups.set(groupId, group)
    }
    return group.join(request)
  }

  sync(groupId: string, request: SyncRequest): Promise<SyncAnswer> {
    const group = this.#groups.get(groupId)
    if (!group) return Promise.resolve(syncFault(missing(groupId)))
    const growth = group.growthOf(request)
    if (growth > 0 && this.#isFull(growth)) {
      this.#tellFull()
      return Promise.resolve(syncFault('GROUP_MAX_SIZE_REACHED'))
    }
    return group.sync(request)
  }

  heartbeat(groupId: string, claim: MemberClaim): FaultName {
    return this.#groups.get(groupId)?.heartbeat(claim) ?? missing(groupId)
  }

  leave(groupId: string, claim: { memberId: string; groupInstanceId: string | null }): FaultName {
    return this.#groups.get(groupId)?.leave(claim) ?? missing(groupId)
  }

  /** May this claim commit offsets of the group? A group without members takes commits that claim no membership. */
  checkCommit(groupId: string, claim: MemberClaim, options: { isTransactional: boolean }): FaultName {
    if (groupId === '') return 'INVALID_GROUP_ID'
    const group = this.#groups.get(groupId)
    if (group) return group.checkCommit(claim, options)
    return claim.generationId < 0 && claim.memberId === '' ? 'NONE' : 'ILLEGAL_GENERATION'
  }

  /** Resolves when what is to be kept of the group so far is durable, or was refused. */
  async whenSaved(groupId: string): Promise<void> {
    await this.#groups.get(groupId)?.whenSaved()
  }

  /** Nobody is in them and no offsets are kept for them: as if they had never been. On disk shortly. */
  forgetUnused(): void {
    for (const [groupId, group] of this.#groups) {
      if (!group.isUnused || this.#context.hasOffsets(groupId)) continue
      this.remove(groupId).catch((error: unknown) => {
        if (!(error instanceof WadiError)) throw error // refused: later
      })
    }
  }

  /** A group that nobody is in. Durable when it resolves. @throws WadiError when the store refuses: the group is kept */
  async remove(groupId: string): Promise<void> {
    const group = this.#groups.get(groupId)
    assert(group === undefined || group.memberCount === 0, `the group ${groupId} has members`)
    this.#groups.delete(groupId)
    try {
      await this.#records.remove(groupId)
    } catch (error) {
      if (group && !this.#groups.has(groupId)) this.#groups.set(groupId, group)
      throw error
    }
  }

  close(): void {
    for (const group of this.#groups.values()) group.close()
    this.#groups.clear()
  }

  #create(groupId: string, record: GroupRecord | null = null): Group {
    const group: Group = new Group(
      groupId,
      {
        clock: this.#context.clock,
        settings: this.#settings,
        createMemberId: (prefix) => this.#createMemberId(prefix),
        // of a group that was removed nothing is kept
        save: (next) => (this.#groups.get(groupId) === group ? this.#records.save(groupId, next) : Promise.resolve())
      },
      record
    )
    return group
  }

  #isFull(newBytes: number): boolean {
    let bytes = newBytes
    for (const group of this.#groups.values()) bytes += group.bytes
    return bytes > this.#settings.groupBytesMax
  }

  #refuseJoin(memberId: string): JoinAnswer {
    this.#tellFull()
    return joinFault('GROUP_MAX_SIZE_REACHED', memberId)
  }

  #tellFull(): void {
    this.#context.onFull('members of consumer groups', () => this.#holders())
  }

  #holders(): string {
    let most: Group | null = null
    for (const group of this.#groups.values()) if (group.bytes > (most?.bytes ?? 0)) most = group
    const largest = most ? `, group ${quoted(most.groupId)} takes most: ${most.bytes} bytes` : ''
    return `${this.memberCount} members of ${this.#groups.size} groups${largest}`
  }

  #createMemberId(prefix: string): string {
    const start = prefix.slice(0, MEMBER_ID_PREFIX_CHARACTERS_MAX).replace(HALF_A_CHARACTER, '')
    return `${start}-${Buffer.from(this.#context.random.bytes(MEMBER_ID_RANDOM_BYTES)).toString('hex')}`
  }
}

function missing(groupId: string): FaultName {
  return groupId === '' ? 'INVALID_GROUP_ID' : 'UNKNOWN_MEMBER_ID'
}
