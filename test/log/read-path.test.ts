// Proves for reads of segments: a reader who goes on asks the device once for what he wants, needs no index for it, and has it in one piece of
// memory; wherever he begins, and whatever others read meanwhile, it is what was stored.

import t from 'tap'
import { toOffset } from '../../runtime/base/offset.ts'
import { ReadPlaces } from '../../runtime/log/read-places.ts'
import { readAll, sealedSegment, textOf } from '../helpers/sim-store.ts'
import { Prng } from '../sim/prng.ts'

const texts = Array.from({ length: 6_000 }, (_, n) => `${n}`.padStart(4, '0').repeat(50))

t.test('one read of the device, no index, one piece', async (t) => {
  const { machine, partition } = await sealedSegment(1, texts)
  const asked: string[] = []
  const open = machine.disk.open.bind(machine.disk)
  machine.disk.open = async (path, mode) => {
    const file = await open(path, mode)
    const kind = path.slice(path.lastIndexOf('.') + 1)
    asked.push(`open ${kind}`)
    const readAt = file.readAt.bind(file)
    file.readAt = (positionBytes, into) => {
      asked.push(`read ${kind}`)
      return readAt(positionBytes, into)
    }
    return file
  }
  let offset = toOffset(0)
  for (let round = 0; round < 3; round++) {
    asked.length = 0
    const { batches, nextOffset } = await machine.settle(partition.read(offset, { bytesMax: 300_000 }))
    if (round > 0)
      t.same(
        asked.filter((one) => !one.startsWith('open')),
        ['read log'],
        `round ${round}`
      )
    t.notOk(round > 0 && asked.some((one) => one.includes('index')), 'no index')
    t.equal(new Set(batches.map(({ bytes }) => bytes.buffer)).size, 1, 'one piece of memory')
    t.ok(
      batches.every(({ bytes }, at) => at === 0 || endOf(batches[at - 1]?.bytes) === bytes.byteOffset),
      'one behind the other'
    )
    const bytes = batches.reduce((sum, one) => sum + one.bytes.byteLength, 0)
    t.ok(bytes > 200_000 && bytes <= 300_000, `${bytes} bytes`)
    offset = nextOffset
  }
})

t.test('readers that cross each other, of any size and place', async (t) => {
  const { machine, partition } = await sealedSegment(2, texts)
  const prng = new Prng(3)
  const readers = Array.from({ length: 40 }, () => prng.between(0, texts.length - 1))
  for (let step = 0; step < 400; step++) {
    const at = prng.between(0, readers.length - 1)
    const offset = readers[at] as number
    const { batches, nextOffset } = await machine.settle(partition.read(toOffset(offset), { bytesMax: prng.between(1, 400_000) }))
    const first = batches[0]?.header
    if (!first || first.baseOffset > offset || first.lastOffset < offset) t.fail(`from ${offset}: ${first?.baseOffset}`)
    readers[at] = nextOffset >= texts.length ? prng.between(0, texts.length - 1) : nextOffset
  }
  t.same((await machine.settle(readAll(partition))).map(textOf), texts)
})

t.test('so many places are kept, the oldest goes', (t) => {
  const places = new ReadPlaces()
  for (let offset = 0; offset < 20; offset++) places.note(offset, offset * 10)
  t.same([places.find(3), places.find(4), places.find(19), places.find(20)], [null, 40, 190, null])
  t.end()
})

function endOf(bytes: Uint8Array | undefined): number {
  return (bytes?.byteOffset ?? 0) + (bytes?.byteLength ?? 0)
}
