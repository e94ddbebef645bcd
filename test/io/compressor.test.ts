// Proves for runtime/io/compressor.ts: contexts that are used again give what new ones give, whatever was compressed before and at once; no more are kept
// than two; one that has failed is not used again.

import { PassThrough, Transform } from 'node:stream'
import { constants, createGzip, gunzipSync } from 'node:zlib'
import t from 'tap'
import { type CompressionStream, Compressor } from '../../runtime/io/compressor.ts'
import { createNodeCodec } from '../../runtime/io/node-codec.ts'
import { Prng } from '../sim/prng.ts'

function block(prng: Prng): Buffer {
  const bytes = prng.chance(10) ? prng.below(600_000) : prng.below(5_000)
  return prng.chance(50) ? Buffer.from(prng.bytes(bytes)) : Buffer.alloc(bytes, `wadi ${prng.below(1_000)}`)
}

t.test('blocks of every size and kind, some at once', async (t) => {
  const codec = createNodeCodec()
  const prng = new Prng(7)
  let wrong = 0
  for (let round = 0; round < 150; round++) {
    for (const name of codec.available) {
      const blocks = Array.from({ length: 1 + prng.below(4) }, () => block(prng))
      const packed = await Promise.all(blocks.map((one) => codec.compress(name, one)))
      for (const [index, one] of blocks.entries()) {
        const read = await codec.decompress(name, packed[index] as Uint8Array, one.length)
        if (!one.equals(read)) wrong++
      }
    }
  }
  t.equal(wrong, 0)
})

t.test('two contexts are kept', async (t) => {
  let made = 0
  const compressor = new Compressor(() => {
    made++
    return createGzip({ flush: constants.Z_FINISH }) as CompressionStream
  })
  for (let round = 0; round < 3; round++) await compressor.compress(Buffer.from('one behind the other'))
  t.equal(made, 1)
  const texts = ['a', 'b', 'c', 'd']
  for (let round = 0; round < 2; round++) {
    const packed = await Promise.all(texts.map((text) => compressor.compress(Buffer.from(text))))
    t.same(
      packed.map((one) => gunzipSync(one).toString()),
      texts
    )
  }
  t.equal(made, 6, 'of four at once two are kept, and two are made the next time')
})

t.test('one that has failed is not used again', async (t) => {
  const streams: (Transform & { reset(): void })[] = []
  const compressor = new Compressor(() => {
    const isFirst = streams.length === 0
    const stream = isFirst ? new Transform({ transform: (_chunk, _encoding, done) => done(new Error('no memory')) }) : new PassThrough()
    streams.push(Object.assign(stream, { reset: () => {} }))
    return streams.at(-1) as unknown as CompressionStream
  })
  await t.rejects(compressor.compress(Buffer.from('x')), /no memory/)
  t.equal(Buffer.from(await compressor.compress(Buffer.from('y'))).toString(), 'y')
  t.equal(streams.length, 2)
})
