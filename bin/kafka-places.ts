// Partitions as commands name them, and where they begin and end, asked over Kafka.

import { api } from '../adapters/kafka-protocol/apis.ts'
import type { KafkaAdmin } from './kafka-admin.ts'

export interface Place {
  readonly topic: string
  readonly partition: number
}

/** Instead of a time: behind the last event, the first event. */
export const LATEST = -1
export const EARLIEST = -2

/** "topic:3". */
export const placeWords = ({ topic, partition }: Place): string => `${topic}:${partition}`

/** By placeWords. `timestampMs`: LATEST, EARLIEST, or the first event at or behind that time; where there is none, nothing. */
export async function offsetsAt(kafka: KafkaAdmin, places: readonly Place[], timestampMs: number): Promise<Map<string, number>> {
  if (places.length === 0) return new Map()
  const { topics } = await kafka.request(api.ListOffsets, () => ({
    topics: byTopic(places).map(([name, partitions]) => ({
      name,
      partitions: partitions.map((partitionIndex) => ({ partitionIndex, timestamp: timestampMs }))
    }))
  }))
  const found = new Map<string, number>()
  for (const { name: topic, partitions } of topics)
    for (const { partitionIndex: partition, offset, errorCode } of partitions)
      if (errorCode === 0 && offset >= 0) found.set(placeWords({ topic, partition }), offset)
  return found
}

export function byTopic(places: readonly Place[]): [string, number[]][] {
  const topics = new Map<string, number[]>()
  for (const { topic, partition } of places) {
    const partitions = topics.get(topic) ?? []
    partitions.push(partition)
    topics.set(topic, partitions)
  }
  return [...topics]
}
