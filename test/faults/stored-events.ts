// What a data directory holds, read offline with the product's own log: for comparing with a ledger after the process has ended.

import { nodeClock } from '../../runtime/io/node-clock.ts'
import { createNodeCodec } from '../../runtime/io/node-codec.ts'
import { nodeDisk } from '../../runtime/io/node-disk.ts'
import { nodeRandom } from '../../runtime/io/node-random.ts'
import { decompressBatch } from '../../runtime/log/batch-codec.ts'
import { LogStore } from '../../runtime/log/log-store.ts'
import { loadTestCore } from '../helpers/core.ts'
import type { ObservedEvent } from './event-ledger.ts'

export async function readStoredEvents(directory: string, topicName: string): Promise<ObservedEvent[]> {
  const core = loadTestCore()
  const codec = createNodeCodec()
  const store = await LogStore.open({ disk: nodeDisk, clock: nodeClock, random: nodeRandom, core, codec, directory })
  const decoder = new TextDecoder()
  const events: ObservedEvent[] = []
  try {
    for (const partition of store.topics.get(topicName)?.partitions ?? []) {
      for (let offset = partition.logStartOffset; offset < partition.highWatermark; ) {
        const { batches, nextOffset } = await partition.read(offset, { bytesMax: 1 << 20 })
        for (const batch of batches) {
          for (const { key, value } of core.readRecords(await decompressBatch(core, codec, batch))) {
            events.push({ key: decoder.decode(key ?? new Uint8Array()), value: decoder.decode(value ?? new Uint8Array()) })
          }
        }
        offset = nextOffset
      }
    }
  } finally {
    await store.close()
  }
  return events
}
