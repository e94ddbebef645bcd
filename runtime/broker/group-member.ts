// One member of a consumer group: what it offered, what it was given, what it waits for.

import type { Timer } from '../io/clock.ts'
import type { FaultName } from './fault.ts'
import type { MemberRecord } from './group-record.ts'

export interface GroupProtocol {
  readonly name: string
  readonly metadata: Uint8Array
}

export interface JoinRequest {
  readonly groupId: string
  /** "" = not yet a member. */
  readonly memberId: string
  /** Static membership; null for a dynamic member. */
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly protocolType: string
  readonly protocols: readonly GroupProtocol[]
  /** New dynamic members are told their id first and come again with it (JoinGroup version 4 on). */
  readonly requiresKnownMemberId: boolean
  /** A leader that comes back may be told not to assign anew (version 9 on); before, it is told that its old self leads. */
  readonly knowsSkipAssignment: boolean
}

export interface JoinedMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly metadata: Uint8Array
}

export interface JoinAnswer {
  readonly fault: FaultName
  readonly generationId: number
  readonly protocolType: string | null
  readonly protocolName: string | null
  readonly leaderId: string
  readonly memberId: string
  readonly skipAssignment: boolean
  /** Only for the leader. */
  readonly members: readonly JoinedMember[]
}

export interface SyncAnswer {
  readonly fault: FaultName
  readonly protocolType: string | null
  readonly protocolName: string | null
  readonly assignment: Uint8Array
}

export const NO_ASSIGNMENT = new Uint8Array(0)

export interface Member {
  memberId: string
  groupInstanceId: string | null
  clientId: string
  clientHost: string
  sessionTimeoutMs: number
  rebalanceTimeoutMs: number
  protocols: readonly GroupProtocol[]
  assignment: Uint8Array
  /** Set while its JoinGroup waits. */
  answerJoin: ((answer: JoinAnswer) => void) | null
  /** Set while its SyncGroup waits. */
  answerSync: ((answer: SyncAnswer) => void) | null
  hasSynced: boolean
  sessionTimer: Timer | null
}

export function createMember(memberId: string, request: JoinRequest): Member {
  return {
    memberId,
    groupInstanceId: request.groupInstanceId,
    clientId: request.clientId,
    clientHost: request.clientHost,
    sessionTimeoutMs: request.sessionTimeoutMs,
    rebalanceTimeoutMs: request.rebalanceTimeoutMs,
    protocols: request.protocols,
    assignment: NO_ASSIGNMENT,
    answerJoin: null,
    answerSync: null,
    hasSynced: false,
    sessionTimer: null
  }
}

/** As a start finds it. */
export function restoreMember(record: MemberRecord, protocolName: string): Member {
  const { subscription, ...rest } = record
  return {
    ...rest,
    protocols: [{ name: protocolName, metadata: subscription }],
    answerJoin: null,
    answerSync: null,
    hasSynced: true,
    sessionTimer: null
  }
}

/** What it brings for the protocol that was chosen. */
export function metadataOf({ protocols }: Pick<Member, 'protocols'>, protocolName: string | null): Uint8Array {
  return protocols.find(({ name }) => name === protocolName)?.metadata ?? NO_ASSIGNMENT
}

/** What a member, an id that was given and has not come back, or a group costs beside its blobs and names: maps, timers. */
const OVERHEAD_BYTES = 512
const PROTOCOL_OVERHEAD_BYTES = 128
/** Of a character of a name. */
const CHARACTER_BYTES = 2

/** About what it takes in memory. */
export function memberBytes(member: Pick<Member, 'clientId' | 'groupInstanceId' | 'protocols' | 'assignment'>): number {
  const { clientId, groupInstanceId, protocols, assignment } = member
  return protocols.reduce(
    (sum, { name, metadata }) => sum + PROTOCOL_OVERHEAD_BYTES + CHARACTER_BYTES * name.length + metadata.byteLength,
    nameBytes(clientId) + CHARACTER_BYTES * (groupInstanceId?.length ?? 0) + assignment.byteLength
  )
}

/** Of what is known by its name alone: a group without its members, an id that was given. */
export function nameBytes(name: string): number {
  return OVERHEAD_BYTES + CHARACTER_BYTES * name.length
}

export function joinFault(fault: FaultName, memberId: string): JoinAnswer {
  return { fault, generationId: -1, protocolType: null, protocolName: null, leaderId: '', memberId, skipAssignment: false, members: [] }
}

export function syncFault(fault: FaultName): SyncAnswer {
  return { fault, protocolType: null, protocolName: null, assignment: NO_ASSIGNMENT }
}

/** Names that all of them offer. A member may offer thousands. */
export function commonProtocols(members: readonly Member[]): ReadonlySet<string> {
  const [first, ...others] = members
  const common = new Set(first?.protocols.map(({ name }) => name))
  for (const { protocols } of others) {
    if (common.size === 0) break
    const offered = new Set(protocols.map(({ name }) => name))
    for (const name of common) if (!offered.has(name)) common.delete(name)
  }
  return common
}

export function hasSameProtocols(left: readonly GroupProtocol[], right: readonly GroupProtocol[]): boolean {
  if (left.length !== right.length) return false
  return left.every((protocol, at) => protocol.name === right[at]?.name && hasSameBytes(protocol.metadata, right[at].metadata))
}

function hasSameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.byteLength === right.byteLength && left.every((byte, at) => byte === right[at])
}
