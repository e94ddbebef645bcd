// Proves for lz4Compress and lz4Decompress: frames are framed as Kafka's Java client demands, an independent decoder reads
// them, everything comes back, and no malformed frame is accepted, traps, or writes outside its region.
import { compressionsAlgorithms } from '@platformatic/kafka'
import t from 'tap'
import { loadTestCore } from '../helpers/core.ts'
import { oracleLz4Decode } from '../oracle/lz4.ts'
import { oracleXxh32 } from '../oracle/xxh32.ts'
import { Prng, seeds } from '../sim/prng.ts'

const header = Buffer.from('04224d18604082', 'hex') // magic, FLG 0x60, BD 0x40, second byte of xxh32(60 40)
const hex = (value: string) => Buffer.from(value.replaceAll(' ', ''), 'hex')

const text = Buffer.from('Nobody inspects the spammish repetition')

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/** A frame with everything optional that we read: content size, block checksum, content checksum. The block is raw. */
function fullFrame(content: Buffer): Buffer {
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(content.length))
  const descriptor = Buffer.concat([hex('7c40'), size])
  const headerChecksum = Buffer.from([(oracleXxh32(descriptor) >>> 8) & 0xff])
  const block = Buffer.concat([uint32(content.length + 2 ** 31), content, uint32(oracleXxh32(content))])
  return Buffer.concat([header.subarray(0, 4), descriptor, headerChecksum, block, uint32(0), uint32(oracleXxh32(content))])
}

/** Runs and noise and repetitions in turn: every kind of sequence. */
function compressible(prng: Prng, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; ) {
    const run = Math.min(length - at, 1 + prng.below(prng.pick([4, 20, 300, 5000])))
    const kind = prng.below(3)
    if (kind === 0) bytes.set(prng.bytes(run), at)
    else if (kind === 1 || at === 0) bytes.fill(prng.below(256), at, at + run)
    else {
      const distance = 1 + prng.below(Math.min(at, 70_000))
      for (let i = 0; i < run; i++) bytes[at + i] = bytes[at + i - distance] as number
    }
    at += run
  }
  return bytes
}

for (const build of ['debug', 'release'] as const) {
  const core = loadTestCore(build)

  t.test(`${build}: known frames`, async (t) => {
    t.same(core.lz4Compress(new Uint8Array(0)), new Uint8Array(Buffer.concat([header, hex('00000000')])), 'empty')
    const short = hex('04000080 61626364 00000000')
    t.same(core.lz4Compress(Buffer.from('abcd')), new Uint8Array(Buffer.concat([header, short])), 'too short to shrink: stored raw')
    t.same(Buffer.from(core.lz4Decompress(Buffer.concat([header, short]), 100)), Buffer.from('abcd'))
    const repeated = hex('0b000000 1f61 0100 00 50 6161616161 00000000') // a, then 15 + 4 of it, then five literals
    const wrongSize = hex('0a000000 1f61 0100 00 50 6161616161 00000000')
    t.same(Buffer.from(core.lz4Decompress(Buffer.concat([header, repeated]), 25)), Buffer.from('a'.repeat(25)), 'a match over itself')
    t.throws(() => core.lz4Decompress(Buffer.concat([header, wrongSize]), 25), RangeError)
  })

  t.test(`${build}: optional parts of the frame are read and checked`, async (t) => {
    const whole = fullFrame(text)
    t.same(Buffer.from(core.lz4Decompress(whole, 100)), text, 'content size, block checksum and content checksum')
    for (let at = 0; at < whole.length; at++) {
      const flipped = Buffer.from(whole)
      flipped[at] = (flipped[at] as number) ^ 1
      if (accepts(() => core.lz4Decompress(flipped, 100))) t.fail(`byte ${at} may be damaged`)
    }
    t.notOk(
      accepts(() => core.lz4Decompress(Buffer.concat([whole, Buffer.from([0])]), 100)),
      'nothing may follow'
    )
    // linked blocks (FLG 0x40, checksum c0): the second reaches into the first
    const linked = hex('04224d18 4040 c0 08000080 3132333435363738 0a000000 00 0800 6031323334 3536 00 00000000')
    t.throws(() => core.lz4Decompress(linked, 100), RangeError, 'and is refused when it is nonsense')
    const linkedGood = hex('04224d18 4040 c0 08000080 3132333435363738 09000000 00 0800 50 6162636465 00000000')
    t.equal(Buffer.from(core.lz4Decompress(linkedGood, 100)).toString(), '123456781234abcde')
    const notLinked = hex('04224d18 6040 82 08000080 3132333435363738 09000000 00 0800 50 6162636465 00000000')
    t.throws(() => core.lz4Decompress(notLinked, 100), RangeError, 'independent blocks must not reach back')
  })

  for (const seed of seeds({ count: 8 })) {
    t.test(`${build}: everything comes back, and the oracle reads it (replay with SEED=${seed})`, async (t) => {
      const prng = new Prng(seed)
      for (const length of [prng.below(40), prng.below(1000), 65_535, 65_536, 65_537, prng.below(300_000)]) {
        const bytes = compressible(prng, length)
        const frame = core.lz4Compress(bytes)
        t.same(frame.subarray(0, 7), new Uint8Array(header))
        t.ok(Buffer.from(core.lz4Decompress(frame, length)).equals(bytes), `${length} bytes`)
        t.ok(Buffer.from(oracleLz4Decode(frame)).equals(bytes), 'oracle')
        if (length > 0) t.throws(() => core.lz4Decompress(frame, length - 1), RangeError, 'one byte less room')
      }
    })

    t.test(`${build}: no malformed frame traps or writes elsewhere (replay with SEED=${seed})`, async (t) => {
      const prng = new Prng(seed)
      const bytes = compressible(prng, 3000)
      const frame = core.lz4Compress(bytes)
      core.commit.begin() // neighbours of the output region: both must stay as they are
      core.commit.addState(Buffer.from('k'), prng.bytes(60_000))
      const pinned = core.commit.finish({ generation: 1, sequence: 1 })
      const before = Buffer.from(pinned)
      for (let length = 0; length < frame.length; length++) {
        const cut = frame.subarray(0, length)
        if (accepts(() => core.lz4Decompress(cut, core.batchBytesMax))) t.fail(`${length} bytes of ${frame.length} pass`)
      }
      for (let round = 0; round < 1500; round++) {
        const damaged = frame.slice()
        for (let i = prng.between(1, 5); i > 0; i--)
          damaged[prng.below(frame.length)] = prng.pick([0, 1, 0x0f, 0xf0, 0xff, prng.below(256)])
        const bytesMax = prng.pick([0, 10, 3000, core.batchBytesMax])
        try {
          if (core.lz4Decompress(damaged, bytesMax).length > bytesMax) t.fail('more than bytesMax')
        } catch (error) {
          if (!(error instanceof RangeError)) t.fail(String(error))
        }
      }
      t.ok(before.equals(pinned))
      core.commit.release()
    })
  }
}

t.test('the checksum oracle has known answers', async (t) => {
  t.equal(oracleXxh32(new Uint8Array(0)), 0x02cc5d05)
  t.equal(oracleXxh32(Buffer.from('abc')), 0x32d153ff)
  t.equal(oracleXxh32(text), 0xe2293b2f)
})

const core = loadTestCore()

t.test('another implementation reads our frames and we read its', async (t) => {
  const prng = new Prng(11)
  for (const length of [1, 100, 70_000, 200_000]) {
    const bytes = Buffer.from(compressible(prng, length))
    t.ok(
      Buffer.from(compressionsAlgorithms.lz4.decompressSync(Buffer.from(core.lz4Compress(bytes)))).equals(bytes),
      `theirs reads ${length}`
    )
    t.ok(Buffer.from(core.lz4Decompress(compressionsAlgorithms.lz4.compressSync(bytes), length)).equals(bytes), `ours reads ${length}`)
  }
})

t.test('the largest block passes even when it is noise', async (t) => {
  const noise = new Prng(1).bytes(core.batchBytesMax)
  t.ok(Buffer.from(core.lz4Decompress(core.lz4Compress(noise), core.batchBytesMax)).equals(noise))
  t.throws(() => core.lz4Compress(new Uint8Array(core.batchBytesMax + 1)), RangeError)
  t.throws(() => core.lz4Decompress(new Uint8Array(core.batchBytesMax * 2), 10), RangeError)
})

t.test('a block that holds more than its frame allows is malformed', async (t) => {
  // one literal, a match of 19 + 255 n + rest, five literals
  const frameOf = (bytes: number) => {
    const extra = bytes - 1 - 5 - 19
    const lengths = [...Array(Math.floor(extra / 255)).fill(255), extra % 255]
    const block = Buffer.from([0x1f, 0x61, 1, 0, ...lengths, 0x50, 0x61, 0x61, 0x61, 0x61, 0x61])
    return Buffer.concat([header, uint32(block.length), block, uint32(0)])
  }
  t.equal(core.lz4Decompress(frameOf(65_536), 100_000).length, 65_536)
  t.throws(() => core.lz4Decompress(frameOf(65_537), 100_000), RangeError)
})

t.test('a bomb ends at bytesMax', async (t) => {
  const zeros = core.lz4Compress(new Uint8Array(core.batchBytesMax))
  t.ok(zeros.length < 20_000)
  t.throws(() => core.lz4Decompress(zeros, 1_000_000), RangeError)
})

function accepts(call: () => unknown): boolean {
  try {
    call()
    return true
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return false
  }
}
