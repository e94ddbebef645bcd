// Compaction of topics that ask for it (cleanup.policy): one partition after the other, the one with the largest share of new bytes first.
//
// Invariants
// - Only what is durable in closed segments, stable and delivered is touched (compaction-rules.ts), so nothing that the centre is to get goes.
// - A segment is touched when the two snapshots that a start may use were written behind its end: both know it by its offsets, not by its size.
// - Reads and writes are paced, one pass at a time. Housekeeping does not wait for a pass.
// - A pass that fails is counted, and its partition has its turn again later: it does not keep the others from theirs.
// Not for: the pass (compaction-pass.ts).

import { SEED_BYTES } from '../core/key-map.ts'
import { DiskError } from '../io/disk.ts'
import type { Random } from '../io/random.ts'
import { CompactionPass, type CompactionPassHost, type CompactionRecord, PassFailed, PassUnwanted } from './compaction-pass.ts'
import { type CompactableRange, compactableRange } from './compaction-rules.ts'
import type { StateChange } from './contract.ts'
import type { PartitionLog } from './partition-log.ts'
import type { RecoveryPoint } from './snapshot-codec.ts'
import { StateArea, type StateReader } from './state-area.ts'
import { numberedKeyBytes, versioned } from './state-codec.ts'
import { fields, listOf, tuple, whole } from './state-shape.ts'
import type { StoredTopic } from './stored-topic.ts'
import { abortedTransactions } from './transaction-index.ts'

export const compactionRecords = new StateArea<CompactionRecord>(
  'compacted',
  versioned(fields<CompactionRecord>({ end: whole, mapFrom: whole, passes: listOf(tuple(whole, whole)) })),
  {
    keys: '<topic number>/<partition>',
    keyBytesMax: numberedKeyBytes('compacted', 2),
    valueBytesMax: 1024,
    entries: 'one for each partition of a compacted topic',
    goes: 'with its topic'
  }
)

const NEVER: CompactionRecord = { end: 0, mapFrom: 0, passes: [] }
const LOOK_AGAIN_MS = 60_000
const AFTER_FAILURE_MS = 600_000
/** Notes of aborted transactions that one commit takes away. */
const FORGOTTEN_AT_ONCE = 100

export interface CompactionHost extends CompactionPassHost {
  readonly random: Random
  readonly state: StateReader
  topics(): Iterable<StoredTopic>
  /** Resolves false when the store refuses. */
  commit(changes: readonly StateChange[]): Promise<boolean>
}

interface Choice {
  readonly topic: StoredTopic
  readonly partition: PartitionLog
  readonly range: CompactableRange
}

export class Compaction {
  readonly #host: CompactionHost
  readonly #stopped = new AbortController()
  /** By topic number and partition: where the growing segment began in each of the two snapshots on the disk. */
  #snapshots: readonly [ReadonlyMap<string, number>, ReadonlyMap<string, number>] = [new Map(), new Map()]
  /** Partitions whose pass failed → when they have their turn again. */
  readonly #failedUntilMs = new Map<string, number>()
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

  /** Begins a pass when one is due and none runs. `onError` gets what the disk refused for good. */
  begin(onError: (error: unknown) => void): void {
    if (this.#pass || this.#stopped.signal.aborted || this.#host.clock.monotonicMs() < this.#nextLookMs) return
    this.#pass = this.#run()
      .catch(onError)
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
    const { clock, meter } = this.#host
    this.#nextLookMs = clock.monotonicMs() + LOOK_AGAIN_MS
    const choice = await this.#dirtiest()
    if (!choice) return
    this.#nextLookMs = 0 // there may be others
    try {
      await this.#compact(choice)
    } catch (error) {
      if (error instanceof PassUnwanted) return
      if (!(error instanceof PassFailed) && !isPassing(error)) throw error
      this.#failedUntilMs.set(placeOf(choice.partition), clock.monotonicMs() + AFTER_FAILURE_MS)
      meter.onCompactionFailed()
    }
  }

  async #dirtiest(): Promise<Choice | null> {
    let best: Choice | null = null
    const nowWallMs = this.#host.clock.wallMs()
    const nowMs = this.#host.clock.monotonicMs()
    for (const [place, untilMs] of this.#failedUntilMs) if (untilMs <= nowMs) this.#failedUntilMs.delete(place)
    for (const topic of this.#host.topics()) {
      if (topic.config.cleanup === 'delete' || topic.isEnding) continue
      for (const partition of topic.partitions) {
        if (this.#failedUntilMs.has(placeOf(partition))) continue
        const compactedUntil = this.#recordOf(partition).end
        const at = { safeOffset: this.#safeOffset(partition), compactedUntil, nowWallMs }
        const range = await compactableRange(partition, topic.config, at).catch((error: unknown) => {
          if (!isPassing(error)) throw error
          return null
        })
        if (range && (best === null || range.dirtyRatio > best.range.dirtyRatio)) best = { topic, partition, range }
      }
    }
    return best
  }

  #safeOffset(partition: PartitionLog): number {
    const [older, newer] = this.#snapshots.map((bases) => bases.get(placeOf(partition)) ?? 0)
    return Math.min(older as number, newer as number)
  }

  #recordOf(partition: PartitionLog): CompactionRecord {
    return compactionRecords.getWhole(this.#host.state, keyOf(partition), () => undefined) ?? NEVER // damaged, it is written anew by the next pass
  }

  async #compact(choice: Choice): Promise<void> {
    const { core, random, meter, commit } = this.#host
    const { partition } = choice
    const keyMap = core.openKeyMap(random.bytes(SEED_BYTES))
    if (!keyMap) {
      this.#nextLookMs = this.#host.clock.monotonicMs() + LOOK_AGAIN_MS // another store of this process has it
      return
    }
    try {
      const of = { ...choice, record: this.#recordOf(partition) }
      const { record, endedAborts } = await new CompactionPass(this.#host, of, keyMap, this.#stopped.signal).run()
      if (partition.isDeleted || choice.topic.isEnding) return
      const forgotten = [...endedAborts].slice(0, FORGOTTEN_AT_ONCE)
      const notes = forgotten.map((marker) =>
        abortedTransactions.remove(abortedTransactions.key(partition.topicNumber, partition.partitionIndex, marker))
      )
      if (!(await commit([compactionRecords.put(keyOf(partition), record), ...notes]))) throw new PassFailed()
      partition.forgetAborted(new Set(forgotten))
      meter.onCompaction()
    } finally {
      keyMap.close()
    }
  }
}

/** It may go another time: nothing that was acknowledged depends on it. Not of a sync, which is final for the store whatever it was of (final-syncs.ts). */
function isPassing(error: unknown): boolean {
  return error instanceof DiskError && !error.operation.includes('sync')
}

function placeOf({ topicNumber, partitionIndex }: PartitionLog): string {
  return `${topicNumber}/${partitionIndex}`
}

function keyOf({ topicNumber, partitionIndex }: PartitionLog): string {
  return compactionRecords.key(topicNumber, partitionIndex)
}
