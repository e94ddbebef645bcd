// Proves for runtime/log/log-store.ts: what was acknowledged is there after a stop, a kill and a power cut; seal, roll, checkpoint,
// retention and quota keep every promise they make; a failed sync is final and a full disk is not.
// How: one store on a simulated disk with very small settings, so that everything happens within a few hundred events.

import t, { type Test } from 'tap'
import { viewOf } from '../../runtime/core/batch-header.ts'
import type { DroppedRange, Partition } from '../../runtime/log/contract.ts'
import { KIB } from '../../runtime/log/settings.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, event, readAll, SimMachine, textOf } from '../helpers/sim-store.ts'
import { testArea } from '../helpers/state-area.ts'

async function fill(
  machine: SimMachine,
  store: Awaited<ReturnType<SimMachine['open']>>,
  partition: Partition,
  range: { from: number; to: number; padBytes?: number }
): Promise<void> {
  for (let i = range.from; i < range.to; i += 10) {
    const wave: Promise<unknown>[] = []
    for (let j = i; j < Math.min(i + 10, range.to); j++)
      wave.push(appendText(store, partition, `event ${j} ${'x'.repeat(range.padBytes ?? 0)}`))
    await machine.settle(Promise.all(wave))
  }
}

function logsOf({ disk }: SimMachine): string[] {
  return disk
    .files()
    .map(({ path }) => path)
    .filter((path) => path.endsWith('.log'))
    .sort()
}

async function checkEvents(t: Test, machine: SimMachine, partition: Partition, range: { from: number; to: number }): Promise<void> {
  const records = await machine.settle(readAll(partition))
  t.equal(records.length, range.to - range.from, 'all events are there, once')
  t.ok(
    records.every((record, i) => record.offset === partition.logStartOffset + i && textOf(record).startsWith(`event ${range.from + i} `)),
    'in order, with dense offsets'
  )
}

t.test('what was appended is read back, before and after a clean stop', async (t) => {
  const machine = new SimMachine(1)
  const store = await machine.open()
  const topic = await machine.settle(store.createTopic('telemetry', { partitionCount: 2 }))
  const [partition] = topic.partitions as readonly Partition[] as [Partition]
  await fill(machine, store, partition, { from: 0, to: 50 })
  await checkEvents(t, machine, partition, { from: 0, to: 50 })
  await machine.settle(store.close())
  const again = await machine.open()
  t.equal(again.logId, store.logId, 'it is the same log')
  t.equal(again.incarnation, 2, 'and its second life')
  const reopened = again.topics.get('telemetry')
  t.equal(reopened?.partitions.length, 2)
  await checkEvents(t, machine, reopened?.partitions[0] as Partition, { from: 0, to: 50 })
  t.equal(again.report.replayedRecords, 0, 'nothing had to be replayed')
})

t.test('a kill in the middle loses nothing that was acknowledged, also after rolls and checkpoints', async (t) => {
  const machine = new SimMachine(2)
  let store = await machine.open()
  await machine.settle(store.createTopic('telemetry'))
  let total = 0
  for (let life = 0; life < 6; life++) {
    const partition = store.topics.get('telemetry')?.partitions[0] as Partition
    await fill(machine, store, partition, { from: total, to: total + 120, padBytes: 200 })
    total += 120
    if (life % 2 === 0) await machine.run(3_000)
    machine.kill()
    store = await machine.open()
    await checkEvents(t, machine, store.topics.get('telemetry')?.partitions[0] as Partition, { from: 0, to: total })
  }
  t.ok(
    store.topics.get('telemetry')?.partitions[0] && machine.disk.files().some(({ path }) => path.endsWith('.timeindex')),
    'segments with indexes were made'
  )
})

for (let seed = 1; seed <= 40; seed++) {
  t.test(`a power cut loses nothing that was acknowledged (seed ${seed})`, async (t) => {
    const machine = new SimMachine(seed * 7919)
    let store = await machine.open()
    await machine.settle(store.createTopic('telemetry'))
    let acknowledged = 0
    let sent = 0
    for (let life = 0; life < 3; life++) {
      const partition = store.topics.get('telemetry')?.partitions[0] as Partition
      sent = partition.highWatermark
      acknowledged = sent
      const count = machine.prng.below(150)
      for (let i = 0; i < count; i++) {
        store.append(partition, event(`event ${sent++} ${'y'.repeat(machine.prng.below(300))}`), (error) => {
          if (!error) acknowledged++
        })
        if (machine.prng.chance(20)) await machine.run(machine.prng.below(400))
      }
      await machine.run(machine.prng.below(30))
      machine.powerCut()
      store = await machine.open()
      const recovered = store.topics.get('telemetry')?.partitions[0] as Partition
      t.ok(recovered.highWatermark >= acknowledged, `kept ${recovered.highWatermark} >= acknowledged ${acknowledged}`)
      t.ok(recovered.highWatermark <= sent, 'nothing was invented')
      await checkEvents(t, machine, recovered, { from: 0, to: recovered.highWatermark })
      t.equal(store.report.holes.length, 0, 'no hole')
      t.equal(store.metrics.lostRecords, 0, 'none lost')
    }
  })
}

t.test('nothing is acknowledged before the sync, and a failed sync is final', async (t) => {
  const machine = new SimMachine(3)
  const store = await machine.open()
  const topic = await machine.settle(store.createTopic('telemetry'))
  const partition = topic.partitions[0] as Partition
  await fill(machine, store, partition, { from: 0, to: 10 })
  machine.disk.failNext('write-sync', 'journal', 'EIO')
  await t.rejects(machine.settle(appendText(store, partition, 'event 10 ')), { code: 'WADI_LOG_FAILED' })
  await t.rejects(
    machine.settle(appendText(store, partition, 'event 11 ')),
    { code: 'WADI_LOG_FAILED' },
    'and stays so although the disk works again'
  )
  t.equal(partition.highWatermark, 10, 'nothing of it became visible')
  await checkEvents(t, machine, partition, { from: 0, to: 10 })
  machine.kill()
  const again = await machine.open()
  t.equal(again.failure, null, 'a restart reads the disk and goes on')
  const reopened = again.topics.get('telemetry')?.partitions[0] as Partition
  t.ok(reopened.highWatermark >= 10)
  await machine.settle(appendText(again, reopened, 'event after'))
})

t.test('a full disk refuses, and ingest goes on by itself when there is space', async (t) => {
  const machine = new SimMachine(4)
  const store = await machine.open()
  const topic = await machine.settle(store.createTopic('telemetry', { codec: 'none' }))
  const partition = topic.partitions[0] as Partition
  machine.disk.capacityBytes = machine.disk.usedBytes + 20 * KIB
  let acknowledged = 0
  let refused = 0
  for (let i = 0; i < 400 && refused < 20; i++) {
    await machine.settle(
      appendText(store, partition, `event ${acknowledged} ${'z'.repeat(700)}`).then(
        () => acknowledged++,
        (error: { code: string }) => {
          t.equal(error.code, 'WADI_DISK_FULL')
          refused++
        }
      )
    )
  }
  t.equal(refused, 20, 'it does refuse')
  t.equal(store.failure, null, 'which is not a failure')
  machine.disk.capacityBytes = machine.disk.usedBytes + 4096 * KIB
  await machine.run(5_000)
  await machine.settle(appendText(store, partition, `event ${acknowledged} `))
  await checkEvents(t, machine, partition, { from: 0, to: acknowledged + 1 })
  machine.powerCut()
  const again = await machine.open()
  await checkEvents(t, machine, again.topics.get('telemetry')?.partitions[0] as Partition, { from: 0, to: acknowledged + 1 })
})

t.test('events and state of one commit are there together or not at all', async (t) => {
  const machine = new SimMachine(5)
  const store = await machine.open()
  const topic = await machine.settle(store.createTopic('telemetry'))
  const partition = topic.partitions[0] as Partition
  const value = new TextEncoder().encode('seen')
  await machine.settle(appendText(store, partition, 'event 0 ', [{ key: testArea.key('a', 1), value }]))
  const offsets = await machine.settle(
    store.commit([{ partition, content: { record: event('event 1 ') } }], (base) => [
      { key: testArea.key('at'), value: new TextEncoder().encode(String(base[0])) }
    ])
  )
  t.same(offsets, [1])
  machine.powerCut()
  const again = await machine.open()
  t.same(again.listState('test/a/'), [testArea.key('a', 1)])
  t.equal(new TextDecoder().decode(again.getState(testArea.key('at'))), '1')
  await machine.settle(again.commit([], [{ key: testArea.key('a', 1), value: null }]))
  await machine.run(20_000)
  machine.powerCut()
  const third = await machine.open()
  t.same(third.listState('test/a/'), [], 'a deleted key does not come back after a checkpoint')
})

t.test('retention takes what is delivered and leaves the rest', async (t) => {
  const machine = new SimMachine(6)
  const store = await machine.open()
  const topic = await machine.settle(store.createTopic('telemetry', { retentionMs: 60_000, codec: 'none' }))
  const partition = topic.partitions[0] as Partition
  await fill(machine, store, partition, { from: 0, to: 200, padBytes: 200 })
  await machine.run(120_000)
  t.equal(partition.logStartOffset, 0, 'expired but not delivered: kept')
  store.setDelivered(partition, partition.highWatermark)
  await machine.run(10_000)
  t.equal(partition.logStartOffset, 200, 'delivered and expired: gone')
  t.equal(store.metrics.lostRecords, 0, 'and not counted as dropped')
  await machine.settle(appendText(store, partition, 'event 200 '))
  machine.kill()
  const again = await machine.open()
  const reopened = again.topics.get('telemetry')?.partitions[0] as Partition
  t.equal(reopened.highWatermark, 201, 'offsets go on')
})

t.test('a segment that grows while it is chosen to go stays until what came behind is delivered too', async (t) => {
  const machine = new SimMachine(12, { settings: { sealBytes: 200, sealAgeMs: 20, housekeepingIntervalMs: 5, segmentBytes: 1024 * KIB } })
  const store = await machine.open()
  const topic = await machine.settle(store.createTopic('telemetry', { retentionMs: 1, codec: 'none' }))
  const partition = topic.partitions[0] as Partition
  let delivered = partition.highWatermark
  for (let i = 0; i < 600 && partition.logStartOffset <= delivered; i++) {
    void appendText(store, partition, `event ${i} ${'g'.repeat(100)}`)
    await machine.run(1 + machine.prng.below(6))
    if (!machine.prng.chance(30)) continue
    delivered = partition.highWatermark
    store.setDelivered(partition, delivered)
  }
  t.ok(partition.logStartOffset > 100, 'retention is at work')
  t.ok(partition.logStartOffset <= delivered, `the log starts at ${partition.logStartOffset}, ${delivered} are delivered`)
  t.equal(store.metrics.lostRecords, 0)
})

t.test('a deletion that the disk refuses is tried again, and a file it left behind is never taken for events', async (t) => {
  const machine = new SimMachine(14)
  const store = await machine.open()
  const topic = await machine.settle(store.createTopic('telemetry', { retentionMs: 60_000, codec: 'none' }))
  const partition = topic.partitions[0] as Partition
  await fill(machine, store, partition, { from: 0, to: 200, padBytes: 200 })
  await machine.run(20_000)
  const segmentsBefore = logsOf(machine)
  t.ok(segmentsBefore.length > 3)
  machine.disk.failNext('rename', 'topics', 'ENOSPC')
  store.setDelivered(partition, partition.highWatermark)
  await machine.run(120_000)
  t.equal(partition.logStartOffset, 200)
  t.same(
    logsOf(machine).filter((path) => segmentsBefore.slice(0, -1).includes(path)),
    [],
    'all of them are gone'
  )
  t.equal(store.metrics.lostRecords, 0)
  machine.kill()

  // As an older version, or a rename that was never synced, may leave it: an old segment in front of a deleted one.
  const stale = segmentsBefore[0] as string
  const file = await machine.settle(machine.disk.open(stale, 'create'))
  await machine.settle(file.writeAt(0, new Uint8Array(100)))
  await machine.settle(machine.disk.rename(logsOf(machine).at(-1) as string, `${logsOf(machine).at(-1)}.deleted`))
  const again = await machine.open()
  const reopened = again.topics.get('telemetry')?.partitions[0] as Partition
  t.equal(reopened.logStartOffset, 200)
  t.notOk(logsOf(machine).includes(stale))
})

t.test('quota: reject refuses by name, drop_oldest with leave drops and counts', async (t) => {
  const machine = new SimMachine(7)
  const store = await machine.open()
  const strict = (await machine.settle(store.createTopic('strict', { quotaBytes: 30 * KIB, codec: 'none' }))).partitions[0] as Partition
  const loose = (
    await machine.settle(
      store.createTopic('loose', { quotaBytes: 30 * KIB, codec: 'none', whenFull: 'drop_oldest', dropUndelivered: true })
    )
  ).partitions[0] as Partition
  const dropped: DroppedRange[] = []
  store.onDropped((range) => dropped.push(range))
  let refused = 0
  for (let i = 0; i < 300; i++) {
    await machine.settle(
      appendText(store, strict, `event ${i} ${'q'.repeat(300)}`).catch((error: { code: string }) => {
        t.equal(error.code, 'WADI_QUOTA_EXCEEDED')
        refused++
      })
    )
    await machine.settle(appendText(store, loose, `event ${i} ${'q'.repeat(300)}`))
    await machine.run(40)
  }
  t.ok(refused > 0, 'the strict topic refuses')
  t.equal(strict.logStartOffset, 0, 'and keeps what it has')
  t.ok(loose.logStartOffset > 0, 'the loose one drops its oldest')
  t.equal(dropped.at(-1)?.endOffset, loose.logStartOffset, 'and says so by offset')
  t.same(
    store.metrics.removals,
    [{ topicName: 'loose', reason: 'quota', records: loose.logStartOffset as number, isLoss: true }],
    'and counts'
  )
  store.setDelivered(strict, strict.highWatermark)
  await machine.run(2_000)
  await machine.settle(appendText(store, strict, 'event after'))
})

t.test('damage in a segment is never served, is reported by offset, and the rest is', async (t) => {
  const machine = new SimMachine(8)
  const store = await machine.open()
  const topic = await machine.settle(store.createTopic('telemetry', { codec: 'none' }))
  const partition = topic.partitions[0] as Partition
  await fill(machine, store, partition, { from: 0, to: 300, padBytes: 200 })
  await machine.settle(store.close())
  const victim = machine.disk.files().filter(({ path }) => path.endsWith('.log'))[1]
  t.ok(victim && machine.disk.rot(victim.path, 700), 'one bit of the second segment is flipped')
  const again = await machine.open()
  const dropped: DroppedRange[] = []
  again.onDropped((range) => dropped.push(range))
  const reopened = again.topics.get('telemetry')?.partitions[0] as Partition
  const records = await machine.settle(readAll(reopened))
  const [range] = dropped
  t.equal(dropped.length, 1)
  t.equal(range?.reason, 'damage')
  t.equal(records.length, 300 - ((range?.endOffset ?? 0) - (range?.startOffset ?? 0)), 'exactly the named range is missing')
  t.ok(
    records.every((record) => textOf(record).startsWith(`event ${record.offset} `)),
    'nothing is altered'
  )
})

t.test('several broken commits at the end of the journal are damage, not a torn end, and are said once', async (t) => {
  const machine = new SimMachine(11)
  const store = await machine.open()
  const partition = (await machine.settle(store.createTopic('telemetry'))).partitions[0] as Partition
  for (let i = 0; i < 8; i++) await machine.settle(appendText(store, partition, `event ${i} ${'j'.repeat(100)}`))
  machine.kill()
  const commits = 10 // incarnation, topic, eight events: one block each
  for (const at of [commits - 3, commits - 2, commits - 1]) t.ok(machine.disk.rot('/data/journal/0.journal', 4096 * (1 + at) + 100))
  const again = await machine.open()
  t.equal(again.report.missingCommits, 3)
  const reopened = again.topics.get('telemetry')?.partitions[0] as Partition
  t.equal(reopened.highWatermark, 5, 'what is whole is served')
  await machine.settle(appendText(again, reopened, 'event 5 '))
  machine.kill()
  const third = await machine.open()
  t.equal(third.report.missingCommits, 0, 'the next start does not find it again')
  await checkEvents(t, machine, third.topics.get('telemetry')?.partitions[0] as Partition, { from: 0, to: 6 })
})

t.test('a second process is refused by name', async (t) => {
  const machine = new SimMachine(9)
  await machine.open()
  await t.rejects(machine.open(), { code: 'WADI_DATA_DIR_LOCKED' })
})

t.test('time finds the first record at or after it', async (t) => {
  const machine = new SimMachine(10)
  const store = await machine.open()
  const partition = (await machine.settle(store.createTopic('telemetry'))).partitions[0] as Partition
  for (let i = 0; i < 200; i++) {
    await machine.settle(
      store.commit([{ partition, content: { record: event(`event ${i} ${'t'.repeat(150)}`, { timestampMs: 1_000_000 + i * 10 }) } }], [])
    )
  }
  for (const wanted of [0, 1, 57, 120, 199]) {
    const found = await machine.settle(partition.offsetForTime(1_000_000 + wanted * 10 - 3))
    t.same(found, { offset: wanted, timestampMs: 1_000_000 + wanted * 10 })
  }
  t.equal(await machine.settle(partition.offsetForTime(9_000_000)), null)
})

t.test('time inside a batch that cannot be opened here is answered by its first offset', async (t) => {
  const machine = new SimMachine(13)
  const store = await machine.open()
  const partition = (await machine.settle(store.createTopic('telemetry'))).partitions[0] as Partition
  const core = loadTestCore()
  for (const codecId of [2, 1]) {
    // snappy; and gzip that is none
    const batch = core.buildBatch([event('a', { timestampMs: 5_000 }), event('b', { timestampMs: 6_000 })], { baseOffset: 0 })
    viewOf(batch).setInt16(21, codecId)
    viewOf(batch).setUint32(17, core.crc32c(batch.subarray(21)))
    await machine.settle(store.commit([{ partition, content: { batch, recordCount: 2 } }], []))
  }
  t.same(await machine.settle(partition.offsetForTime(5_500)), { offset: 0, timestampMs: 6_000 })
  await machine.run(60_000)
  t.same(await machine.settle(partition.offsetForTime(5_500)), { offset: 0, timestampMs: 6_000 }, 'sealed as well')
})

t.test('a full disk and a kill or a power cut: it starts, and goes on when there is room', async (t) => {
  for (const how of ['kill', 'powerCut'] as const) {
    const settings = {
      sealAgeMs: 60_000,
      checkpointAgeMs: 600_000,
      sealBytes: 64 * 1024,
      tailBytesMax: 16 * 1024,
      journalFirstFillBytes: 64 * 1024
    }
    const machine = new SimMachine(3, { settings })
    let store = await machine.open()
    const topic = await machine.settle(store.createTopic('plant', { codec: 'none' }))
    await machine.settle(store.flush())
    for (let i = 0; i < 150; i++) await machine.settle(appendText(store, topic.partitions[0] as Partition, `event ${i} ${'x'.repeat(200)}`))
    machine[how]()
    machine.disk.capacityBytes = machine.disk.usedBytes
    store = await machine.open()
    const [partition] = store.topics.get('plant')?.partitions ?? []
    t.equal((await machine.settle(readAll(partition as Partition))).length, 150, how)
    machine.disk.capacityBytes = Number.POSITIVE_INFINITY
    await machine.run(10_000)
    await machine.settle(appendText(store, partition as Partition, 'there is room again'))
    await machine.settle(store.close())
  }
})
