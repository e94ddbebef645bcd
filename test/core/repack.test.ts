// Proves for Core.repack: sealing keeps every record with its offset, forwarding numbers densely, adds the two headers and
// takes only the target's records; both are byte for byte what the oracle encodes, and stop exactly where nothing more fits.
import t from 'tap'
import type { Core } from '../../runtime/core/core.ts'
import type { ProducerFields, RecordInput } from '../../runtime/core/record.ts'
import { loadTestCore } from '../helpers/core.ts'
import { randomRecords } from '../helpers/random-records.ts'
import { numbered, type OracleRecord, oracleBatch } from '../oracle/batch.ts'
import { oracleMurmur2 } from '../oracle/murmur2.ts'
import { Prng, seeds } from '../sim/prng.ts'

const text = (value: string) => Buffer.from(value)
const producer: ProducerFields = { producerId: 5n, producerEpoch: 0, baseSequence: 99, isTransactional: true }

/** Batches with gaps between them and inside them. */
function randomLog(prng: Prng, batchCount: number): { batches: Uint8Array[]; records: OracleRecord[]; endOffset: number } {
  const batches: Uint8Array[] = []
  const records: OracleRecord[] = []
  let offset = prng.pick([0, 1000, 2 ** 40])
  for (let i = 0; i < batchCount; i++) {
    offset += prng.chance(30) ? prng.below(50) : 0
    const baseOffset = offset
    const own = randomRecords(prng, 20).map((record) => {
      offset += prng.chance(10) ? prng.below(200) : 0
      return { ...record, offset: offset++ }
    })
    offset += prng.chance(20) ? 5 : 0
    const isDense = own.every((record, index) => record.offset === baseOffset + index) && prng.chance(50)
    batches.push(oracleBatch(own, isDense ? { baseOffset } : { baseOffset, lastOffset: offset - 1 }))
    if (isDense) offset = baseOffset + own.length
    records.push(...own)
  }
  return { batches, records, endOffset: offset }
}

function forwarded(records: readonly OracleRecord[], id: string, prefix: string): RecordInput[] {
  return records.map((record) => ({
    ...record,
    headers: [
      ...record.headers,
      { key: text('wadi.id'), value: text(id) },
      { key: text('wadi.offset'), value: text(`${prefix}${record.offset}`) }
    ]
  }))
}

function isTaken(record: RecordInput, partitionIndex: number, targetIndex: number, targetCount: number): boolean {
  const place = record.key === null ? partitionIndex : oracleMurmur2(record.key) & 0x7fffffff
  return targetCount === 0 || place % targetCount === targetIndex
}

function addAll(core: Core, batches: readonly Uint8Array[], range = { fromOffset: 0, untilOffset: Number.MAX_SAFE_INTEGER }): number {
  let addedCount = 0
  for (const batch of batches) addedCount += core.repack.add(batch, range).addedCount
  return addedCount
}

for (const build of ['debug', 'release'] as const) {
  const core = loadTestCore(build)

  for (const seed of seeds({ count: 12 })) {
    t.test(`${build}: sealing keeps records and offsets (replay with SEED=${seed})`, async (t) => {
      const prng = new Prng(seed)
      const { batches, records, endOffset } = randomLog(prng, 10)
      core.repack.beginSeal({ bytesMax: core.batchBytesMax })
      const first = records[0] as OracleRecord
      t.equal(addAll(core, batches), records.length)
      const sealed = core.repack.finish() as Uint8Array
      const expected = oracleBatch(records, { baseOffset: first.offset, lastOffset: endOffset - 1 })
      t.same(Buffer.from(sealed), Buffer.from(expected), 'a gap at the end stays covered')
      t.equal(core.checkBatch(sealed.slice()), null)
    })

    t.test(`${build}: forwarding numbers densely and says where records come from (replay with SEED=${seed})`, async (t) => {
      const prng = new Prng(seed)
      const { batches, records } = randomLog(prng, 10)
      const targetCount = prng.pick([0, 1, 3, 6])
      const targetIndex = targetCount === 0 ? 0 : prng.below(targetCount)
      const options = { id: text('gateway-7'), offsetPrefix: text('plant.temps/3/'), partitionIndex: 3, targetIndex, targetCount }
      core.repack.beginForward({ bytesMax: core.batchBytesMax, ...options })
      const taken = records.filter((record) => isTaken(record, 3, targetIndex, targetCount))
      t.equal(addAll(core, batches), taken.length)
      const batch = core.repack.finish(producer)
      if (taken.length === 0) t.equal(batch, null)
      else {
        const expected = oracleBatch(numbered(forwarded(taken, 'gateway-7', 'plant.temps/3/'), 0), { baseOffset: 0, producer })
        t.same(Buffer.from(batch ?? []), Buffer.from(expected))
      }
    })

    t.test(`${build}: full is full, and nothing is lost where one batch ends and the next begins (replay with SEED=${seed})`, async (t) => {
      const prng = new Prng(seed)
      const { batches, records, endOffset } = randomLog(prng, 6)
      const bytesMax = prng.between(500, 3000)
      const seen: number[] = []
      let next = 0
      for (let round = 0; next < endOffset; round++) {
        if (round > 1000) throw new Error('no progress')
        core.repack.beginSeal({ bytesMax })
        let isFull = false
        let addedCount = 0
        for (const batch of batches) {
          if (isFull) break
          const added = core.repack.add(batch, { fromOffset: next, untilOffset: endOffset })
          addedCount += added.addedCount
          isFull = added.isFull
          next = Math.max(next, added.nextOffset)
        }
        const sealed = core.repack.finish()?.slice() ?? null
        if (sealed === null && isFull) {
          next++ // a record larger than bytesMax: this caller drops it
          continue
        }
        if (sealed === null) continue
        if (sealed.length > bytesMax) t.fail(`${sealed.length} bytes of ${bytesMax}`)
        const offsets = core.readRecords(sealed).map((record) => Number(record.offset))
        if (offsets.length !== addedCount) t.fail('addedCount')
        seen.push(...offsets)
      }
      const biggest = (record: OracleRecord) => oracleBatch([record], { baseOffset: record.offset }).length
      t.same(
        seen,
        records.filter((record) => biggest(record) <= bytesMax).map((record) => record.offset)
      )
    })
  }
}

const core = loadTestCore()
const options = { id: text('g'), offsetPrefix: text(''), partitionIndex: 0, targetIndex: 0, targetCount: 0 }
const three = core.buildBatch(
  [1, 2, 3].map((n) => ({ timestampMs: n, key: null, value: text(`${n}`), headers: [] })),
  { baseOffset: 10 }
)

t.test('ranges are [from, until)', async (t) => {
  const offsets = (fromOffset: number, untilOffset: number) => {
    core.repack.beginSeal({ bytesMax: 1000 })
    const { nextOffset, addedCount, isFull } = core.repack.add(three, { fromOffset, untilOffset })
    const batch = core.repack.finish()
    return {
      nextOffset,
      addedCount,
      isFull,
      offsets: batch === null ? [] : core.readRecords(batch.slice()).map((record) => Number(record.offset))
    }
  }
  t.same(offsets(0, 100), { nextOffset: 13, addedCount: 3, isFull: false, offsets: [10, 11, 12] })
  t.same(offsets(11, 12), { nextOffset: 12, addedCount: 1, isFull: false, offsets: [11] })
  t.same(offsets(13, 100), { nextOffset: 13, addedCount: 0, isFull: false, offsets: [] })
  t.same(offsets(0, 5), { nextOffset: 5, addedCount: 0, isFull: false, offsets: [] })
})

t.test('a record that fits no batch is full at once and finish gives null', async (t) => {
  core.repack.beginForward({ bytesMax: 70, ...options })
  t.same(core.repack.add(three, { fromOffset: 0, untilOffset: 100 }), { nextOffset: 10, addedCount: 0, isFull: true })
  t.equal(core.repack.finish(), null)
})

t.test('a record fits to the last byte', async (t) => {
  core.repack.beginSeal({ bytesMax: three.length })
  t.match(core.repack.add(three, { fromOffset: 0, untilOffset: 100 }), { addedCount: 3, isFull: false })
  t.equal(core.repack.finish()?.length, three.length)
  core.repack.beginSeal({ bytesMax: three.length - 1 })
  t.match(core.repack.add(three, { fromOffset: 0, untilOffset: 100 }), { addedCount: 2, isFull: true, nextOffset: 12 })
})

t.test('other calls between add and finish do no harm', async (t) => {
  core.repack.beginForward({ bytesMax: 1000, ...options })
  core.repack.add(three, { fromOffset: 0, untilOffset: 12 })
  core.lz4Decompress(core.lz4Compress(new Uint8Array(100_000).fill(9)), 100_000)
  core.buildBatch([{ timestampMs: 0, key: null, value: new Uint8Array(9000), headers: [] }], { baseOffset: 0 })
  core.repack.add(three, { fromOffset: 12, untilOffset: 100 })
  t.equal(core.readRecords((core.repack.finish() as Uint8Array).slice()).length, 3)
})

t.test('impossible requests are RangeErrors', async (t) => {
  t.throws(() => core.repack.beginSeal({ bytesMax: 60 }), RangeError)
  t.throws(() => core.repack.beginSeal({ bytesMax: core.batchBytesMax + 1 }), RangeError)
  t.throws(() => core.repack.beginSeal({ bytesMax: Number.NaN }), RangeError)
  t.throws(() => core.repack.beginForward({ ...options, bytesMax: 1000, id: new Uint8Array(5000) }), RangeError)
  core.repack.beginSeal({ bytesMax: 1000 })
  t.throws(() => core.repack.add(new Uint8Array(10), { fromOffset: 0, untilOffset: 1 }), RangeError, 'not a batch')
  const compressed = three.slice()
  compressed[22] = 3
  t.throws(() => core.repack.add(compressed, { fromOffset: 0, untilOffset: 100 }), RangeError, 'compressed')
})
