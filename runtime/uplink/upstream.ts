// What the uplink needs of a central cluster, call by call as in Kafka's transaction protocol. Real: adapters/kafka-upstream.
// Simulated: test/sim/sim-centre.ts. Every call has a deadline of its own inside the implementation and rejects with
// UpstreamFault; none waits for ever. At most one call of a kind is under way.

/**
 * unreachable   no connection to the cluster (dial, DNS, reset before the request left): nothing happened
 * in-doubt      the request may have been carried out: no answer in time, or the connection died behind it
 * retry         the cluster is not ready (leader moved, coordinator loading, concurrent transaction): nothing happened
 * aborted       this transaction is gone (timed out, sequence error, abortable): begin again from initProducer
 * fenced        somebody else uses our transactional id
 * too-large     a batch is larger than the cluster takes; see `batchBytesMax`
 * bad-record    the cluster refuses the content (timestamp, null key on a compacted topic …)
 * refused       authorisation, unsupported, unknown topic that may not be created: needs a person, retried slowly
 *
 * unreachable, in-doubt, retry and refused may be about some topics only (`topics`): then the others need not wait.
 */
export type UpstreamFaultKind = 'unreachable' | 'in-doubt' | 'retry' | 'aborted' | 'fenced' | 'too-large' | 'bad-record' | 'refused'

export class UpstreamFault extends Error {
  override readonly name = 'UpstreamFault'
  readonly kind: UpstreamFaultKind
  /** The partition that the cluster's answer names; undefined when it named none, or there was no answer. */
  readonly target: { topicName: string; partitionIndex: number } | undefined
  /** The cluster answered for `target`, and the content of the batch may be why: an error without a name, a codec it does not take. */
  readonly mayBeContent: boolean
  /** The topics that alone are the reason, each with what was said of it. Empty: the fault is of us, of the link or of the whole cluster. */
  readonly topics: ReadonlyMap<string, string>

  constructor(
    kind: UpstreamFaultKind,
    message: string,
    details: {
      cause?: unknown
      target?: { topicName: string; partitionIndex: number }
      mayBeContent?: boolean
      topics?: ReadonlyMap<string, string>
    } = {}
  ) {
    super(message, { cause: details.cause })
    this.kind = kind
    this.target = details.target
    this.mayBeContent = details.mayBeContent ?? false
    this.topics = details.topics ?? new Map()
  }
}

export interface UpstreamTopic {
  readonly name: string
  readonly partitionCount: number
  /** max.message.bytes: the largest compressed batch. */
  readonly batchBytesMax: number
  /** 32 hex digits; all zero when the cluster has none. Changes when the topic is recreated. */
  readonly topicId: string
}

export interface ProduceTarget {
  readonly topicName: string
  readonly partitionIndex: number
  /** A whole RecordBatch v2 with producer fields set. */
  readonly batch: Uint8Array
}

export interface CommittedPosition {
  readonly committedOffset: number
  /** At most METADATA_CHARS_MAX characters each (position.ts). The implementation finds a place for each. */
  readonly pieces: readonly string[]
}

export interface CommittedRead {
  /** Committed batches, whole, in order; aborted ones and markers are left out. The first may begin below the asked offset. */
  readonly batches: readonly Uint8Array[]
  readonly nextOffset: number
  /** Nothing lies behind nextOffset. */
  readonly isEnd: boolean
  /** Offsets from the asked one on were deleted; nextOffset is where the log begins. */
  readonly isDeleted: boolean
}

export interface Upstream {
  /** One line for people: where this is. */
  readonly description: string
  /** Partition counts and limits; creates what is missing when `create` says so. Refreshes what is known of leaders. */
  describeTopics(names: readonly string[], options: { createPartitionCount: number | null }): Promise<readonly UpstreamTopic[]>
  /** Fences whoever used the id before and aborts or completes its open transaction. */
  initProducer(): Promise<{ producerId: bigint; producerEpoch: number }>
  /** The first so many pieces of our position on each topic, stable; a topic without one (never committed, expired) is left out. */
  fetchPosition(pieceCounts: ReadonlyMap<string, number>): Promise<ReadonlyMap<string, CommittedPosition>>
  addPartitions(targets: readonly { topicName: string; partitionIndex: number }[]): Promise<void>
  /** One request per leader; at most one batch per partition. Resolves when all are in the log of the cluster: base offsets in the order given. */
  produce(targets: readonly ProduceTarget[]): Promise<readonly { baseOffset: number }[]>
  /** AddOffsetsToTxn and TxnOffsetCommit. Topic → our position on it. */
  commitPosition(positions: ReadonlyMap<string, CommittedPosition>): Promise<void>
  endTransaction(outcome: 'commit' | 'abort'): Promise<void>
  /**
   * What is committed in a partition from an offset on. Waits (as 'retry') while a transaction is open in front of its end.
   * Only for positions that have expired (look-back.ts).
   */
  readCommitted(from: { topicName: string; partitionIndex: number; fromOffset: number; bytesMax: number }): Promise<CommittedRead>
  /** `listener` runs when no connection is open any more and none can be made, also while nothing is asked; the next call tries again. One listener. */
  onLost(listener: (fault: UpstreamFault) => void): void
  /** Bytes on the wire so far, both directions, for the meter. */
  readonly wireBytes: { readonly sent: number; readonly received: number }
  close(): Promise<void>
}
