// The ways in which a topic of the simulated centre does not take its events, each at its step of a transaction, with the words of Kafka.
// Not for: when it fails (topic-faults.ts).

import { UpstreamFault } from '../../runtime/uplink/upstream.ts'

/** Where a topic fails, and with what: rights to write, rights to read (needed for a position there), a policy, a leader that never comes, an unnamed error. */
export const TOPIC_FAILURES = {
  'no-write': { step: 'add-partitions', kind: 'refused', says: 'TOPIC_AUTHORIZATION_FAILED' },
  'no-write-at-produce': { step: 'produce', kind: 'refused', says: 'TOPIC_AUTHORIZATION_FAILED' },
  'no-read': { step: 'commit-position', kind: 'refused', says: 'TOPIC_AUTHORIZATION_FAILED' },
  policy: { step: 'produce', kind: 'refused', says: 'POLICY_VIOLATION' },
  leaderless: { step: 'produce', kind: 'retry', says: 'NOT_ENOUGH_REPLICAS' },
  'server-error': { step: 'produce', kind: 'in-doubt', says: 'UNKNOWN_SERVER_ERROR' }
} as const

export type TopicFailure = keyof typeof TOPIC_FAILURES

/** A fault that is about this topic alone. */
export function ofTopic(kind: 'refused' | 'retry' | 'in-doubt', says: string, topicName: string): UpstreamFault {
  const message = `${says}: ${topicName}`
  return new UpstreamFault(kind, message, { topics: new Map([[topicName, message]]) })
}
