// Proves for searchOffsetIndex and searchTimeIndex: they find what looking at every entry finds, in empty, small and large
// indexes (large ones are narrowed down before the core sees them), at and between all entries.
import t from 'tap'
import { loadTestCore } from '../helpers/core.ts'
import { Prng, seeds } from '../sim/prng.ts'

function floorOf(values: readonly number[], wanted: number): number {
  return values.findLastIndex((value) => value <= wanted)
}

for (const build of ['debug', 'release'] as const) {
  const core = loadTestCore(build)

  for (const seed of seeds({ count: 3 })) {
    for (const count of [0, 1, 2, 3, 127, 128, 129, 257, 1025, 20_000]) {
      t.test(`${build}: ${count} entries, as a linear search finds them (replay with SEED=${seed})`, async (t) => {
        const prng = new Prng(seed)
        const offsets: number[] = []
        const times: number[] = []
        for (let i = 0, offset = prng.below(5), time = prng.pick([-1, 0, 1_700_000_000_000]); i < count; i++) {
          offsets.push(offset)
          times.push(time)
          offset += prng.between(1, 100)
          time += prng.between(1, 10_000)
        }
        const offsetIndex = Buffer.alloc(count * 8)
        const timeIndex = Buffer.alloc(count * 12)
        offsets.forEach((offset, i) => {
          offsetIndex.writeInt32BE(offset, i * 8)
          offsetIndex.writeInt32BE(i * 4096, i * 8 + 4)
        })
        times.forEach((time, i) => {
          timeIndex.writeBigInt64BE(BigInt(time), i * 12)
        })
        const near = (values: number[]) => {
          const value = values.length === 0 ? 5 : prng.pick([...values.slice(0, 3), ...values.slice(-3), prng.pick(values)])
          return value + prng.between(-1, 1)
        }
        for (let round = 0; round < 60; round++) {
          const offset = near(offsets)
          if (core.searchOffsetIndex(offsetIndex, offset) !== floorOf(offsets, offset)) t.fail(`offset ${offset}`)
          const time = near(times)
          if (core.searchTimeIndex(timeIndex, time) !== floorOf(times, time)) t.fail(`time ${time}`)
        }
        t.equal(core.searchOffsetIndex(offsetIndex, -1), -1)
        t.equal(core.searchOffsetIndex(offsetIndex, 2 ** 40), count - 1, 'far behind the end')
        t.equal(core.searchTimeIndex(timeIndex, Number.MAX_SAFE_INTEGER), count - 1)
      })
    }
  }
}

t.test('half an entry is a RangeError', async (t) => {
  const core = loadTestCore()
  t.throws(() => core.searchOffsetIndex(new Uint8Array(12), 0), RangeError)
  t.throws(() => core.searchTimeIndex(new Uint8Array(8), 0), RangeError)
})
