// Compaction of topics that ask for it (cleanup.policy): one partition after the other, the one with the largest share of new bytes first.
//
// A pass: the newest offset of each key in what is new since the last pass goes into the key map of the core, as many keys as it holds; then every segment up
// to there that would lose a third of its bytes is written anew; then the state says up to where it was. A pass that is cut off begins again: nothing it did
// is wrong, and the state says less than was done.
//
// A record that deletes its key goes when a pass has seen it long ago and nothing that it supersedes is left in front of it, or that would be read again: deletions
// that may go are in the key map too, each segment in front loses what they supersede or, when it is left as it is, makes them stay (Core.openKeyMap, "stays").
//
// Invariants
// - Only what is durable in closed segments, stable and delivered is touched (compaction-rules.ts), so nothing that the centre is to get goes.
// - A segment is touched when the two snapshots that a start may use were written behind its end: both know it by its offsets, not by its size.
// - Reads and writes are paced, one pass at a time; room for the new file is looked for before it is written. Housekeeping does not wait for a pass.
// Not for: what is left of a segment (segment-compaction.ts), the file's change of place (segment.ts).

import type { Core, KeyMap } from '../core/core.ts'
import { SEED_BYTES } from '../core/key-map.ts'
import { type Clock, sleep } from '../io/clock.ts'
import type { BlockCodec, CodecName } from '../io/codec.ts'
import { type Disk, DiskError } from '../io/disk.ts'
import type { Random } from '../io/random.ts'
import { openBatch, releaseOpened } from './batch-codec.ts'
import { type CompactableRange, compactableRange, rulesOf } from './compaction-rules.ts'
import type { StateChange } from './contract.ts'
import { CLEANED_SUFFIX } from './layout.ts'
import type { PartitionLog } from './partition-log.ts'
import type { Segment } from './segment.ts'
import { SegmentCompaction } from './segment-compaction.ts'
import { readSegment } from './segment-read.ts'
import type { RecoveryPoint } from './snapshot-codec.ts'
import { StateArea, type StateReader } from './state-area.ts'
import { numberedKeyBytes, versioned } from './state-codec.ts'
import { fields, listOf, tuple, whole } from './state-shape.ts'
import { onlyDisk } from './store-errors.ts'
import type { StoreMeter } from './store-meter.ts'
import type { StoredTopic } from './stored-topic.ts'
import { isCommitted } from './transaction-index.ts'

interface CompactionRecord {
  /** Everything below was compacted. */
  readonly end: number
  /** Passes: everything below this offset was compacted at this time (ms of the wall clock), oldest first. */
  readonly passes: readonly (readonly [number, number])[]
}

export const compactionRecords = new StateArea<CompactionRecord>(
  'compacted',
  versioned(fields<CompactionRecord>({ end: whole, passes: listOf(tuple(whole, whole)) })),
  {
    keys: '<topic number>/<partition>',
    keyBytesMax: numberedKeyBytes('compacted', 2),
    valueBytesMax: 1024,
    entries: 'one for each partition of a compacted topic',
    goes: 'with its topic'
  }
)

const NEVER: CompactionRecord = { end: 0, passes: [] }
const PASSES_MAX = 16
const READ_BYTES = 256 * 1024
/** A segment is written anew when so much of it goes: what is written for a byte that goes stays bounded. */
const SUPERFLUOUS_SHARE_MIN = 1 / 3
const LOOK_AGAIN_MS = 60_000
const AFTER_REFUSAL_MS = 600_000
/** A reader that stands in a segment is waited for so often. */
const REPLACE_TRIES = 20
const REPLACE_WAIT_MS = 250

export interface CompactionHost {
  readonly core: Core
  readonly codec: BlockCodec
  readonly disk: Disk
  readonly clock: Clock
  readonly random: Random
  readonly state: StateReader
  readonly meter: StoreMeter
  /** Read and written in a second at most. */
  readonly bytesPerSecond: number
  /** Never touched on the disk. */
  readonly freeBytesMin: number
  topics(): Iterable<StoredTopic>
  codecOf(topic: StoredTopic): CodecName
  freeBytes(): Promise<number>
  /** Resolves false when the store refuses. */
  commit(changes: readonly StateChange[]): Promise<boolean>
}

interface Choice {
  readonly topic: StoredTopic
  readonly partition: PartitionLog
  readonly range: CompactableRange
}

/** The pass ends, and nothing is wrong. */
class PassEnded extends Error {}

export class Compaction {
  readonly #host: CompactionHost
  readonly #stopped = new AbortController()
  /** By topic number and partition: where the growing segment began in each of the two snapshots on the disk. */
  #snapshots: readonly [ReadonlyMap<string, number>, ReadonlyMap<string, number>] = [new Map(), new Map()]
  #nextLookMs = 0
  #pass: Promise<void> | null = null

  /** `points`: of the snapshot that the start has read. */
  constructor(host: CompactionHost, points: readonly RecoveryPoint[]) {
    this.#host = host
    this.onSnapshot(points)
  }

  /** A snapshot with these points is durable; the one before it is the older of the two now. */
  onSnapshot(points: readonly RecoveryPoint[]): void {
    const bases = new Map(points.map(([topicNumber, partitionIndex, , activeBase]) => [`${topicNumber}/${partitionIndex}`, activeBase]))
    this.#snapshots = [this.#snapshots[1], bases]
    this.#nextLookMs = Math.min(this.#nextLookMs, this.#host.clock.monotonicMs())
  }

  /** Begins a pass when one is due and none runs. `onError` gets what the disk refused. */
  begin(onError: (error: unknown) => void): void {
    if (this.#pass || this.#stopped.signal.aborted || this.#host.clock.monotonicMs() < this.#nextLookMs) return
    this.#pass = this.#run()
      .catch((error: unknown) => {
        this.#nextLookMs = this.#host.clock.monotonicMs() + AFTER_REFUSAL_MS
        if (error instanceof DiskError && (error.isFull || error.isOfReading || error.code === 'ENOENT')) return // it is tried again
        onError(error)
      })
      .finally(() => {
        this.#pass = null
      })
  }

  stop(): void {
    this.#stopped.abort()
  }

  /** Resolves when no pass runs. */
  async settled(): Promise<void> {
    await this.#pass
  }

  async #run(): Promise<void> {
    this.#nextLookMs = this.#host.clock.monotonicMs() + LOOK_AGAIN_MS
    const choice = await this.#dirtiest()
    if (!choice) return
    try {
      await this.#compact(choice)
      this.#nextLookMs = 0
    } catch (error) {
      if (!(error instanceof PassEnded)) throw error
    }
  }

  async #dirtiest(): Promise<Choice | null> {
    let best: Choice | null = null
    const nowWallMs = this.#host.clock.wallMs()
    for (const topic of this.#host.topics()) {
      if (topic.config.cleanup === 'delete' || topic.isEnding) continue
      for (const partition of topic.partitions) {
        const safeOffset = this.#safeOffset(partition)
        const range = await compactableRange(partition, topic.config, {
          safeOffset,
          compactedUntil: this.#recordOf(partition).end,
          nowWallMs
        })
        if (range && (best === null || range.dirtyRatio > best.range.dirtyRatio)) best = { topic, partition, range }
      }
    }
    return best
  }

  #safeOffset(partition: PartitionLog): number {
    const [older, newer] = this.#snapshots.map((bases) => bases.get(`${partition.topicNumber}/${partition.partitionIndex}`) ?? 0)
    return Math.min(older as number, newer as number)
  }

  #recordOf(partition: PartitionLog): CompactionRecord {
    return compactionRecords.get(this.#host.state, keyOf(partition)) ?? NEVER
  }

  async #compact({ topic, partition, range }: Choice): Promise<void> {
    const { core, random, clock, meter } = this.#host
    const keyMap = core.openKeyMap(random.bytes(SEED_BYTES))
    if (!keyMap) return
    try {
      const wallMs = clock.wallMs()
      const { tombstonesMs } = rulesOf(topic.config)
      const record = this.#recordOf(partition)
      const old = record.passes.filter(([, atMs]) => atMs <= wallMs - tombstonesMs)
      const deletionsUntil = Math.max(0, ...old.map(([end]) => end))
      const endOffset = await this.#mapKeys(partition, range, keyMap)
      if (deletionsUntil > 0) await this.#mapDeletions(partition, range, keyMap, deletionsUntil)
      let isAllKnown = true
      for (const segment of range.segments) {
        if (segment.baseOffset >= endOffset) break
        if (topic.config.cleanup === 'delete' || partition.isDeleted) throw new PassEnded()
        if (segment.nextOffset <= partition.logStartOffset)
          isAllKnown &&= partition.isLogStartDurable // retention has its turn
        else isAllKnown = (await this.#compactSegment({ topic, partition, segment }, keyMap, isAllKnown ? deletionsUntil : 0)) && isAllKnown
      }
      const passes = withPass(record.passes, [endOffset, wallMs], { deletionsUntil, tombstonesMs })
      if (partition.isDeleted || !(await this.#host.commit([compactionRecords.put(keyOf(partition), { end: endOffset, passes })])))
        throw new PassEnded()
      meter.onCompaction()
    } finally {
      keyMap.close()
    }
  }

  /** @returns behind the last batch whose keys are all in the map */
  async #mapKeys(partition: PartitionLog, { segments, dirtyOffset, endOffset }: CompactableRange, keyMap: KeyMap): Promise<number> {
    const { core, codec } = this.#host
    const aborted = partition.abortedBetween(dirtyOffset, endOffset)
    for (const segment of segments) {
      for (let offset = Math.max(dirtyOffset, segment.baseOffset); offset < segment.nextOffset; ) {
        const { batches, nextOffset } = await readSegment(core, segment, { offset, bytesMax: READ_BYTES })
        for (const { header, bytes } of batches) {
          if (!isCommitted(header, Number.POSITIVE_INFINITY, aborted)) continue
          if ((await addKeys({ core, codec, keyMap }, bytes)) || header.baseOffset <= dirtyOffset) continue
          return header.baseOffset
        }
        await this.#pause(batches.reduce((sum, { bytes }) => sum + bytes.byteLength, 0))
        if (nextOffset <= offset) return offset
        offset = nextOffset
      }
    }
    return endOffset
  }

  /** Deletions that may go, of what was compacted before. Those that find no room stay. */
  async #mapDeletions(partition: PartitionLog, { segments }: CompactableRange, keyMap: KeyMap, deletionsUntil: number): Promise<void> {
    const { core, codec } = this.#host
    const aborted = partition.abortedBetween(0, deletionsUntil)
    for (const segment of segments) {
      for (let offset = segment.baseOffset; offset < Math.min(segment.nextOffset, deletionsUntil); ) {
        const { batches, nextOffset } = await readSegment(core, segment, { offset, bytesMax: READ_BYTES })
        for (const { header, bytes } of batches)
          if (isCommitted(header, Number.POSITIVE_INFINITY, aborted) && !(await addKeys({ core, codec, keyMap }, bytes, deletionsUntil)))
            return
        await this.#pause(batches.reduce((sum, { bytes }) => sum + bytes.byteLength, 0))
        if (nextOffset <= offset) return
        offset = nextOffset
      }
    }
  }

  /** @returns whether every record that it had is known, so that a deletion behind it may go */
  async #compactSegment(
    { topic, partition, segment }: { topic: StoredTopic; partition: PartitionLog; segment: Segment },
    keyMap: KeyMap,
    deletionsUntil: number
  ): Promise<boolean> {
    const { disk, meter, freeBytesMin } = this.#host
    const work = new SegmentCompaction(
      {
        ...this.#host,
        keyMap,
        deletionsUntil,
        codecName: this.#host.codecOf(topic),
        aborted: partition.abortedBetween(segment.baseOffset, segment.nextOffset),
        pause: (bytes) => this.#pause(bytes)
      },
      segment
    )
    const measured = await work.measure({ stays: false })
    if (!measured) return false
    if (measured.superfluousBytes < measured.bytes * SUPERFLUOUS_SHARE_MIN) {
      if (measured.deletedRecords > 0) await work.measure({ stays: true })
      return !measured.hasUnknownKeys
    }
    const sizeBefore = segment.sizeBytes
    if ((await this.#host.freeBytes()) < freeBytesMin + sizeBefore) throw new PassEnded() // a full disk: retention has to make room first
    const path = segment.logPath + CLEANED_SUFFIX
    let isReplaced = false
    try {
      const compacted = await work.writeTo(path)
      if (!compacted) return false
      for (let tries = 0; !isReplaced && tries < REPLACE_TRIES; tries++) {
        if (tries > 0) await this.#wait(REPLACE_WAIT_MS)
        isReplaced = await partition.replaceSegment(segment, { path, sizeBytes: compacted.sizeBytes })
      }
      if (!isReplaced) throw new PassEnded() // who reads there all the time, or retention, came first
      meter.onSegmentCompacted({ removedBytes: sizeBefore - compacted.sizeBytes, ...compacted })
      return !measured.hasUnknownKeys
    } finally {
      if (!isReplaced) await disk.remove(path).catch(onlyDisk) // it may not be there; else the next start removes it
    }
  }

  async #pause(bytes: number): Promise<void> {
    await this.#wait((bytes / this.#host.bytesPerSecond) * 1_000)
  }

  async #wait(delayMs: number): Promise<void> {
    await sleep(this.#host.clock, delayMs, this.#stopped.signal)
    if (this.#stopped.signal.aborted) throw new PassEnded()
  }
}

/** @returns false when there was no room for all of its keys. Of a batch that nobody can open no key is known: it supersedes nothing. */
async function addKeys(
  { core, codec, keyMap }: { core: Core; codec: BlockCodec; keyMap: KeyMap },
  bytes: Uint8Array,
  deletionsBelow?: number
): Promise<boolean> {
  try {
    const opened = await openBatch(core, codec, bytes)
    try {
      return keyMap.add(opened, deletionsBelow)
    } finally {
      releaseOpened(codec, opened, bytes)
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return true
  }
}

type Pass = CompactionRecord['passes'][number]

/**
 * Of passes that are so old that their deletions went, the last one is kept; of younger ones that follow each other quickly the last, as if what the others had seen
 * was first seen by it: deletions may stay an eighth longer than they must.
 */
function withPass(
  passes: readonly Pass[],
  pass: Pass,
  { deletionsUntil, tombstonesMs }: { deletionsUntil: number; tombstonesMs: number }
): Pass[] {
  const kept = passes.filter(([end]) => end >= deletionsUntil)
  while (kept.length > 1 && pass[1] - (kept.at(-2) as Pass)[1] < tombstonesMs / 8) kept.pop()
  return [...kept, pass].slice(-PASSES_MAX)
}

function keyOf({ topicNumber, partitionIndex }: PartitionLog): string {
  return compactionRecords.key(topicNumber, partitionIndex)
}
