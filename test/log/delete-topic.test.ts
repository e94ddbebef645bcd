// Proves: a deleted topic is gone for everybody at once and after every kind of stop; its files and its state go, nobody else's; a topic of its name
// never meets what is left of it, and goes on behind the offsets that the centre knows. How: the simulated disk, cut at every moment of a deletion
// and of the creation behind it.

import t from 'tap'
import type { WadiError } from '../../runtime/base/errors.ts'
import { inParts } from '../../runtime/base/in-parts.ts'
import { toOffset } from '../../runtime/base/offset.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import { endedTopics } from '../../runtime/log/deleted-topics.ts'
import { verifyDirectory } from '../../runtime/log/inspect.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { KIB } from '../../runtime/log/settings.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, readAll, SimMachine, textOf } from '../helpers/sim-store.ts'
import { simCodec } from '../sim/sim-codec.ts'

const lose = { undelivered: 'lose' } as const
const refuse = { undelivered: 'refuse' } as const

async function fill(machine: SimMachine, store: LogStore, name: string, count: number, word = 'event'): Promise<void> {
  const partitions = store.topics.get(name)?.partitions ?? []
  for (let i = 0; i < count; i++) {
    await machine.settle(appendText(store, partitions[i % partitions.length] as Partition, `${word} ${i} ${'s'.repeat(100)}`))
  }
}

async function texts(machine: SimMachine, store: LogStore, name: string): Promise<string[]> {
  const all: string[] = []
  for (const partition of store.topics.get(name)?.partitions ?? [])
    all.push(...(await machine.settle(readAll(partition))).map((record) => textOf(record).replace(/ s+$/, '')))
  return all
}

const codeOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'no error',
    (error: WadiError) => error.code
  )
const pathsOf = ({ disk }: SimMachine, part: string): string[] => disk.files().flatMap(({ path }) => (path.includes(part) ? [path] : []))
/** What the state holds of topics: by number, or by name. */
const stateOf = (store: LogStore, number: number): string[] =>
  ['removed', 'damage', 'hole', 'epoch', 'producer', 'aborted'].flatMap((area) => store.listState(`${area}/${number}/`))

t.test('a deleted topic is gone for readers and writers, on the disk and in the state; others stay', async (t) => {
  const machine = new SimMachine(1)
  const store = await machine.open()
  await machine.settle(store.createTopic('other', { isForwarded: false }))
  const { number, partitions } = await machine.settle(store.createTopic('scratch', { isForwarded: false, partitionCount: 2 }))
  await fill(machine, store, 'other', 50)
  await fill(machine, store, 'scratch', 300)
  await machine.run(6_000)
  t.ok(pathsOf(machine, '/scratch-').length > 0, 'it has segments')
  t.ok(stateOf(store, number).length > 0)
  const [partition] = partitions as unknown as [Partition]
  let wakes = 0
  partition.onAdvance(() => wakes++)
  const deleted: string[] = []
  store.onTopicDeleted(({ name }) => deleted.push(name))
  await machine.settle(store.deleteTopic('scratch', refuse))
  t.notOk(store.topics.has('scratch'))
  t.ok(partition.isDeleted)
  t.equal(wakes, 1, 'who waits for events is told')
  t.same(deleted, ['scratch'])
  t.equal(await codeOf(machine.settle(partition.read(toOffset(0), { bytesMax: 1 }))), 'WADI_TOPIC_UNKNOWN')
  t.equal(await codeOf(machine.settle(partition.readCommitted(toOffset(0), { bytesMax: 1 }))), 'WADI_TOPIC_UNKNOWN')
  t.equal(await codeOf(machine.settle(appendText(store, partition, 'late'))), 'WADI_TOPIC_UNKNOWN')
  t.equal(
    await codeOf(machine.settle(store.commit([{ partition, content: { batch: new Uint8Array(61), recordCount: 1 } }], []))),
    'WADI_TOPIC_UNKNOWN'
  )
  t.equal(await codeOf(machine.settle(store.deleteTopic('scratch', refuse))), 'WADI_TOPIC_UNKNOWN')
  store.setDelivered(partition, toOffset(1))
  await machine.run(500)
  t.same(pathsOf(machine, 'scratch'), [], 'its files are removed')
  t.same(pathsOf(machine, '.deleted'), [])
  t.same(stateOf(store, number), [], 'so is its state')
  await fill(machine, store, 'other', 50, 'more')
  await machine.run(12_000)
  t.same(store.listState('gone/'), [], 'after a checkpoint nothing says that it was there')
  t.equal(store.metrics.tailBytes, 0)
  await machine.settle(store.close())
  const again = await machine.open()
  t.same([...again.topics.keys()], ['other'])
  t.equal((await texts(machine, again, 'other')).length, 100)
  t.same(again.report.notes, [])
  t.equal((await machine.settle(again.createTopic('next'))).number, number + 1, 'its number is not given again')
  await machine.settle(again.close())
  t.same(
    (await machine.settle(verifyDirectory({ disk: machine.disk, core: loadTestCore(), codec: simCodec, directory: '/data' }))).problems,
    []
  )
})

t.test(
  'one who is told of a deletion and throws keeps nobody else from being told: the deletion is done, and the store has failed',
  async (t) => {
    const machine = new SimMachine(1)
    const store = await machine.open()
    await machine.settle(store.createTopic('scratch', { isForwarded: false }))
    await fill(machine, store, 'scratch', 3)
    await machine.settle(store.flush())
    const told: string[] = []
    for (const name of ['first', 'second', 'third']) {
      store.onTopicDeleted(() => {
        told.push(name)
        if (name !== 'third') throw new Error(`the ${name} of them`)
      })
    }
    await machine.settle(store.deleteTopic('scratch', refuse))
    t.same(told, ['first', 'second', 'third'])
    t.notOk(store.topics.has('scratch'))
    t.match(store.failure, { code: 'WADI_LOG_FAILED' }, 'a program error is never silent')
    t.match(store.failure?.message, /the first of them/)
    machine.kill()
    const again = await machine.open()
    t.same([...again.topics.keys()], [])
    await machine.settle(again.close())
  }
)

t.test(
  'the names of deleted topics have a bound: one that only counts is counted with others then, one whose offsets count is kept',
  async (t) => {
    const machine = new SimMachine(1)
    const store = await machine.open()
    const names = Array.from({ length: 10_000 }, (_, at) => endedTopics.put(endedTopics.key(`old.${at}`), { ends: [1], removals: [] }))
    for (const part of inParts(names, 100)) await machine.settle(store.commit([], part))
    for (const round of [1, 2, 3]) {
      const limits = { isForwarded: false, quotaBytes: 8 * KIB, whenFull: 'drop_oldest', codec: 'none' } as const
      await machine.settle(store.createTopic(`scratch.${round}`, limits))
      await fill(machine, store, `scratch.${round}`, 300)
      await machine.run(2_000)
      await machine.settle(store.deleteTopic(`scratch.${round}`, refuse))
      await machine.run(1_000)
    }
    const counted = store.metrics.removals
    t.same(
      counted.map(({ topicName, reason }) => [topicName, reason]),
      [['(other deleted topics)', 'quota']]
    )
    t.ok((counted[0]?.records ?? 0) > 300, `${counted[0]?.records} events of three topics`)
    t.equal(store.listState('ended/').length, 10_001)
    await machine.settle(store.createTopic('delivered'))
    t.equal(await codeOf(machine.settle(store.deleteTopic('delivered', refuse))), 'WADI_QUOTA_EXCEEDED')
    machine.kill()
    const again = await machine.open()
    t.same(again.metrics.removals, counted, 'after a restart too')
    await machine.settle(again.close())
  }
)

t.test('what is appended together with the deletion is in the log before it, or refused', async (t) => {
  const machine = new SimMachine(2)
  const store = await machine.open()
  const { partitions } = await machine.settle(store.createTopic('scratch', { isForwarded: false }))
  const early = codeOf(appendText(store, partitions[0] as Partition, 'early'))
  const deletion = codeOf(store.deleteTopic('scratch', refuse))
  await machine.settle(Promise.resolve())
  const late = codeOf(appendText(store, partitions[0] as Partition, 'late'))
  t.same(await machine.settle(Promise.all([early, deletion, late])), ['no error', 'no error', 'WADI_TOPIC_UNKNOWN'])
})

t.test('a deletion that the store refuses leaves the topic as it was', async (t) => {
  const machine = new SimMachine(3)
  const store = await machine.open()
  await machine.settle(store.createTopic('scratch', { isForwarded: false }))
  await fill(machine, store, 'scratch', 3)
  machine.disk.refuseNext('write-sync', '.journal')
  t.equal(await codeOf(machine.settle(store.deleteTopic('scratch', refuse))), 'WADI_DISK_FULL')
  await fill(machine, store, 'scratch', 1, 'more')
  t.same(await texts(machine, store, 'scratch'), ['event 0', 'event 1', 'event 2', 'more 0'])
})

t.test('events that the centre should get keep a topic, or are counted as lost for ever', async (t) => {
  const machine = new SimMachine(4)
  let store = await machine.open()
  const { partitions } = await machine.settle(store.createTopic('telemetry'))
  await fill(machine, store, 'telemetry', 10)
  store.setDelivered(partitions[0] as Partition, toOffset(4))
  const dropped: unknown[] = []
  store.onDropped((range) => dropped.push(range))
  const refusal = await machine.settle(store.deleteTopic('telemetry', refuse)).then(
    () => null,
    (error: WadiError) => error
  )
  t.match(refusal, { code: 'WADI_TOPIC_UNDELIVERED', message: /6 events/ })
  t.equal((await texts(machine, store, 'telemetry')).length, 10)
  await machine.settle(store.deleteTopic('telemetry', lose))
  t.match(dropped, [{ topicName: 'telemetry', startOffset: 4, endOffset: 10, reason: 'deletion', isDelivered: false }])
  const lost = [{ topicName: 'telemetry', reason: 'deletion', records: 6, isLoss: true }]
  t.same(store.metrics.removals, lost)
  machine.powerCut()
  store = await machine.open()
  t.same(store.metrics.removals, lost, 'after a power cut too')
  await machine.settle(store.createTopic('telemetry'))
  await fill(machine, store, 'telemetry', 1)
  await machine.settle(store.deleteTopic('telemetry', lose))
  t.same(store.metrics.removals, [{ topicName: 'telemetry', reason: 'deletion', records: 7, isLoss: true }])
  t.equal(store.metrics.lostRecords, 7)
})

t.test('a topic that was delivered goes on behind its last offsets, in every partition it ever had; another one begins at 0', async (t) => {
  const machine = new SimMachine(5)
  let store = await machine.open()
  await machine.settle(store.createTopic('telemetry', { partitionCount: 2 }))
  await machine.settle(store.createTopic('scratch', { isForwarded: false }))
  await fill(machine, store, 'telemetry', 21)
  await fill(machine, store, 'scratch', 5)
  await machine.settle(store.deleteTopic('telemetry', lose))
  await machine.settle(store.deleteTopic('scratch', refuse))
  await machine.settle(store.createTopic('telemetry', { partitionCount: 1 }))
  await machine.settle(store.createTopic('scratch', { isForwarded: false }))
  const places = (name: string): unknown =>
    store.topics.get(name)?.partitions.map((p) => [p.logStartOffset, p.highWatermark, p.deliveredOffset])
  t.same(places('scratch'), [[0, 0, 0]])
  t.same(places('telemetry'), [[11, 11, 11]])
  machine.kill()
  store = await machine.open()
  t.same(places('telemetry'), [[11, 11, 11]])
  t.same([store.report.holes, store.metrics.lostRecords], [[], 21], 'what is below was counted when it was deleted')
  await machine.settle(store.alterTopic('telemetry', { partitionCount: 3 }))
  t.same(places('telemetry'), [
    [11, 11, 11],
    [10, 10, 10],
    [0, 0, 0]
  ])
  await fill(machine, store, 'telemetry', 3, 'new')
  await machine.settle(store.close())
  store = await machine.open()
  t.same(places('telemetry'), [
    [11, 12, 11],
    [10, 11, 10],
    [0, 1, 0]
  ])
  t.same(await texts(machine, store, 'telemetry'), ['new 0', 'new 1', 'new 2'])
})

t.test('a disk that does not let go of the directories delays only the name, and nobody else', async (t) => {
  for (const operation of ['rename', 'list', 'remove', 'rmdir']) {
    const machine = new SimMachine(6)
    let store = await machine.open()
    await machine.settle(store.createTopic('other', { isForwarded: false }))
    await machine.settle(store.createTopic('scratch', { isForwarded: false }))
    await fill(machine, store, 'scratch', 200)
    await machine.run(5_000)
    for (let i = 0; i < 3; i++) machine.disk.failNext(operation, '/topics', 'EIO')
    await machine.settle(store.deleteTopic('scratch', refuse))
    t.notOk(store.topics.has('scratch'), `${operation}: deleted`)
    t.equal(store.failure, null)
    await fill(machine, store, 'other', 1)
    if (operation === 'rename') {
      t.equal(await codeOf(machine.settle(store.createTopic('scratch', { isForwarded: false }))), 'WADI_BUSY')
      machine.kill()
      const inspection = { disk: machine.disk, core: loadTestCore(), codec: simCodec, directory: '/data' }
      t.same((await machine.settle(verifyDirectory(inspection))).problems, [], 'wadi log verify knows whose they are')
      store = await machine.open()
    }
    await machine.run(1_000)
    await machine.settle(store.createTopic('scratch', { isForwarded: false }))
    await fill(machine, store, 'scratch', 3, 'new')
    await machine.run(10_000)
    t.same(await texts(machine, store, 'scratch'), ['new 0', 'new 1', 'new 2'])
    t.same(pathsOf(machine, '.deleted/'), [])
    t.equal(store.failure, null)
    await machine.settle(store.close())
  }
})

t.test('a stop in the middle of the removal ends it, and the next start goes on', async (t) => {
  const machine = new SimMachine(8, { settings: { segmentBytes: 1024, sealBytes: 1024 } })
  let store = await machine.open()
  await machine.settle(store.createTopic('scratch', { isForwarded: false }))
  await fill(machine, store, 'scratch', 200)
  await machine.run(6_000)
  t.ok(pathsOf(machine, '/scratch-0/').length > 20, 'many files')
  await machine.settle(store.deleteTopic('scratch', refuse))
  const left = pathsOf(machine, '.deleted/').length + pathsOf(machine, '/scratch-0/').length
  t.ok(left > 0, `the deletion does not wait for its files: ${left} are left`)
  await machine.settle(store.close())
  const removals = machine.disk.reached.get('remove')
  const files = machine.disk.files().length
  await machine.run(5_000)
  t.same([machine.disk.reached.get('remove'), machine.disk.files().length], [removals, files], 'nothing is done behind the stop')
  store = await machine.open()
  await machine.run(2_000)
  t.same(pathsOf(machine, '.deleted/'), [])
  await machine.settle(store.close())
})

t.test(
  'a topic that was to be delivered once goes on behind its offsets, whatever the configuration says since, and whatever a kill forgot',
  async (t) => {
    const machine = new SimMachine(9)
    let store = await machine.open()
    const { partitions } = await machine.settle(store.createTopic('telemetry'))
    await fill(machine, store, 'telemetry', 10)
    store.setDelivered(partitions[0] as Partition, toOffset(10)) // the centre has them; only the notes of the uplink say so
    await machine.settle(store.alterTopic('telemetry', { isForwarded: false }))
    machine.kill()
    store = await machine.open()
    await machine.settle(store.deleteTopic('telemetry', refuse))
    const made = await machine.settle(store.createTopic('telemetry'))
    t.equal(made.partitions[0]?.logStartOffset, 10)
    await machine.settle(store.deleteTopic('telemetry', refuse))
    await machine.settle(store.createTopic('telemetry', { isForwarded: false }))
    t.equal((await machine.settle(store.alterTopic('telemetry', { isForwarded: true }))).partitions[0]?.logStartOffset, 10)
  }
)

t.test('a deletion beside seals, rolls and checkpoints of the topic, at every moment of them', async (t) => {
  for (let seed = 1; seed <= 100; seed++) {
    const machine = new SimMachine(seed, { settings: { sealAgeMs: 100, checkpointAgeMs: 100, housekeepingIntervalMs: 20 } })
    const store = await machine.open()
    const config = { isForwarded: false, codec: seed % 2 === 0 ? 'none' : 'gzip' } as const
    const scratch = (await machine.settle(store.createTopic('scratch', config))).partitions[0] as Partition
    const other = (await machine.settle(store.createTopic('other', config))).partitions[0] as Partition
    const words: string[] = []
    const appends: Promise<unknown>[] = []
    const append = (partition: Partition, text: string): void => {
      if (partition === other) words.push(text)
      appends.push(appendText(store, partition, `${text} ${'s'.repeat(600)}`).catch((error: WadiError) => error.code))
    }
    for (let i = 0; i < 60; i++) {
      append(scratch, `event ${i}`)
      append(other, `event ${i}`)
      if (i % 10 === seed % 10) await machine.run(seed % 3)
    }
    appends.push(store.deleteTopic('scratch', refuse))
    for (let i = 60; i < 120; i++) append(other, `event ${i}`)
    await machine.settle(Promise.all(appends))
    await machine.run(10_000)
    if (store.failure) t.fail(`seed ${seed}: ${store.failure.message}`)
    if ((await texts(machine, store, 'other')).join() !== words.join()) t.fail(`seed ${seed}: another topic has other events`)
    if (pathsOf(machine, '.deleted/').length > 0) t.fail(`seed ${seed}: files are left`)
    await machine.settle(store.close())
  }
})

const ROUNDS = 100
t.test(`${ROUNDS} stops in the middle of a deletion, and of the creation behind it`, async (t) => {
  const seen = { kept: 0, gone: 0, anew: 0 }
  for (let seed = 1; seed <= ROUNDS; seed++) {
    const machine = new SimMachine(seed)
    const { prng } = machine
    let store = await machine.open()
    await machine.settle(store.createTopic('other', { isForwarded: false }))
    const config = { isForwarded: prng.chance(50), partitionCount: 1 + prng.below(3) }
    await machine.settle(store.createTopic('scratch', config))
    await fill(machine, store, 'other', 5)
    await fill(machine, store, 'scratch', 10 + prng.below(150))
    if (prng.chance(50)) await machine.run(prng.below(8_000))
    const before = await texts(machine, store, 'scratch')
    const acknowledged: string[] = []
    const churn = async (): Promise<void> => {
      await store.deleteTopic('scratch', lose)
      const { partitions } = await store.createTopic('scratch', config)
      for (let i = 0; i < 20; i++) {
        const text = `anew ${i}`
        await appendText(store, partitions[i % partitions.length] as Partition, text)
        acknowledged.push(text)
      }
    }
    void churn().catch(() => undefined)
    await machine.run(prng.below(prng.chance(50) ? 15 : 80))
    if (prng.chance(50)) machine.kill()
    else machine.powerCut()
    store = await machine.open()
    const found = await texts(machine, store, 'scratch')
    if (store.topics.has('scratch') && found[0]?.startsWith('event')) {
      seen.kept++
      if (found.length !== before.length || acknowledged.length > 0) t.fail(`seed ${seed}: ${found.length} of ${before.length} are there`)
    } else {
      seen[store.topics.has('scratch') ? 'anew' : 'gone']++
      if (acknowledged.some((text) => !found.includes(text))) t.fail(`seed ${seed}: acknowledged events of the new topic are lost`)
    }
    if (store.report.holes.length + store.report.missingCommits > 0) t.fail(`seed ${seed}: damage is reported where there is none`)
    const notes = store.report.notes.filter((note) => !note.endsWith('the journal has what was acknowledged')) // a torn end
    if (notes.length > 0) t.fail(`seed ${seed}: ${notes.join()}`)
    if (!store.topics.has('scratch')) await machine.settle(store.createTopic('scratch', config))
    await fill(machine, store, 'scratch', 5, 'last')
    await machine.run(20_000)
    await machine.settle(store.close())
    store = await machine.open()
    const rest = await texts(machine, store, 'scratch')
    if (rest.filter((text) => text.startsWith('last')).length !== 5) t.fail(`seed ${seed}: ${rest.join()}`)
    if (found.some((text) => !rest.includes(text))) t.fail(`seed ${seed}: what the start found is lost`)
    if ((await texts(machine, store, 'other')).length !== 5) t.fail(`seed ${seed}: another topic lost events`)
    await machine.settle(store.close())
    const left = [...pathsOf(machine, '.deleted/'), ...store.listState('gone/')]
    if (left.length > 0) t.fail(`seed ${seed}: left behind: ${left.join()}`)
  }
  t.ok(seen.kept > 20 && seen.gone > 20 && seen.anew > 20, `the cuts met every stage: ${JSON.stringify(seen)}`)
})
