// Proves for Core.murmur2: the hashes that Kafka's Java client gives (vectors of kafka's UtilsTest and others), and an oracle's.
import t from 'tap'
import { loadTestCore } from '../helpers/core.ts'
import { oracleMurmur2 } from '../oracle/murmur2.ts'
import { Prng, seeds } from '../sim/prng.ts'

const javaHashes: [string, number, number][] = [
  ['', 275646681, 3],
  ['kafka', -798503068, 4],
  ['21', -973932308, 0],
  ['abc', 479470107, 3],
  ['foobar', -790332482, 0],
  ['sensor-1', 780060301, 1],
  ['giberish123456789', -1890243828, 2],
  ['a-little-bit-longer-string', -1486304829, 5]
]

for (const build of ['debug', 'release'] as const) {
  const core = loadTestCore(build)

  t.test(`${build}: Java's hashes and partitions`, async (t) => {
    for (const [key, hash, partitionOfSix] of javaHashes) {
      t.equal(core.murmur2(Buffer.from(key)), hash, key)
      t.equal(oracleMurmur2(Buffer.from(key)), hash, `${key}, oracle`)
      t.equal((core.murmur2(Buffer.from(key)) & 0x7fffffff) % 6, partitionOfSix, `${key} mod 6`)
    }
  })

  for (const seed of seeds({ count: 2 })) {
    t.test(`${build}: random keys hash as the oracle says (replay with SEED=${seed})`, async (t) => {
      const prng = new Prng(seed)
      for (let length = 0; length < 200; length++) {
        const key = prng.bytes(length)
        if (core.murmur2(key) !== oracleMurmur2(key)) t.fail(Buffer.from(key).toString('hex'))
      }
      t.pass('no difference')
    })
  }
}
