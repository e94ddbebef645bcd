// Proves for Core.pool: batches that grow side by side come out as if each had been encoded alone; what does not fit is refused and spoils nothing;
// any record that fits a commit fits an empty pool.

import t from 'tap'
import type { Core } from '../../runtime/core/core.ts'
import type { RecordInput } from '../../runtime/core/record.ts'
import { loadTestCore } from '../helpers/core.ts'
import { randomRecord } from '../helpers/random-records.ts'
import { numbered, oracleBatch } from '../oracle/batch.ts'
import { Prng, seeds } from '../sim/prng.ts'

const BATCHES_MAX = 4096
const record: RecordInput = { timestampMs: 1_700_000_000_000, key: null, value: Buffer.from('1'), headers: [] }

/** The batch as a commit has it. */
function gathered(core: Core, batch: number, baseOffset: number): Buffer {
  core.commit.begin()
  const bytes = Buffer.from(core.commit.addPooled({ topicNumber: 1, partitionIndex: 2, baseOffset }, batch) ?? [])
  core.commit.finish({ generation: 1, sequence: 1 })
  core.commit.release()
  return bytes
}

for (const build of ['debug', 'release'] as const) {
  const core = loadTestCore(build)

  for (const seed of seeds({ count: 12 })) {
    t.test(`${build}: batches that grow side by side (replay with SEED=${seed})`, async (t) => {
      const prng = new Prng(seed)
      for (let round = 0; round < 3; round++) {
        core.pool.clear()
        const batches = Array.from({ length: prng.between(1, 60) }, () => ({
          number: core.pool.openBatch() as number,
          records: [] as RecordInput[]
        }))
        let isFull = false
        for (let count = prng.below(1500); count > 0 && !isFull; count--) {
          const batch = prng.pick(batches)
          const one = randomRecord(prng, prng.chance(5) ? 60_000 : 300)
          isFull = !core.pool.addRecord(batch.number, one)
          if (!isFull) batch.records.push(one)
          if (prng.chance(5)) core.crc32c(new Uint8Array(50_000).fill(255)) // others use the core meanwhile
        }
        for (const { number, records } of batches) {
          if (records.length === 0) continue
          const baseOffset = prng.below(2 ** 50)
          const expected = Buffer.from(oracleBatch(numbered(records, baseOffset), { baseOffset }))
          t.ok(gathered(core, number, baseOffset).equals(expected), `${records.length} records`)
        }
      }
    })
  }

  t.test(`${build}: a full pool refuses, and keeps what it has`, async (t) => {
    core.pool.clear()
    const batch = core.pool.openBatch() as number
    const records: RecordInput[] = []
    const large = { ...record, value: new Prng(7).bytes(9_999) }
    while (core.pool.addRecord(batch, large)) records.push(large)
    t.ok(records.length * large.value.length > 0.9 * core.commitBytesMax, `${records.length} records`)
    while (core.pool.addRecord(batch, record)) records.push(record)
    t.notOk(core.pool.addRecord(core.pool.openBatch() as number, large), 'nor for another batch')
    t.notOk(core.pool.addRecord(batch, { ...large, value: new Uint8Array(core.batchBytesMax * 2) }), 'not even into the core')
    core.pool.clear()
    const again = core.pool.openBatch() as number
    t.ok(core.pool.addRecord(again, record))
    t.ok(gathered(core, again, 5).equals(Buffer.from(oracleBatch(numbered([record], 5), { baseOffset: 5 }))))
  })

  t.test(`${build}: the largest record of a commit fits an empty pool`, async (t) => {
    core.pool.clear()
    core.commit.begin()
    const bytes = core.commit.bytesLeft - 12 - 61 - 20 // its frame, its batch header, its own lengths
    const batch = core.pool.openBatch() as number
    t.ok(core.pool.addRecord(batch, { ...record, value: new Uint8Array(bytes) }))
    t.ok(core.commit.addPooled({ topicNumber: 1, partitionIndex: 0, baseOffset: 0 }, batch))
    core.commit.finish({ generation: 1, sequence: 1 })
    core.commit.release()
  })

  t.test(`${build}: there are ${BATCHES_MAX} places for batches, each of them good`, async (t) => {
    core.pool.clear()
    const batches = Array.from({ length: BATCHES_MAX }, () => core.pool.openBatch())
    t.same(batches, [...batches.keys()])
    t.equal(core.pool.openBatch(), null)
    for (const batch of [0, 1, BATCHES_MAX - 1]) t.ok(core.pool.addRecord(batch, record))
    for (const batch of [0, 1, BATCHES_MAX - 1])
      t.ok(gathered(core, batch, batch).equals(Buffer.from(oracleBatch(numbered([record], batch), { baseOffset: batch }))))
    t.throws(() => core.pool.addRecord(2, { ...record, timestampMs: Number.NaN }), RangeError)
  })
}
