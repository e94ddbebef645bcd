// Proves for Core.repack: sealing keeps every record with its offset, forwarding numbers densely, adds the two headers and gives every target
// partition its own records; both are byte for byte what the oracle encodes, and stop exactly where nothing more fits.
import t from 'tap'
import { readBatchHeader, writeBaseOffset } from '../../runtime/core/batch-header.ts'
import type { Core, ForwardedBatch } from '../../runtime/core/core.ts'
import type { RecordInput } from '../../runtime/core/record.ts'
import { loadTestCore } from '../helpers/core.ts'
import { randomRecords } from '../helpers/random-records.ts'
import { numbered, type OracleRecord, oracleBatch } from '../oracle/batch.ts'
import { oracleMurmur2 } from '../oracle/murmur2.ts'
import { Prng, seeds } from '../sim/prng.ts'

const text = (value: string) => Buffer.from(value)
const ofGateway7 = { id: text('gateway-7'), offsetPrefix: text('plant.temps/3/'), partitionIndex: 3 }

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

function targetOf(record: RecordInput, partitionIndex: number, targetCount: number): number {
  if (targetCount === 0) return 0
  return (record.key === null ? partitionIndex : oracleMurmur2(record.key) & 0x7fffffff) % targetCount
}

/** What the oracle makes of records for each target that has some, in the order of targets. */
function expectedBatches(records: readonly OracleRecord[], targetCount: number, id = 'gateway-7', prefix = 'plant.temps/3/') {
  const byTarget = new Map<number, OracleRecord[]>()
  for (const record of records) {
    const target = targetOf(record, 3, targetCount)
    byTarget.set(target, [...(byTarget.get(target) ?? []), record])
  }
  return [...byTarget]
    .sort(([left], [right]) => left - right)
    .map(([targetIndex, own]) => ({
      targetIndex,
      recordCount: own.length,
      bytes: Buffer.from(oracleBatch(numbered(forwarded(own, id, prefix), 0), { baseOffset: 0 }))
    }))
}

const asBuffers = (batches: readonly ForwardedBatch[]) =>
  batches.map(({ targetIndex, recordCount, bytes }) => ({ targetIndex, recordCount, bytes: Buffer.from(bytes) }))

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
      const baseOffset = readBatchHeader(batches[0] as Uint8Array)?.baseOffset as number
      t.equal(addAll(core, batches), records.length)
      const sealed = core.repack.finish() as Uint8Array
      const expected = oracleBatch(records, { baseOffset, lastOffset: endOffset - 1 })
      t.same(Buffer.from(sealed), Buffer.from(expected), 'gaps at the begin and at the end stay covered')
      t.equal(core.checkBatch(sealed.slice()), null)
    })

    t.test(`${build}: forwarding numbers densely and says where records come from (replay with SEED=${seed})`, async (t) => {
      const prng = new Prng(seed)
      const { batches, records } = randomLog(prng, 10)
      const targetCount = prng.pick([0, 1, 2, 3, 6, 100, 10_000])
      core.repack.beginForward({ ...ofGateway7, bytesMax: core.batchBytesMax, targetCount })
      t.equal(addAll(core, batches), records.length)
      t.same(asBuffers(core.repack.finishForward()), expectedBatches(records, targetCount))
    })

    t.test(`${build}: where one target is full all end, and nothing is lost or twice (replay with SEED=${seed})`, async (t) => {
      const prng = new Prng(seed)
      const { batches, records, endOffset } = randomLog(prng, 8)
      const targetCount = prng.pick([0, 1, 2, 3, 40])
      const bytesMax = prng.between(300, 2000)
      let next = 0
      for (let round = 0; next < endOffset; round++) {
        if (round > 1000) throw new Error('no progress')
        core.repack.beginForward({ ...ofGateway7, bytesMax, targetCount })
        let added = { nextOffset: next, addedCount: 0, isFull: false }
        for (const batch of batches) {
          added = core.repack.add(batch, { fromOffset: next, untilOffset: endOffset })
          if (added.isFull) break
        }
        const until = added.isFull ? added.nextOffset : endOffset
        const range = records.filter(({ offset }) => offset >= next && offset < until)
        t.same(asBuffers(core.repack.finishForward()), expectedBatches(range, targetCount))
        if (added.isFull) {
          const withNext = expectedBatches([...range, ...records.filter(({ offset }) => offset === until)], targetCount)
          t.ok(
            withNext.some(({ bytes }) => bytes.length > bytesMax),
            'one record more, and a batch would be too large'
          )
        }
        next = until === next ? next + 1 : until // a record larger than bytesMax: this caller drops it
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
const options = { id: text('g'), offsetPrefix: text(''), partitionIndex: 0, targetCount: 0 }
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

t.test('a record that fits no batch is full at once and nothing is made', async (t) => {
  for (const targetCount of [0, 1, 7]) {
    core.repack.beginForward({ ...options, targetCount, bytesMax: 70 })
    t.same(core.repack.add(three, { fromOffset: 0, untilOffset: 100 }), { nextOffset: 10, addedCount: 0, isFull: true })
    t.same(core.repack.finishForward(), [])
  }
})

/** Records with a key of their own each. */
function keyed(count: number, valueBytes: number): Uint8Array {
  const value = new Uint8Array(valueBytes).fill(7)
  return core.buildBatch(
    Array.from({ length: count }, (_, n) => ({ timestampMs: n, key: text(`key ${n}`), value, headers: [] })),
    { baseOffset: 0 }
  )
}

t.test('more partitions than there are places for: full, and the next part goes on there', async (t) => {
  const count = 20_000
  const batch = keyed(count, 1)
  const offsets: number[] = []
  for (let next = 0; next < count; ) {
    core.repack.beginForward({ ...options, targetCount: 2 ** 31 - 1, bytesMax: core.batchBytesMax })
    const { nextOffset, isFull } = core.repack.add(batch, { fromOffset: next, untilOffset: count })
    const batches = core.repack.finishForward()
    t.ok(isFull ? batches.length === 4096 : nextOffset === count, `${batches.length} targets`)
    offsets.push(
      ...batches.flatMap(({ bytes }) =>
        core.readRecords(bytes).map(({ headers }) => Number(Buffer.from(headers[1]?.value ?? []).toString()))
      )
    )
    next = nextOffset
  }
  offsets.sort((left, right) => left - right)
  t.equal(offsets.length, count)
  t.equal(
    offsets.findIndex((offset, n) => offset !== n),
    -1
  )
})

t.test('all targets together have a bound: full, and every batch is whole', async (t) => {
  const batch = keyed(3, 1_300_000)
  const further = batch.slice()
  writeBaseOffset(further, 3)
  core.repack.beginForward({ ...options, targetCount: 1000, bytesMax: core.batchBytesMax })
  t.match(core.repack.add(batch, { fromOffset: 0, untilOffset: 100 }), { isFull: false, addedCount: 3 })
  t.same(core.repack.add(further, { fromOffset: 3, untilOffset: 100 }), { nextOffset: 3, addedCount: 0, isFull: true })
  const batches = core.repack.finishForward()
  t.same(
    batches.flatMap(({ bytes, recordCount }) => [core.checkBatch(bytes), recordCount]),
    batches.flatMap(() => [null, 1])
  )
  t.equal(batches.length, 3)
})

t.test('the largest record that fits a batch alone fits one of many', async (t) => {
  const sizeOf = (valueBytes: number) => {
    const one = core.buildBatch([{ timestampMs: 0, key: text('k'), value: new Uint8Array(valueBytes), headers: [] }], { baseOffset: 0 })
    core.repack.beginForward({ ...options, targetCount: 0, bytesMax: core.batchBytesMax })
    if (core.repack.add(one, { fromOffset: 0, untilOffset: 1 }).isFull) return { one, size: null }
    return { one, size: core.repack.finishForward()[0]?.bytes.length ?? 0 }
  }
  const { size } = sizeOf(core.batchBytesMax - 1000)
  const largest = core.batchBytesMax - 1000 + core.batchBytesMax - (size as number)
  t.equal(sizeOf(largest).size, core.batchBytesMax)
  t.equal(sizeOf(largest + 1).size, null)
  const [fits, doesNotFit] = [sizeOf(largest).one, sizeOf(largest + 1).one]
  core.repack.beginForward({ ...options, targetCount: 50, bytesMax: core.batchBytesMax })
  t.match(core.repack.add(fits, { fromOffset: 0, untilOffset: 1 }), { isFull: false, addedCount: 1 })
  t.equal(core.repack.finishForward()[0]?.bytes.length, core.batchBytesMax)
  core.repack.beginForward({ ...options, targetCount: 50, bytesMax: core.batchBytesMax })
  t.match(core.repack.add(doesNotFit, { fromOffset: 0, untilOffset: 1 }), { isFull: true, addedCount: 0 })
})

t.test('a record fits to the last byte', async (t) => {
  core.repack.beginSeal({ bytesMax: three.length })
  t.match(core.repack.add(three, { fromOffset: 0, untilOffset: 100 }), { addedCount: 3, isFull: false })
  t.equal(core.repack.finish()?.length, three.length)
  core.repack.beginSeal({ bytesMax: three.length - 1 })
  t.match(core.repack.add(three, { fromOffset: 0, untilOffset: 100 }), { addedCount: 2, isFull: true, nextOffset: 12 })
})

t.test('other calls between add and finish do no harm', async (t) => {
  for (const targetCount of [0, 7]) {
    core.repack.beginForward({ ...options, targetCount, bytesMax: 1000 })
    core.repack.add(three, { fromOffset: 0, untilOffset: 12 })
    core.lz4Decompress(core.lz4Compress(new Uint8Array(100_000).fill(9)), 100_000)
    core.buildBatch([{ timestampMs: 0, key: null, value: new Uint8Array(9000), headers: [] }], { baseOffset: 0 })
    const slot = core.pool.openBatch() as number
    core.pool.addRecord(slot, { timestampMs: 0, key: null, value: new Uint8Array(9000), headers: [] })
    core.repack.add(three, { fromOffset: 12, untilOffset: 100 })
    const [batch, ...others] = core.repack.finishForward()
    t.same(others, [])
    t.equal(core.readRecords(batch?.bytes as Uint8Array).length, 3)
  }
  core.pool.clear()
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
