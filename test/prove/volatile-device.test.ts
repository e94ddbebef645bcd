// Proves for the device of `npm run prove -- power`: what a flush has not followed can be lost, in each of the ways, and nothing else can.

import t from 'tap'
import { Prng } from '../sim/prng.ts'
import { SECTOR_BYTES, VolatileDevice } from './power/volatile-device.ts'

const BLOCK = 4096
const block = (fill: number): Buffer => Buffer.alloc(BLOCK, fill)

/** The first byte of each sector of `count` blocks. */
function sectors(device: VolatileDevice, mode: 'all-lost' | 'prefix' | 'random' | 'torn', prng: Prng, count: number): number[] {
  const image = device.survivors(mode, prng)
  return Array.from({ length: (count * BLOCK) / SECTOR_BYTES }, (_, index) => image.read(index * SECTOR_BYTES, 1)[0] as number)
}

t.test('a read sees what was written, flushed or not, over the edges of its memory', async (t) => {
  const device = new VolatileDevice(1 << 20)
  device.write(60_000, Buffer.alloc(10_000, 7), false)
  t.same(device.read(59_999, 10_002), Buffer.concat([Buffer.of(0), Buffer.alloc(10_000, 7), Buffer.of(0)]))
})

t.test('what a flush has followed survives, what it has not is lost, in the mode where all is lost', async (t) => {
  const device = new VolatileDevice(1 << 20)
  device.write(0, block(1), false)
  device.flush()
  device.write(0, block(2), false)
  device.write(BLOCK, block(3), false)
  t.same(new Set(sectors(device, 'all-lost', new Prng(1), 1)), new Set([1]))
  t.same(new Set(sectors(device, 'all-lost', new Prng(1), 2).slice(8)), new Set([0]))
  t.equal(device.volatileBytes, 2 * BLOCK)
  t.equal(device.read(0, 1)[0], 2, 'the device itself goes on')
  device.flush()
  t.same(new Set(sectors(device, 'all-lost', new Prng(1), 2)), new Set([2, 3]))
  t.equal(device.volatileBytes, 0)
})

t.test('a write with FUA survives by itself, and no older write comes back over it', async (t) => {
  const device = new VolatileDevice(1 << 20)
  device.write(0, Buffer.alloc(3 * BLOCK, 1), false)
  device.write(BLOCK, block(2), true)
  for (let seed = 1; seed <= 50; seed++) {
    for (const mode of ['all-lost', 'prefix', 'random', 'torn'] as const) {
      t.same(sectors(device, mode, new Prng(seed), 2).slice(8), Array(8).fill(2))
    }
  }
  device.flush()
  t.equal(device.read(BLOCK, 1)[0], 2)
  t.same(new Set(sectors(device, 'all-lost', new Prng(1), 3)), new Set([1, 2]))
})

t.test('prefix keeps the first writes, random any of them, torn any of their sectors', async (t) => {
  const device = new VolatileDevice(1 << 20)
  for (let index = 0; index < 6; index++) device.write(index * BLOCK, block(index + 1), false)
  const seen = { prefix: new Set<string>(), random: new Set<string>(), torn: new Set<string>() }
  for (let seed = 1; seed <= 200; seed++) {
    for (const mode of ['prefix', 'random', 'torn'] as const) {
      const left = sectors(device, mode, new Prng(seed), 6)
      const whole = Array.from({ length: 6 }, (_, index) => left.slice(index * 8, index * 8 + 8))
      for (const [index, part] of whole.entries()) t.ok(part.every((byte) => byte === 0 || byte === index + 1))
      if (mode !== 'torn')
        t.ok(
          whole.every((part) => new Set(part).size === 1),
          'whole writes'
        )
      if (mode === 'prefix')
        t.equal(
          whole
            .map((part) => (part[0] === 0 ? 0 : 1))
            .join('')
            .lastIndexOf('01'),
          -1,
          'no gap'
        )
      seen[mode].add(left.join())
    }
  }
  t.equal(seen.prefix.size, 7, 'every length of a prefix')
  t.ok(seen.random.size > 20)
  t.ok(seen.torn.size > 100)
})
