// Proves: what a client deletes in front of an offset is gone for every reader and after every kind of stop, also in the middle of a batch, and nothing behind it
// is; what the centre should get stays. How: the simulated disk, cut at every moment of a deletion and behind it.

import t, { type Test } from 'tap'
import type { WadiError } from '../../runtime/base/errors.ts'
import { toOffset } from '../../runtime/base/offset.ts'
import type { Partition, TopicConfig } from '../../runtime/log/contract.ts'
import { verifyDirectory } from '../../runtime/log/inspect.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, readAll, SimMachine, textOf } from '../helpers/sim-store.ts'
import { simCodec } from '../sim/sim-codec.ts'

/** Events of one batch. */
const BATCH = 10

const codeOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'no error',
    (error: WadiError) => error.code
  )

async function openTopic(
  machine: SimMachine,
  config: Partial<TopicConfig> = { isForwarded: false }
): Promise<{ store: LogStore; partition: Partition }> {
  const store = await machine.open()
  const topic = store.topics.get('events') ?? (await machine.settle(store.createTopic('events', config)))
  return { store, partition: topic.partitions[0] as Partition }
}

/** Of one commit: "0" to "9" is one batch. */
async function appendBatch(store: LogStore, partition: Partition): Promise<void> {
  const from = partition.highWatermark
  await Promise.all(Array.from({ length: BATCH }, (_, at) => appendText(store, partition, `${from + at}`)))
}

/** Each event says its offset: those that are read are exactly those from `start` on. */
async function checkFrom(t: Test, machine: SimMachine, partition: Partition, start: number): Promise<void> {
  const records = await machine.settle(readAll(partition))
  t.same(
    [partition.logStartOffset, records.map(textOf)],
    [start, Array.from({ length: partition.highWatermark - start }, (_, at) => `${start + at}`)]
  )
}

t.test('in the middle of a batch, at its begin and at the end: for readers, and behind a stop and a kill', async (t) => {
  const machine = new SimMachine(1)
  let { store, partition } = await openTopic(machine)
  for (let batch = 0; batch < 5; batch++) await machine.settle(appendBatch(store, partition))
  let wakes = 0
  partition.onAdvance(() => wakes++)
  t.equal(await machine.settle(store.deleteRecords(partition, toOffset(15))), 15)
  t.equal(wakes, 1, 'who waits for events is told')
  t.equal(await machine.settle(store.deleteRecords(partition, toOffset(3))), 15, 'never back')
  await checkFrom(t, machine, partition, 15)
  t.equal(await codeOf(machine.settle(partition.read(toOffset(14), { bytesMax: 1 }))), 'WADI_OFFSET_OUT_OF_RANGE')
  t.equal(await codeOf(machine.settle(store.deleteRecords(partition, toOffset(51)))), 'WADI_OFFSET_OUT_OF_RANGE')
  t.match(await machine.settle(partition.offsetForTime(0)), { offset: 15 }, 'the first by time is the first that is left')
  machine.kill()
  ;({ store, partition } = await openTopic(machine))
  await checkFrom(t, machine, partition, 15)
  t.equal(await machine.settle(store.deleteRecords(partition, toOffset(20))), 20)
  await machine.settle(store.close())
  ;({ store, partition } = await openTopic(machine))
  await checkFrom(t, machine, partition, 20)
  t.equal(await machine.settle(store.deleteRecords(partition, partition.highWatermark)), 50)
  await checkFrom(t, machine, partition, 50)
  await machine.run(2_000)
  t.same(
    machine.disk
      .files()
      .filter(({ path }) => path.endsWith('.log'))
      .map(({ path }) => path.slice(-24)),
    ['00000000000000000050.log'],
    'files below it go'
  )
  await machine.settle(appendBatch(store, partition))
  await checkFrom(t, machine, partition, 50)
  t.equal(store.metrics.droppedRecords + store.metrics.lostRecords, 0, 'what somebody asked for is no loss')
  await machine.settle(store.close())
  const { problems } = await machine.settle(
    verifyDirectory({ disk: machine.disk, core: loadTestCore(), codec: simCodec, directory: '/data' })
  )
  t.same(problems, [])
})

t.test('what the centre should get and does not have stays, unless its topic may lose it, which is counted', async (t) => {
  const machine = new SimMachine(2)
  const { store, partition } = await openTopic(machine, { isForwarded: true })
  const lossy = (await machine.settle(store.createTopic('lossy', { isForwarded: true, dropUndelivered: true }))).partitions[0] as Partition
  for (const one of [partition, lossy]) for (let batch = 0; batch < 2; batch++) await machine.settle(appendBatch(store, one))
  store.setDelivered(partition, toOffset(12))
  t.equal(await codeOf(machine.settle(store.deleteRecords(partition, toOffset(13)))), 'WADI_TOPIC_UNDELIVERED')
  t.equal(partition.logStartOffset, 0)
  t.equal(await machine.settle(store.deleteRecords(partition, toOffset(12))), 12)
  store.setDelivered(lossy, toOffset(5))
  t.equal(await machine.settle(store.deleteRecords(lossy, toOffset(13))), 13)
  const counted = [{ topicName: 'lossy', reason: 'deletion', records: 8, isLoss: true }]
  t.same(store.metrics.removals, counted)
  machine.powerCut()
  const again = await machine.open()
  t.same(again.metrics.removals, counted)
  await machine.settle(again.deleteTopic('events', { undelivered: 'lose' }))
  t.equal(
    await codeOf(machine.settle(again.deleteRecords(again.topics.get('lossy')?.partitions[0] as Partition, toOffset(99)))),
    'WADI_OFFSET_OUT_OF_RANGE'
  )
  await machine.settle(again.close())
})

t.test('readers of committed data do not begin below the log start, also when a transaction that began there is open', async (t) => {
  const machine = new SimMachine(3)
  const core = loadTestCore()
  const { store, partition } = await openTopic(machine)
  const producer = { producerId: 7n, producerEpoch: 0, baseSequence: 0, isTransactional: true }
  const records = [{ timestampMs: 1_700_000_000_000, key: null, value: new Uint8Array(1), headers: [] }]
  const batch = core.buildBatch(records, { baseOffset: 0, producer })
  await machine.settle(store.commit([{ partition, content: { batch, recordCount: 1 } }], []))
  await machine.settle(appendBatch(store, partition))
  t.equal(partition.lastStableOffset, 0)
  await machine.settle(store.deleteRecords(partition, toOffset(4)))
  t.equal(partition.lastStableOffset, 4)
  await machine.settle(store.close())
})

t.test('a disk without room refuses: then nothing was deleted', async (t) => {
  const machine = new SimMachine(4)
  const { store, partition } = await openTopic(machine)
  for (let batch = 0; batch < 3; batch++) await machine.settle(appendBatch(store, partition))
  machine.disk.capacityBytes = machine.disk.usedBytes
  t.equal(await codeOf(machine.settle(store.deleteRecords(partition, toOffset(5)))), 'WADI_DISK_FULL')
  await checkFrom(t, machine, partition, 0)
  machine.disk.capacityBytes = Number.MAX_SAFE_INTEGER
  t.equal(await machine.settle(store.deleteRecords(partition, toOffset(5))), 5)
  await machine.settle(store.close())
})

t.test('… but not for an event in the tail that has nothing to do with it', async (t) => {
  const machine = new SimMachine(4)
  const { store, partition } = await openTopic(machine)
  for (let batch = 0; batch < 3; batch++) await machine.settle(appendBatch(store, partition))
  await machine.settle(store.flush())
  await machine.settle(appendBatch(store, partition))
  machine.disk.capacityBytes = machine.disk.usedBytes
  t.equal(await machine.settle(store.deleteRecords(partition, toOffset(25))), 25)
  t.equal(await codeOf(machine.settle(store.deleteRecords(partition, toOffset(30)))), 'WADI_DISK_FULL', 'the log starts in no tail')
  await checkFrom(t, machine, partition, 25)
  machine.kill()
  machine.disk.capacityBytes = Number.MAX_SAFE_INTEGER
  const again = await openTopic(machine)
  await checkFrom(t, machine, again.partition, 25)
  await machine.settle(again.store.close())
})

const SEEDS = 20

t.test(`a cut at any moment of deletions, ${SEEDS} runs: what was answered holds, and no event behind it is missing`, async (t) => {
  let middles = 0
  for (let seed = 1; seed <= SEEDS; seed++) {
    const machine = new SimMachine(seed)
    let [appended, deleted] = [0, 0]
    for (let life = 0; life < 4; life++) {
      const { store, partition } = await openTopic(machine)
      const records = await machine.settle(readAll(partition))
      const start = partition.logStartOffset
      if (start < deleted) t.fail(`seed ${seed}: the log starts at ${start}, ${deleted} was answered`)
      if (partition.highWatermark < appended) t.fail(`seed ${seed}: ends at ${partition.highWatermark}, ${appended} were acknowledged`)
      const expected = Array.from({ length: partition.highWatermark - start }, (_, at) => `${start + at}`)
      if (records.map(textOf).join() !== expected.join())
        t.fail(`seed ${seed}, life ${life}: from ${start} on ${records.map(textOf).join()}`)
      if (start % BATCH !== 0) middles++
      const work = async (): Promise<void> => {
        for (;;) {
          for (let batches = machine.prng.between(1, 3); batches > 0; batches--) {
            await appendBatch(store, partition)
            appended = partition.highWatermark
          }
          const until = machine.prng.between(partition.logStartOffset, partition.highWatermark)
          deleted = await store.deleteRecords(partition, toOffset(until))
        }
      }
      void work().catch(() => undefined)
      await machine.run(machine.prng.between(1, 300))
      if (machine.prng.chance(50)) machine.powerCut()
      else machine.kill()
    }
  }
  t.ok(middles > SEEDS / 2, `${middles} times the log started in the middle of a batch`)
})
