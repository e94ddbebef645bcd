// ListOffsets: ends, starts and times.

import { listOffset } from '../../../runtime/broker/list-offsets.ts'
import type { ListOffsetsRequest, ListOffsetsResponse } from '../../kafka-protocol/messages/list-offsets.ts'
import type { Handler } from '../context.ts'
import { distinctPlaces } from '../distinct.ts'
import { errorCodeOf } from '../error-map.ts'

export const handleListOffsets: Handler<ListOffsetsRequest, ListOffsetsResponse> = async (request, { broker }) => {
  const isolation = request.isolationLevel === 1 ? 'read_committed' : 'read_uncommitted'
  const topics: ListOffsetsResponse['topics'] = []
  const asked = distinctPlaces(
    request.topics,
    ({ name }) => name,
    ({ partitionIndex }) => partitionIndex
  )
  for (const { name, partitions } of asked) {
    const answers: ListOffsetsResponse['topics'][number]['partitions'] = []
    for (const { partitionIndex, currentLeaderEpoch, timestamp } of partitions) {
      const question = { topicName: name, partitionIndex, timestamp, leaderEpoch: currentLeaderEpoch, isolation } as const
      const { fault, timestampMs, offset, leaderEpoch } = await listOffset(broker, question)
      answers.push({ partitionIndex, errorCode: errorCodeOf(fault), timestamp: timestampMs, offset, leaderEpoch })
    }
    topics.push({ name, partitions: answers })
  }
  return { topics }
}
