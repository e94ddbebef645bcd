// Proves for runtime/uplink/opened-remainders.ts: all that is kept is counted, the stored bytes too; what is too much is given back, the oldest first.

import t from 'tap'
import type { OpenedBatch } from '../../runtime/core/record.ts'
import { compressBatch, openBatch } from '../../runtime/log/batch-codec.ts'
import { OpenedRemainders } from '../../runtime/uplink/opened-remainders.ts'
import { loadTestCore } from '../helpers/core.ts'
import { event } from '../helpers/sim-store.ts'
import { simCodec } from '../sim/sim-codec.ts'

const MIB = 1024 * 1024

t.test('opened batches and their stored bytes together stay below 4 MiB', async (t) => {
  const core = loadTestCore()
  const batch = core.buildBatch([event('x'.repeat(100_000))], { baseOffset: 0 })
  const packed = await compressBatch(core, simCodec, batch, 'gzip')
  const opened = await openBatch(core, simCodec, packed)
  const stored = new Uint8Array(MIB)
  stored.set(packed)
  const givenBack: unknown[] = []
  const codec = { ...simCodec, release: (block: Uint8Array) => void givenBack.push(block) }
  const remainders = new OpenedRemainders(codec)
  const openedOf = (): OpenedBatch => ({ ...opened, records: new Uint8Array(MIB) })
  for (const key of ['a', 'b']) remainders.keep(key, [{ opened: openedOf(), stored }])
  t.equal(givenBack.length, 0, 'two of 2 MiB each')
  remainders.keep('c', [{ opened: openedOf(), stored }])
  t.equal(givenBack.length, 1, 'the third takes the place of the oldest')
  t.equal(remainders.take('a', 0).length, 0)
  t.equal(remainders.take('b', 0).length, 1)
  remainders.keep('d', [{ opened: openedOf(), stored }])
  t.equal(givenBack.length, 1, 'what was taken left room')
})
