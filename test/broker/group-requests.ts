// What members of a consumer group say, for tests of the coordinator.

import type { JoinAnswer, JoinRequest } from '../../runtime/broker/group-member.ts'
import type { Rig } from './rig.ts'

export const encoder = new TextEncoder()
export const EMPTY = new Map<string, Uint8Array>()
export const SESSION_MS = 10_000
export const REBALANCE_MS = 30_000

export function request(overrides: Partial<JoinRequest> = {}): JoinRequest {
  return {
    groupId: 'g',
    memberId: '',
    groupInstanceId: null,
    clientId: 'c',
    clientHost: '127.0.0.1',
    sessionTimeoutMs: SESSION_MS,
    rebalanceTimeoutMs: REBALANCE_MS,
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: encoder.encode('topics') }],
    requiresKnownMemberId: false,
    knowsSkipAssignment: true,
    ...overrides
  }
}

export function claim(joined: JoinAnswer, groupInstanceId: string | null = null) {
  return { memberId: joined.memberId, generationId: joined.generationId, groupInstanceId }
}

export function syncRequest(
  joined: JoinAnswer,
  assignments: ReadonlyMap<string, Uint8Array> = EMPTY,
  groupInstanceId: string | null = null
) {
  return { ...claim(joined, groupInstanceId), protocolType: null, protocolName: null, assignments }
}

/** Two members of one stable group; the first is the leader. */
export async function pair(rig: Rig) {
  const { groups } = rig.broker
  const alone = await groups.join(request())
  await groups.sync('g', syncRequest(alone))
  const second = groups.join(request())
  const leader = await groups.join(request({ memberId: alone.memberId }))
  const follower = await second
  const assignments = new Map([
    [leader.memberId, encoder.encode('p0')],
    [follower.memberId, encoder.encode('p1')]
  ])
  const synced = await Promise.all([groups.sync('g', syncRequest(follower)), groups.sync('g', syncRequest(leader, assignments))])
  return { leader, follower, synced }
}

/** Kafka's ConsumerProtocolSubscription, version 0. */
export function subscriptionOf(...topics: readonly string[]): Uint8Array {
  const bytes = [0, 0, 0, 0, 0, topics.length]
  for (const topic of topics) bytes.push(0, topic.length, ...encoder.encode(topic))
  return Uint8Array.from([...bytes, 0xff, 0xff, 0xff, 0xff])
}

/** Resolves with `value` when the promise has not by then. */
export function soon<T, V>(promise: Promise<T>, value: V): Promise<T | V> {
  return Promise.race([promise, new Promise<V>((resolve) => setImmediate(resolve, value))])
}
