// Proves promises of the store that only a certain order of calls or a certain failure can break: a topic is seen when it is durable, alterations
// do not undo each other, a caller's error is fatal and not silent, a commit keeps its size, a start that fails leaves nothing behind.

import t from 'tap'
import type { DiskFile } from '../../runtime/io/disk.ts'
import type { Append, Partition } from '../../runtime/log/contract.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { KIB } from '../../runtime/log/settings.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, event, readAll, SimMachine } from '../helpers/sim-store.ts'

/** Tells of every file that is opened and closed. */
function watchFiles({ disk }: SimMachine, onOpen: (file: DiskFile) => void, onClose: (file: DiskFile) => void = () => undefined): void {
  const { open } = disk
  disk.open = async (path, mode) => {
    const file = await open.call(disk, path, mode)
    const { close } = file
    file.close = () => {
      onClose(file)
      return close.call(file)
    }
    onOpen(file)
    return file
  }
}

async function withPartition(machine: SimMachine): Promise<{ store: LogStore; partition: Partition }> {
  const store = await machine.open()
  return { store, partition: (await machine.settle(store.createTopic('telemetry', { codec: 'none' }))).partitions[0] as Partition }
}

t.test('a topic is seen when it is durable, and a number that was refused is not given again', async (t) => {
  const machine = new SimMachine(1)
  const store = await machine.open()
  const first = store.createTopic('first')
  t.equal(store.topics.has('first'), false, 'not before')
  await t.rejects(machine.settle(store.createTopic('FIRST')), { code: 'WADI_TOPIC_EXISTS' }, 'its name is taken meanwhile')
  t.equal((await machine.settle(first)).number, 1)
  machine.disk.refuseNext('write-sync', 'journal')
  await t.rejects(machine.settle(store.createTopic('second')), { code: 'WADI_DISK_FULL' })
  t.equal(store.topics.has('second'), false)
  t.equal((await machine.settle(store.createTopic('third'))).number, 3)
  t.equal((await machine.settle(store.createTopic('second'))).number, 4, 'its name is free again')
  await machine.settle(store.close())
  const numbers = [...(await machine.open()).topics].map(([name, { number }]) => [name, number])
  t.same(numbers.sort(), [
    ['first', 1],
    ['second', 4],
    ['third', 3]
  ])
})

t.test('alterations at the same time do not undo each other', async (t) => {
  const machine = new SimMachine(2)
  const { store } = await withPartition(machine)
  await machine.settle(
    Promise.all([
      store.alterTopic('telemetry', { partitionCount: 4 }),
      store.alterTopic('telemetry', { retentionBytes: 5 }),
      store.alterTopic('telemetry', { partitionCount: 2 })
    ])
  )
  t.match(store.topics.get('telemetry'), { config: { partitionCount: 4, retentionBytes: 5 } })
  machine.kill()
  const again = (await machine.open()).topics.get('telemetry')
  t.match(again, { config: { partitionCount: 4, retentionBytes: 5 } })
  t.equal(again?.partitions.length, 4)
})

t.test('checkpoints and flushes write their snapshots one behind the other', async (t) => {
  const machine = new SimMachine(3)
  let open = 0
  let openMax = 0
  watchFiles(
    machine,
    (file) => {
      if (file.path.endsWith('next.tmp')) openMax = Math.max(openMax, ++open)
    },
    (file) => {
      if (file.path.endsWith('next.tmp')) open--
    }
  )
  const { store, partition } = await withPartition(machine)
  for (let i = 0; i < 5; i++) {
    const wave = Array.from({ length: 40 }, (_, j) => appendText(store, partition, `event ${j} ${'c'.repeat(300)}`))
    await machine.settle(Promise.all([...wave, store.flush(), store.flush(), store.flush()]))
  }
  t.equal(openMax, 1)
})

t.test('a caller whose callback throws is not silent: the others are answered, and the store fails by name', async (t) => {
  const machine = new SimMachine(4)
  const { store, partition } = await withPartition(machine)
  const answered: string[] = []
  store.append(partition, event('event 0'), () => answered.push('before'))
  store.append(partition, event('event 1'), () => {
    throw new Error('a mistake of the caller')
  })
  store.append(partition, event('event 2'), () => answered.push('behind'))
  await machine.run(1_000)
  t.same(answered, ['before', 'behind'])
  t.match(store.failure, { code: 'WADI_LOG_FAILED', message: /a mistake of the caller/ })
  await t.rejects(machine.settle(appendText(store, partition, 'event 3')), { code: 'WADI_LOG_FAILED' })
  t.equal((await machine.settle(readAll(partition))).length, 3, 'reads go on')
  await machine.settle(store.close())
})

t.test('a state function that throws refuses its commit and fails the store by name', async (t) => {
  const machine = new SimMachine(5)
  const { store, partition } = await withPartition(machine)
  let calls = 0
  const content = { record: event('event 0') }
  const state = (): [] => {
    if (++calls > 1) throw new Error('not pure')
    return []
  }
  await t.rejects(machine.settle(store.commit([{ partition, content }], state)), { code: 'WADI_LOG_FAILED' })
  t.match(store.failure, { code: 'WADI_LOG_FAILED', message: /not pure/ })
})

t.test('no commit is larger than it may be, also with batches of clients between single events', async (t) => {
  const commitBytesMax = 8 * KIB
  const machine = new SimMachine(6, { settings: { commitBytesMax, lingerMs: 5, batchBytesMax: 4 * KIB } })
  let bytesMax = 0
  watchFiles(machine, (file) => {
    const { writeDurableAt } = file
    file.writeDurableAt = (position, bytes) => {
      bytesMax = Math.max(bytesMax, bytes.byteLength)
      return writeDurableAt.call(file, position, bytes)
    }
  })
  const { store, partition } = await withPartition(machine)
  const batch = loadTestCore().buildBatch([event('b')], { baseOffset: 0 })
  const client = (): Append => ({ partition, content: { batch: batch.slice(), recordCount: 1 } })
  const waves: Promise<unknown>[] = []
  for (let i = 0; i < 400; i++) waves.push(store.commit([client()], []), appendText(store, partition, ''))
  await machine.settle(Promise.all(waves))
  t.ok(bytesMax <= commitBytesMax, `the largest has ${bytesMax} bytes`)
})

t.test('a start that fails closes every file and leaves nothing running', async (t) => {
  const machine = new SimMachine(7, { settings: { journalFileBytes: 2048 * KIB, journalFirstFillBytes: 36 * KIB } })
  let open = 0
  watchFiles(
    machine,
    () => open++,
    () => open--
  )
  const { store, partition } = await withPartition(machine)
  for (let i = 0; i < 20; i++) await machine.settle(appendText(store, partition, `event ${i} ${'o'.repeat(400)}`))
  machine.kill()
  for (const skipped of [0, 1, 2, 3]) {
    open = 0
    machine.disk.failNext('write-sync', `journal/${skipped % 2}.journal`, 'EIO')
    await t.rejects(machine.open(), { name: 'WadiError' })
    t.equal(open, 0, 'no file is open')
    const writes = machine.disk.reached.get('write') ?? 0
    await machine.run(10_000)
    t.equal(machine.disk.reached.get('write') ?? 0, writes, 'nothing is written any more')
  }
  t.equal((await machine.settle(readAll((await machine.open()).topics.get('telemetry')?.partitions[0] as Partition))).length, 20)
})

t.test('a hole is remembered until the log starts behind it', async (t) => {
  const machine = new SimMachine(8)
  const { store, partition } = await withPartition(machine)
  for (let i = 0; i < 100; i++) await machine.settle(appendText(store, partition, `event ${i} ${'h'.repeat(300)}`))
  await machine.settle(store.flush())
  const [log] = machine.disk.files().flatMap(({ path }) => (path.endsWith('.log') ? [path] : []))
  machine.disk.rot(log ?? '', 200)
  await machine.settle(readAll(partition))
  await machine.run(100)
  t.equal(store.listState('hole/').length, 1)
  store.setDelivered(partition, partition.highWatermark)
  await machine.settle(store.alterTopic('telemetry', { retentionBytes: 1 }))
  await machine.run(2_000)
  t.ok(partition.logStartOffset > 0, 'retention has taken it')
  await machine.settle(store.flush())
  await machine.run(100)
  t.same(store.listState('hole/'), [])
})

t.test('a segment takes no batch that is much younger than its first', async (t) => {
  const machine = new SimMachine(9, { settings: { segmentAgeMs: 60_000 } })
  const { store, partition } = await withPartition(machine)
  const send = async (timestampMs: number): Promise<void> => {
    await machine.settle(store.commit([{ partition, content: { record: event('e', { timestampMs }) } }], []))
    await machine.settle(store.flush())
  }
  const logs = (): number => machine.disk.files().filter(({ path }) => path.endsWith('.log')).length
  await send(1_000_000)
  await send(1_050_000)
  t.equal(logs(), 1)
  await send(1_070_000)
  t.equal(logs(), 2)
  await send(5_000)
  t.equal(logs(), 2, 'an older one is no reason')
})
