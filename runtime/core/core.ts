// What the WASM core can do, in typed arrays and plain values. wasm-core.ts implements it and is the only file that
// knows addresses. Every call is synchronous; views it returns are valid until the next call of the same object.

import type { BatchFault, OpenedBatch, ProducerFields, RecordHeader, RecordInput, StoredRecord } from './record.ts'

export interface Core {
  /** Largest batch in bytes (uncompressed) that build, repack, check and iterate take: 4 MiB. */
  readonly batchBytesMax: number
  /** Largest commit in bytes, block header and padding included: 2 MiB. */
  readonly commitBytesMax: number

  /** CRC-32C; `previous` is the CRC of the bytes before: crc(a + b) = crc(b, crc(a)). Any length (chunked copy). */
  crc32c(bytes: Uint8Array, previous?: number): number
  /** Kafka's murmur2 (seed 0x9747b28c) as a signed 32-bit integer. */
  murmur2(bytes: Uint8Array): number

  /** Encodes one record batch; the result is a copy. Convenience for tests and rare paths, not the hot path. */
  buildBatch(records: readonly RecordInput[], options: { baseOffset: number; producer?: ProducerFields }): Uint8Array
  /** null when `batch` is exactly one whole RecordBatch v2 with a right CRC and, when uncompressed, right records. */
  checkBatch(batch: Uint8Array): BatchFault | null
  /** As checkBatch, of a batch that passed it when it was stored: whole, and byte for byte what it was. Its records are not walked again. */
  checkStoredBatch(batch: Uint8Array): BatchFault | null
  /** Records of an uncompressed batch that has been checked. @throws RangeError when it is not readable */
  readRecords(batch: Uint8Array): StoredRecord[]
  /** As readRecords, of two pieces that lie apart; with `wants` those of some offsets: nothing is made for the others. */
  readOpened(batch: OpenedBatch, wants?: (offset: number) => boolean): StoredRecord[]
  /** Header patch without reading the payload: sets attributes' transactional bit and producer fields, recombines the CRC, in place. */
  patchProducer(batch: Uint8Array, producer: ProducerFields): void

  /** The records of the commit that is being filled, while the one before it is written. Owned by the group commit. */
  readonly pool: RecordPool
  /** PUBLISH packets into the pool. Beside it, who owns the pool counts what was taken. */
  readonly lane: Lane
  /** The commit being built: at most one, pinned while it is written. Owned by the group commit. */
  readonly commit: CommitBuilder
  /** The batch being repacked: begin … finish without an await between. */
  readonly repack: Repacker

  /** For a compaction, until it is closed; null while there is another one. `seed`: 16 random bytes. */
  openKeyMap(seed: Uint8Array): KeyMap | null

  /** The header of a commit block at the start of `bytes` (docs/formats/journal-block.md); null when there is none. The CRC is not looked at. */
  readCommitHeader(bytes: Uint8Array): CommitHeader | null
  /** Verifies the CRC over a whole commit block (header + payload, without padding). `bytes` holds at least blockBytes. */
  verifyCommit(bytes: Uint8Array): boolean

  /** Entry number with the greatest relative offset ≤ `relativeOffset` in a Kafka .index, -1 when all are greater. */
  searchOffsetIndex(entries: Uint8Array, relativeOffset: number): number
  /** Entry number with the greatest timestamp ≤ `timestampMs` in a Kafka .timeindex, -1 when all are greater. */
  searchTimeIndex(entries: Uint8Array, timestampMs: number): number

  /** LZ4 frame (magic 04 22 4D 18, version 01, independent blocks, 64 KiB). The result is a copy. */
  lz4Compress(block: Uint8Array): Uint8Array
  /** @throws RangeError when the frame is malformed or its output would exceed `bytesMax` */
  lz4Decompress(frame: Uint8Array, bytesMax: number): Uint8Array
}

/** What compaction leaves of a batch; a view until the next call of the core. */
export interface CompactedBatch {
  readonly bytes: Uint8Array
  readonly recordCount: number
  /** Records that one that deletes their key supersedes. */
  readonly deletedCount: number
}

export interface CompactRules {
  /** Records that delete their key go below this offset, when they were added and no record that they supersede is known to stay. */
  readonly deletionsUntil: number
  /** All go. */
  readonly isAborted: boolean
  /** The last record stays. */
  readonly keepsLast: boolean
  /** Nothing of the batch is going to go, whatever is answered: what deletes its keys has to stay too. */
  readonly stays: boolean
}

/** The newest offset of each key of a log, and what is superseded by it: add the batches, oldest first, then compact. */
export interface KeyMap {
  readonly keysMax: number
  readonly keyCount: number
  /**
   * With `deletionsBelow` only the keys of records that delete theirs, below this offset. @returns false when there was no room for all of its keys; those that were
   * added stay. @throws RangeError when a record is malformed
   */
  add(batch: OpenedBatch, deletionsBelow?: number): boolean
  /**
   * The batch without the records that a newer one of their key supersedes; header, offsets and the offsets that it covers are the same. Batches are asked about
   * oldest first. @throws RangeError when a record is malformed
   */
  compact(batch: OpenedBatch, rules: CompactRules): CompactedBatch
  close(): void
}

/** Fixed part of a commit block, big-endian like everything else. */
export interface CommitHeader {
  readonly generation: number
  readonly sequence: number
  /** Payload without header and padding. */
  readonly payloadBytes: number
  readonly frameCount: number
  /** On disk: header + payload, rounded up to 4096. */
  readonly blockBytes: number
}

/**
 * The records of the commit that is being filled: batches that grow side by side, encoded as the records come. They do not know their offsets yet.
 * CommitBuilder.addPooled puts them into the commit that is built.
 */
export interface RecordPool {
  /** Forgets everything. */
  clear(): void
  /** A place for one more batch, of at least one record; null when there are 4,096. */
  openBatch(): number | null
  /** false = the pool is full, nothing was added. An empty pool takes any record that fits a commit. @throws RangeError when the timestamp is not a safe integer */
  addRecord(batch: number, record: RecordInput): boolean
}

/**
 * Why a walk stopped. done: all is taken; more: a packet is not whole yet; other: the next packet is not for the lane; miss: its topic has no plan
 * (putPlan, then feed again); no-batch: `part` has no open batch with room (openPart, then feed again); full: the commit has no room for it.
 */
export type LaneStop = 'done' | 'more' | 'other' | 'miss' | 'no-batch' | 'full'

export interface LaneFeed {
  /** Whose plans are used. */
  readonly client: number
  readonly isV5: boolean
  /** Larger packets are 'other'. */
  readonly packetBytesMax: number
  /** So many events of QoS 1 in one walk; the next is 'other'. */
  readonly acksMax: number
  /** Of the records. */
  readonly timestampMs: number
}

/** What becomes of the events of one client on one topic with one QoS. */
export interface LanePlan {
  readonly meter: number
  /** Of the first partition that is used. */
  readonly part: number
  /** With more than one they take turns. */
  readonly partCount: number
  readonly key: Uint8Array | null
  readonly headers: readonly RecordHeader[]
}

/**
 * PUBLISH packets of QoS 0 and 1 from the bytes of a socket into the pool, without an object for each. beginWalk → load → feed … until it is done, more,
 * other or full. A part is where the records of one partition go; a meter counts events.
 */
export interface Lane {
  readonly inputBytesMax: number
  readonly partsMax: number
  readonly metersMax: number
  /** 64 bits, random: topics that meet in the table cannot be computed beforehand. All plans are forgotten. */
  seed(seed: bigint): void
  /**
   * Copies `head` and then `chunk` from `from` on in, as far as it fits; the rest of the chunk that was loaded last is there already, and must be what it was.
   * @throws RangeError when the head does not fit
   */
  load(head: Uint8Array, chunk: Uint8Array, from: number): void
  /** Forgets what the last walk counted. Records of at most recordBytesMax are taken, of roomBytes together. */
  beginWalk(options: { roomBytes: number; recordBytesMax: number }): void
  feed(options: LaneFeed): LaneStop
  /** Bytes that are done with, of those that were loaded. */
  readonly at: number
  readonly events: number
  readonly payloadBytes: number
  /** After 'miss'. */
  readonly qos: 0 | 1
  readonly topic: Uint8Array
  /** After 'no-batch'. */
  readonly part: number
  /** Events of QoS 1. */
  readonly ackCount: number
  /** A PUBACK for each of them, in their order. */
  readonly acks: Uint8Array
  /** Those that the walk has put records into. */
  eachPart(call: (part: number) => void): void
  /** What this walk has put into a part so far, into whatever batches; `bytes` is an upper bound. */
  walkedOf(part: number): { readonly records: number; readonly bytes: number }
  eachMeter(call: (meter: number, events: number) => void): void
  /** After 'miss': the plan of that topic; null = never by the lane. @returns false when it is too large to be kept */
  putPlan(client: number, plan: LanePlan | null): boolean
  forgetPlans(): void
  /** Those of the topics that a well-formed MQTT filter matches. */
  forgetMatching(filter: string): void
  /** Records of `part` go into this batch of the pool, of roomBytes together, until the pool is cleared. The batch takes batchBytes of the walk's room. */
  openPart(part: number, batch: number, sizes: { roomBytes: number; batchBytes: number }): void
  closePart(part: number): void
}

/**
 * Builds a commit block inside linear memory: frames of batches and of state changes, then one header with one CRC.
 * begin → (addPooled | addBatch | addState)… → finish. The view of finish() is pinned until release().
 */
export interface CommitBuilder {
  begin(): void
  /** Bytes that still fit, block header and padding considered. */
  readonly bytesLeft: number
  /** The records of `batch` in the pool as one batch; its baseTimestamp is that of its first record. A view inside the commit; null = no room. */
  addPooled(frame: { topicNumber: number; partitionIndex: number; baseOffset: number }, batch: number): Uint8Array | null
  /** A batch that is already encoded: base offset and leader epoch are written into the copy, the rest is untouched. A view of the copy; null = no room. */
  addBatch(frame: { topicNumber: number; partitionIndex: number; baseOffset: number }, batch: Uint8Array): Uint8Array | null
  /** A durable state change; null deletes the key. false = no room. */
  addState(key: Uint8Array, value: Uint8Array | null): boolean
  /** Whole blocks, zero-padded, ready to write. */
  finish(block: { generation: number; sequence: number }): Uint8Array
  release(): void
}

/**
 * Many batches into one: offset and timestamp deltas rewritten, keys and values copied. Sources are uncompressed
 * and checked. One record never splits; the output never exceeds `bytesMax`.
 */
/** What a forward repack made for one target partition. */
export interface ForwardedBatch {
  readonly targetIndex: number
  readonly bytes: Uint8Array
  readonly recordCount: number
}

export interface Repacker {
  /** Keeps offsets (gaps stay gaps), producer fields −1. For sealing a tail. */
  beginSeal(options: { bytesMax: number }): void
  /**
   * For the uplink: base offset 0, dense deltas, and behind each record's own headers `wadi.id` = id and
   * `wadi.offset` = prefix + decimal offset. With targetCount > 1 there is a batch for each target partition, each of at most bytesMax, together of
   * at most about batchBytesMax: a record goes where Kafka's own partitioner puts its key, (murmur2 & 0x7fffffff) % targetCount, without a key to
   * partitionIndex % targetCount. Otherwise there is one batch, for target 0.
   */
  beginForward(options: { bytesMax: number; id: Uint8Array; offsetPrefix: Uint8Array; partitionIndex: number; targetCount: number }): void
  /**
   * Appends the records of `batch` with offset ≥ fromOffset (< untilOffset).
   * @returns nextOffset: the first offset not looked at (untilOffset or the batch's end when all were);
   *          isFull: the record there did not fit its batch, and none behind it was looked at
   */
  add(batch: Uint8Array, range: { fromOffset: number; untilOffset: number }): { nextOffset: number; addedCount: number; isFull: boolean }
  addOpened(
    batch: OpenedBatch,
    range: { fromOffset: number; untilOffset: number }
  ): { nextOffset: number; addedCount: number; isFull: boolean }
  /** After beginSeal; null when no record was added. The view is valid until the next call of the core. */
  finish(): Uint8Array | null
  /** After beginForward: the batches that have records, in the order of their targets; copies. */
  finishForward(): ForwardedBatch[]
}
