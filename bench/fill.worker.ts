// Fills a data directory and says when: { isFull, events, storedBytes, journalBytes }. Then waits to be killed.
// Arguments: directory, stored bytes or events to reach ('1073741824b', '10000000e'), 'full' for full journals, bytes of a journal file.

import type { RecordInput } from '../runtime/core/record.ts'
import type { Disk } from '../runtime/io/disk.ts'
import { nodeClock } from '../runtime/io/node-clock.ts'
import { nodeDisk } from '../runtime/io/node-disk.ts'
import type { Partition } from '../runtime/log/contract.ts'
import { loadTestCore } from '../test/helpers/core.ts'
import { fillerBytes, sensorPayload } from './harness.ts'
import { openStore } from './open-store.ts'
import { tell } from './worker.ts'

const PARTITION_COUNT = 4
const [directory = '', amount = '0e', journal = 'as-it-is', fileBytes = String(32 * 2 ** 20)] = process.argv.slice(2)
const isBytes = amount.endsWith('b')
const target = Number(amount.slice(0, -1))

const STUCK_MS = 2_000
let areSegmentSyncsHeld = false

/** The real disk, until the syncs of segments are held back for ever. */
const disk: Disk = {
  ...nodeDisk,
  async open(path, mode) {
    const file = await nodeDisk.open(path, mode)
    if (!path.endsWith('.log')) return file
    return new Proxy(file, {
      get(target, name) {
        if (name === 'sync' && areSegmentSyncsHeld) return () => new Promise<void>(() => undefined)
        const member: unknown = Reflect.get(target, name, target)
        return typeof member === 'function' ? member.bind(target) : member
      }
    })
  }
}

const settings = { lingerMs: 0, checkpointAgeMs: 3_600_000, journalFileBytes: Number(fileBytes) }
const store = await openStore(directory, settings, disk)
const topic = await store.createTopic('readings', { partitionCount: PARTITION_COUNT, codec: isBytes ? 'none' : 'best', retentionMs: null })
const emptyBytes = store.metrics.usedBytes // the journal's files
let events = 0
if (isBytes) await fillBytes()
else await fillEvents()
if (journal === 'full') await fillJournal()
tell({ isFull: true, events, storedBytes: storedBytes(), journalBytes: store.metrics.writtenBytes.journal })
process.on('disconnect', () => process.exit(0))
setInterval(() => undefined, 60_000)

function storedBytes(): number {
  const { usedBytes, tailBytes } = store.metrics
  return usedBytes - emptyBytes + tailBytes
}

/** Large batches that do not compress: the quickest way to many bytes. */
async function fillBytes(): Promise<void> {
  const recordBytes = 60_000
  const records: RecordInput[] = Array.from({ length: 8 }, (_, index) => ({
    timestampMs: nodeClock.wallMs(),
    key: null,
    value: fillerBytes(recordBytes, index + 1),
    headers: []
  }))
  const batch = loadTestCore().buildBatch(records, { baseOffset: 0 })
  for (let index = 0; storedBytes() < target; index++) {
    await store.commit([{ partition: partitionAt(index), content: { batch, recordCount: records.length } }], [])
    events += records.length
  }
}

/** Sensor events of 100 bytes, 1,000 to a batch. */
async function fillEvents(): Promise<void> {
  const core = loadTestCore()
  for (let index = 0; events < target; index++) {
    const count = Math.min(1_000, target - events)
    const records: RecordInput[] = Array.from({ length: count }, (_, offset) => ({
      timestampMs: nodeClock.wallMs(),
      key: Buffer.from(`dev-${(events + offset) % 200}`),
      value: sensorPayload(events + offset, 100),
      headers: []
    }))
    const batch = core.buildBatch(records, { baseOffset: 0 })
    await store.commit([{ partition: partitionAt(index), content: { batch, recordCount: count } }], [])
    events += count
  }
}

function partitionAt(index: number): Partition {
  const partition = topic.partitions[index % PARTITION_COUNT]
  if (!partition) throw new Error('a topic without partitions')
  return partition
}

/**
 * Small events until nothing is accepted any more: with the syncs of segments held back no checkpoint completes, so both journal
 * files fill up. The worst moment to be killed. Two checkpoints first, so that both files hold small events only.
 */
async function fillJournal(): Promise<void> {
  const checkpointsBefore = store.metrics.checkpoints
  for (let index = 0; ; index++) {
    areSegmentSyncsHeld = store.metrics.checkpoints >= checkpointsBefore + 2
    if (await Promise.race([appendSmall(index), new Promise<true>((resolve) => setTimeout(resolve, STUCK_MS, true))])) return
  }
}

/** 500 events of 300 bytes, waited for. @returns false, so that a race tells it from being stuck */
async function appendSmall(index: number): Promise<false> {
  const appends = Array.from({ length: 500 }, (_, offset) => {
    const record = { timestampMs: nodeClock.wallMs(), key: null, value: sensorPayload(index * 500 + offset, 300), headers: [] }
    return new Promise<void>((resolve, reject) => {
      store.append(partitionAt(offset), record, (error) => (error ? reject(error) : resolve()))
    })
  })
  await Promise.all(appends)
  events += appends.length
  return false
}
