// One consumer group, Kafka's classic protocol: Empty → PreparingRebalance → CompletingRebalance → Stable.
//
// Invariants
// - Every JoinGroup and SyncGroup that waits is answered: by the rebalance, by a newer call of the same member, or by its removal.
// - The session timer of a member runs exactly when it does not wait.
// - `leaderId` names a member whenever there is one in CompletingRebalance or Stable.
// In memory only: after a restart members rejoin (groups.ts); committed offsets are durable (committed-offsets.ts).
// Source: Apache Kafka, GroupCoordinator and GroupMetadata (classic).

import type { Clock, Timer } from '../io/clock.ts'
import type { FaultName } from './fault.ts'
import {
  commonProtocols,
  createMember,
  hasSameProtocols,
  type JoinAnswer,
  type JoinRequest,
  joinFault,
  type Member,
  memberBytes,
  NO_ASSIGNMENT,
  nameBytes,
  type SyncAnswer,
  syncFault
} from './group-member.ts'

export type GroupStatus = 'Empty' | 'PreparingRebalance' | 'CompletingRebalance' | 'Stable'

export interface GroupSettings {
  /** How long the first rebalance of an empty group waits for more members. */
  readonly initialRebalanceDelayMs: number
  readonly memberCountMax: number
}

/** Who a request says it is. */
export interface MemberClaim {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly generationId: number
}

export interface SyncRequest extends MemberClaim {
  readonly protocolType: string | null
  readonly protocolName: string | null
  /** From the leader; empty from the others. */
  readonly assignments: ReadonlyMap<string, Uint8Array>
}

export class Group {
  readonly groupId: string
  readonly #clock: Clock
  readonly #settings: GroupSettings
  readonly #createMemberId: (prefix: string) => string
  readonly #members = new Map<string, Member>()
  readonly #staticIds = new Map<string, string>()
  /** Ids given with MEMBER_ID_REQUIRED that have not come back yet. */
  readonly #pendingMembers = new Map<string, Timer>()
  status: GroupStatus = 'Empty'
  generationId = 0
  protocolType: string | null = null
  protocolName: string | null = null
  leaderId: string | null = null
  #rebalanceTimer: Timer | null = null
  #isGathering = false
  #hasNewcomer = false

  constructor(groupId: string, context: { clock: Clock; settings: GroupSettings; createMemberId: (prefix: string) => string }) {
    this.groupId = groupId
    this.#clock = context.clock
    this.#settings = context.settings
    this.#createMemberId = context.createMemberId
  }

  get memberCount(): number {
    return this.#members.size
  }

  has(memberId: string): boolean {
    return this.#members.has(memberId)
  }

  /** About what it and its members take in memory. */
  get bytes(): number {
    let bytes = nameBytes(this.groupId)
    for (const memberId of this.#pendingMembers.keys()) bytes += nameBytes(memberId)
    for (const member of this.#members.values()) bytes += memberBytes(member)
    return bytes
  }

  /** The part of `bytes` that this JoinGroup replaces. */
  bytesReplacedBy({ memberId, groupInstanceId }: Pick<JoinRequest, 'memberId' | 'groupInstanceId'>): number {
    const staticId = groupInstanceId === null ? undefined : this.#staticIds.get(groupInstanceId)
    const member = this.#members.get(memberId === '' ? (staticId ?? '') : memberId)
    return member ? memberBytes(member) : 0
  }

  /** By how much `bytes` grows when this SyncGroup is carried out. Only the leader's assigns, and only to members. */
  growthOf(request: SyncRequest): number {
    if (this.#syncFault(request) !== 'NONE' || this.status !== 'CompletingRebalance' || request.memberId !== this.leaderId) return 0
    let bytes = 0
    for (const { memberId, assignment } of this.#members.values())
      bytes += (request.assignments.get(memberId)?.byteLength ?? 0) - assignment.byteLength
    return bytes
  }

  get isUnused(): boolean {
    return this.#members.size === 0 && this.#pendingMembers.size === 0
  }

  /** `isOfBefore`: it has its id from before the restart, and may keep it. */
  join(request: JoinRequest, { isOfBefore }: { isOfBefore: boolean }): Promise<JoinAnswer> {
    const staticId = request.groupInstanceId === null ? undefined : this.#staticIds.get(request.groupInstanceId)
    const fault = this.#joinFault(request, { staticId, isOfBefore })
    if (fault !== 'NONE') return Promise.resolve(joinFault(fault, request.memberId))
    if (request.memberId !== '') {
      const member = this.#members.get(request.memberId)
      return member ? this.#rejoin(member, request) : this.#add(request.memberId, request)
    }
    if (staticId !== undefined) return this.#replaceStatic(this.#members.get(staticId) as Member, request)
    const memberId = this.#createMemberId(request.groupInstanceId ?? request.clientId)
    if (request.groupInstanceId === null && request.requiresKnownMemberId) {
      this.#expectBack(memberId, request.sessionTimeoutMs)
      return Promise.resolve(joinFault('MEMBER_ID_REQUIRED', memberId))
    }
    return this.#add(memberId, request)
  }

  sync(request: SyncRequest): Promise<SyncAnswer> {
    const fault = this.#syncFault(request)
    if (fault !== 'NONE') return Promise.resolve(syncFault(fault))
    const member = this.#members.get(request.memberId) as Member
    if (this.status === 'PreparingRebalance') return Promise.resolve(syncFault('REBALANCE_IN_PROGRESS'))
    if (this.status === 'Stable') {
      this.#keepAlive(member)
      member.hasSynced = true
      this.#stopTimerWhenAllSynced()
      return Promise.resolve(this.#syncAnswer(member))
    }
    return new Promise((resolve) => {
      member.answerSync?.(syncFault('REBALANCE_IN_PROGRESS'))
      member.answerSync = resolve
      member.hasSynced = true
      this.#stopSession(member)
      if (member.memberId === this.leaderId) this.#distribute(request.assignments)
    })
  }

  heartbeat(claim: MemberClaim): FaultName {
    const fault = this.#claimFault(claim)
    if (fault !== 'NONE') return fault
    this.#keepAlive(this.#members.get(claim.memberId) as Member)
    return this.status === 'PreparingRebalance' ? 'REBALANCE_IN_PROGRESS' : 'NONE'
  }

  leave(claim: { memberId: string; groupInstanceId: string | null }): FaultName {
    const { groupInstanceId } = claim
    const staticId = groupInstanceId === null ? undefined : this.#staticIds.get(groupInstanceId)
    if (groupInstanceId !== null && staticId === undefined) return 'UNKNOWN_MEMBER_ID'
    if (staticId !== undefined && claim.memberId !== '' && claim.memberId !== staticId) return 'FENCED_INSTANCE_ID'
    const memberId = staticId ?? claim.memberId
    if (this.#forgetPending(memberId)) {
      this.#completeJoinIfAllThere() // the others may have waited for it
      return 'NONE'
    }
    const member = this.#members.get(memberId)
    if (!member) return 'UNKNOWN_MEMBER_ID'
    this.#remove(member)
    this.#afterRemoval()
    return 'NONE'
  }

  /** May this member commit offsets? Counts as a heartbeat. `isTransactional`: TxnOffsetCommit is let through while a rebalance completes. */
  checkCommit(claim: MemberClaim, options: { isTransactional: boolean }): FaultName {
    const isSimple = claim.generationId < 0 && claim.memberId === '' && claim.groupInstanceId === null
    if (isSimple) return this.#members.size === 0 || options.isTransactional ? 'NONE' : 'UNKNOWN_MEMBER_ID'
    const fault = this.#claimFault(claim)
    if (fault !== 'NONE') return fault
    if (this.status === 'CompletingRebalance' && !options.isTransactional) return 'REBALANCE_IN_PROGRESS'
    this.#keepAlive(this.#members.get(claim.memberId) as Member)
    return 'NONE'
  }

  /** Answers everybody who waits and stops every timer. */
  close(): void {
    for (const member of [...this.#members.values()]) this.#remove(member)
    for (const memberId of [...this.#pendingMembers.keys()]) this.#forgetPending(memberId)
    this.#stopRebalanceTimer()
  }

  #joinFault(request: JoinRequest, { staticId, isOfBefore }: { staticId: string | undefined; isOfBefore: boolean }): FaultName {
    const { memberId, groupInstanceId, protocols } = request
    if (protocols.length === 0 || request.protocolType === '') return 'INCONSISTENT_GROUP_PROTOCOL'
    if (memberId !== '' && !isOfBefore) {
      if (groupInstanceId !== null && staticId === undefined && !this.#pendingMembers.has(memberId)) return 'UNKNOWN_MEMBER_ID'
      if (staticId !== undefined && staticId !== memberId) return 'FENCED_INSTANCE_ID'
      if (!this.#members.has(memberId) && !this.#pendingMembers.has(memberId)) return 'UNKNOWN_MEMBER_ID'
    }
    const others = [...this.#members.values()].filter((member) => member.memberId !== memberId && member.memberId !== staticId)
    if (others.length > 0) {
      if (request.protocolType !== this.protocolType) return 'INCONSISTENT_GROUP_PROTOCOL'
      const common = commonProtocols(others)
      if (!protocols.some(({ name }) => common.has(name))) return 'INCONSISTENT_GROUP_PROTOCOL'
    }
    const isNew = staticId === undefined && !this.#members.has(memberId)
    if (isNew && others.length >= this.#settings.memberCountMax) return 'GROUP_MAX_SIZE_REACHED'
    return 'NONE'
  }

  #syncFault(request: SyncRequest): FaultName {
    const fault = this.#claimFault(request)
    if (fault !== 'NONE') return fault
    const isOtherType = request.protocolType !== null && request.protocolType !== this.protocolType
    const isOtherName = request.protocolName !== null && request.protocolName !== this.protocolName
    return isOtherType || isOtherName ? 'INCONSISTENT_GROUP_PROTOCOL' : 'NONE'
  }

  #claimFault(claim: MemberClaim): FaultName {
    if (claim.groupInstanceId !== null) {
      const staticId = this.#staticIds.get(claim.groupInstanceId)
      if (staticId === undefined) return 'UNKNOWN_MEMBER_ID'
      if (staticId !== claim.memberId) return 'FENCED_INSTANCE_ID'
    }
    if (!this.#members.has(claim.memberId)) return 'UNKNOWN_MEMBER_ID'
    return claim.generationId === this.generationId ? 'NONE' : 'ILLEGAL_GENERATION'
  }

  #add(memberId: string, request: JoinRequest): Promise<JoinAnswer> {
    this.#forgetPending(memberId)
    const member = createMember(memberId, request)
    this.protocolType = request.protocolType
    this.#members.set(memberId, member)
    if (request.groupInstanceId !== null) this.#staticIds.set(request.groupInstanceId, memberId)
    if (this.#isGathering) this.#hasNewcomer = true
    const answer = this.#waitForRebalance(member)
    this.#prepareRebalance()
    return answer
  }

  #rejoin(member: Member, request: JoinRequest): Promise<JoinAnswer> {
    const isUnchanged = hasSameProtocols(member.protocols, request.protocols)
    const isLeader = member.memberId === this.leaderId
    const answersNow = isUnchanged && (this.status === 'CompletingRebalance' || (this.status === 'Stable' && !isLeader))
    this.#update(member, request)
    if (answersNow) {
      this.#keepAlive(member)
      return Promise.resolve(this.#joinAnswer(member, false))
    }
    const answer = this.#waitForRebalance(member)
    this.#prepareRebalance()
    return answer
  }

  /**
   * A static member is back under a new id: no rebalance as long as the protocol stays, as in Kafka. What else it offers may differ: Java's consumers
   * put the generation and what they own into it.
   */
  #replaceStatic(old: Member, request: JoinRequest): Promise<JoinAnswer> {
    const memberId = this.#createMemberId(request.groupInstanceId as string)
    this.#stopSession(old)
    old.answerJoin?.(joinFault('FENCED_INSTANCE_ID', old.memberId))
    old.answerSync?.(syncFault('FENCED_INSTANCE_ID'))
    this.#members.delete(old.memberId)
    const member: Member = { ...old, memberId, answerJoin: null, answerSync: null }
    this.#members.set(memberId, member)
    this.#staticIds.set(request.groupInstanceId as string, memberId)
    const wasLeader = this.leaderId === old.memberId
    if (wasLeader) this.leaderId = memberId
    this.#update(member, request)
    if (this.status === 'Stable' && this.#chooseProtocol() === this.protocolName) {
      this.#keepAlive(member)
      const answer = this.#joinAnswer(member, true)
      if (!wasLeader || request.knowsSkipAssignment) return Promise.resolve(answer)
      return Promise.resolve({ ...answer, leaderId: old.memberId, skipAssignment: false, members: [] })
    }
    const answer = this.#waitForRebalance(member)
    this.#prepareRebalance()
    return answer
  }

  #update(member: Member, request: JoinRequest): void {
    this.protocolType = request.protocolType
    member.protocols = request.protocols
    member.sessionTimeoutMs = request.sessionTimeoutMs
    member.rebalanceTimeoutMs = request.rebalanceTimeoutMs
    member.clientId = request.clientId
    member.clientHost = request.clientHost
  }

  #waitForRebalance(member: Member): Promise<JoinAnswer> {
    return new Promise((resolve) => {
      member.answerJoin?.(joinFault('REBALANCE_IN_PROGRESS', member.memberId))
      member.answerJoin = resolve
      this.#stopSession(member)
    })
  }

  #prepareRebalance(): void {
    if (this.status !== 'PreparingRebalance') {
      const isFirst = this.status === 'Empty'
      this.#stopRebalanceTimer()
      this.status = 'PreparingRebalance'
      for (const member of this.#members.values()) this.#answerSync(member, syncFault('REBALANCE_IN_PROGRESS'))
      if (isFirst && this.#settings.initialRebalanceDelayMs > 0) {
        this.#gather(this.#rebalanceTimeoutMs())
        return
      }
      this.#rebalanceTimer = this.#clock.after(this.#rebalanceTimeoutMs(), () => {
        this.#rebalanceTimer = null
        this.#completeJoin()
      })
    }
    this.#completeJoinIfAllThere()
  }

  /** The first rebalance waits a little, again and again while members keep arriving, at most `leftMs`. */
  #gather(leftMs: number): void {
    const waitMs = Math.min(this.#settings.initialRebalanceDelayMs, leftMs)
    this.#isGathering = true
    this.#hasNewcomer = false
    this.#rebalanceTimer = this.#clock.after(waitMs, () => {
      this.#rebalanceTimer = null
      if (this.#hasNewcomer && leftMs > waitMs) return this.#gather(leftMs - waitMs)
      this.#isGathering = false
      this.#completeJoin()
    })
  }

  #completeJoinIfAllThere(): void {
    if (this.status !== 'PreparingRebalance' || this.#isGathering || this.#pendingMembers.size > 0) return
    for (const member of this.#members.values()) if (!member.answerJoin) return
    this.#completeJoin()
  }

  #completeJoin(): void {
    this.#stopRebalanceTimer()
    for (const member of [...this.#members.values()]) if (!member.answerJoin && member.groupInstanceId === null) this.#remove(member)
    this.generationId++
    if (this.#members.size === 0) {
      this.status = 'Empty'
      this.protocolName = null
      this.leaderId = null
      return
    }
    this.status = 'CompletingRebalance'
    this.protocolName = this.#chooseProtocol()
    const leader = this.leaderId === null ? undefined : this.#members.get(this.leaderId)
    if (!leader?.answerJoin)
      this.leaderId = ([...this.#members.values()].find((member) => member.answerJoin) ?? [...this.#members.values()][0])?.memberId ?? null
    const syncTimeoutMs = this.#rebalanceTimeoutMs()
    for (const member of this.#members.values()) {
      member.hasSynced = false
      const { answerJoin } = member
      member.answerJoin = null
      this.#keepAlive(member)
      answerJoin?.(this.#joinAnswer(member, false))
    }
    this.#rebalanceTimer = this.#clock.after(syncTimeoutMs, () => {
      this.#rebalanceTimer = null
      this.#dropUnsynced()
    })
  }

  /** Who never asks for what the leader assigned to it keeps others from it. */
  #dropUnsynced(): void {
    if (this.status !== 'CompletingRebalance' && this.status !== 'Stable') return
    for (const member of [...this.#members.values()]) if (!member.hasSynced) this.#remove(member)
    this.#prepareRebalance()
  }

  #stopTimerWhenAllSynced(): void {
    for (const { hasSynced } of this.#members.values()) if (!hasSynced) return
    this.#stopRebalanceTimer()
  }

  #distribute(assignments: ReadonlyMap<string, Uint8Array>): void {
    this.#stopTimerWhenAllSynced()
    this.status = 'Stable'
    for (const member of this.#members.values()) member.assignment = assignments.get(member.memberId) ?? NO_ASSIGNMENT
    for (const member of this.#members.values()) {
      if (!member.answerSync) continue
      this.#answerSync(member, this.#syncAnswer(member))
    }
  }

  #answerSync(member: Member, answer: SyncAnswer): void {
    const { answerSync } = member
    if (!answerSync) return
    member.answerSync = null
    this.#keepAlive(member)
    answerSync(answer)
  }

  /** Each member votes for its first protocol that all support. */
  #chooseProtocol(): string {
    const members = [...this.#members.values()]
    const common = commonProtocols(members)
    const votes = new Map<string, number>()
    for (const member of members) {
      const choice = member.protocols.find(({ name }) => common.has(name))
      if (choice) votes.set(choice.name, (votes.get(choice.name) ?? 0) + 1)
    }
    return [...votes].reduce((best, vote) => (vote[1] > best[1] ? vote : best), ['', 0] as [string, number])[0]
  }

  #joinAnswer(member: Member, isReplacement: boolean): JoinAnswer {
    const isLeader = member.memberId === this.leaderId
    return {
      fault: 'NONE',
      generationId: this.generationId,
      protocolType: this.protocolType,
      protocolName: this.protocolName,
      leaderId: this.leaderId ?? '',
      memberId: member.memberId,
      skipAssignment: isReplacement && isLeader,
      members: isLeader ? this.#joinedMembers() : []
    }
  }

  #joinedMembers(): JoinAnswer['members'] {
    return [...this.#members.values()].map(({ memberId, groupInstanceId, protocols }) => {
      const chosen = protocols.find((protocol) => protocol.name === this.protocolName)
      return { memberId, groupInstanceId, metadata: chosen?.metadata ?? NO_ASSIGNMENT }
    })
  }

  #syncAnswer(member: Member): SyncAnswer {
    return { fault: 'NONE', protocolType: this.protocolType, protocolName: this.protocolName, assignment: member.assignment }
  }

  #keepAlive(member: Member): void {
    this.#stopSession(member)
    if (member.answerJoin || member.answerSync) return
    member.sessionTimer = this.#clock.after(member.sessionTimeoutMs, () => {
      member.sessionTimer = null
      if (this.#members.get(member.memberId) !== member) return
      this.#remove(member)
      this.#afterRemoval()
    })
  }

  #stopSession(member: Member): void {
    member.sessionTimer?.cancel()
    member.sessionTimer = null
  }

  #expectBack(memberId: string, sessionTimeoutMs: number): void {
    const timer = this.#clock.after(sessionTimeoutMs, () => {
      this.#pendingMembers.delete(memberId)
      this.#completeJoinIfAllThere()
    })
    this.#pendingMembers.set(memberId, timer)
  }

  #forgetPending(memberId: string): boolean {
    this.#pendingMembers.get(memberId)?.cancel()
    return this.#pendingMembers.delete(memberId)
  }

  #remove(member: Member): void {
    this.#stopSession(member)
    this.#members.delete(member.memberId)
    if (member.groupInstanceId !== null && this.#staticIds.get(member.groupInstanceId) === member.memberId) {
      this.#staticIds.delete(member.groupInstanceId)
    }
    if (this.leaderId === member.memberId) this.leaderId = null
    const { answerJoin, answerSync } = member
    member.answerJoin = null
    member.answerSync = null
    answerJoin?.(joinFault('UNKNOWN_MEMBER_ID', member.memberId))
    answerSync?.(syncFault('UNKNOWN_MEMBER_ID'))
  }

  #afterRemoval(): void {
    if (this.status === 'PreparingRebalance') this.#completeJoinIfAllThere()
    else if (this.status !== 'Empty') this.#prepareRebalance()
  }

  #rebalanceTimeoutMs(): number {
    let longestMs = 0
    for (const member of this.#members.values()) longestMs = Math.max(longestMs, member.rebalanceTimeoutMs)
    return longestMs
  }

  #stopRebalanceTimer(): void {
    this.#rebalanceTimer?.cancel()
    this.#rebalanceTimer = null
    this.#isGathering = false
  }
}
