// The ways in which a topic of the simulated centre does not take its events, each at its steps of a connection or transaction, with the words of Kafka.
// Not for: when it fails (topic-faults.ts).

import { UpstreamFault } from '../../runtime/uplink/upstream.ts'

export type FailingStep = 'describe' | 'add-partitions' | 'produce' | 'commit-position'

/** Where a topic fails, and with what: all rights, rights to write, rights to read (needed for a position there), a policy, a leader that never comes, an unnamed error. */
export const TOPIC_FAILURES = {
  'no-rights': { steps: ['describe', 'add-partitions'], kind: 'refused', says: 'TOPIC_AUTHORIZATION_FAILED' },
  'no-write': { steps: ['add-partitions'], kind: 'refused', says: 'TOPIC_AUTHORIZATION_FAILED' },
  'no-write-at-produce': { steps: ['produce'], kind: 'refused', says: 'TOPIC_AUTHORIZATION_FAILED' },
  'no-read': { steps: ['commit-position'], kind: 'refused', says: 'TOPIC_AUTHORIZATION_FAILED' },
  policy: { steps: ['produce'], kind: 'refused', says: 'POLICY_VIOLATION' },
  leaderless: { steps: ['produce'], kind: 'retry', says: 'NOT_ENOUGH_REPLICAS' },
  'server-error': { steps: ['produce'], kind: 'in-doubt', says: 'UNKNOWN_SERVER_ERROR' }
} as const

export type TopicFailure = keyof typeof TOPIC_FAILURES

/** A fault that is about this topic alone. */
export function ofTopic(kind: 'refused' | 'retry' | 'in-doubt', says: string, topicName: string): UpstreamFault {
  const message = `${says}: ${topicName}`
  return new UpstreamFault(kind, message, { topics: new Map([[topicName, message]]) })
}
