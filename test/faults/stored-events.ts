// What a data directory holds, read offline with the product's own log: for comparing with a ledger or with an expectation after the
// process has ended. Opening is a start of the log: it recovers, and counts as one more incarnation.

import type { StoredRecord } from '../../runtime/core/record.ts'
import { nodeClock } from '../../runtime/io/node-clock.ts'
import { createNodeCodec } from '../../runtime/io/node-codec.ts'
import { nodeDisk } from '../../runtime/io/node-disk.ts'
import { nodeRandom } from '../../runtime/io/node-random.ts'
import { decompressBatch } from '../../runtime/log/batch-codec.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import { LogStore } from '../../runtime/log/log-store.ts'
import { loadTestCore } from '../helpers/core.ts'
import type { ObservedEvent } from './event-ledger.ts'

const core = loadTestCore()
const codec = createNodeCodec()

/** The log of `directory`, open while `work` runs. `wallMs`: the time it is taken to be, so that nothing of long ago expires. */
export async function withStoredLog<T>(
  directory: string,
  work: (store: LogStore) => Promise<T>,
  { wallMs = nodeClock.wallMs } = {}
): Promise<T> {
  const clock = { ...nodeClock, wallMs }
  const store = await LogStore.open({ disk: nodeDisk, clock, random: nodeRandom, core, codec, directory })
  try {
    return await work(store)
  } finally {
    await store.close()
  }
}

export async function readRecords(partition: Partition): Promise<StoredRecord[]> {
  const records: StoredRecord[] = []
  for (let offset = partition.logStartOffset; offset < partition.highWatermark; ) {
    const { batches, nextOffset } = await partition.read(offset, { bytesMax: 1 << 20 })
    for (const { bytes: batch } of batches) {
      for (const record of core.readRecords(await decompressBatch(core, codec, batch)))
        if (record.offset >= partition.logStartOffset) records.push(record)
    }
    offset = nextOffset
  }
  return records
}

export async function readTopicEvents(store: LogStore, topicName: string): Promise<ObservedEvent[]> {
  const decoder = new TextDecoder()
  const events: ObservedEvent[] = []
  for (const partition of store.topics.get(topicName)?.partitions ?? []) {
    for (const { key, value } of await readRecords(partition)) {
      events.push({ key: decoder.decode(key ?? new Uint8Array()), value: decoder.decode(value ?? new Uint8Array()) })
    }
  }
  return events
}

export function readStoredEvents(directory: string, topicName: string): Promise<ObservedEvent[]> {
  return withStoredLog(directory, (store) => readTopicEvents(store, topicName))
}
