// OffsetForLeaderEpoch: a consumer asks whether what it has read is what lies here.

import type { OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse } from '../../kafka-protocol/messages/leader-epochs.ts'
import type { Handler } from '../context.ts'
import { distinctPlaces } from '../distinct.ts'
import { errorCodeOf } from '../error-map.ts'

export const handleOffsetForLeaderEpoch: Handler<OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse> = (request, { broker }) => {
  const asked = distinctPlaces(
    request.topics,
    ({ topic }) => topic,
    ({ partition }) => partition
  )
  return {
    topics: asked.map(({ topic, partitions }) => ({
      topic,
      partitions: partitions.map(({ partition: index, currentLeaderEpoch, leaderEpoch }) => {
        const partition = broker.producers.find(topic, index)?.partition
        const fault = partition ? broker.leaderEpochs.faultOf(currentLeaderEpoch) : 'UNKNOWN_TOPIC_OR_PARTITION'
        const end = partition && fault === 'NONE' ? broker.leaderEpochs.endOf(partition, leaderEpoch) : {}
        return { errorCode: errorCodeOf(fault), partition: index, ...end }
      })
    }))
  }
}
