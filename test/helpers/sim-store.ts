// A log store on a simulated disk and clock, small enough that rolls, seals and checkpoints happen within a few dozen events.

import type { WadiError } from '../../runtime/base/errors.ts'
import { type Offset, toOffset } from '../../runtime/base/offset.ts'
import type { Core } from '../../runtime/core/core.ts'
import type { BatchHeader, RecordInput, StoredRecord } from '../../runtime/core/record.ts'
import { decompressBatch } from '../../runtime/log/batch-codec.ts'
import type { Partition, StateChange, Store } from '../../runtime/log/contract.ts'
import { listSegmentFiles } from '../../runtime/log/inspect.ts'
import { LogStore } from '../../runtime/log/log-store.ts'
import { KIB, type StorageSettings } from '../../runtime/log/settings.ts'
import { Prng } from '../sim/prng.ts'
import { SimClock, type SimProcessClock } from '../sim/sim-clock.ts'
import { simCodec } from '../sim/sim-codec.ts'
import { SimDisk, type SimDiskOptions } from '../sim/sim-disk.ts'
import { loadTestCore } from './core.ts'

export const smallSettings: Partial<StorageSettings> = {
  journalFileBytes: 64 * KIB,
  commitBytesMax: 16 * KIB,
  lingerMs: 2,
  sealBytes: 4 * KIB,
  sealAgeMs: 1_000,
  tailBytesMax: 32 * KIB,
  segmentBytes: 8 * KIB,
  segmentBytesMin: KIB,
  checkpointAgeMs: 5_000,
  housekeepingIntervalMs: 250,
  unreadablePatienceMs: 0,
  freeBytesMin: 0,
  batchBytesMax: 8 * KIB
}

const encoder = new TextEncoder()

export function event(text: string, options: { key?: string; timestampMs?: number; header?: readonly [string, string] } = {}): RecordInput {
  const { header } = options
  return {
    timestampMs: options.timestampMs ?? 1_700_000_000_000,
    key: options.key === undefined ? null : encoder.encode(options.key),
    value: encoder.encode(text),
    headers: header ? [{ key: encoder.encode(header[0]), value: encoder.encode(header[1]) }] : []
  }
}

export interface SimMachineOptions {
  readonly settings?: Partial<StorageSettings>
  readonly disk?: Partial<SimDiskOptions>
  /** A second machine, in the time of a first. */
  readonly beside?: { readonly clock: SimClock; readonly disk: SimDisk }
  /** Instead of right ones, one for each start: for canaries. */
  readonly core?: () => Core
}

/** One machine with one disk: open, kill, cut the power, open again. */
export class SimMachine {
  readonly clock: SimClock
  readonly disk: SimDisk
  readonly prng: Prng
  readonly settings: Partial<StorageSettings>
  #process: SimProcessClock | null = null

  readonly #core: (() => Core) | undefined

  constructor(seed: number, options: SimMachineOptions = {}) {
    this.clock = options.beside?.clock ?? new SimClock()
    this.prng = new Prng(seed)
    this.disk = options.beside?.disk ?? new SimDisk({ clock: this.clock, prng: this.prng.fork(), ...options.disk })
    this.settings = { ...smallSettings, ...options.settings }
    this.#core = options.core
  }

  open(): Promise<LogStore> {
    this.#process = this.clock.process()
    return this.settle(
      LogStore.open({
        disk: this.disk,
        clock: this.#process,
        random: this.prng.fork(),
        core: this.#core?.() ?? loadTestCore(),
        codec: simCodec,
        directory: '/data',
        settings: this.settings
      })
    )
  }

  settle<T>(promise: Promise<T>): Promise<T> {
    return this.clock.settle(promise)
  }

  run(durationMs: number): Promise<void> {
    return this.clock.run({ untilMs: this.clock.monotonicMs() + durationMs })
  }

  kill(): void {
    this.#process?.kill()
    this.disk.crash()
  }

  powerCut(): void {
    this.#process?.kill()
    this.disk.powerCut()
  }
}

export interface SealedSegment {
  readonly machine: SimMachine
  readonly store: LogStore
  readonly partition: Partition
  readonly path: string
  readonly sizeBytes: number
  readonly batches: readonly { readonly positionBytes: number; readonly header: BatchHeader }[]
}

/** Events in one segment, in batches of two or fewer; what cannot be read is waited for. */
export async function sealedSegment(seed: number, texts: readonly string[]): Promise<SealedSegment> {
  const settings = { segmentBytes: 1024 * KIB, batchBytesMax: 600, unreadablePatienceMs: 600_000 }
  const machine = new SimMachine(seed, { settings })
  const store = await machine.open()
  const partition = (await machine.settle(store.createTopic('telemetry', { codec: 'none' }))).partitions[0] as Partition
  for (const text of texts) await machine.settle(appendText(store, partition, text))
  await machine.settle(store.flush())
  const [file] = await machine.settle(listSegmentFiles({ disk: machine.disk, directory: '/data' }))
  const read = await machine.settle(partition.read(partition.logStartOffset, { bytesMax: 1024 * KIB }))
  let sizeBytes = 0
  const batches = read.batches.map(({ header }) => {
    const positionBytes = sizeBytes
    sizeBytes += header.batchBytes
    return { positionBytes, header }
  })
  return { machine, store, partition, path: file?.path ?? '', sizeBytes, batches }
}

export function appendText(store: Store, partition: Partition, text: string, state?: readonly StateChange[]): Promise<Offset> {
  return new Promise((resolve, reject) => {
    store.append(partition, event(text), (error: WadiError | null, offset) => (error ? reject(error) : resolve(offset)), state)
  })
}

/** All records from the log start to the high watermark, decoded. */
export async function readAll(partition: Partition, fromOffset: number = partition.logStartOffset): Promise<StoredRecord[]> {
  const core = loadTestCore()
  const records: StoredRecord[] = []
  for (let offset = toOffset(fromOffset); offset < partition.highWatermark; ) {
    const { batches, nextOffset } = await partition.read(offset, { bytesMax: 64 * KIB })
    for (const { bytes: batch } of batches) {
      const plain = await decompressBatch(core, simCodec, batch)
      for (const record of core.readRecords(plain)) if (record.offset >= offset && record.offset < nextOffset) records.push(record)
    }
    if (nextOffset <= offset) throw new Error(`reading stands still at ${offset}`)
    offset = nextOffset
  }
  return records
}

export function textOf(record: StoredRecord): string {
  return new TextDecoder().decode(record.value ?? new Uint8Array())
}
