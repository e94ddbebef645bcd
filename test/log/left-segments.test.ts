// Proves: segments of a topic that damage took out of journal and state are served again when a topic of that name is made, and nothing is ever
// written over them; `wadi log verify` names them until then. How: a gateway that has made no checkpoint behind the making of its topic is killed, its
// journal goes whole or in the one sector that made the topic, and it starts again.

import t from 'tap'
import type { Partition } from '../../runtime/log/contract.ts'
import { verifyDirectory } from '../../runtime/log/inspect.ts'
import { BLOCK_BYTES } from '../../runtime/log/journal-file.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, readAll, SimMachine } from '../helpers/sim-store.ts'
import { simCodec } from '../sim/sim-codec.ts'

const EVENTS = 60
const settings = { journalFileBytes: 1024 * 1024, checkpointAgeMs: 3_600_000 }

/** The state file is that of the first start: it names no topic. */
async function killedBeforeItsCheckpoint({ unsealed = 0 } = {}): Promise<SimMachine> {
  const machine = new SimMachine(3, { settings })
  const store = await machine.open()
  await machine.settle(store.createTopic('alarms'))
  const { partitions } = await machine.settle(store.createTopic('telemetry', { codec: 'none' }))
  for (let i = 0; i < EVENTS; i++) await machine.settle(appendText(store, partitions[0] as Partition, `event ${i} ${'s'.repeat(200)}`))
  await machine.run(3_000) // sealed by age
  for (let i = 0; i < unsealed; i++) await machine.settle(appendText(store, partitions[0] as Partition, `only in the journal ${i}`))
  machine.kill()
  return machine
}

const inspect = ({ disk }: SimMachine) => verifyDirectory({ disk, core: loadTestCore(), codec: simCodec, directory: '/data' })

async function texts(machine: SimMachine, store: LogStore): Promise<string[]> {
  const records = await machine.settle(readAll(store.topics.get('telemetry')?.partitions[0] as Partition))
  return records.map(({ value }) =>
    Buffer.from(value ?? [])
      .toString()
      .replace(/ s+$/, '')
  )
}

const losses: Record<string, (machine: SimMachine) => Promise<void>> = {
  'the whole journal': async ({ disk }) => {
    for (const { path } of disk.files()) if (path.endsWith('.journal')) await disk.remove(path)
  },
  'the commit that made the topic': async ({ disk }) => {
    const journal = disk.files().find(({ path }) => path.endsWith('/0.journal'))
    const at = Buffer.from(journal?.bytes ?? []).indexOf('topic/telemetry')
    disk.rot(journal?.path ?? '', at - (at % BLOCK_BYTES) + 40)
  }
}

for (const [what, lose] of Object.entries(losses)) {
  t.test(`${what} is lost before a checkpoint: a topic of the same name has the segments, and goes on behind them`, async (t) => {
    const machine = await killedBeforeItsCheckpoint()
    await machine.settle(lose(machine))
    const before = await machine.settle(inspect(machine))
    t.match(
      before.problems.find(({ file }) => file.endsWith('telemetry-0')),
      { what: 'no state file and no commit of the journal names this partition' },
      'verify names them'
    )
    const store = await machine.open()
    t.notOk(store.topics.has('telemetry'), 'nothing on the disk names the topic')
    const { partitions } = await machine.settle(store.createTopic('telemetry', { codec: 'none' }))
    const found = await texts(machine, store)
    t.ok(found.length > 0, `${found.length} events were in segments`)
    t.same(
      found,
      found.map((_, i) => `event ${i}`)
    )
    t.equal(store.report.notes.filter((note) => note.includes('were taken in')).length, 1, 'the report says so')
    await machine.settle(appendText(store, partitions[0] as Partition, 'new'))
    await machine.settle(store.close())
    const again = await machine.open()
    t.same(await texts(machine, again), [...found, 'new'])
    t.equal(again.metrics.lostRecords, 0)
    await machine.settle(again.close())
    t.same((await machine.settle(inspect(machine))).problems, [])
  })
}

t.test(
  'what a start finds of a topic that nothing names is durable before the journal is free of it: a power cut takes nothing',
  async (t) => {
    for (let seed = 0; seed < 8; seed++) {
      const machine = await killedBeforeItsCheckpoint()
      await machine.settle((losses['the commit that made the topic'] as (machine: SimMachine) => Promise<void>)(machine))
      t.equal((await machine.open()).metrics.lostRecords, 0)
      for (let draw = 0; draw < seed; draw++) machine.prng.uint32()
      machine.powerCut()
      const store = await machine.open()
      await machine.settle(store.createTopic('telemetry', { codec: 'none' }))
      t.equal((await texts(machine, store)).length, EVENTS)
      await machine.settle(store.close())
    }
  }
)

t.test('what was taken in is durable before it is seen: a power cut right behind it takes nothing of it', async (t) => {
  for (let seed = 0; seed < 8; seed++) {
    const machine = await killedBeforeItsCheckpoint()
    await machine.settle((losses['the commit that made the topic'] as (machine: SimMachine) => Promise<void>)(machine))
    const store = await machine.open()
    await machine.settle(store.createTopic('telemetry', { codec: 'none' }))
    const seen = await texts(machine, store)
    t.ok(seen.length > 0)
    for (let draw = 0; draw < seed; draw++) machine.prng.uint32()
    machine.powerCut()
    const again = await machine.open()
    t.same(await texts(machine, again), seen)
  }
})

for (const operation of ['sync', 'sync-directory'] as const) {
  t.test(
    `a ${operation} fails while segments are taken in: the store fails by name, nothing of the topic is seen, and a later start has all of it`,
    async (t) => {
      const machine = await killedBeforeItsCheckpoint()
      await machine.settle((losses['the commit that made the topic'] as (machine: SimMachine) => Promise<void>)(machine))
      const store = await machine.open()
      machine.disk.failNext(operation, 'telemetry-0', 'EIO')
      await t.rejects(machine.settle(store.createTopic('telemetry', { codec: 'none' })), { code: 'WADI_LOG_FAILED' })
      t.match(store.failure, { code: 'WADI_LOG_FAILED', message: /Taking in segments that nothing named/ })
      t.notOk(store.topics.has('telemetry'))
      machine.kill()
      const again = await machine.open()
      t.ok((await texts(machine, again)).length > 0)
      t.equal(again.metrics.lostRecords, 0)
      await machine.settle(again.close())
    }
  )
}

for (const operation of ['write', 'open'] as const) {
  t.test(
    `there is no room to take segments in (${operation}): the topic is refused by name, and is made with all of them when there is`,
    async (t) => {
      const machine = await killedBeforeItsCheckpoint({ unsealed: 7 })
      await machine.settle((losses['the commit that made the topic'] as (machine: SimMachine) => Promise<void>)(machine))
      const store = await machine.open()
      for (const attempt of [1, 2]) {
        machine.disk.failNext(operation, 'telemetry-0', 'ENOSPC')
        await t.rejects(machine.settle(store.createTopic('telemetry', { codec: 'none' })), { code: 'WADI_DISK_FULL' }, `attempt ${attempt}`)
        t.notOk(store.topics.has('telemetry'))
      }
      t.equal(store.failure, null)
      t.equal(store.metrics.lostRecords, 7)
      const { partitions } = await machine.settle(store.createTopic('telemetry', { codec: 'none' }))
      t.equal((await texts(machine, store)).length, EVENTS)
      t.equal(await machine.settle(appendText(store, partitions[0] as Partition, 'new')), EVENTS + 7)
      machine.kill()
      const again = await machine.open()
      t.equal((await texts(machine, again)).length, EVENTS + 1)
      t.match(again.metrics.removals, [{ records: 7, isLoss: true }])
    }
  )
}

t.test(
  'a gap in front of the segments that are taken in is counted once, under the name of the topic, and what was lost behind them is not given again',
  async (t) => {
    const machine = await killedBeforeItsCheckpoint({ unsealed: 7 })
    await machine.settle((losses['the commit that made the topic'] as (machine: SimMachine) => Promise<void>)(machine))
    const segments = machine.disk
      .files()
      .filter(({ path }) => path.includes('telemetry-0/') && path.endsWith('.log'))
      .sort((a, b) => (a.path < b.path ? -1 : 1))
    t.ok(segments.length > 1)
    await machine.settle(machine.disk.remove(segments[0]?.path ?? ''))
    const store = await machine.open()
    const { lostRecords } = store.metrics
    t.ok(lostRecords > 7, `${lostRecords} events are in no segment`)
    t.match(store.metrics.removals, [{ topicName: /topic number 2/ }])
    const { partitions } = await machine.settle(store.createTopic('telemetry', { codec: 'none' }))
    t.equal((await texts(machine, store)).length, EVENTS + 7 - lostRecords)
    t.equal(await machine.settle(appendText(store, partitions[0] as Partition, 'new')), EVENTS + 7)
    machine.kill()
    for (const stop of ['kill', 'stop', 'kill']) {
      const again = await machine.open()
      t.same(again.metrics.removals, [{ topicName: 'telemetry', reason: 'damage', records: lostRecords, isLoss: true }])
      t.equal((await texts(machine, again)).length, EVENTS + 8 - lostRecords)
      if (stop === 'stop') await machine.settle(again.close())
      else machine.kill()
    }
  }
)

t.test('a number whose topic is lost is not given again: no event is replayed into another topic', async (t) => {
  const machine = await killedBeforeItsCheckpoint()
  await machine.settle((losses['the commit that made the topic'] as (machine: SimMachine) => Promise<void>)(machine))
  const store = await machine.open()
  const { number } = await machine.settle(store.createTopic('other'))
  t.equal(number, 3)
})

t.test('partitions that a topic gets have the segments that lie there', async (t) => {
  const machine = await killedBeforeItsCheckpoint()
  await machine.settle((losses['the whole journal'] as (machine: SimMachine) => Promise<void>)(machine))
  for (const { path, bytes } of machine.disk.files()) {
    if (!path.includes('telemetry-0/')) continue
    await machine.settle(machine.disk.makeDirectory('/data/topics/telemetry-1'))
    const copy = await machine.settle(machine.disk.open(path.replace('telemetry-0', 'telemetry-1'), 'create'))
    await machine.settle(copy.writeAt(0, bytes.slice()))
    await machine.settle(copy.close())
  }
  const store = await machine.open()
  await machine.settle(store.createTopic('telemetry', { codec: 'none' }))
  const { partitions } = await machine.settle(store.alterTopic('telemetry', { partitionCount: 2 }))
  t.ok(partitions[1]?.highWatermark, 'taken in')
  t.equal(partitions[1]?.highWatermark, partitions[0]?.highWatermark)
})

t.test(
  'events that only the journal has, of a topic that nothing names, are counted as lost: once, and also behind checkpoints',
  async (t) => {
    const machine = await killedBeforeItsCheckpoint({ unsealed: 7 })
    await machine.settle((losses['the commit that made the topic'] as (machine: SimMachine) => Promise<void>)(machine))
    const { lostRecords } = await machine.settle(inspect(machine))
    t.equal(lostRecords, 7, 'verify counts them too')
    for (const stop of ['kill', 'kill', 'stop', 'kill', 'stop']) {
      const store = await machine.open()
      t.equal(store.metrics.lostRecords, 7)
      t.match(store.metrics.removals, [{ topicName: /topic number 2/, reason: 'damage', records: 7, isLoss: true }])
      if (stop === 'stop') await machine.settle(store.close())
      else machine.kill()
    }
    const store = await machine.open()
    const { number, partitions } = await machine.settle(store.createTopic('other'))
    t.ok(number > 2, 'the number is not given again, or its damage would be that of another topic')
    await machine.settle(appendText(store, partitions[0] as Partition, 'new'))
    t.equal(store.metrics.lostRecords, 7)
  }
)

t.test(
  'a topic has its segments again while the disk is too full for a checkpoint: what the journal also has of it is not called lost',
  async (t) => {
    for (const unsealed of [0, 7]) {
      const machine = await killedBeforeItsCheckpoint({ unsealed })
      await machine.settle((losses['the commit that made the topic'] as (machine: SimMachine) => Promise<void>)(machine))
      machine.disk.capacityBytes = machine.disk.usedBytes
      for (const life of [1, 2, 3]) {
        const store = await machine.open()
        t.equal(store.report.missingCommits, 1, `life ${life}: no checkpoint is behind the gap`)
        t.equal(store.metrics.lostRecords, unsealed, `${unsealed} events were in the journal only, life ${life}`)
        if (life === 1) await machine.settle(store.createTopic('telemetry', { codec: 'none' }))
        t.equal((await texts(machine, store)).length, EVENTS)
        machine.kill()
      }
      machine.disk.capacityBytes = Number.POSITIVE_INFINITY
      for (const life of [4, 5]) {
        const store = await machine.open()
        t.equal(store.metrics.lostRecords, unsealed, `life ${life}`)
        await machine.settle(store.createTopic(`other ${life}`.replace(' ', '.')))
        await machine.settle(store.close())
        if (life === 5) t.same(store.listState('unnamed/'), [], 'nothing of it is remembered behind the next checkpoint')
      }
    }
  }
)

t.test('the commit that made a partition is lost: its events are counted, and a new partition goes on behind their offsets', async (t) => {
  const machine = new SimMachine(3, { settings })
  const store = await machine.open()
  await machine.settle(store.createTopic('telemetry', { codec: 'none' }))
  await machine.settle(store.flush())
  const { partitions } = await machine.settle(store.alterTopic('telemetry', { partitionCount: 2 }))
  for (let i = 0; i < 7; i++) await machine.settle(appendText(store, partitions[1] as Partition, `only in the journal ${i}`))
  machine.kill()
  const journal = machine.disk.files().find(({ path }) => path.endsWith('/0.journal'))
  const at = Buffer.from(journal?.bytes ?? []).lastIndexOf('topic/telemetry')
  machine.disk.rot(journal?.path ?? '', at - (at % BLOCK_BYTES) + 40)
  for (const stop of ['kill', 'stop', 'kill']) {
    const again = await machine.open()
    t.equal(again.topics.get('telemetry')?.partitions.length, 1)
    t.match(again.metrics.removals, [{ topicName: 'telemetry', reason: 'damage', records: 7, isLoss: true }])
    if (stop === 'stop') await machine.settle(again.close())
    else machine.kill()
  }
  const growing = await machine.open()
  await machine.settle(growing.alterTopic('telemetry', { partitionCount: 2 }))
  await machine.settle(growing.close())
  const last = await machine.open()
  const grown = last.topics.get('telemetry')?.partitions[1] as Partition
  t.equal(await machine.settle(appendText(last, grown, 'new')), 7)
  t.equal(last.metrics.lostRecords, 7)
  machine.kill()
  const end = await machine.open()
  t.same(
    (await machine.settle(readAll(end.topics.get('telemetry')?.partitions[1] as Partition))).map(({ offset }) => offset),
    [7]
  )
  t.equal(end.metrics.lostRecords, 7)
})

t.test(
  'damage took the commit that made a topic, and its events are in the journal only: the start says how many are not served',
  async (t) => {
    const machine = new SimMachine(3)
    const before = await machine.open()
    const { partitions } = await machine.settle(before.createTopic('plant', { codec: 'none' }))
    for (let i = 0; i < 5; i++) await machine.settle(appendText(before, partitions[0] as Partition, `event ${i}`))
    machine.kill()
    const journal = machine.disk.files().find(({ path }) => path.endsWith('0.journal'))
    const at = Buffer.from(journal?.bytes ?? []).indexOf('topic/plant')
    t.ok(at > 0)
    machine.disk.rot(journal?.path ?? '', at)
    const store = await machine.open()
    t.same([...store.topics.keys()], [])
    t.match(
      store.report.notes.join('\n'),
      /the journal has 5 events of topic number 1, partition 0, which no state file knows: not served; 5 of them are in no segment: lost/
    )
    await machine.settle(store.close())
  }
)

t.test(
  'the journal is full when a start finds what was lost, and it dies behind its checkpoint: the next one knows it all the same',
  async (t) => {
    const machine = new SimMachine(3, { settings: { ...settings, journalFileBytes: 32 * 1024, sealAgeMs: 3_600_000 } })
    const before = await machine.open()
    const { partitions } = await machine.settle(before.createTopic('telemetry', { codec: 'none' }))
    machine.disk.capacityBytes = 0 // the files of the journal are made; no checkpoint frees one
    let acked = 0
    for (let isFull = false; !isFull; )
      await machine.settle(appendText(before, partitions[0] as Partition, `event ${acked}`)).then(
        () => acked++,
        () => {
          isFull = true
        }
      )
    machine.kill()
    machine.disk.heal()
    await machine.settle((losses['the commit that made the topic'] as (machine: SimMachine) => Promise<void>)(machine))
    const { rename } = machine.disk
    machine.disk.rename = async (from, to) => {
      await rename.call(machine.disk, from, to)
      machine.disk.failNext('sync-directory', '/state', 'EIO')
    }
    await t.rejects(machine.open(), { code: 'WADI_LOG_FAILED' })
    machine.disk.rename = rename
    machine.kill()
    const store = await machine.open()
    const { lostRecords } = store.metrics
    t.equal(store.lastDamagedStart, store.incarnation)
    machine.kill()
    const again = await machine.open()
    t.equal(again.metrics.lostRecords, lostRecords, 'counted once')
    await machine.settle(again.createTopic('telemetry', { codec: 'none' }))
    t.equal((await texts(machine, again)).length + lostRecords, acked, 'what is in no segment is counted')
  }
)
