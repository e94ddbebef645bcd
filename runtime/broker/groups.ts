// The group coordinator: finds or makes the group, checks what concerns no single group, forgets groups nobody is in.
// Invariant: what members of all groups bring (metadata, assignments, names) takes no more than `groupBytesMax`; who would go beyond is told
// GROUP_MAX_SIZE_REACHED.
// Members are in memory only. So for a minute after a restart, until the group has a generation of this start, its members of before are
// believed as far as nobody else can have what they say they have: told to rebalance instead of being strangers, they join under the id they
// have, and commit on the way there what they have read. That is not fencing: who was thrown out before the restart is believed too. So it never
// holds for transactions, nor for who would be fenced by an instance id, and a commit of such a claim moves no offset back.

import type { Clock } from '../io/clock.ts'
import type { Random } from '../io/random.ts'
import type { FaultName } from './fault.ts'
import { Group, type GroupSettings, type MemberClaim, type SyncRequest } from './group.ts'
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
import { type OnFull, quoted } from './shared-bound.ts'

export interface GroupsSettings extends GroupSettings {
  readonly sessionTimeoutMsMin: number
  readonly sessionTimeoutMsMax: number
  /** Of all groups together. */
  readonly groupBytesMax: number
}

const MEMBER_ID_RANDOM_BYTES = 16
/** Members of before come again with their next heartbeat or commit, when they are connected: Java waits a second at most between two tries. */
export const REMEMBERED_MS = 60_000
const OWN_MEMBER_ID = /^[\s\S]{0,200}-[0-9a-f]{32}$/
/** With what follows it an id fits an answer of any version, and the room of the group. */
const MEMBER_ID_PREFIX_CHARACTERS_MAX = 200
const HALF_A_CHARACTER = /[\uD800-\uDBFF]$/

export class Groups {
  readonly #clock: Clock
  readonly #random: Random
  readonly #settings: GroupsSettings
  readonly #groups = new Map<string, Group>()

  readonly #onFull: OnFull
  readonly #rememberedUntilMs: number

  /** `isRestart`: there may be members of before. */
  constructor(context: { clock: Clock; random: Random; settings: GroupsSettings; onFull: OnFull; isRestart: boolean }) {
    this.#onFull = context.onFull
    this.#rememberedUntilMs = context.isRestart ? context.clock.monotonicMs() + REMEMBERED_MS : Number.NEGATIVE_INFINITY
    this.#clock = context.clock
    this.#random = context.random
    this.#settings = context.settings
  }

  get memberCount(): number {
    return [...this.#groups.values()].reduce((sum, group) => sum + group.memberCount, 0)
  }

  find(groupId: string): Group | null {
    return this.#groups.get(groupId) ?? null
  }

  /** Resolves when the rebalance completes: that may take as long as the members' rebalance timeout. */
  join(request: JoinRequest): Promise<JoinAnswer> {
    const { groupId, memberId, sessionTimeoutMs } = request
    if (groupId === '') return Promise.resolve(joinFault('INVALID_GROUP_ID', memberId))
    if (sessionTimeoutMs < this.#settings.sessionTimeoutMsMin || sessionTimeoutMs > this.#settings.sessionTimeoutMsMax) {
      return Promise.resolve(joinFault('INVALID_SESSION_TIMEOUT', memberId))
    }
    let group = this.#groups.get(groupId)
    if (!group) this.#forgetUnused()
    const growth = memberBytes({ ...request, assignment: NO_ASSIGNMENT }) + (group ? -group.bytesReplacedBy(request) : nameBytes(groupId))
    if (this.#isFull(growth)) return Promise.resolve(joinFault('GROUP_MAX_SIZE_REACHED', memberId))
    const isOfBefore = request.groupInstanceId === null && OWN_MEMBER_ID.test(memberId) && this.#mayHaveBeen(group, memberId)
    if (!group) {
      if (memberId !== '' && !isOfBefore) return Promise.resolve(joinFault('UNKNOWN_MEMBER_ID', memberId))
      group = new Group(groupId, { clock: this.#clock, settings: this.#settings, createMemberId: (prefix) => this.#createMemberId(prefix) })
      this.#groups.set(groupId, group)
    }
    return group.join(request, { isOfBefore })
  }

  sync(groupId: string, request: SyncRequest): Promise<SyncAnswer> {
    const group = this.#groups.get(groupId)
    if (!group) return Promise.resolve(syncFault(missing(groupId)))
    const growth = group.growthOf(request)
    if (growth > 0 && this.#isFull(growth)) return Promise.resolve(syncFault('GROUP_MAX_SIZE_REACHED'))
    return group.sync(request)
  }

  heartbeat(groupId: string, claim: MemberClaim): FaultName {
    if (this.isOfBefore(groupId, claim)) return 'REBALANCE_IN_PROGRESS'
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

  /** The claim may be of before the restart, and nobody of after it has a claim on the same partitions yet. */
  isOfBefore(groupId: string, { memberId, generationId }: MemberClaim): boolean {
    return groupId !== '' && memberId !== '' && generationId >= 0 && this.#mayHaveBeen(this.#groups.get(groupId), memberId)
  }

  get #mayRemember(): boolean {
    return this.#clock.monotonicMs() < this.#rememberedUntilMs
  }

  #mayHaveBeen(group: Group | undefined, memberId: string): boolean {
    if (!this.#mayRemember) return false
    return group === undefined || (group.generationId === 0 && !group.has(memberId))
  }

  close(): void {
    for (const group of this.#groups.values()) group.close()
    this.#groups.clear()
  }

  #isFull(newBytes: number): boolean {
    let bytes = newBytes
    for (const group of this.#groups.values()) bytes += group.bytes
    if (bytes <= this.#settings.groupBytesMax) return false
    this.#onFull('members of consumer groups', () => this.#holders())
    return true
  }

  #holders(): string {
    let most: Group | null = null
    for (const group of this.#groups.values()) if (group.bytes > (most?.bytes ?? 0)) most = group
    const largest = most ? `, group ${quoted(most.groupId)} takes most: ${most.bytes} bytes` : ''
    return `${this.memberCount} members of ${this.#groups.size} groups${largest}`
  }

  #forgetUnused(): void {
    for (const [groupId, group] of this.#groups) {
      const isReminder = group.generationId > 0 && this.#mayRemember // that those of before have no claim any more
      if (group.isUnused && !isReminder) this.#groups.delete(groupId)
    }
  }

  #createMemberId(prefix: string): string {
    const start = prefix.slice(0, MEMBER_ID_PREFIX_CHARACTERS_MAX).replace(HALF_A_CHARACTER, '')
    return `${start}-${Buffer.from(this.#random.bytes(MEMBER_ID_RANDOM_BYTES)).toString('hex')}`
  }
}

function missing(groupId: string): FaultName {
  return groupId === '' ? 'INVALID_GROUP_ID' : 'UNKNOWN_MEMBER_ID'
}
