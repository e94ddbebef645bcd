// Proves for the reader of snappy: what clients compressed comes back whichever way it was framed and sliced, and no block, however broken
// or hostile, makes more than it may, reads outside itself, or ends in anything but a RangeError.

import t from 'tap'
import { readSnappy, SnappyReader } from '../../runtime/io/snappy.ts'
import { snappyFramed, snappyRaw } from '../helpers/compressors.ts'
import { Prng } from '../sim/prng.ts'

/** Random, and repeating itself at all distances. */
function someBytes(prng: Prng, size: number): Uint8Array {
  const bytes = new Uint8Array(size)
  for (let at = 0; at < size; ) {
    const length = Math.min(size - at, prng.between(1, 200))
    if (at > 0 && prng.chance(60)) {
      const from = prng.below(at)
      for (let index = 0; index < length; index++) bytes[at + index] = bytes[from + index] as number
    } else bytes.set(prng.bytes(length), at)
    at += length
  }
  return bytes
}

t.test('there and back: raw and framed, in one piece and in slices of any size', async (t) => {
  for (let seed = 1; seed <= 60; seed++) {
    const prng = new Prng(seed)
    const plain = someBytes(prng, prng.pick([0, 1, 3, 60, 61, 257, 5_000, 90_000]))
    for (const block of [snappyRaw(plain), snappyFramed(plain, prng.between(1, 40_000))]) {
      t.same(Buffer.compare(readSnappy(block, plain.byteLength), plain), 0, `seed ${seed}`)
      const reader = new SnappyReader(block, plain.byteLength)
      const sliceBytes = prng.between(1, 5_000)
      let slices = 1
      while (reader.advance(sliceBytes)) slices++
      t.same(Buffer.compare(reader.output, plain), 0, `seed ${seed} in ${slices} slices`)
      t.ok(slices <= plain.byteLength / sliceBytes + 1)
    }
  }
})

t.test('joined frames, and the examples of the format description', async (t) => {
  const twice = Buffer.concat([snappyFramed(Buffer.from('one')), snappyFramed(Buffer.from('two'))])
  t.equal(Buffer.from(readSnappy(twice, 6)).toString(), 'onetwo')
  t.equal(Buffer.from(readSnappy(Uint8Array.from([9, 2 << 2, 0x61, 0x62, 0x63, (5 << 2) | 2, 3, 0]), 9)).toString(), 'abcabcabc')
})

t.test('what is larger than allowed is refused before it is made', async (t) => {
  t.throws(() => readSnappy(snappyRaw(new Uint8Array(101)), 100), RangeError)
  t.throws(() => readSnappy(Uint8Array.from([0xff, 0xff, 0xff, 0xff, 0x0f]), 4 * 2 ** 20), /announces 4294967295 bytes/)
  t.throws(() => readSnappy(Uint8Array.from([4, 0, 0x61]), 100), /ends before what it announces/)
  t.throws(() => readSnappy(Uint8Array.from([4, 0, 0x61, 5, 0]), 100), /reaches behind the beginning/)
  t.throws(() => readSnappy(Uint8Array.from([4, 0, 0x61, 5, 2]), 100), /reaches behind the beginning/)
})

t.test('any changed or cut block is read as something of the announced size, or is a RangeError', async (t) => {
  let refused = 0
  for (let seed = 1; seed <= 400; seed++) {
    const prng = new Prng(seed)
    const plain = someBytes(prng, 700)
    const block = Buffer.from(prng.chance(50) ? snappyRaw(plain) : snappyFramed(plain, 100))
    for (let flips = prng.between(1, 4); flips > 0; flips--) block[prng.below(block.byteLength)] = prng.below(256)
    const cut = prng.chance(50) ? block : block.subarray(0, prng.below(block.byteLength))
    try {
      t.ok(readSnappy(cut, 1_000).byteLength <= 1_000)
    } catch (error) {
      t.ok(error instanceof RangeError, String(error))
      refused++
    }
  }
  t.ok(refused > 100, `${refused} were refused`)
})
