// Where is the end, the start, or the first record at a time? The special timestamps are Kafka's (ListOffsetsRequest.java).

import { AssertionError } from '../base/assert.ts'
import type { Partition } from '../log/contract.ts'
import type { FaultName } from './fault.ts'
import type { Isolation } from './fetch.ts'
import type { LeaderEpochs } from './leader-epochs.ts'
import type { ProducerStates } from './partition-producers.ts'

export const LATEST = -1
export const EARLIEST = -2
export const MAX_TIMESTAMP = -3
export const EARLIEST_LOCAL = -4
export const LATEST_TIERED = -5

export interface ListedOffset {
  readonly fault: FaultName
  /** −1 when there is no record to give the time of. */
  readonly timestampMs: number
  readonly offset: number
  readonly leaderEpoch: number
}

export interface OffsetQuestion {
  readonly topicName: string
  readonly partitionIndex: number
  readonly timestamp: number
  /** −1 = not checked. */
  readonly leaderEpoch: number
  readonly isolation: Isolation
}

export async function listOffset(
  { producers, leaderEpochs }: { readonly producers: ProducerStates; readonly leaderEpochs: LeaderEpochs },
  question: OffsetQuestion
): Promise<ListedOffset> {
  const partition = producers.find(question.topicName, question.partitionIndex)?.partition
  if (!partition) return unknown('UNKNOWN_TOPIC_OR_PARTITION')
  const fault = leaderEpochs.faultOf(question.leaderEpoch)
  if (fault !== 'NONE') return unknown(fault)
  const ofRecord = (record: { offset: number; timestampMs: number } | null): ListedOffset =>
    record && record.offset < endOffset
      ? found(record.offset, record.timestampMs, leaderEpochs.at(partition, record.offset))
      : unknown('NONE')
  const endOffset = question.isolation === 'read_committed' ? partition.lastStableOffset : partition.highWatermark
  try {
    switch (question.timestamp) {
      case LATEST:
        return found(endOffset, -1, leaderEpochs.current)
      case EARLIEST:
      case EARLIEST_LOCAL:
        return found(partition.logStartOffset, -1, leaderEpochs.at(partition, partition.logStartOffset))
      case LATEST_TIERED:
        return unknown('NONE')
      case MAX_TIMESTAMP:
        return ofRecord(await newestRecord(partition))
      default:
        if (question.timestamp < 0) return unknown('INVALID_REQUEST')
        return ofRecord(await partition.offsetForTime(question.timestamp))
    }
  } catch (error) {
    // besides storage: a compressed batch whose inside only its producer can vouch for
    if (error instanceof AssertionError) throw error
    return unknown(partition.isDeleted ? 'UNKNOWN_TOPIC_OR_PARTITION' : 'KAFKA_STORAGE_ERROR')
  }
}

/** The first record with the greatest timestamp, by bisection: "is there a record at or after t" only ever turns from yes to no. */
async function newestRecord(partition: Partition): Promise<{ offset: number; timestampMs: number } | null> {
  let best = await partition.offsetForTime(0)
  let highMs = Number.MAX_SAFE_INTEGER
  while (best && best.timestampMs < highMs) {
    const middleMs = best.timestampMs + Math.ceil((highMs - best.timestampMs) / 2)
    const later = await partition.offsetForTime(middleMs)
    if (later) best = later.timestampMs > best.timestampMs ? later : { ...later, timestampMs: middleMs }
    else highMs = middleMs - 1
  }
  return best ? partition.offsetForTime(best.timestampMs) : null
}

function found(offset: number, timestampMs: number, leaderEpoch: number): ListedOffset {
  return { fault: 'NONE', offset, timestampMs, leaderEpoch }
}

function unknown(fault: FaultName): ListedOffset {
  return { fault, offset: -1, timestampMs: -1, leaderEpoch: -1 }
}
