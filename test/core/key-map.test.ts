// Proves for Core.openKeyMap: keys are told apart by SipHash-2-4 with 128 bits (vectors of the reference implementation), a batch keeps exactly what a map in
// plain TypeScript keeps, byte for byte and under the offsets that it covered; a map that is full says so, and what is malformed is refused.
import t from 'tap'
import { RECORDS_AT, readBatchHeader } from '../../runtime/core/batch-header.ts'
import type { KeyMap } from '../../runtime/core/core.ts'
import type { OpenedBatch, StoredRecord } from '../../runtime/core/record.ts'
import { loadTestCore, readCoreWasm } from '../helpers/core.ts'
import { type OracleRecord, oracleBatch } from '../oracle/batch.ts'
import { Prng, seeds } from '../sim/prng.ts'

declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object, imports: object) => { exports: unknown }
}

const SEED = new Uint8Array(16).fill(7)
const opened = (batch: Uint8Array): OpenedBatch => ({ head: batch.subarray(0, RECORDS_AT), records: batch.subarray(RECORDS_AT) })
const record = (offset: number, key: string | null, value: string | null = 'v'): OracleRecord => ({
  offset,
  timestampMs: 1_000 + offset,
  key: key === null ? null : Buffer.from(key),
  value: value === null ? null : Buffer.from(value),
  headers: []
})
const rules = { deletionsUntil: 0, isAborted: false, keepsLast: false, stays: false }

t.test('the hash is that of the reference implementation', async (t) => {
  interface Raw {
    memory: { buffer: ArrayBuffer }
    KEY_MAP: { value: number }
    INPUT: { value: number }
    keyMapBegin(low: bigint, high: bigint): void
    keyMapAdd(batchBytes: number, deletionsBelow: number): number
  }
  // SipHash-2-4-128 with the key 00 01 … 0f, of nothing, of 00, of 00 01: reference implementation, vectors.h.
  const vectors: readonly (readonly [number, string])[] = [
    [0, 'a3817f04ba25a8e66df67214c7550293'],
    [1, 'da87c1d86b99af44347659119b22fc45'],
    [2, '8177228da4a45dc7fca38bdef60affe4']
  ]
  for (const build of ['debug', 'release'] as const) {
    const raw = new WebAssembly.Instance(new WebAssembly.Module(readCoreWasm(build)), {}).exports as Raw
    const bytes = new Uint8Array(raw.memory.buffer)
    for (const [length, hash] of vectors) {
      const key = Uint8Array.from({ length }, (_, at) => at)
      const batch = oracleBatch([{ ...record(0, ''), key }], { baseOffset: 0 })
      raw.keyMapBegin(0x0706050403020100n, 0x0f0e0d0c0b0a0908n)
      bytes.set(batch, raw.INPUT.value)
      t.equal(raw.keyMapAdd(batch.byteLength, 0), 0)
      const table = bytes.subarray(raw.KEY_MAP.value)
      const slot = table.findIndex((byte) => byte !== 0)
      const begin = slot - (slot % 24)
      t.equal(Buffer.from(table.subarray(begin, begin + 16)).toString('hex'), hash, `${build}, ${length} bytes`)
    }
  }
})

interface Newest {
  readonly offset: number
  readonly deletes: boolean
  isPinned: boolean
}

/** What is to be kept, by a map of strings. */
function keptOf(
  records: readonly OracleRecord[],
  newest: ReadonlyMap<string, Newest>,
  { deletionsUntil, isAborted, keepsLast, stays }: typeof rules
): OracleRecord[] {
  return records.filter((one, index) => {
    const isForced = keepsLast && index === records.length - 1
    if (isAborted) return isForced
    if (one.key === null) return true
    const known = newest.get(Buffer.from(one.key).toString('hex'))
    if (known && known.offset > one.offset) {
      if (known.deletes && (stays || isForced)) known.isPinned = true
      return isForced
    }
    return isForced || one.value !== null || known?.offset !== one.offset || one.offset >= deletionsUntil || known.isPinned
  })
}

const same = (records: readonly StoredRecord[]): unknown =>
  records.map(({ offset, timestampMs, key, value, headers }) => [
    offset,
    timestampMs,
    key && Buffer.from(key).toString('hex'),
    value && Buffer.from(value).toString('hex'),
    headers.length
  ])

for (const build of ['debug', 'release'] as const) {
  const core = loadTestCore(build)
  for (const seed of seeds({ count: 60 })) {
    t.test(`${build}: a random log (replay with SEED=${seed})`, async (t) => {
      const prng = new Prng(seed)
      const newest = new Map<string, Newest>()
      const batches: { bytes: Uint8Array; records: OracleRecord[] }[] = []
      let offset = prng.pick([0, 17, 2 ** 40])
      const keys = Array.from({ length: prng.pick([1, 5, 40]) }, () => prng.bytes(prng.below(24)))
      for (let batch = 0; batch < 12; batch++) {
        const baseOffset = offset
        const records = Array.from({ length: 1 + prng.below(20) }, (): OracleRecord => {
          if (prng.chance(10)) offset += prng.below(5)
          const key = prng.chance(8) ? null : prng.pick(keys)
          const value = prng.chance(15) ? null : prng.bytes(prng.below(300))
          const headers = prng.chance(20) ? [{ key: Buffer.from('h'), value: prng.bytes(3) }] : []
          return { offset: offset++, timestampMs: 1_000 + prng.below(5_000), key, value, headers }
        })
        batches.push({ bytes: oracleBatch(records, { baseOffset, lastOffset: offset - 1 }), records })
      }
      const map = core.openKeyMap(prng.bytes(16)) as KeyMap
      t.equal(core.openKeyMap(SEED), null, 'one at a time')
      const add = (from: number, until: number, deletionsBelow: number): void => {
        for (const { bytes, records } of batches.slice(from, until)) {
          t.equal(map.add(opened(bytes), deletionsBelow), true)
          for (const { key, value, offset: at } of records) {
            if (!key || (deletionsBelow > 0 && (value !== null || at >= deletionsBelow))) continue
            const known = newest.get(Buffer.from(key).toString('hex'))
            if (!known || at > known.offset)
              newest.set(Buffer.from(key).toString('hex'), { offset: at, deletes: value === null, isPinned: false })
          }
        }
      }
      const dirtyFrom = prng.below(8)
      add(dirtyFrom, batches.length, 0)
      const deletionsUntil = prng.chance(40) ? 0 : (prng.pick(batches).records[0]?.offset ?? 0) + prng.below(30)
      if (deletionsUntil > 0) add(0, dirtyFrom, deletionsUntil)
      t.equal(map.keyCount, newest.size)
      for (const { bytes, records } of batches) {
        const rule = { deletionsUntil, isAborted: prng.chance(10), keepsLast: prng.chance(20), stays: prng.chance(20) }
        const left = map.compact(opened(bytes), rule)
        const kept = keptOf(records, newest, rule)
        const batch = left.bytes.slice()
        t.equal(left.recordCount, kept.length)
        const [before, after] = [readBatchHeader(bytes), readBatchHeader(batch)]
        for (const field of ['baseOffset', 'lastOffset', 'baseTimestampMs', 'maxTimestampMs', 'attributes', 'baseSequence'] as const)
          t.equal(after?.[field], before?.[field], field)
        if (kept.length === 0) continue
        t.equal(core.checkBatch(batch), null, 'right CRC and records')
        const stored = kept.map((one) => ({ ...one, offset: one.offset as StoredRecord['offset'] }))
        t.same(same(core.readRecords(batch)), same(stored))
      }
      map.close()
      map.close()
    })
  }

  t.test(`${build}: a full map says so, and keeps what it has`, async (t) => {
    const map = core.openKeyMap(SEED) as KeyMap
    let offset = 0
    let isFull = false
    while (!isFull) {
      const inputs = Array.from({ length: 10_000 }, () => ({
        timestampMs: 0,
        key: Buffer.from(`key ${offset++}`),
        value: null,
        headers: []
      }))
      isFull = !map.add(opened(core.buildBatch(inputs, { baseOffset: offset - 10_000 })))
    }
    t.equal(map.keyCount, map.keysMax)
    t.ok(map.keysMax > 150_000 && offset - map.keysMax < 10_000)
    const [known, unknown] = ['key 0', `key ${map.keysMax}`].map((key) =>
      core.buildBatch([{ ...record(0, key), headers: [] }], { baseOffset: 0 })
    )
    t.equal(map.compact(opened(unknown as Uint8Array), rules).recordCount, 1, 'of a key that found no room nothing is superseded')
    t.equal(map.compact(opened(known as Uint8Array), rules).recordCount, 1, 'nor by itself')
    t.ok(
      map.add(opened(core.buildBatch([{ ...record(0, 'key 0'), headers: [] }], { baseOffset: 10 ** 9 }))),
      'a key that is there still rises'
    )
    t.equal(map.compact(opened(known as Uint8Array), rules).recordCount, 0)
    map.close()
  })

  t.test(`${build}: malformed records are refused, and the map is free again`, async (t) => {
    const map = core.openKeyMap(SEED) as KeyMap
    const batch = core.buildBatch([{ ...record(0, 'a'), headers: [] }], { baseOffset: 0 })
    const broken = batch.slice()
    broken[RECORDS_AT] = 0x7f
    t.throws(() => map.add(opened(broken)), RangeError)
    t.throws(() => map.compact(opened(broken), rules), RangeError)
    t.throws(() => map.add({ head: batch.subarray(0, 10), records: batch.subarray(RECORDS_AT) }), RangeError)
    map.close()
    t.throws(() => map.add(opened(batch)), /closed/)
    t.throws(() => core.openKeyMap(new Uint8Array(3)), RangeError)
    const next = core.openKeyMap(SEED) as KeyMap
    t.equal(next.keyCount, 0)
    next.close()
  })
}
