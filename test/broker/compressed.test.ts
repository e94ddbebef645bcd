// Proves for compressed batches of clients: what is acknowledged can be opened and holds the records its header claims, in every codec; what
// cannot is refused by name, within bounds; and looking inside changes nothing about the order.

import t from 'tap'
import { LAST_OFFSET_DELTA_AT, RECORD_COUNT_AT, RECORDS_AT, viewOf } from '../../runtime/core/batch-header.ts'
import type { Core } from '../../runtime/core/core.ts'
import { readBatchRecords } from '../../runtime/log/batch-codec.ts'
import { CLIENT_CODECS, snappyRaw, withCodec } from '../helpers/compressors.ts'
import { Prng } from '../sim/prng.ts'
import { simCodec } from '../sim/sim-codec.ts'
import { Rig } from './rig.ts'

const COMPRESSED = CLIENT_CODECS.filter((codec) => codec !== 'none')
const producer = { producerId: 5n, producerEpoch: 0 }

async function stored(rig: Rig): Promise<string[]> {
  const { batches } = await rig.fetch('a')
  const records = await Promise.all(batches.map((batch) => readBatchRecords(rig.core, simCodec, batch)))
  return records.flatMap((list) => list ?? []).map(({ value }) => new TextDecoder().decode(value ?? new Uint8Array(0)))
}

/** A batch whose header says `count` records, whatever is inside. */
function claiming(core: Core, plain: Uint8Array, count: number): Uint8Array {
  const batch = plain.slice()
  viewOf(batch).setInt32(RECORD_COUNT_AT, count)
  viewOf(batch).setInt32(LAST_OFFSET_DELTA_AT, count - 1)
  return withCodec(core, batch, 'none')
}

for (const codec of COMPRESSED) {
  t.test(`${codec}: what is right is taken as it came`, async (t) => {
    const rig = new Rig()
    await rig.topic('a')
    const batch = withCodec(rig.core, rig.batch(['x', 'y'.repeat(3_000)]), codec)
    t.match(await rig.append('a', batch), { fault: 'NONE', baseOffset: 0 })
    t.same(await stored(rig), ['x', 'y'.repeat(3_000)])
    t.same(Buffer.from((await rig.fetch('a')).batches[0] ?? []), Buffer.from(batch))
  })

  t.test(`${codec}: nonsense in a right checksum is CORRUPT_MESSAGE, records that do not fit the header INVALID_RECORD`, async (t) => {
    const rig = new Rig()
    await rig.topic('a')
    const plain = rig.batch(['x', 'y'])
    const whole = withCodec(rig.core, plain, codec).subarray(RECORDS_AT)
    for (const [what, block] of [
      ['nothing', new Uint8Array(0)],
      ['noise', new Prng(7).bytes(60)],
      ['cut', whole.subarray(0, whole.byteLength - 1)]
    ] as const) {
      t.match(await rig.append('a', withCodec(rig.core, plain, codec, block)), { fault: 'CORRUPT_MESSAGE', baseOffset: -1 }, what)
    }
    for (const [what, count] of [
      ['fewer than claimed', 3],
      ['more than claimed', 1]
    ] as const) {
      const batch = withCodec(rig.core, claiming(rig.core, plain, count), codec)
      t.match(await rig.append('a', batch), { fault: 'INVALID_RECORD', baseOffset: -1 }, what)
    }
    t.same(await stored(rig), [])
  })
}

t.test('a small block that becomes very large is refused, whatever it claims', async (t) => {
  const rig = new Rig({ batchBytesMax: 8_000_000 })
  await rig.topic('a')
  const plain = rig.batch(['x'])
  const announced = Uint8Array.from([0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0x61])
  t.match(await rig.append('a', withCodec(rig.core, plain, 'snappy', announced)), { fault: 'MESSAGE_TOO_LARGE' })
  // 2 MiB of zeros in 100 KiB: within what we hold, and within the ratio.
  const zeros = snappyRaw(new Uint8Array(2 * 2 ** 20))
  t.match(
    await rig.append('a', withCodec(rig.core, plain, 'snappy', zeros)),
    { fault: 'INVALID_RECORD' },
    'opened, and then its records are wrong'
  )
  const zstdBomb = Buffer.concat(Array.from({ length: 4 }, () => Buffer.from('KLUv/aDgkwQAVAAAEHh4AQD7/znAAgIAEHgDnwR4', 'base64')))
  t.match(
    await rig.append('a', withCodec(rig.core, plain, 'zstd', zstdBomb)),
    { fault: 'CORRUPT_MESSAGE' },
    '1.2 MB of 120 bytes: ratio 10,000'
  )
})

t.test('batches of one producer keep their order while one of them is being opened', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const first = withCodec(rig.core, rig.batch(['1', '2'], { ...producer, baseSequence: 0 }), 'gzip')
  const second = rig.batch(['3'], { ...producer, baseSequence: 2 })
  const third = withCodec(rig.core, rig.batch(['4'], { ...producer, baseSequence: 3 }), 'zstd')
  const outcomes = await Promise.all([rig.append('a', first), rig.append('a', second), rig.append('a', third), rig.append('a', first)])
  t.same(
    outcomes.map(({ fault, baseOffset }) => [fault, baseOffset]),
    [
      ['NONE', 0],
      ['NONE', 2],
      ['NONE', 3],
      ['NONE', 0]
    ]
  )
  t.same(await stored(rig), ['1', '2', '3', '4'])
})

t.test('so do batches of several clients for one partition, in the order of the calls', async (t) => {
  const rig = new Rig()
  await rig.topic('a')
  const sent = Array.from({ length: 12 }, (_, index) => `${index}`)
  await Promise.all(
    sent.map((value, index) => rig.append('a', withCodec(rig.core, rig.batch([value]), CLIENT_CODECS[index % 6] ?? 'none')))
  )
  t.same(await stored(rig), sent)
})
