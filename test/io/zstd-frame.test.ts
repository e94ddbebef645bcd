// Proves for isWholeZstd: frames of a real encoder are whole, every proper beginning of them is not, and no bytes make it read outside.

import t from 'tap'
import { createNodeCodec } from '../../runtime/io/node-codec.ts'
import { isWholeZstd } from '../../runtime/io/zstd-frame.ts'
import { Prng, seeds } from '../sim/prng.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

/** The first is what the reference tool (zstd 1.5) writes; the others follow RFC 8878 field by field. */
const frames: Record<string, Buffer> = {
  'of the zstd tool': hex('28b52ffd 04 58 610000 616263616263616263616263 7f077996'),
  'a raw block': hex('28b52ffd 20 03 190000 616263'),
  'an RLE block': hex('28b52ffd 20 64 230300 61'),
  'nothing, with a checksum': hex('28b52ffd 24 00 010000 99e9d851'),
  'two blocks, window instead of size': hex('28b52ffd 00 58 180000 616263 190000 646566'),
  'two frames': hex('28b52ffd 20 03 190000 616263 28b52ffd 20 03 190000 646566'),
  'a skippable frame and a frame': hex('502a4d18 02000000 ffff 28b52ffd 20 03 190000 616263')
}

for (const [what, frame] of Object.entries(frames)) {
  t.test(`${what}: whole, and no beginning of it is`, async (t) => {
    t.ok(isWholeZstd(frame))
    const cuts = Array.from({ length: frame.length }, (_, end) => end).filter((end) => isWholeZstd(frame.subarray(0, end)))
    const boundaries = { 'two frames': [12], 'a skippable frame and a frame': [10] }[what] ?? []
    t.same(cuts, boundaries)
    t.notOk(isWholeZstd(Buffer.concat([frame, Buffer.from([0])])), 'nor with a byte behind it')
  })
}

for (const seed of seeds({ count: 20 })) {
  t.test(`noise is refused without an exception (replay with SEED=${seed})`, async (t) => {
    const prng = new Prng(seed)
    for (let round = 0; round < 200; round++) {
      const bytes = Buffer.concat([hex('28b52ffd'), prng.bytes(prng.below(40))])
      t.type(isWholeZstd(bytes), 'boolean')
    }
  })
}

t.test('what this Node compresses is whole', async (t) => {
  const codec = createNodeCodec()
  if (!codec.available.includes('zstd')) return t.equal(codec.available[0], 'gzip', 'this Node has no zstd')
  for (const length of [0, 1, 1_000, 300_000]) {
    const packed = await codec.compress('zstd', Buffer.alloc(length, 'wadi '))
    t.ok(isWholeZstd(packed), `${length} bytes`)
    t.notOk(isWholeZstd(packed.subarray(0, packed.byteLength - 1)))
  }
})
