// Proves for runtime/uplink/transaction-builder.ts and opened-remainders.ts: a compressed batch is opened once on its way to the centre, though
// two headers make small records much larger than they were, and every part is filled. Counted in bytes of the codec's output, on a
// partition of many small records.

import t from 'tap'
import { RECORDS_AT, readBatchHeader } from '../../runtime/core/batch-header.ts'
import type { BatchHeader } from '../../runtime/core/record.ts'
import type { BlockCodec } from '../../runtime/io/codec.ts'
import { compressBatch } from '../../runtime/log/batch-codec.ts'
import type { Partition, StoredBatch } from '../../runtime/log/contract.ts'
import { Source } from '../../runtime/uplink/source.ts'
import { TransactionBuilder } from '../../runtime/uplink/transaction-builder.ts'
import { loadTestCore } from '../helpers/core.ts'
import { event } from '../helpers/sim-store.ts'
import { Prng } from '../sim/prng.ts'
import { simCodec } from '../sim/sim-codec.ts'

const BATCHES = 60
const RECORDS = 200
const BUDGET_BYTES = 256 * 1024

t.test('what is opened for one part is not opened again for the next, and parts are full', async (t) => {
  const core = loadTestCore()
  const prng = new Prng(7)
  const stored: Uint8Array[] = []
  let plainBytes = 0
  for (let index = 0; index < BATCHES; index++) {
    const records = Array.from({ length: RECORDS }, () => event(Buffer.from(prng.bytes(30)).toString('hex')))
    const batch = core.buildBatch(records, { baseOffset: index * RECORDS })
    plainBytes += batch.byteLength - RECORDS_AT
    stored.push(await compressBatch(core, simCodec, batch, 'gzip'))
  }
  let openedBytes = 0
  const codec: BlockCodec = {
    ...simCodec,
    decompress: async (...call) => {
      const block = await simCodec.decompress(...call)
      openedBytes += block.byteLength
      return block
    }
  }
  const builder = new TransactionBuilder({ core, codec, compression: 'gzip', id: 'gateway/0123456789abcdef0123456789abcdef' })
  const source = new Source('plant', 'plant', partitionOf(stored))
  const topic = { name: 'plant', partitionCount: 1, batchBytesMax: 1_048_588, topicId: '' }
  let events = 0
  const partBytes: number[] = []
  while (source.hasUnplanned) {
    const part = await builder.part(source, topic, 1, BUDGET_BYTES)
    if (!part || !('until' in part)) throw new Error('no part')
    events += part.eventCount
    partBytes.push(part.plainBytes)
    source.plan(part.until)
  }
  t.equal(events, BATCHES * RECORDS)
  t.equal(openedBytes, plainBytes, 'each batch was opened once')
  t.ok(partBytes.length > 5)
  // A part that ended where the next batch does not fit would make more transactions: each is a round trip to the centre.
  for (const bytes of partBytes.slice(0, -1)) t.ok(bytes > BUDGET_BYTES * 0.9, `a part of ${bytes} bytes`)
})

/** What a source reads of a partition, over `stored`. */
function partitionOf(stored: readonly Uint8Array[]): Partition {
  const endOffset = BATCHES * RECORDS
  const readCommitted = async (from: number, { bytesMax }: { bytesMax: number }): Promise<object> => {
    const batches: StoredBatch[] = []
    let bytes = 0
    let nextOffset = from
    for (const batch of stored) {
      const header = readBatchHeader(batch) as BatchHeader
      const { lastOffset } = header
      if (lastOffset < from) continue
      if (batches.length > 0 && bytes + batch.byteLength > bytesMax) break
      batches.push({ header, bytes: batch })
      bytes += batch.byteLength
      nextOffset = lastOffset + 1
    }
    return { batches, nextOffset }
  }
  return {
    topicName: 'plant',
    partitionIndex: 0,
    highWatermark: endOffset,
    lastStableOffset: endOffset,
    readCommitted
  } as unknown as Partition
}
