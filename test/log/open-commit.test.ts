// Proves for open-commit.ts and group-commit.ts: what comes into one commit keeps its order and its offsets, whatever it is; the next write begins
// before those are called who waited for the last one; notes travel as far as there is room.

import t from 'tap'
import type { WadiError } from '../../runtime/base/errors.ts'
import type { Offset } from '../../runtime/base/offset.ts'
import type { Append, Partition, Store } from '../../runtime/log/contract.ts'
import { KIB } from '../../runtime/log/settings.ts'
import '../helpers/state-area.ts' // test/…
import { loadTestCore } from '../helpers/core.ts'
import { appendText, event, readAll, SimMachine, textOf } from '../helpers/sim-store.ts'

async function open(settings: SimMachine['settings'] = {}) {
  const machine = new SimMachine(1, { settings })
  const store = await machine.open()
  const topic = await machine.settle(store.createTopic('telemetry', { partitionCount: 2 }))
  const [partition, other] = topic.partitions as readonly Partition[] as [Partition, Partition]
  return { machine, store, partition, other }
}

function clientBatch(texts: readonly string[]): Append['content'] {
  const records = texts.map((text) => event(text))
  return { batch: loadTestCore().buildBatch(records, { baseOffset: 0 }).slice(), recordCount: texts.length }
}

const record = (text: string): Append['content'] => ({ record: event(text) })

t.test(
  'one commit of plain events, batches of clients and requests with several appends: order and offsets are those of the calls',
  async (t) => {
    const { machine, store, partition, other } = await open()
    const commits = store.metrics.commits
    let told: readonly number[] = []
    const answers = [
      appendText(store, partition, 'a'),
      appendText(store, other, 'A'),
      appendText(store, partition, 'b'),
      store.commit([{ partition, content: clientBatch(['c', 'd', 'e']) }], []),
      appendText(store, partition, 'f'),
      store.commit(
        [
          { partition, content: record('g') },
          { partition: other, content: clientBatch(['B', 'C']) },
          { partition, content: clientBatch(['h', 'i']) },
          { partition, content: record('j') },
          { partition: other, content: record('D') }
        ],
        (offsets) => {
          told = offsets
          return [{ key: 'test/offsets', value: new TextEncoder().encode(offsets.join()) }]
        }
      ),
      appendText(store, partition, 'k'),
      appendText(store, other, 'E', [{ key: 'test/one', value: new Uint8Array([1]) }])
    ]
    const offsets = await machine.settle(Promise.all(answers))
    t.equal(store.metrics.commits, commits + 1, 'in one commit')
    t.same(offsets, [0, 0, 1, [2], 5, [6, 1, 7, 9, 3], 10, 4])
    t.same(told, [6, 1, 7, 9, 3])
    const check = async (partitions: readonly Partition[]): Promise<void> => {
      for (const [index, texts] of ['abcdefghijk', 'ABCDE'].entries()) {
        const records = await machine.settle(readAll(partitions[index] as Partition))
        t.same(
          records.map((one) => `${one.offset} ${textOf(one)}`),
          [...texts].map((text, offset) => `${offset} ${text}`)
        )
      }
    }
    await check([partition, other])
    machine.powerCut()
    const again = await machine.open()
    await check(again.topics.get('telemetry')?.partitions ?? [])
    t.equal(new TextDecoder().decode(again.getState('test/offsets')), '6,1,7,9,3')
  }
)

t.test('the next write begins before those are called who waited for the last one', async (t) => {
  const { machine, store, partition } = await open({ lingerMs: 0 })
  let begun = 0
  const file = machine.disk.file.bind(machine.disk)
  machine.disk.file = (operation, ...rest) => {
    if (operation === 'write-sync') begun++
    return file(operation, ...rest)
  }
  const called: string[] = []
  const append = (text: string): void =>
    store.append(partition, event(text), (error: WadiError | null, offset: Offset) => {
      called.push(`${text} at ${offset}, ${begun} writes begun`)
      t.equal(error, null)
    })
  append('a')
  while (begun === 0) await machine.run(0.01)
  append('b')
  append('c')
  t.same(called, [])
  await machine.run(1_000)
  t.same(called, ['a at 0, 2 writes begun', 'b at 1, 2 writes begun', 'c at 2, 2 writes begun'])
})

t.test('notes that find no room travel with a later commit, and a commit is not larger than it may be', async (t) => {
  const { machine, store, partition } = await open({ commitBytesMax: 16 * KIB })
  const keys = ['test/a', 'test/b', 'test/c', 'test/d']
  store.note(keys.map((key) => ({ key, value: new Uint8Array(6 * KIB) })))
  const known = (): number => keys.filter((key) => store.getState(key)).length
  const before = store.metrics.writtenBytes.journal
  await machine.settle(appendText(store, partition, 'x'))
  t.equal(known(), 2)
  t.ok(store.metrics.writtenBytes.journal - before <= 16 * KIB, `${store.metrics.writtenBytes.journal - before} bytes`)
  await machine.settle(appendText(store, partition, 'y'))
  t.equal(known(), 4)
})

/** More than three commits' worth, in one turn: what an append was answered, by its number; the map keeps every answer. */
function appendMany(store: Store, partition: Partition, badAt = -1): Map<number, (number | string)[]> {
  const answers = new Map<number, (number | string)[]>()
  for (let index = 0; index < 12; index++) {
    const one = event(String(index).padEnd(1_500, '.'))
    store.append(partition, index === badAt ? { ...one, timestampMs: 1.5 } : one, (error, offset) => {
      answers.set(index, [...(answers.get(index) ?? []), error?.code ?? offset])
    })
  }
  return answers
}

const smallCommits = { commitBytesMax: 8 * KIB, batchBytesMax: 4 * KIB }

t.test('an event that cannot be encoded, found while a commit is being written: that commit is answered, everybody once', async (t) => {
  const { machine, store, partition } = await open(smallCommits)
  const answers = appendMany(store, partition, 8)
  await machine.run(2_000)
  const all = Array.from({ length: 12 }, (_, index) => answers.get(index))
  const storedCount = partition.highWatermark
  t.ok(storedCount > 0 && storedCount < 8, `${storedCount} stored`)
  t.same(
    all,
    Array.from({ length: 12 }, (_, index) => [index < storedCount ? index : 'WADI_LOG_FAILED'])
  )
  t.match(store.failure, { code: 'WADI_LOG_FAILED' }, 'a program error is not silent')
  await machine.settle(store.close())
})

t.test('a watcher of a partition that throws: those whose events are durable are called all the same', async (t) => {
  const { machine, store, partition } = await open(smallCommits)
  const remove = partition.onAdvance(() => {
    remove()
    throw new Error('of the watcher')
  })
  const answers = appendMany(store, partition)
  await machine.run(2_000)
  t.equal(answers.size, 12)
  const stored = [...answers.values()].filter(([answer]) => typeof answer === 'number')
  t.equal(stored.length, partition.highWatermark)
  t.ok(stored.length > 4, `${stored.length} stored: the commit that was being written, too`)
  t.match(store.failure, { code: 'WADI_LOG_FAILED' })
  await machine.settle(store.close())
})
