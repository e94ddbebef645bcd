// Questions: how much does compaction write for each byte that it takes away, and does ingest notice it?
// Canonical load: 1 GB of 1 KiB records with 150,000 keys in one partition, sealed as the product seals them (gzip). First with reads and writes as fast as they go, to
// the end of all passes; then, on another log of that kind and with the pace of the product, events are appended to a topic beside it while a pass runs, and without.

import type { RecordInput } from '../runtime/core/record.ts'
import type { Partition } from '../runtime/log/contract.ts'
import type { LogStore } from '../runtime/log/log-store.ts'
import type { StorageSettings } from '../runtime/log/settings.ts'
import { type Bench, median } from './harness.ts'
import { openStore, withDirectory } from './open-store.ts'

const KEYS = 150_000
const RECORD_BYTES = 1_024
const WRITTEN_PER_REMOVED_MAX = 2
const INGEST_MIN = 0.85
const AT_ONCE = 1_000

/** Text of which gzip leaves about a third: digits and words. */
function payloadOf(count: number): Uint8Array {
  const words = Array.from({ length: RECORD_BYTES / 16 }, (_, at) => `"t${at}":${((count * 2654435761 + at * 40503) >>> 0) % 1_000_000},`)
  return Buffer.from(words.join('').slice(0, RECORD_BYTES))
}

function record(count: number, keys: number): RecordInput {
  const spread = Math.imul(count ^ (count >>> 7), 0x9e3779b1) >>> 0
  const key = Buffer.from(`device-${spread % keys}`)
  return { timestampMs: 1_750_000_000_000 + count, key, value: payloadOf(count), headers: [] }
}

/** Appends in groups, the next when the last one is durable. */
async function append(store: LogStore, partition: Partition, count: number, make: (at: number) => RecordInput): Promise<void> {
  for (let from = 0; from < count; from += AT_ONCE) {
    const group = Array.from({ length: Math.min(AT_ONCE, count - from) }, (_, at) => make(from + at))
    await Promise.all(
      group.map(
        (one) => new Promise<void>((resolve, reject) => store.append(partition, one, (error) => (error ? reject(error) : resolve())))
      )
    )
  }
}

async function compactedTopic(store: LogStore): Promise<Partition> {
  const given = { 'cleanup.policy': 'compact' }
  const topic = await store.createTopic('state', { isForwarded: false, cleanup: 'compact', codec: 'gzip', given })
  return topic.partitions[0] as Partition
}

const FAST: Partial<StorageSettings> = { compactionBytesPerSecond: 1e12, checkpointAgeMs: 500 }

const QUIET_MS = 30_000

/** Until nothing was written anew for a while. */
async function settled(store: LogStore): Promise<void> {
  for (let before = -1; before < store.metrics.writtenBytes.segment; ) {
    before = store.metrics.writtenBytes.segment
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS))
  }
}

/** Events of 100 bytes in a second. */
async function ingestRate(store: LogStore, partition: Partition, ms: number): Promise<number> {
  const value = new Uint8Array(100)
  const startMs = performance.now()
  let events = 0
  while (performance.now() - startMs < ms) {
    await append(store, partition, AT_ONCE, () => ({ timestampMs: 1_750_000_000_000, key: null, value, headers: [] }))
    events += AT_ONCE
  }
  return events / ((performance.now() - startMs) / 1_000)
}

export const compactionBench: Bench = {
  name: 'compaction',
  question: 'bytes written for each byte that compaction takes away; ingest beside it',
  async run({ isSmoke, figure }) {
    const records = isSmoke ? 2_000 : Math.round(1e9 / RECORD_BYTES)
    const keys = isSmoke ? 200 : KEYS
    await withDirectory(async (directory) => {
      const store = await openStore(directory, {
        ...FAST,
        ...(isSmoke && { segmentBytes: 64 * 1024, sealBytes: 16 * 1024, checkpointAgeMs: 10 })
      })
      const partition = await compactedTopic(store)
      const startMs = performance.now()
      await append(store, partition, records, (at) => record(at, keys))
      if (!isSmoke) await settled(store)
      const { passes, writtenBytes, removedBytes, removedRecords } = store.metrics.compaction
      const seconds = (performance.now() - startMs) / 1_000
      await store.close()
      const perRemoved = writtenBytes / Math.max(1, removedBytes)
      figure({
        what: 'written for each byte that went',
        parameters: { records, keys, passes, removedRecords, removedBytes, seconds: Math.round(seconds) },
        unit: 'bytes',
        values: { wadi: perRemoved },
        target: { text: `<= ${WRITTEN_PER_REMOVED_MAX}`, isMet: perRemoved <= WRITTEN_PER_REMOVED_MAX }
      })
    })
    await withDirectory(async (directory) => {
      const store = await openStore(directory, { checkpointAgeMs: 500, segmentBytes: isSmoke ? 64 * 1024 : 8 * 2 ** 20 })
      const partition = await compactedTopic(store)
      const beside = (await store.createTopic('beside', { isForwarded: false, codec: 'gzip' })).partitions[0] as Partition
      await append(store, partition, isSmoke ? 2_000 : records / 4, (at) => record(at, keys))
      const [during, without]: [number[], number[]] = [[], []]
      for (let round = 0; round < (isSmoke ? 1 : 5); round++) {
        await store.alterTopic('state', { cleanup: 'compact' })
        during.push(await ingestRate(store, beside, isSmoke ? 10 : 4_000))
        await store.alterTopic('state', { cleanup: 'delete' })
        without.push(await ingestRate(store, beside, isSmoke ? 10 : 4_000))
      }
      const { passes, removedRecords } = store.metrics.compaction
      await store.close()
      const ratio = median(during) / median(without)
      figure({
        what: 'ingest while it runs',
        parameters: { passes, removedRecords },
        unit: 'events/s',
        values: { wadi: median(during), without: median(without) },
        ratios: { 'during / without': ratio },
        target: { text: `>= ${INGEST_MIN}`, isMet: ratio >= INGEST_MIN }
      })
    })
  }
}
