// Proves for Core.crc32c: the answers of RFC 3720, of a native implementation and of a bit-by-bit oracle, at every
// length around the borders of its methods (tables, one fold level, two, copying in pieces), however the bytes are split.
import { crc32c as nativeCrc32c } from '@node-rs/crc32'
import t from 'tap'
import { loadTestCore, readCoreWasm } from '../helpers/core.ts'
import { oracleCrc32c } from '../oracle/crc32c.ts'
import { Prng, seeds } from '../sim/prng.ts'

const ascending = Uint8Array.from({ length: 32 }, (_, i) => i)
const iscsiRead = Buffer.from(
  '01c00000000000000000000000000000140000000000040000000014000000182800000000000000' + '0200000000000000',
  'hex'
)
const vectors: [string, Uint8Array, number][] = [
  ['nothing', new Uint8Array(0), 0],
  ['the digits 1 to 9', Buffer.from('123456789'), 0xe3069283],
  ['32 zeros (RFC 3720 B.4)', new Uint8Array(32), 0x8a9136aa],
  ['32 ones (RFC 3720 B.4)', new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ['32 ascending (RFC 3720 B.4)', ascending, 0x46dd794e],
  ['32 descending (RFC 3720 B.4)', ascending.toReversed(), 0x113fdb5c],
  ['an iSCSI read command (RFC 3720 B.4)', iscsiRead, 0xd9963a56]
]

for (const build of ['debug', 'release'] as const) {
  const core = loadTestCore(build)

  t.test(`${build}: known answers`, async (t) => {
    for (const [name, bytes, crc] of vectors) {
      t.equal(core.crc32c(bytes), crc, name)
      t.equal(oracleCrc32c(bytes), crc, `${name}, oracle`)
    }
  })

  t.test(`${build}: every split of 80 bytes gives the same`, async (t) => {
    const bytes = new Prng(80).bytes(80)
    const whole = oracleCrc32c(bytes)
    for (let cut = 0; cut <= 80; cut++) {
      t.equal(core.crc32c(bytes.subarray(cut), core.crc32c(bytes.subarray(0, cut))), whole, `cut at ${cut}`)
    }
  })

  t.test(`${build}: every length around the borders of the methods`, async (t) => {
    const bytes = new Prng(7).bytes(300_000)
    const borders = [0, 1264, 1800, 3344, 12_288, 12_288 + 768 * 16, 262_144]
    for (const border of borders) {
      for (let length = Math.max(0, border - 33); length <= border + 33; length++) {
        const part = bytes.subarray(3, 3 + length)
        if (core.crc32c(part) !== nativeCrc32c(part)) t.fail(`length ${length}`)
      }
    }
    t.pass('no difference')
  })

  for (const seed of seeds({ count: 3 })) {
    t.test(`${build}: random lengths to 200 KB with a random beginning (replay with SEED=${seed})`, async (t) => {
      const prng = new Prng(seed)
      const bytes = prng.bytes(200_100)
      for (let round = 0; round < 150; round++) {
        const from = prng.below(100)
        const part = bytes.subarray(from, from + prng.below(prng.pick([100, 5_000, 30_000, 200_000])))
        const previous = prng.uint32()
        if (core.crc32c(part, previous) !== nativeCrc32c(part, previous)) t.fail(`${part.length} bytes from ${from} after ${previous}`)
      }
      const small = bytes.subarray(0, 2_500)
      t.equal(core.crc32c(small, 5), oracleCrc32c(small, 5), 'and the oracle agrees')
    })
  }
}

t.test('a megabyte is copied in pieces and not changed', async (t) => {
  const core = loadTestCore()
  const bytes = new Prng(1).bytes((1 << 20) + 17)
  const before = Buffer.from(bytes)
  t.equal(core.crc32c(bytes), nativeCrc32c(bytes))
  t.ok(before.equals(bytes))
})

t.test('the module needs no imports and cannot grow', async (t) => {
  for (const build of ['debug', 'release'] as const) {
    const { Module, Instance } = (globalThis as unknown as { WebAssembly: WasmApi }).WebAssembly
    const module = new Module(readCoreWasm(build))
    t.same(Module.imports(module), [], build)
    const { memory } = new Instance(module, {}).exports
    t.throws(() => memory.grow(1), `${build}: initial memory is the maximum`)
  }
})

interface WasmApi {
  Module: { new (bytes: Uint8Array): object; imports(module: object): unknown[] }
  Instance: new (module: object, imports: object) => { exports: { memory: { grow(pages: number): number } } }
}
