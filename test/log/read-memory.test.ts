// Proves for reads from segments: what a reader is given holds about its own bytes of memory, however little it asks for, and the bytes are right.
// A Fetch is admitted by what it asks for: with pieces of 128 KiB behind 4 KiB each, many partitions held far more than they had been granted.

import t from 'tap'
import { toOffset } from '../../runtime/base/offset.ts'
import { readAll, sealedSegment, textOf } from '../helpers/sim-store.ts'

t.test('small reads of a large segment hold at most twice their bytes', async (t) => {
  const texts = Array.from({ length: 1_500 }, (_, n) => `${n}`.padStart(4, '0').repeat(50))
  const { machine, partition, sizeBytes } = await sealedSegment(1, texts)
  t.ok(sizeBytes > 300_000, `${sizeBytes} bytes`)
  for (const bytesMax of [1, 600, 4_096, 20_000, 200_000]) {
    for (let offset = 0; offset < texts.length; offset += 97) {
      const { batches } = await machine.settle(partition.read(toOffset(offset), { bytesMax }))
      const bytes = batches.reduce((sum, batch) => sum + batch.bytes.byteLength, 0)
      const heldBytes = [...new Set(batches.map((batch) => batch.bytes.buffer))].reduce((sum, { byteLength }) => sum + byteLength, 0)
      if (bytes === 0 || heldBytes > 2 * bytes) t.fail(`${bytesMax} bytes from ${offset}: ${bytes} bytes hold ${heldBytes}`)
    }
  }
  t.same((await machine.settle(readAll(partition))).map(textOf), texts)
})
