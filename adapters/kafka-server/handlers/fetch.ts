// Fetch: full requests only. Sessions (KIP-227) are refused with session id 0, which every client takes.

import type { FetchedPartition, FetchPlace } from '../../../runtime/broker/fetch.ts'
import { ATTRIBUTES_AT, CODEC_MASK } from '../../../runtime/core/batch-header.ts'
import type { Draft } from '../../kafka-protocol/api.ts'
import type { FetchPartitionResponse, FetchRequest, FetchResponse } from '../../kafka-protocol/messages/fetch.ts'
import type { Handler, RequestContext } from '../context.ts'
import { distinctPlaces } from '../distinct.ts'
import { errorCodeOf } from '../error-map.ts'

const TOPIC_IDS_FROM = 13
const ZSTD_FROM = 10
const CODEC_ZSTD = 4
const NO_RECORDS = new Uint8Array(0)
/** So much an answer may always carry, when it has its turn. */
const FETCH_BYTES_ALWAYS = 1024 * 1024
/** More only of what nobody else has: who reads many partitions goes round them in fewer steps while the others need no room. */
const SHARE_OF_FREE = 1 / 2

export const handleFetch: Handler<FetchRequest, FetchResponse> = async (request, context) => {
  if (request.sessionId !== 0) return { errorCode: errorCodeOf('FETCH_SESSION_ID_NOT_FOUND') }
  const topics = distinctPlaces(
    request.topics,
    ({ topic, topicId }) => `${topic}/${topicId}`,
    ({ partition }) => partition
  )
  const names = topics.map((asked) => nameOf(asked, context))
  const places = topics.flatMap(({ partitions }, at) =>
    partitions.map(
      (asked): FetchPlace => ({
        topicName: names[at] ?? '',
        partitionIndex: asked.partition,
        fetchOffset: asked.fetchOffset,
        bytesMax: asked.partitionMaxBytes,
        leaderEpoch: asked.currentLeaderEpoch
      })
    )
  )
  const fetched = await context.broker.fetches.fetch(
    {
      places,
      isolation: request.isolationLevel === 1 ? 'read_committed' : 'read_uncommitted',
      maxWaitMs: Math.min(Math.max(0, request.maxWaitMs), context.waitMsMax),
      bytesMin: Math.min(request.minBytes, FETCH_BYTES_ALWAYS),
      bytesMax: Math.min(request.maxBytes, context.fetchBytesMax)
    },
    context.signal,
    async (bytes) => {
      const bytesMax = Math.min(context.fetchBytesMax, Math.max(FETCH_BYTES_ALWAYS, context.answerBytesFree() * SHARE_OF_FREE))
      return (await context.reserveAnswer(Math.min(bytes, bytesMax))) ? bytesMax : null
    }
  )
  let next = 0
  return {
    sessionId: 0,
    responses: topics.map(({ topic, topicId, partitions }, at) => ({
      topic,
      topicId,
      partitions: partitions.map(({ partition }) => answerOf(partition, fetched[next++] as FetchedPartition, names[at] !== null, context))
    }))
  }
}

/** null when the topic id is unknown. */
function nameOf(asked: { topic: string; topicId: string }, { broker, apiVersion }: RequestContext): string | null {
  if (apiVersion < TOPIC_IDS_FROM) return asked.topic
  return broker.topics.findById(Buffer.from(asked.topicId, 'hex'))?.name ?? null
}

function answerOf(
  partitionIndex: number,
  fetched: FetchedPartition,
  isKnownId: boolean,
  context: RequestContext
): Draft<FetchPartitionResponse> {
  const isTooNew =
    context.apiVersion < ZSTD_FROM && fetched.batches.some((batch) => ((batch[ATTRIBUTES_AT + 1] as number) & CODEC_MASK) === CODEC_ZSTD)
  const fault = isKnownId ? (isTooNew ? 'UNSUPPORTED_COMPRESSION_TYPE' : fetched.fault) : 'UNKNOWN_TOPIC_ID'
  return {
    partitionIndex,
    errorCode: errorCodeOf(fault),
    highWatermark: fetched.highWatermark,
    lastStableOffset: fetched.lastStableOffset,
    logStartOffset: fetched.logStartOffset,
    abortedTransactions: fetched.abortedTransactions?.map(({ producerId, firstOffset }) => ({ producerId, firstOffset })) ?? null,
    records: fault === 'NONE' ? recordsOf(fetched.batches, context) : NO_RECORDS
  }
}

/** As they were read, where they lie in one piece of memory that is not much more than they are: else in one of their own. */
function recordsOf(batches: readonly Uint8Array[], context: RequestContext): Uint8Array {
  const [first] = batches
  if (!first) return NO_RECORDS
  const bytes = batches.reduce((sum, { byteLength }) => sum + byteLength, 0)
  const isOnePiece = areAdjoining(batches) && bytes * 2 >= first.buffer.byteLength
  const block = isOnePiece ? new Uint8Array(first.buffer, first.byteOffset, bytes) : Buffer.allocUnsafeSlow(bytes)
  let at = 0
  for (const batch of isOnePiece ? [] : batches) {
    block.set(batch, at)
    at += batch.byteLength
  }
  context.releaseWhenSent(block)
  return block
}

function areAdjoining(batches: readonly Uint8Array[]): boolean {
  return batches.every(({ buffer, byteOffset }, at) => {
    const before = batches[at - 1]
    return before === undefined || (before.buffer === buffer && before.byteOffset + before.byteLength === byteOffset)
  })
}
