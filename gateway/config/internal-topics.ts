// Which topic names are not for events of devices. Not for: what a topic may be called (runtime/base/topic-names.ts).

/** Kafka's own bookkeeping topics, and ours. */
export function isInternal(topicName: string): boolean {
  return topicName.startsWith('__') || topicName.startsWith('_wadi')
}
