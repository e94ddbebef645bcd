// Proves for the real codec: what was compressed comes back, and whatever is wrong with a block is a RangeError, so that no damaged or hostile
// block ends the process.

import { gzipSync } from 'node:zlib'
import t from 'tap'
import { createNodeCodec } from '../../runtime/io/node-codec.ts'
import { snappyFramed, snappyRaw, zstdStored } from '../helpers/compressors.ts'

const codec = createNodeCodec()
const block = Buffer.from('{"celsius":21.5,"device":"dev-7"}'.repeat(500))

for (const name of codec.available) {
  t.test(`${name}: there and back, and nothing larger than allowed`, async (t) => {
    const packed = await codec.compress(name, block)
    t.ok(packed.byteLength < block.byteLength / 5)
    t.same(Buffer.from(await codec.decompress(name, packed, block.byteLength)), block)
    await t.rejects(codec.decompress(name, packed, block.byteLength - 1), RangeError, 'an output above the limit')
  })

  t.test(`${name}: a block that is not one`, async (t) => {
    const packed = await codec.compress(name, block)
    const flipped = Buffer.from(packed)
    flipped[2] = (flipped[2] ?? 0) ^ 0xff
    for (const [what, bytes] of [
      ['nothing', Buffer.alloc(0)],
      ['noise', Buffer.from('not compressed at all')],
      ['cut short', packed.subarray(0, packed.byteLength - 9)],
      ['another header', flipped]
    ] as const) {
      await t.rejects(codec.decompress(name, bytes, block.byteLength), RangeError, what)
    }
  })
}

t.test('zstd and snappy of clients are read on every Node, whatever it can write', async (t) => {
  for (const [name, packed] of [
    ['zstd', zstdStored(block)],
    ['snappy', snappyRaw(block)],
    ['snappy', snappyFramed(block)]
  ] as const) {
    t.same(Buffer.from(await codec.decompress(name, packed, block.byteLength)), block)
    await t.rejects(codec.decompress(name, packed, block.byteLength - 1), RangeError, 'an output above the limit')
    await t.rejects(codec.decompress(name, packed.subarray(0, packed.byteLength - 9), block.byteLength), RangeError, 'cut short')
  }
  if (codec.available.includes('zstd')) return t.ok(await codec.compress('zstd', block))
  await t.rejects(codec.compress('zstd', block), /Node 22\.15/)
})

t.test('a large snappy block leaves room for other work while it is read', async (t) => {
  const large = Buffer.alloc(1_000_000, '{"celsius":21.5}')
  let turns = 0
  const count = (): void => {
    turns++
    timer = setImmediate(count)
  }
  let timer = setImmediate(count)
  t.same(Buffer.compare(await codec.decompress('snappy', snappyRaw(large), large.byteLength), large), 0)
  clearImmediate(timer)
  t.ok(turns >= 10, `${turns} turns of the loop`)
})

t.test('what is released is given back at once, and never what others share, however large the pool of Node is', async (t) => {
  const poolSize = Buffer.poolSize
  t.teardown(() => {
    Buffer.poolSize = poolSize
  })
  Buffer.poolSize = 256 * 1024
  Buffer.from('a pool of that size')
  const small = await codec.decompress('gzip', gzipSync(Buffer.alloc(70_000, 's')), 1_000_000)
  const neighbour = Buffer.from('neighbour')
  codec.release(small)
  codec.release(neighbour)
  codec.release(Buffer.allocUnsafe(100_000))
  t.equal(neighbour.toString(), 'neighbour')
  const large = await codec.decompress('gzip', gzipSync(Buffer.alloc(600_000, 'l')), 1_000_000)
  codec.release(large)
  t.equal(large.byteLength, 0)
  codec.release(large)
})
