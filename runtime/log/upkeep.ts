// The work behind the appends: tails into segments, checkpoints that free journal files, retention, compaction. Appends wait for it only when the journal is full.
//
// Invariants: one checkpoint at a time, flush() included, one round of housekeeping at a time; a write without room is remembered and tried
// again, and so is what could not be read; any other error of the disk is final (host.fail).
// Not here: what is sealed how (seal.ts), in which order a checkpoint goes (checkpoint.ts), what may go (retention.ts).

import type { WadiError } from '../base/errors.ts'
import { LentMemory } from '../base/lent-memory.ts'
import { Slots } from '../base/slots.ts'
import type { Clock, Timer } from '../io/clock.ts'
import type { BlockCodec, CodecName } from '../io/codec.ts'
import { DiskError } from '../io/disk.ts'
import { type CheckpointTarget, runCheckpoint } from './checkpoint.ts'
import { Compaction, type CompactionHost } from './compaction.ts'
import type { Journal } from './journal.ts'
import type { PartitionLog } from './partition-log.ts'
import type { RetentionRound } from './retention-round.ts'
import type { SealOptions } from './seal.ts'
import { KIB, type StorageSettings } from './settings.ts'
import type { RecoveryPoint } from './snapshot-codec.ts'
import { onlyDisk, storeClosed, writeFailed } from './store-errors.ts'
import type { StoreMeter } from './store-meter.ts'
import type { StoredTopic } from './stored-topic.ts'
import type { TailTotals } from './tail.ts'

const RETRY_MS = 1_000
/** A quiet partition would only make many small batches: it waits so many times as long. */
const QUIET_FACTOR = 4
/** Each compresses in one of the four threads in which libuv also writes: the durable write of a commit finds one that is free. */
const SEALS_AT_ONCE = 2
const SEAL_BYTES_KEPT_MAX = 512 * KIB

/** For the batches of as many seals; those of a setting out of the ordinary are made for the moment. */
export function sealMemoryFor({ sealBytes, batchBytesMax }: StorageSettings): LentMemory {
  return new LentMemory({ pieceBytes: Math.min(2 * sealBytes, batchBytesMax, SEAL_BYTES_KEPT_MAX), freeMax: SEALS_AT_ONCE })
}

export interface UpkeepHost extends Pick<CompactionHost, 'core' | 'disk' | 'random' | 'state' | 'freeBytes' | 'commit'> {
  readonly settings: StorageSettings
  readonly clock: Clock
  readonly codec: BlockCodec
  readonly meter: StoreMeter
  readonly journal: Journal
  readonly retention: RetentionRound
  readonly topics: ReadonlyMap<string, StoredTopic>
  readonly tails: TailTotals
  readonly writeSnapshot: CheckpointTarget['writeSnapshot']
  /** Of the snapshot that the start has read. */
  readonly recoveryPoints: readonly RecoveryPoint[]
  /** Removes what deleted topics left. @throws DiskError */
  clearDeleted(): Promise<void>
  /** Makes journal files larger that had no room, when there is some. */
  growJournal(): Promise<void>
  /** From now on the store only reads. */
  fail(error: WadiError): void
}

export class Upkeep {
  readonly #host: UpkeepHost
  readonly #sealing = new Set<PartitionLog>()
  readonly #slots = new Slots(SEALS_AT_ONCE)
  readonly #compaction: Compaction
  #checkpoint: Promise<void> | null = null
  #housekeeping: Promise<void> = Promise.resolve()
  #isHousekeeping = false
  #isMakingRoom = false
  #isStopped = false
  #isHalted = false
  #timer: Timer | null = null
  #retryTimer: Timer | null = null
  #full: DiskError | null = null

  constructor(host: UpkeepHost) {
    this.#host = host
    const { compactionBytesPerSecond: bytesPerSecond, freeBytesMin } = host.settings
    const codecOf = (topic: StoredTopic): CodecName => this.#codecOf(topic)
    this.#compaction = new Compaction(
      { ...host, bytesPerSecond, freeBytesMin, codecOf, topics: () => host.topics.values() },
      host.recoveryPoints
    )
  }

  /** Why the last seal or checkpoint could not be written; null when there was room again. */
  get full(): DiskError | null {
    return this.#full
  }

  /** Housekeeping again and again, until stop(). */
  schedule(): void {
    if (this.#isStopped) return
    this.#timer = this.#host.clock.after(this.#host.settings.housekeepingIntervalMs, () => {
      this.housekeep()
      void this.#housekeeping.then(() => this.schedule())
    })
  }

  /** No more rounds; checkpoints still run, because what waits to be committed may need the room. */
  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
    this.#retryTimer?.cancel()
    this.#compaction.stop()
    this.#host.journal.wake()
  }

  /** Nothing is begun any more: the disk is not to be trusted. */
  halt(): void {
    this.#isHalted = true
    this.stop()
  }

  /** Resolves when the round and the compaction under way have ended. */
  async settled(): Promise<void> {
    await this.#housekeeping
    await this.#compaction.settled()
  }

  sealSoon(partition: PartitionLog): void {
    if (this.#sealing.has(partition)) return
    this.#sealing.add(partition)
    const sealed = this.#slots
      .run(() => this.#seal(partition))
      .then(
        () => {
          this.#full = null
        },
        (error: unknown) => this.#onError(error)
      )
    void sealed.finally(() => this.#sealing.delete(partition))
  }

  /** @throws DiskError */
  async sealAboveLimit(): Promise<void> {
    while (this.#host.tails.memoryBytes > this.#host.settings.tailBytesMax) {
      await this.#seal(this.#partitions().reduce((a, b) => (b.tail.memoryBytes > a.tail.memoryBytes ? b : a)))
    }
  }

  /**
   * At a start. A full disk is no reason not to start: what is above the limit stays in memory, which the journal bounds, until retention has made room.
   * @throws DiskError
   */
  async sealAboveLimitOrLater(): Promise<void> {
    if (this.#full) return
    try {
      await this.sealAboveLimit()
    } catch (error) {
      if (!(error instanceof DiskError) || !error.isFull) throw error
      this.#full = error
    }
  }

  /** One round behind the one under way: seal what is too much or old, retention, a checkpoint when one is due. */
  housekeep(): void {
    if (this.#isHousekeeping) return
    this.#isHousekeeping = true
    this.#housekeeping = this.#housekeeping.then(async () => {
      this.#isHousekeeping = false
      if (this.#isStopped) return
      const toError = (error: unknown): void => this.#onError(error)
      await this.sealAboveLimit()
        .then(() => this.#sealOld())
        .catch(toError)
      await this.#host.clearDeleted().catch(onlyDisk) // what the disk refuses now is tried again; a failed sync is remembered (final-syncs.ts)
      if (!this.#isHalted) await this.#host.retention.run().catch(toError) // also when nothing could be sealed: it is what frees a full disk
      if (!this.#isHalted && !this.#isStopped) await this.#host.growJournal()
      if (this.#isCheckpointDue()) await this.checkpoint()
      this.#compaction.begin(toError)
    })
  }

  /** Quotas only, behind the round under way: a commit has brought a topic or the directory over its quota. */
  makeRoomSoon(): void {
    if (this.#isMakingRoom) return
    this.#isMakingRoom = true
    this.#housekeeping = this.#housekeeping.then(async () => {
      this.#isMakingRoom = false
      if (this.#isStopped) return
      await this.#host.retention.makeRoom().catch((error: unknown) => this.#onError(error))
    })
  }

  /** Behind the round under way, and before the next one. @throws WadiError when no more rounds are made; what `work` throws */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#housekeeping.then(() => {
      if (this.#isStopped) throw storeClosed()
      return work()
    })
    this.#housekeeping = run.then(
      () => undefined,
      () => undefined
    )
    return run
  }

  /** Now. @throws DiskError */
  seal(partition: PartitionLog): Promise<void> {
    return this.#seal(partition)
  }

  /** One at a time; covers the full journal files, or everything when none is full. Never rejects. */
  checkpoint(): Promise<void> {
    const { journal, meter, clock } = this.#host
    if (this.#checkpoint || this.#isHalted) return this.#checkpoint ?? Promise.resolve()
    this.#checkpoint = runCheckpoint(this.#target(), journal.fullUpTo ?? journal.sequence).then(
      () => {
        meter.onCheckpoint()
        this.#full = null
        this.#checkpoint = null
        // The journal may have become full behind what this one covered. Retention waits for commits, so no round would begin the next one.
        journal.wake()
      },
      (error: unknown) => {
        this.#checkpoint = null
        this.#onError(error)
        if (this.#isHalted || this.#isStopped) return journal.wake()
        this.#retryTimer = clock.after(RETRY_MS, () => journal.wake())
      }
    )
    return this.#checkpoint
  }

  /** Everything into synced segments now; nothing when halted. @throws DiskError, after it was judged as that of a checkpoint */
  async flush(): Promise<void> {
    while (this.#checkpoint) await this.#checkpoint
    if (this.#isHalted) return
    const run = runCheckpoint(this.#target(), this.#host.journal.sequence)
    this.#checkpoint = run.then(
      () => {
        this.#checkpoint = null
      },
      (error: unknown) => {
        this.#checkpoint = null
        this.#onError(error)
      }
    )
    await this.#checkpoint
    await run
  }

  #target(): CheckpointTarget {
    const { journal, clock, writeSnapshot } = this.#host
    return {
      partitions: this.#partitions(),
      seal: (partition) => this.#seal(partition),
      writeSnapshot: async (sequence, points) => {
        await writeSnapshot(sequence, points)
        this.#compaction.onSnapshot(points)
      },
      release: (sequence) => journal.release(sequence, clock.monotonicMs())
    }
  }

  #isCheckpointDue(): boolean {
    const { journal, clock, settings } = this.#host
    const oldestMs = journal.activeOldestMs
    const isOld = oldestMs !== null && clock.monotonicMs() - oldestMs >= settings.checkpointAgeMs
    return isOld || journal.fullUpTo !== null
  }

  async #sealOld(): Promise<void> {
    const { settings, clock } = this.#host
    const nowMs = clock.monotonicMs()
    for (const partition of this.#partitions()) {
      const { oldestAddedMs, bytes } = partition.tail
      if (oldestAddedMs === null) continue
      const sealBytes = Math.min(settings.sealBytes, partition.share.sealBytes)
      const isQuiet = bytes < sealBytes / 16
      const isLarge = bytes >= sealBytes // a start leaves such tails; later the commit that makes one large has it sealed
      if (isLarge || nowMs - oldestAddedMs >= settings.sealAgeMs * (isQuiet ? QUIET_FACTOR : 1)) await this.#seal(partition)
    }
  }

  async #seal(partition: PartitionLog): Promise<void> {
    if (partition.isDeleted) return
    await partition.seal(this.#sealOptions(partition))
    this.#host.meter.onSeal()
  }

  #sealOptions(partition: PartitionLog): SealOptions {
    const { settings, topics } = this.#host
    const { segmentBytes, segmentAgeMs } = partition.share
    return {
      codec: this.#codecOf(topics.get(partition.topicName) as StoredTopic),
      segmentBytes,
      segmentAgeMs,
      batchBytesMax: Math.min(settings.batchBytesMax, settings.sealBytes * 2, segmentBytes)
    }
  }

  #codecOf(topic: StoredTopic): CodecName {
    const { settings, codec } = this.#host
    const best = codec.available[0] ?? 'gzip'
    const wanted = topic.config.codec === 'best' ? (settings.defaultCodec ?? best) : topic.config.codec
    if (wanted === 'none' || wanted === 'lz4') return wanted
    return codec.available.includes(wanted) ? wanted : best
  }

  #partitions(): PartitionLog[] {
    return [...this.#host.topics.values()].flatMap((topic) => topic.partitions)
  }

  #onError(error: unknown): void {
    if (!(error instanceof DiskError)) return this.#host.fail(writeFailed('A program error: the work behind the appends', error))
    if (error.isFull) this.#full = error
    else if (!error.isOfReading) this.#host.fail(writeFailed('Writing to the log', error))
  }
}
