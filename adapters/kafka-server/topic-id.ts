// Topic ids on the wire of our codec: 32 hex digits.

import type { Topic } from '../../runtime/log/contract.ts'

export const ZERO_TOPIC_ID = '0'.repeat(32)

export function topicIdOf(topic: Topic): string {
  return Buffer.from(topic.id).toString('hex')
}
