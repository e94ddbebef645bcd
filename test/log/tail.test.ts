// Proves for runtime/log/tail.ts: it gives back what was put in, from any offset, whatever was dropped meanwhile, and whoever uses the
// memory of what was dropped; what readers were given stays whole; it counts the bytes it carries and the memory that takes.
// How: random batches, gaps and drops against a plain array.

import t from 'tap'
import { toOffset } from '../../runtime/base/offset.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import { Tail, TailTotals } from '../../runtime/log/tail.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, SimMachine } from '../helpers/sim-store.ts'
import { Prng } from '../sim/prng.ts'

interface Entry {
  readonly batch: Uint8Array
  readonly baseOffset: number
  readonly lastOffset: number
  readonly sequence: number
}

const core = loadTestCore()

function batchAt(baseOffset: number, valueBytes: number, count: number): Uint8Array {
  const records = Array.from({ length: count }, () => ({
    timestampMs: 1,
    key: null,
    value: new Uint8Array(valueBytes).fill(7),
    headers: []
  }))
  return core.buildBatch(records, { baseOffset }).slice()
}

t.test('a tail gives what an array of batches would give', async (t) => {
  const seed = Number(process.env.SEED ?? 11)
  t.comment(`SEED=${seed}`)
  const prng = new Prng(seed)
  const totals = new TailTotals()
  const tail = new Tail(totals)
  const other = new Tail(totals)
  let model: Entry[] = []
  let nextOffset = 0
  for (let round = 0; round < 400; round++) {
    for (let i = prng.below(60); i > 0; i--) {
      nextOffset += prng.below(3)
      const count = 1 + prng.below(3)
      const batch = batchAt(nextOffset, prng.below(50) === 0 ? 30_000 + prng.below(60_000) : prng.below(200), count)
      const entry = { batch, baseOffset: nextOffset, lastOffset: nextOffset + count - 1, sequence: round }
      tail.push(batch, { sequence: round, addedMs: round * 10 })
      model.push(entry)
      nextOffset += count
    }
    const offset = (model[0]?.baseOffset ?? 0) + prng.below(200)
    const wanted = model.filter(({ lastOffset }) => lastOffset >= offset)
    const got = [...tail.from(offset)]
    const isSame = got.every((entry, i) => {
      const other = wanted[i]
      return other?.baseOffset === entry.baseOffset && other.lastOffset === entry.lastOffset && Buffer.from(other.batch).equals(entry.batch)
    })
    if (got.length !== wanted.length || !isSame) t.fail(`round ${round}: ${got.length} batches from ${offset}, not ${wanted.length}`)
    const sum = (entries: readonly Entry[]): number => entries.reduce((bytes, { batch }) => bytes + batch.byteLength, 0)
    t.same(
      [tail.bytes, tail.count, tail.bytesFrom(offset), tail.startOffset, tail.oldestSequence, tail.oldestAddedMs],
      [
        sum(model),
        model.length,
        sum(wanted),
        model[0]?.baseOffset ?? null,
        model[0]?.sequence ?? null,
        (model[0]?.sequence ?? Number.NaN) * 10 || (model[0] ? 0 : null)
      ]
    )
    const dropped = prng.below(4) === 0 ? model.length : prng.below(Math.min(model.length, 50) + 1)
    tail.drop(dropped)
    model = model.slice(dropped)
    if (tail.memoryBytes < tail.bytes) t.fail(`${tail.memoryBytes} bytes of memory for ${tail.bytes}`)
    other.push(batchAt(round, 100, 1), { sequence: round, addedMs: round })
    if (round % 3 === 0) other.drop(other.count - (round % 2))
    t.same([totals.bytes, totals.memoryBytes], [tail.bytes + other.bytes, tail.memoryBytes + other.memoryBytes], 'the sum of both')
  }
  tail.drop(model.length)
  other.drop(other.count)
  t.same([totals.bytes, totals.memoryBytes], [0, 0])
  t.same([tail.isEmpty, tail.bytes, tail.memoryBytes, tail.startOffset], [true, 0, 0, null])
})

t.test('small batches take little more than they carry, a quiet tail takes little', async (t) => {
  const small = batchAt(0, 18, 1)
  const tail = new Tail()
  tail.push(small, { sequence: 1, addedMs: 0 })
  t.ok(tail.memoryBytes <= 2048, `${tail.memoryBytes} bytes for one batch`)
  for (let offset = 1; offset < 20_000; offset++) tail.push(batchAt(offset, 18, 1), { sequence: 1, addedMs: 0 })
  const ratio = tail.memoryBytes / tail.bytes
  t.ok(ratio <= 1.6, `${ratio} bytes of memory for each of ${tail.bytes / tail.count} bytes a batch`)
})

t.test('what a reader was given stays as it was when the tail has used the memory again', async (t) => {
  const room = 4 * 1024 * 1024
  const settings = { sealBytes: room, sealAgeMs: 3_600_000, segmentBytes: room, tailBytesMax: room, journalFileBytes: room }
  const machine = new SimMachine(7, { settings })
  const store = await machine.open()
  const { partitions } = await machine.settle(store.createTopic('a', { isForwarded: false, codec: 'none' }))
  const partition = partitions[0] as Partition
  const fill = async (letter: string): Promise<void> => {
    for (let i = 0; i < 300; i++) await machine.settle(appendText(store, partition, letter.repeat(2_000)))
  }
  await fill('a')
  const read = await machine.settle(partition.read(toOffset(0), { bytesMax: 10_000_000 }))
  const copies = read.batches.map(({ bytes }) => bytes.slice())
  t.ok(store.metrics.tailBytes > 5 * 64 * 1024, 'it lies in blocks of the largest size')
  await machine.settle(store.flush()) // into the segment: the tail is empty
  t.equal(store.metrics.tailBytes, 0)
  await fill('b')
  t.ok(
    read.batches.every(({ bytes }, at) => Buffer.from(bytes).equals(copies[at] as Uint8Array)),
    'no batch was written over'
  )
})
