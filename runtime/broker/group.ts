// One consumer group, Kafka's classic protocol: Empty → PreparingRebalance → CompletingRebalance → Stable.
//
// Invariants
// - Every JoinGroup and SyncGroup that waits is answered: by the rebalance, by a newer call of the same member, or by its removal.
// - The session timer of a member runs exactly when it does not wait.
// - `leaderId` names a member whenever there is one in CompletingRebalance or Stable.
// - What a member is told of an assignment, and the new id of a static member, is durable before (group-record.ts). So a start finds the last
//   generation, Stable, its members with their whole session in front of them; what came behind it (a member left, a rebalance began) they say again.
// Source: Apache Kafka, GroupCoordinator and GroupMetadata (classic).

import type { Clock, Timer } from '../io/clock.ts'
import { type FaultName, faultOfStoreError } from './fault.ts'
import {
  createMember,
  hasSameProtocols,
  type JoinAnswer,
  type JoinRequest,
  joinFault,
  type Member,
  memberBytes,
  metadataOf,
  NO_ASSIGNMENT,
  nameBytes,
  restoreMember,
  type SyncAnswer,
  syncFault
} from './group-member.ts'
import type { GroupRecord } from './group-record.ts'
import { GroupRoster, type MemberClaim } from './group-roster.ts'
import { CONSUMER_PROTOCOL, subscribedTopics } from './subscription.ts'

export type GroupStatus = 'Empty' | 'PreparingRebalance' | 'CompletingRebalance' | 'Stable'

export interface GroupSettings {
  /** How long the first rebalance of an empty group waits for more members. */
  readonly initialRebalanceDelayMs: number
  readonly memberCountMax: number
}

export interface SyncRequest extends MemberClaim {
  readonly protocolType: string | null
  readonly protocolName: string | null
  /** From the leader; empty from the others. */
  readonly assignments: ReadonlyMap<string, Uint8Array>
}

export interface GroupContext {
  readonly clock: Clock
  readonly settings: GroupSettings
  readonly createMemberId: (prefix: string) => string
  /** Durable when it resolves. @throws WadiError when the store refuses */
  readonly save: (record: GroupRecord) => Promise<void>
}

export class Group {
  readonly groupId: string
  readonly #context: GroupContext
  readonly #clock: Clock
  readonly #roster = new GroupRoster()
  status: GroupStatus = 'Empty'
  generationId = 0
  protocolType: string | null = null
  protocolName: string | null = null
  leaderId: string | null = null
  /** When the last generation began or ended, by the wall clock; null: it never had one. */
  changedMs: number | null = null
  #rebalanceTimer: Timer | null = null
  #isGathering = false
  #hasNewcomer = false
  #isClosed = false
  /** Whose assignment is on its way to the disk. */
  #assigning: { readonly generationId: number; readonly bytes: number } | null = null
  #saved: Promise<unknown> = Promise.resolve()

  /** `record`: what a start finds of it. */
  constructor(groupId: string, context: GroupContext, record: GroupRecord | null = null) {
    this.groupId = groupId
    this.#context = context
    this.#clock = context.clock
    if (!record) return
    this.protocolType = record.protocolType
    this.generationId = record.generationId
    this.protocolName = record.protocolName
    this.leaderId = record.leaderId
    this.changedMs = record.timeMs
    for (const member of record.members) this.#roster.add(restoreMember(member, record.protocolName ?? ''))
    if (record.members.length > 0) this.status = 'Stable'
    for (const member of this.#roster.members) this.#keepAlive(member)
  }

  get memberCount(): number {
    return this.#roster.size
  }

  get members(): readonly Member[] {
    return this.#roster.members
  }

  has(memberId: string): boolean {
    return this.#roster.get(memberId) !== undefined
  }

  /** About what it and its members take in memory. */
  get bytes(): number {
    return nameBytes(this.groupId) + this.#roster.bytes + (this.#assigning?.bytes ?? 0)
  }

  /** The part of `bytes` that this JoinGroup replaces. */
  bytesReplacedBy({ memberId, groupInstanceId }: Pick<JoinRequest, 'memberId' | 'groupInstanceId'>): number {
    const member = memberId === '' ? this.#roster.findStatic(groupInstanceId) : this.#roster.get(memberId)
    return member ? memberBytes(member) : 0
  }

  /** By how much `bytes` grows when this SyncGroup is carried out. Only the leader's assigns, and only to members. */
  growthOf(request: SyncRequest): number {
    if (this.#syncFault(request) !== 'NONE' || this.status !== 'CompletingRebalance' || request.memberId !== this.leaderId) return 0
    if (this.#isAssigning) return 0 // a leader that asks again
    let bytes = 0
    for (const { memberId, assignment } of this.#roster.members)
      bytes += (request.assignments.get(memberId)?.byteLength ?? 0) - assignment.byteLength
    return bytes
  }

  get isUnused(): boolean {
    return this.#roster.isUnused
  }

  /** Topics that its members read; null: nobody knows, it may be any. */
  subscribedTopics(): ReadonlySet<string> | null {
    if (this.#roster.size === 0) return new Set()
    if (this.protocolType !== CONSUMER_PROTOCOL || this.protocolName === null) return null
    const topics = new Set<string>()
    for (const member of this.#roster.members) {
      const own = subscribedTopics(metadataOf(member, this.protocolName))
      if (own === null) return null
      for (const topic of own) topics.add(topic)
    }
    return topics
  }

  /** Resolves when everything that was to be kept of it so far is durable, or was refused. */
  async whenSaved(): Promise<void> {
    await this.#saved
  }

  join(request: JoinRequest): Promise<JoinAnswer> {
    const { memberCountMax } = this.#context.settings
    const fault = this.#roster.joinFault(request, { protocolType: this.protocolType, memberCountMax })
    if (fault !== 'NONE') return Promise.resolve(joinFault(fault, request.memberId))
    if (request.memberId !== '') {
      const member = this.#roster.get(request.memberId)
      return member ? this.#rejoin(member, request) : this.#add(request.memberId, request)
    }
    const old = this.#roster.findStatic(request.groupInstanceId)
    if (old) return this.#replaceStatic(old, request)
    const memberId = this.#context.createMemberId(request.groupInstanceId ?? request.clientId)
    if (request.groupInstanceId === null && request.requiresKnownMemberId) {
      this.#expectBack(memberId, request.sessionTimeoutMs)
      return Promise.resolve(joinFault('MEMBER_ID_REQUIRED', memberId))
    }
    return this.#add(memberId, request)
  }

  sync(request: SyncRequest): Promise<SyncAnswer> {
    const fault = this.#syncFault(request)
    if (fault !== 'NONE') return Promise.resolve(syncFault(fault))
    const member = this.#roster.get(request.memberId) as Member
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
      if (member.memberId === this.leaderId) this.#assign(request.assignments)
    })
  }

  heartbeat(claim: MemberClaim): FaultName {
    const fault = this.#roster.claimFault(claim, this.generationId)
    if (fault !== 'NONE') return fault
    this.#keepAlive(this.#roster.get(claim.memberId) as Member)
    return this.status === 'PreparingRebalance' ? 'REBALANCE_IN_PROGRESS' : 'NONE'
  }

  leave(claim: { memberId: string; groupInstanceId: string | null }): FaultName {
    const known = this.#roster.findStatic(claim.groupInstanceId)
    if (claim.groupInstanceId !== null && known === undefined) return 'UNKNOWN_MEMBER_ID'
    if (known !== undefined && claim.memberId !== '' && claim.memberId !== known.memberId) return 'FENCED_INSTANCE_ID'
    const memberId = known?.memberId ?? claim.memberId
    if (this.#roster.endPromise(memberId)) {
      this.#completeJoinIfAllThere() // the others may have waited for it
      return 'NONE'
    }
    const member = this.#roster.get(memberId)
    if (!member) return 'UNKNOWN_MEMBER_ID'
    this.#remove(member)
    this.#afterRemoval()
    return 'NONE'
  }

  /** May this member commit offsets? Counts as a heartbeat. `isTransactional`: TxnOffsetCommit is let through while a rebalance completes. */
  checkCommit(claim: MemberClaim, options: { isTransactional: boolean }): FaultName {
    if (claim.generationId < 0 && this.status === 'Empty') return 'NONE' // an admin client, or a consumer without a group
    const isSimple = claim.generationId < 0 && claim.memberId === '' && claim.groupInstanceId === null
    if (isSimple) return options.isTransactional ? 'NONE' : 'UNKNOWN_MEMBER_ID'
    const fault = this.#roster.claimFault(claim, this.generationId)
    if (fault !== 'NONE') return fault
    if (this.status === 'CompletingRebalance' && !options.isTransactional) return 'REBALANCE_IN_PROGRESS'
    this.#keepAlive(this.#roster.get(claim.memberId) as Member)
    return 'NONE'
  }

  /** Answers everybody who waits and stops every timer. What is kept of it stays. */
  close(): void {
    this.#isClosed = true
    for (const member of this.#roster.members) this.#remove(member)
    this.#roster.endPromises()
    this.#stopRebalanceTimer()
  }

  #syncFault(request: SyncRequest): FaultName {
    const fault = this.#roster.claimFault(request, this.generationId)
    if (fault !== 'NONE') return fault
    const isOtherType = request.protocolType !== null && request.protocolType !== this.protocolType
    const isOtherName = request.protocolName !== null && request.protocolName !== this.protocolName
    return isOtherType || isOtherName ? 'INCONSISTENT_GROUP_PROTOCOL' : 'NONE'
  }

  #add(memberId: string, request: JoinRequest): Promise<JoinAnswer> {
    this.#roster.endPromise(memberId)
    const member = createMember(memberId, request)
    this.protocolType = request.protocolType
    this.#roster.add(member)
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
    const memberId = this.#context.createMemberId(request.groupInstanceId as string)
    this.#stopSession(old)
    old.answerJoin?.(joinFault('FENCED_INSTANCE_ID', old.memberId))
    old.answerSync?.(syncFault('FENCED_INSTANCE_ID'))
    const member: Member = { ...old, memberId, answerJoin: null, answerSync: null }
    this.#roster.replace(old, member)
    const wasLeader = this.leaderId === old.memberId
    if (wasLeader) this.leaderId = memberId
    this.#update(member, request)
    if (this.status === 'Stable' && this.#roster.chooseProtocol() === this.protocolName) {
      this.#keepAlive(member)
      const answer = this.#joinAnswer(member, true)
      const mayAnswer = !wasLeader || request.knowsSkipAssignment
      const told = mayAnswer ? answer : { ...answer, leaderId: old.memberId, skipAssignment: false, members: [] }
      return this.#save().then((fault) => (fault === 'NONE' ? told : joinFault(fault, '')))
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
      for (const member of this.#roster.members) this.#answerSync(member, syncFault('REBALANCE_IN_PROGRESS'))
      if (isFirst && this.#context.settings.initialRebalanceDelayMs > 0) {
        this.#gather(this.#roster.rebalanceTimeoutMs())
        return
      }
      this.#rebalanceTimer = this.#clock.after(this.#roster.rebalanceTimeoutMs(), () => {
        this.#rebalanceTimer = null
        this.#completeJoin()
      })
    }
    this.#completeJoinIfAllThere()
  }

  /** The first rebalance waits a little, again and again while members keep arriving, at most `leftMs`. */
  #gather(leftMs: number): void {
    const waitMs = Math.min(this.#context.settings.initialRebalanceDelayMs, leftMs)
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
    if (this.status !== 'PreparingRebalance' || this.#isGathering || this.#roster.hasPromised) return
    for (const member of this.#roster.members) if (!member.answerJoin) return
    this.#completeJoin()
  }

  #completeJoin(): void {
    this.#stopRebalanceTimer()
    for (const member of this.#roster.members) if (!member.answerJoin && member.groupInstanceId === null) this.#remove(member)
    if (this.#roster.size > 0 && !this.#electLeader()) {
      // static members are expected back until their sessions are over
      this.#rebalanceTimer = this.#clock.after(this.#roster.rebalanceTimeoutMs(), () => this.#completeJoin())
      return
    }
    this.generationId++
    if (this.#roster.size === 0) {
      this.status = 'Empty'
      this.protocolName = null
      this.leaderId = null
      this.changedMs = this.#clock.wallMs()
      void this.#save()
      return
    }
    this.status = 'CompletingRebalance'
    this.protocolName = this.#roster.chooseProtocol()
    const syncTimeoutMs = this.#roster.rebalanceTimeoutMs()
    for (const member of this.#roster.members) {
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

  /** The leader stays when it has come again, else another one leads who has. False when nobody has. */
  #electLeader(): boolean {
    const leader = this.leaderId === null ? undefined : this.#roster.get(this.leaderId)
    const elected = leader?.answerJoin ? leader : this.#roster.members.find(({ answerJoin }) => answerJoin)
    if (elected) this.leaderId = elected.memberId
    return elected !== undefined
  }

  /** Who never asks for what the leader assigned to it keeps others from it. */
  #dropUnsynced(): void {
    if (this.status !== 'CompletingRebalance' && this.status !== 'Stable') return
    for (const member of this.#roster.members) if (!member.hasSynced) this.#remove(member)
    this.#prepareRebalance()
  }

  #stopTimerWhenAllSynced(): void {
    for (const { hasSynced } of this.#roster.members) if (!hasSynced) return
    this.#stopRebalanceTimer()
  }

  get #isAssigning(): boolean {
    return this.#assigning?.generationId === this.generationId
  }

  /** Nobody is told of an assignment before it is durable. */
  #assign(assignments: ReadonlyMap<string, Uint8Array>): void {
    const { generationId } = this
    if (this.#isAssigning) return
    const assigning = {
      generationId,
      bytes: this.#roster.members.reduce((sum, { memberId }) => sum + (assignments.get(memberId)?.byteLength ?? 0), 0)
    }
    this.#assigning = assigning
    this.changedMs = this.#clock.wallMs()
    void this.#save(assignments).then((fault) => {
      if (this.#assigning === assigning) this.#assigning = null
      if (this.#isClosed || this.status !== 'CompletingRebalance' || this.generationId !== generationId) return
      if (fault === 'NONE') this.#distribute(assignments)
      else this.#giveUpAssignment(fault)
    })
  }

  #distribute(assignments: ReadonlyMap<string, Uint8Array>): void {
    this.#stopTimerWhenAllSynced()
    this.status = 'Stable'
    for (const member of this.#roster.members) member.assignment = assignments.get(member.memberId) ?? NO_ASSIGNMENT
    for (const member of this.#roster.members) this.#answerSync(member, this.#syncAnswer(member))
  }

  #giveUpAssignment(fault: FaultName): void {
    for (const member of this.#roster.members) {
      member.assignment = NO_ASSIGNMENT
      this.#answerSync(member, syncFault(fault))
    }
    this.#prepareRebalance()
  }

  /** With these assignments, or those that the members have. 'NONE' = it is durable. */
  #save(assignments: ReadonlyMap<string, Uint8Array> | null = null): Promise<FaultName> {
    const members = this.#roster.members.map((member) => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      rebalanceTimeoutMs: member.rebalanceTimeoutMs,
      sessionTimeoutMs: member.sessionTimeoutMs,
      subscription: metadataOf(member, this.protocolName),
      assignment: assignments ? (assignments.get(member.memberId) ?? NO_ASSIGNMENT) : member.assignment
    }))
    const { protocolType, generationId, protocolName, leaderId, changedMs } = this
    const saving = this.#context
      .save({ protocolType: protocolType ?? '', generationId, protocolName, leaderId, timeMs: changedMs ?? this.#clock.wallMs(), members })
      .then(
        (): FaultName => 'NONE',
        (error: unknown): FaultName => {
          const fault = faultOfStoreError(error, 'COORDINATOR_NOT_AVAILABLE')
          return fault === 'COORDINATOR_NOT_AVAILABLE' ? fault : 'GROUP_MAX_SIZE_REACHED'
        }
      )
    this.#saved = saving
    return saving
  }

  #answerSync(member: Member, answer: SyncAnswer): void {
    const { answerSync } = member
    if (!answerSync) return
    member.answerSync = null
    this.#keepAlive(member)
    answerSync(answer)
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
    return this.#roster.members.map((member) => {
      const { memberId, groupInstanceId } = member
      return { memberId, groupInstanceId, metadata: metadataOf(member, this.protocolName) }
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
      if (this.#roster.get(member.memberId) !== member) return
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
      this.#roster.endPromise(memberId)
      this.#completeJoinIfAllThere()
    })
    this.#roster.promise(memberId, timer)
  }

  #remove(member: Member): void {
    this.#stopSession(member)
    this.#roster.remove(member)
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

  #stopRebalanceTimer(): void {
    this.#rebalanceTimer?.cancel()
    this.#rebalanceTimer = null
    this.#isGathering = false
  }
}
