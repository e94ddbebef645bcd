// Question: how kind is a commit to the flash below: bytes written to the device per payload byte, and flushes per commit?
// Canonical load: 300 bytes to each of 1, 10, 50 partitions per commit, one commit after the other, on ext4 on a loop device of its own,
// whose counters the kernel keeps. Not in it: seal and checkpoint, which come later and compress (the second figure has them).
// The last figure is one compressed batch of 256 KiB per commit, as a Kafka client sends it (docs/decisions/0003).
// Smoke mode mounts nothing: it counts what the store itself says it wrote.

import { setTimeout } from 'node:timers/promises'
import type { RecordInput } from '../runtime/core/record.ts'
import type { LogStore } from '../runtime/log/log-store.ts'
import { loadTestCore } from '../test/helpers/core.ts'
import { type Build, ownBuild } from './build.ts'
import { type Bench, compareBuilds, fillerBytes, sensorPayload } from './harness.ts'
import { type DeviceCounters, withLoopDevice } from './loop-device.ts'
import { openStore, withDirectory } from './open-store.ts'
import { BenchWorker } from './worker.ts'

const PAYLOAD_BYTES = 300
const QUIET_MS = 300
const PARTITION_COUNTS = [1, 10, 50]
const CLIENT_BATCH_BYTES = 256 * 1024
const DEVICE_BYTES_PER_PAYLOAD_BYTE_MAX = 1.5 // at 50 partitions; one partition pays for a whole 4 KiB block whatever we do

export interface DeviceCost {
  readonly bytesPerPayloadByte: number
  readonly flushesPerCommit: number
  /** The same with everything sealed, checkpointed and closed. */
  readonly bytesPerPayloadByteSealed: number
}

export interface CommitLoad {
  readonly partitionCount: number
  readonly commitCount: number
  /** Instead of a record of 300 bytes: a batch of about this size, which does not compress. */
  readonly batchBytes?: number
  readonly counters: (store: LogStore) => DeviceCounters | Promise<DeviceCounters>
}

/** Commits `commitCount` times to every partition and reads the counters around it. */
export async function measureCommits(directory: string, options: CommitLoad): Promise<DeviceCost> {
  const { partitionCount, commitCount, batchBytes } = options
  const clientBatch = batchBytes === undefined ? null : clientBatchOf(batchBytes)
  const store = await openStore(directory, { journalFileBytes: 16 * 2 ** 20, lingerMs: 0, sealAgeMs: 3_600_000, freeBytesMin: 0 })
  const topic = await store.createTopic('readings', { partitionCount })
  const commitOnce = (index: number): Promise<unknown> =>
    store.commit(
      topic.partitions.map((partition) => ({ partition, content: clientBatch ?? { record: recordOf(index) } })),
      []
    )
  for (let index = 0; index < 3; index++) await commitOnce(index)
  const before = await quietCounters(() => options.counters(store))
  const commitsBefore = store.metrics.commits
  for (let index = 0; index < commitCount; index++) await commitOnce(index)
  const after = await options.counters(store)
  const commits = store.metrics.commits - commitsBefore
  await store.close()
  const closed = await options.counters(store)
  const payloadBytes = commits * partitionCount * (clientBatch?.batch.byteLength ?? PAYLOAD_BYTES)
  return {
    bytesPerPayloadByte: (after.writtenBytes - before.writtenBytes) / payloadBytes,
    flushesPerCommit: (after.flushes - before.flushes) / commits,
    bytesPerPayloadByteSealed: (closed.writtenBytes - before.writtenBytes) / payloadBytes
  }
}

/** The counters when nothing is written any more: the journal files of a new directory are filled with zeros behind the first commits, once. */
export async function quietCounters(counters: () => DeviceCounters | Promise<DeviceCounters>): Promise<DeviceCounters> {
  for (let last = await counters(); ; ) {
    await setTimeout(QUIET_MS)
    const now = await counters()
    if (now.writtenBytes === last.writtenBytes && now.flushes === last.flushes) return now
    last = now
  }
}

function recordOf(index: number): RecordInput {
  return { timestampMs: 1_760_000_000_000 + index, key: null, value: sensorPayload(index, PAYLOAD_BYTES), headers: [] }
}

function clientBatchOf(batchBytes: number): { batch: Uint8Array; recordCount: number } {
  const records = Array.from({ length: Math.floor(batchBytes / 1_024) }, (_, index) => ({
    ...recordOf(index),
    value: fillerBytes(1_000, index + 1)
  }))
  return { batch: loadTestCore().buildBatch(records, { baseOffset: 0 }), recordCount: records.length }
}

type Load = Omit<CommitLoad, 'counters'>

async function askWorker(build: Build, place: { directory: string; device: string }, load: Load): Promise<DeviceCost> {
  const worker = new BenchWorker<DeviceCost>('device.worker.js', [place.directory, place.device, JSON.stringify(load)], { build })
  return worker.next().finally(() => worker.kill())
}

/** On a device of its own; in smoke mode what the store says. A string says why it could not be tried. */
async function measureLoad(build: Build, load: Load, isSmoke: boolean): Promise<DeviceCost | string> {
  if (isSmoke) return withDirectory((scratch) => askWorker(build, { directory: `${scratch}/data`, device: '-' }, load))
  let cost: DeviceCost | null = null
  const why = await withLoopDevice(async ({ directory, device }) => {
    cost = await askWorker(build, { directory: `${directory}/data`, device }, load)
  })
  return cost ?? why ?? 'no figure'
}

export const deviceBench: Bench = {
  name: 'device',
  question: 'device bytes per payload byte and flushes per commit on ext4',
  async run({ isSmoke, builds, figure, skip }) {
    const loads: Load[] = (isSmoke ? [2] : PARTITION_COUNTS).map((partitionCount) => ({
      partitionCount,
      commitCount: isSmoke ? 3 : Math.min(300, 6_000 / partitionCount)
    }))
    if (!isSmoke) loads.push({ partitionCount: 1, commitCount: 120, batchBytes: CLIENT_BATCH_BYTES })
    for (const load of loads) {
      const costs = new Map<Build, DeviceCost>()
      for (const build of builds) {
        const cost = await measureLoad(build, load, isSmoke)
        if (typeof cost === 'string') skip(`${load.partitionCount} partitions`, cost)
        else costs.set(build, cost)
      }
      const ours = costs.get(ownBuild)
      if (!ours || costs.size < builds.length) continue
      const isByteGoal = load.partitionCount === 50
      const compared = compareBuilds(builds, (build) => costs.get(build)?.bytesPerPayloadByte ?? Number.NaN, {
        wanted: 'less',
        target: {
          text: `1 flush per commit${isByteGoal ? `, <= ${DEVICE_BYTES_PER_PAYLOAD_BYTE_MAX} bytes` : ''}`,
          isMet: ours.flushesPerCommit === 1 && (!isByteGoal || ours.bytesPerPayloadByte <= DEVICE_BYTES_PER_PAYLOAD_BYTE_MAX)
        }
      })
      figure({
        what: load.batchBytes ? 'large batches of a Kafka client' : isSmoke ? 'what the store writes' : 'what the device writes',
        parameters: { payloadBytesPerCommit: load.batchBytes ?? load.partitionCount * PAYLOAD_BYTES, ...load },
        unit: '(bytes per payload byte; flushes per commit)',
        ...compared,
        values: { ...compared.values, flushes: ours.flushesPerCommit, 'wadi sealed': ours.bytesPerPayloadByteSealed }
      })
    }
  }
}
