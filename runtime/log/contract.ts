// What the rest of Wadi may know of storage: the words of LogStore and PartitionLog, without how they work.

import type { WadiError } from '../base/errors.ts'
import type { Offset } from '../base/offset.ts'
import type { BatchHeader, RecordInput } from '../core/record.ts'
import type { CodecName } from '../io/codec.ts'
import type { Beginning, Start } from './lineage.ts'

export type WhenFull = 'reject' | 'drop_oldest'

export interface TopicConfig {
  readonly partitionCount: number
  /** Codec of sealed batches; 'best' = the best this platform has. */
  readonly codec: CodecName | 'best'
  /** null = keep for ever. Of a forwarded topic only what is delivered is deleted by age, unless dropUndelivered. */
  readonly retentionMs: number | null
  /** Per partition, as in Kafka; null = no limit. */
  readonly retentionBytes: number | null
  /** Whole topic: segments, tails and what waits for its commit (quota.ts); null = only the quota of the data directory. */
  readonly quotaBytes: number | null
  readonly whenFull: WhenFull
  readonly dropUndelivered: boolean
  /** false = it is not delivered: retention by age and bytes need not wait, and no event of it counts as undelivered. */
  readonly isForwarded: boolean
  /** compact: nothing goes by age or bytes; of each key the newest record stays (compaction.ts). compact,delete: both. */
  readonly cleanup: 'delete' | 'compact' | 'compact,delete'
  /** A segment is not made larger; null = as large as the storage makes them. */
  readonly segmentBytes: number | null
  /** As StorageSettings.segmentAgeMs; null = that. */
  readonly segmentAgeMs: number | null
  /** The largest batch of a Kafka producer; null = the broker's. */
  readonly batchBytesMax: number | null
  /** What becomes of the timestamps of Kafka producers. */
  readonly timestampType: 'CreateTime' | 'LogAppendTime'
  /** How far behind our clock a timestamp of a Kafka producer may lie; null = any. */
  readonly timestampBehindMsMax: number | null
  /** How far ahead of it; null = as far as the broker says. */
  readonly timestampAheadMsMax: number | null
  /** What a Kafka client gave the topic: Kafka's names, with the values as they were written. */
  readonly given: Readonly<Record<string, string>>
}

export const defaultTopicConfig: TopicConfig = {
  partitionCount: 1,
  codec: 'best',
  retentionMs: 7 * 86_400_000,
  retentionBytes: null,
  quotaBytes: null,
  whenFull: 'reject',
  dropUndelivered: false,
  isForwarded: true,
  cleanup: 'delete',
  segmentBytes: null,
  segmentAgeMs: null,
  batchBytesMax: null,
  timestampType: 'CreateTime',
  timestampBehindMsMax: null,
  timestampAheadMsMax: null,
  given: {}
}

export interface StateChange {
  /** UTF-8, 1 … 255 bytes; "area/name". */
  readonly key: string
  /** null deletes. At most 64 KiB. */
  readonly value: Uint8Array | null
}

/** Called once, in the order of the appends: after the sync (error null), or when the append was refused. */
export type AppendDone = (error: WadiError | null, baseOffset: Offset) => void

/** As AppendDone, for a commit; no offsets when it was refused. */
export type CommitDone = (error: WadiError | null, baseOffsets: readonly Offset[]) => void

/** A function is called twice and keeps to the offsets of the second call: first with the largest ones, to know the size. */
export type CommitState = readonly StateChange[] | ((baseOffsets: readonly Offset[]) => readonly StateChange[])

export interface Append {
  readonly partition: Partition
  /** One record, or an encoded RecordBatch v2 (checked by the caller; base offset 0). */
  readonly content: { readonly record: RecordInput } | { readonly batch: Uint8Array; readonly recordCount: number }
  /** Nothing behind it is delivered or deleted without it (a transaction's marker, a dead letter of the uplink): a full quota takes it too. */
  readonly mayExceedQuota?: true
}

/** A whole stored batch with its header, which whoever has it in hand does not decode again. */
export interface StoredBatch {
  readonly header: BatchHeader
  readonly bytes: Uint8Array
}

export interface ReadResult {
  /** In order, each checked; the first may begin below the asked offset. Empty at the end. Their memory is the caller's, and nobody else's. */
  readonly batches: readonly StoredBatch[]
  /** Where the next read goes on: past the last batch, or past damage. */
  readonly nextOffset: Offset
}

/** Offsets from startOffset on, below endOffset. */
export interface OffsetRange {
  readonly startOffset: number
  readonly endOffset: number
}

export interface StableRead extends ReadResult {
  /** Of what was asked for up to nextOffset: offsets that hold nothing any more, damage. In order. */
  readonly missing: readonly OffsetRange[]
}

export interface AbortedTransaction {
  readonly producerId: bigint
  readonly firstOffset: number
  /** Offset of the abort marker. */
  readonly lastOffset: number
}

/** One partition as its readers and writers see it. */
export interface Partition {
  readonly topicName: string
  readonly topicNumber: number
  readonly partitionIndex: number
  /** Its topic was deleted: reads and appends are refused (WADI_TOPIC_UNKNOWN), onAdvance has run once more. A topic of that name is another one. */
  readonly isDeleted: boolean
  readonly logStartOffset: Offset
  /** false: a crash may bring back what lies below, because the disk was too full to note that it was deleted. */
  readonly isLogStartDurable: boolean
  /** First offset that is not durable: readers see below it. */
  readonly highWatermark: Offset
  /** First offset that readers of committed data do not see: where the oldest open transaction began, else the high watermark. */
  readonly lastStableOffset: Offset
  /** Aborted transactions that overlap [startOffset, endOffset), by first offset. */
  abortedBetween(startOffset: number, endOffset: number): readonly AbortedTransaction[]
  /**
   * Batches from `offset` on, below the high watermark, at least one when there is one, then up to bytesMax.
   * @throws WadiError WADI_OFFSET_OUT_OF_RANGE below logStartOffset or above highWatermark; WADI_TOPIC_UNKNOWN when the topic was deleted
   */
  read(offset: Offset, options: { bytesMax: number }): Promise<ReadResult>
  /**
   * As read(), below the last stable offset, without markers and without batches of aborted transactions; nextOffset moves over them,
   * so it may have moved and there are no batches. At or above the last stable offset: no batches, nextOffset = offset.
   * @throws WadiError WADI_OFFSET_OUT_OF_RANGE as read()
   */
  readCommitted(offset: Offset, options: { bytesMax: number }): Promise<StableRead>
  /** First record with timestamp ≥ timestampMs, null when there is none. */
  offsetForTime(timestampMs: number): Promise<{ offset: Offset; timestampMs: number } | null>
  /** Bytes stored from `offset` on (compressed as stored; an estimate at batch granularity). */
  bytesFrom(offset: Offset): number
  /** Of all batches that commits of this start made visible here: it only grows. */
  readonly appendedBytes: number
  /** Everything below was said to be delivered (Store.setDelivered), as far as this start knows. */
  readonly deliveredOffset: number
  /** First offset that a start after `incarnation` wrote here; null when none did. A power cut or an older image can only take back what lies behind it. */
  firstOffsetAfter(incarnation: number): Offset | null
  /** Where each start from `incarnation` on began to write here, oldest first: as far as it is known, and only starts that wrote. */
  beginningsSince(incarnation: number): readonly Beginning[]
  /** Runs after every move of the high watermark or of the log start. Returns the unsubscribe. */
  onAdvance(listener: () => void): () => void
}

/** Where an event lies. */
export interface Place {
  readonly partition: Partition
  readonly offset: number
}

export interface Topic {
  readonly name: string
  readonly number: number
  /** 16 bytes, as Kafka's topic id. */
  readonly id: Uint8Array
  readonly config: TopicConfig
  readonly partitions: readonly Partition[]
}

export interface DroppedRange {
  readonly topicName: string
  readonly partitionIndex: number
  readonly startOffset: Offset
  readonly endOffset: Offset
  readonly reason: 'retention' | 'quota' | 'damage' | 'hole' | 'deletion'
  /** The centre has it, or its topic is not forwarded. */
  readonly isDelivered: boolean
}

/** Events that are gone and were not delivered, since the directory was made; durable. */
export interface Removal {
  readonly topicName: string
  /** deletion: of its topic. */
  readonly reason: 'quota' | 'retention' | 'damage' | 'deletion'
  readonly records: number
  /** true = lost: the centre never got them, or damage took them. false = a quota took them from a topic that is not forwarded. */
  readonly isLoss: boolean
}

export interface StoreMetrics {
  readonly commits: number
  readonly committedRecords: number
  readonly committedPayloadBytes: number
  /** Bytes handed to the device, by kind. */
  readonly writtenBytes: Readonly<Record<'journal' | 'segment' | 'index' | 'state', number>>
  readonly syncs: number
  readonly seals: number
  readonly checkpoints: number
  readonly rejectedAppends: number
  readonly compaction: {
    readonly passes: number
    /** Passes that could not be ended: no room, or something that cannot be read. */
    readonly failures: number
    /** Of segments that were written anew. */
    readonly writtenBytes: number
    /** By which they are smaller. */
    readonly removedBytes: number
    readonly removedRecords: number
  }
  /** By topic and reason. */
  readonly removals: readonly Removal[]
  /** Of all topics that are not forwarded: what a quota took. */
  readonly droppedRecords: number
  /** Of all topics: what never reached the centre because retention, a quota or damage took it. */
  readonly lostRecords: number
  /** That were found since the directory was made, and are not in front of the log start yet. */
  readonly damagedRanges: number
  /** Bytes of segments, indexes, state and journals now. */
  readonly usedBytes: number
  readonly tailBytes: number
}

/** 'full': there is no room now. 'refused': such an append is not for the lane now; append() takes it, or says why not. */
export type LaneOpening = 'open' | 'full' | 'refused'

/** What one walk of the lane has appended to a partition; `endOffset` is behind it, and 0 when it was refused. */
export interface LaneEnd {
  readonly partition: Partition
  readonly records: number
  readonly endOffset: number
}

/** Called once, as AppendDone. */
export type LaneDone = (error: WadiError | null, ends: readonly LaneEnd[]) => void

/**
 * Appends that the core's lane has made itself (runtime/core/lane.ts), many with one completion. A walk is begin, then feed of the lane, openPart where it
 * asks for it, then end: all in one turn. In one partition they lie among other appends in the order in which they were taken.
 */
export interface LaneAppends {
  /** Where the lane puts the records of a topic: the part of partition 0, those of the others follow. null = there are no places left. */
  partsOf(topic: Topic): number | null
  /** A walk of records of at most so many bytes. 'full': wait with onceRoom(). */
  begin(recordBytesMax: number): LaneOpening
  /** What the lane asks for. */
  openPart(part: number): LaneOpening
  /** Everything that was walked is appended; `done` is called as that of append(). Only when the lane has taken events. */
  end(done: LaneDone): void
  /** Whether begin() would say 'full'. */
  readonly isFull: boolean
  /** Runs `turn` once, behind all appends that wait for room now, when there is room or nothing is taken any more. It may walk as far as there is room. */
  onceRoom(turn: () => void): void
}

export interface DeleteOptions {
  /**
   * Events that the centre should get and is not known to have: keep the topic, or lose them, which is counted. After an unclean start, until the uplink has
   * connected, that includes what was delivered since the last checkpoint: only the centre knows it.
   */
  readonly undelivered: 'refuse' | 'lose'
}

export interface AlterOptions {
  readonly holds: 'at once' | 'when durable'
}

/** The data directory. */
export interface Store {
  /** Its path. */
  readonly directory: string
  /** Random, made with the directory: tells a wiped or copied disk from the one the centre knows. */
  readonly logId: string
  /** Counts the starts of this directory: the number of this one. */
  readonly incarnation: number
  /** The starts of this directory, oldest first; the last one is this, except while the disk has no room to say so: then this one has written nothing. */
  readonly starts: readonly Start[]
  /** The newest start that found damage to what was stored; 0 when none did. What starts before it wrote may have been more than is here. */
  readonly lastDamagedStart: number
  /** One commit can hold so much: appends and state changes. */
  readonly commitBytesMax: number
  readonly topics: ReadonlyMap<string, Topic>
  readonly metrics: StoreMetrics
  /** What the directory takes now, and what the file system has left; null = it does not say. */
  space(): Promise<{ readonly usedBytes: number; readonly freeBytes: number | null }>
  /** How long a durable write takes, lately. */
  readonly writeMs: number
  /** null while appends can succeed. */
  readonly failure: WadiError | null

  /**
   * Durable before it resolves. A topic that was delivered and deleted before goes on behind its last offsets, others begin at 0.
   * @throws WadiError WADI_TOPIC_EXISTS, WADI_TOPIC_INVALID, WADI_BUSY while the disk does not let go of a deleted topic of that name
   */
  createTopic(name: string, config?: Partial<TopicConfig>): Promise<Topic>
  /**
   * Replaces the named settings; partitionCount can only grow. They are durable when it resolves. 'at once': except for new partitions they hold before, and
   * when it is refused until the store is closed: they may be what makes room. 'when durable' (the default): when it is refused nothing has changed.
   * @throws WadiError WADI_TOPIC_UNKNOWN, WADI_TOPIC_INVALID; when the store refuses
   */
  alterTopic(name: string, config: Partial<TopicConfig>, options?: AlterOptions): Promise<Topic>
  /**
   * Takes the topic away with all its events and what the store keeps of it. Durable before it resolves; the files are removed then, and by later
   * starts. @throws WadiError WADI_TOPIC_UNKNOWN, WADI_TOPIC_UNDELIVERED; when the store refuses, nothing was deleted
   */
  deleteTopic(name: string, options: DeleteOptions): Promise<void>
  /**
   * The log of the partition starts at `offset`, if it started before it: durable before it is visible, the files go later. What the centre should get and does not
   * have stays, unless the topic has dropUndelivered; then it is counted as lost. @returns where the log starts
   * @throws WadiError WADI_OFFSET_OUT_OF_RANGE above the high watermark, WADI_TOPIC_UNDELIVERED, WADI_TOPIC_UNKNOWN; when the store refuses, nothing was deleted
   */
  deleteRecords(partition: Partition, offset: Offset): Promise<Offset>
  /** Runs when a topic was deleted, before deleteTopic resolves. Returns the unsubscribe. */
  onTopicDeleted(listener: (topic: Pick<Topic, 'name' | 'number' | 'partitions'>) => void): () => void

  /** One record, the hot path. `state` travels in the same commit: both or neither. */
  append(partition: Partition, record: RecordInput, done: AppendDone, state?: readonly StateChange[]): void
  /**
   * Several appends and state changes in one commit: all or nothing. The base offsets are in the order of the appends.
   */
  commit(appends: readonly Append[], state: CommitState): Promise<readonly Offset[]>
  /**
   * As commit(), without a promise: `done` runs before it returns when it is refused at once, else in the order of the calls. What was taken behind
   * something that is refused later is refused too, before anything new is taken: who builds upon what is under way need not look back.
   */
  submit(appends: readonly Append[], state: CommitState, done: CommitDone): void

  /**
   * State that may wait: it travels with the next commit that somebody else asks for, and is visible then. A later note of the same key
   * takes the place of an earlier one. A crash before that loses it. Of several, a later one is never durable without those before it.
   */
  note(changes: readonly StateChange[]): void

  /** The durable value, as of the last completed commit. */
  getState(key: string): Uint8Array | undefined
  /** Keys that start with `prefix`, sorted. */
  listState(prefix: string): string[]

  /** Everything below is at the centre: retention may take it. Never goes back. */
  setDelivered(partition: Partition, offset: Offset): void
  onDropped(listener: (range: DroppedRange) => void): () => void

  /** Refuses new appends, completes what waits, seals, checkpoints, unlocks. */
  close(): Promise<void>
}
