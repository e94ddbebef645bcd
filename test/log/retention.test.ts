// Proves for retention.ts, quota.ts, removals.ts and segment-share.ts: every cell of the table; a quota is a limit at any moment; what is
// dropped undelivered is counted by topic and reason, and a kill or a power cut does not forget it; a full topic stays well filled.
// How: the table against one written by hand from docs/retention.md, and a store on a simulated disk.

import { readFileSync } from 'node:fs'
import t from 'tap'
import { LentMemory } from '../../runtime/base/lent-memory.ts'
import { DirectoryAccount, TopicAccount } from '../../runtime/log/accounts.ts'
import { defaultTopicConfig, type Partition, type StoreMetrics, type Topic, type TopicConfig } from '../../runtime/log/contract.ts'
import type { PartitionEnvironment } from '../../runtime/log/partition-environment.ts'
import { PartitionLog } from '../../runtime/log/partition-log.ts'
import { newRecoveryReport } from '../../runtime/log/recovery-report.ts'
import { type Cause, type Standing, type Verdict, verdictFor } from '../../runtime/log/retention.ts'
import type { Segment } from '../../runtime/log/segment.ts'
import { segmentShareOf } from '../../runtime/log/segment-share.ts'
import { defaultStorageSettings, KIB, MIB } from '../../runtime/log/settings.ts'
import type { StoredTopic } from '../../runtime/log/stored-topic.ts'
import { TailTotals } from '../../runtime/log/tail.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, event, readAll, SimMachine, textOf } from '../helpers/sim-store.ts'
import { simCodec } from '../sim/sim-codec.ts'

// -- The table

const DAY_MS = 86_400_000
const CAUSES: readonly Cause[] = ['age', 'bytes', 'topic quota', 'directory quota', 'disk reserve']
const RETENTION = 'age, bytes'
const QUOTA = 'quota'

/** cause · standing · when_full · drop_undelivered → verdict */
const EXPECTED = `
  age, bytes · local       · reject      · no  → delete
  age, bytes · local       · reject      · yes → delete
  age, bytes · local       · drop_oldest · no  → delete
  age, bytes · local       · drop_oldest · yes → delete
  age, bytes · delivered   · reject      · no  → delete
  age, bytes · delivered   · reject      · yes → delete
  age, bytes · delivered   · drop_oldest · no  → delete
  age, bytes · delivered   · drop_oldest · yes → delete
  age, bytes · undelivered · reject      · no  → keep
  age, bytes · undelivered · reject      · yes → delete
  age, bytes · undelivered · drop_oldest · no  → keep
  age, bytes · undelivered · drop_oldest · yes → delete
  quota      · local       · reject      · no  → refuse
  quota      · local       · reject      · yes → refuse
  quota      · local       · drop_oldest · no  → delete
  quota      · local       · drop_oldest · yes → delete
  quota      · delivered   · reject      · no  → delete
  quota      · delivered   · reject      · yes → delete
  quota      · delivered   · drop_oldest · no  → delete
  quota      · delivered   · drop_oldest · yes → delete
  quota      · undelivered · reject      · no  → refuse
  quota      · undelivered · reject      · yes → refuse
  quota      · undelivered · drop_oldest · no  → refuse
  quota      · undelivered · drop_oldest · yes → delete`

const cells = EXPECTED.trim()
  .split('\n')
  .map((line) => {
    const [left = '', verdict = ''] = line.split('→')
    const [group = '', standing = '', whenFull = '', leave = ''] = left.split('·').map((word) => word.trim())
    return { group, standing, whenFull, dropUndelivered: leave === 'yes', verdict: verdict.trim() }
  })

t.equal(new Set(cells.map(({ verdict: _, ...cell }) => JSON.stringify(cell))).size, 24, 'every combination is expected once')
for (const { group, standing, whenFull, dropUndelivered, verdict } of cells) {
  for (const cause of CAUSES.filter((cause) => (cause === 'age' || cause === 'bytes') === (group === RETENTION))) {
    t.test(`${cause}, ${standing}, when_full: ${whenFull}, drop_undelivered: ${dropUndelivered} → ${verdict}`, async (t) => {
      const found = verdictFor({ whenFull: whenFull as TopicConfig['whenFull'], dropUndelivered }, standing as Standing, cause)
      t.equal(found, verdict as Verdict)
    })
  }
}

t.test('the page for operators says the same, row by row', async (t) => {
  const rows = readFileSync('docs/retention.md', 'utf8')
    .split('\n')
    .filter((line) => /^\| (not forwarded|delivered|not delivered yet) /.test(line))
    .map((line) => line.split('|').map((word) => word.trim().replaceAll('`', '')))
  t.equal(rows.length, 12)
  const standings = { 'not forwarded': 'local', delivered: 'delivered', 'not delivered yet': 'undelivered' } as const
  const words = { kept: 'keep', deleted: 'delete', 'kept, new events are refused': 'refuse' }
  for (const [, standing = '', whenFull = '', leave = '', retention = '', quota = ''] of rows) {
    for (const [group, said] of [
      [RETENTION, retention],
      [QUOTA, quota]
    ] as const) {
      const cell = cells.find(
        (cell) =>
          cell.group === group &&
          cell.standing === standings[standing as keyof typeof standings] &&
          cell.whenFull === whenFull &&
          cell.dropUndelivered === (leave === 'true')
      )
      t.equal(words[said as keyof typeof words], cell?.verdict, `${standing}, ${whenFull}, ${leave}, ${group}`)
    }
  }
})

// -- Sizes

t.test('a segment is an eighth of every limit at most, and not smaller than the floor', async (t) => {
  const shareOf = (config: Partial<TopicConfig>, quotaBytes: number | null = null) =>
    segmentShareOf({ ...defaultTopicConfig, ...config }, { ...defaultStorageSettings, quotaBytes })
  t.same(shareOf({}), { segmentBytes: 64 * MIB, sealBytes: 256 * KIB, segmentAgeMs: DAY_MS })
  t.same(shareOf({ quotaBytes: 256 * KIB }), { segmentBytes: 32 * KIB, sealBytes: 16 * KIB, segmentAgeMs: DAY_MS })
  t.same(shareOf({ quotaBytes: 6144 * MIB, partitionCount: 6 }), { segmentBytes: 64 * MIB, sealBytes: 256 * KIB, segmentAgeMs: DAY_MS })
  t.same(shareOf({ quotaBytes: 96 * MIB, partitionCount: 6 }), { segmentBytes: 2 * MIB, sealBytes: 256 * KIB, segmentAgeMs: DAY_MS })
  t.same(shareOf({ retentionBytes: MIB }), { segmentBytes: 128 * KIB, sealBytes: 64 * KIB, segmentAgeMs: DAY_MS })
  t.same(shareOf({ quotaBytes: 64 * KIB }), { segmentBytes: 16 * KIB, sealBytes: 8 * KIB, segmentAgeMs: DAY_MS })
  t.same(shareOf({ segmentBytes: MIB }), { segmentBytes: MIB, sealBytes: 256 * KIB, segmentAgeMs: DAY_MS }, 'as a client says')
  t.same(
    shareOf({ segmentBytes: 300 * MIB }),
    { segmentBytes: 64 * MIB, sealBytes: 256 * KIB, segmentAgeMs: DAY_MS },
    'not larger than ours'
  )
  t.match(shareOf({ segmentBytes: MIB, retentionBytes: MIB }), { segmentBytes: 128 * KIB })
  t.match(shareOf({ segmentAgeMs: 3_600_000 }), { segmentAgeMs: 3_600_000 })
  t.match(shareOf({ segmentAgeMs: 1 }), { segmentAgeMs: 60_000 }, "a file for each batch is nobody's wish")
  t.same(shareOf({}, 64 * MIB + 80 * MIB), { segmentBytes: 10 * MIB, sealBytes: 256 * KIB, segmentAgeMs: DAY_MS })
})

// -- A store with quotas

type Store = Awaited<ReturnType<SimMachine['open']>>

t.setTimeout(240_000)

const QUOTA_BYTES = 256 * KIB
const PAYLOAD = 'q'.repeat(1000)

/** As large as a gateway's, on a simulated machine. */
function newMachine(seed: number, settings: SimMachine['settings'] = {}): SimMachine {
  const sizes = {
    journalFileBytes: 2 * MIB,
    commitBytesMax: 256 * KIB,
    segmentBytes: 64 * MIB,
    segmentBytesMin: 16 * KIB,
    sealBytes: 256 * KIB
  }
  return new SimMachine(seed, {
    settings: { ...sizes, tailBytesMax: 12 * MIB, batchBytesMax: 64 * KIB, housekeepingIntervalMs: 1_000, ...settings }
  })
}

/** For a partition without a store. */
function environmentOn({ disk, clock }: SimMachine): PartitionEnvironment {
  const nothing = (): void => undefined
  return {
    disk,
    core: loadTestCore(),
    codec: simCodec,
    meter: { onWrite: nothing, onSync: nothing },
    sealMemory: new LentMemory({ pieceBytes: 0, freeMax: 0 }),
    indexIntervalBytes: 4 * KIB,
    unreadablePatienceMs: 0,
    tails: new TailTotals(),
    nowMs: () => clock.monotonicMs(),
    onDamage: async () => undefined,
    isReported: () => false
  }
}

async function makeTopic(machine: SimMachine, store: Store, config: Partial<TopicConfig>): Promise<StoredTopic> {
  return machine.settle(store.createTopic('telemetry', { codec: 'none', quotaBytes: QUOTA_BYTES, ...config }))
}

function storedBytes(topic: Topic): number {
  return topic.partitions.reduce((sum, partition) => sum + partition.bytesFrom(partition.logStartOffset), 0)
}

async function send(
  machine: SimMachine,
  store: Store,
  partition: Partition,
  count: number
): Promise<{ accepted: number; refused: number }> {
  let accepted = 0
  let refused = 0
  for (let i = 0; i < count; i++) {
    await machine.settle(
      appendText(store, partition, `event ${i} ${PAYLOAD}`).then(
        () => accepted++,
        () => refused++
      )
    )
  }
  return { accepted, refused }
}

function lost(metrics: StoreMetrics, reason: string): number {
  return metrics.removals.reduce((sum, removal) => sum + (removal.reason === reason && removal.isLoss ? removal.records : 0), 0)
}

t.test('a search for a time while retention takes what it looks at finds the first that is left', async (t) => {
  const machine = newMachine(37, { commitBytesMax: MIB })
  const store = await machine.open()
  const topic = await makeTopic(machine, store, { whenFull: 'drop_oldest', dropUndelivered: true })
  const partition = topic.partitions[0] as Partition
  await send(machine, store, partition, 50)
  const read = partition.read.bind(partition)
  let isFirst = true
  const takeAll = async (): Promise<void> => {
    for (let i = 0; i < 500; i++) await appendText(store, partition, `later ${i} ${PAYLOAD}`)
  }
  const slow: Pick<Partition, 'read'> = {
    read: async (offset, options) => {
      if (isFirst) {
        isFirst = false
        await takeAll()
      }
      return read(offset, options)
    }
  }
  Object.assign(partition, slow)
  const found = await machine.settle(partition.offsetForTime(0))
  t.ok(partition.logStartOffset > 50)
  t.equal(found?.offset, partition.logStartOffset)
})

for (const burst of [false, true]) {
  t.test(`drop_oldest keeps at least 80 % of its quota filled, ${burst ? 'in one burst' : 'one by one'}`, async (t) => {
    const machine = newMachine(31, { commitBytesMax: MIB })
    const store = await machine.open()
    const topic = await makeTopic(machine, store, { whenFull: 'drop_oldest', dropUndelivered: true })
    const partition = topic.partitions[0] as Partition
    if (burst)
      await machine.settle(Promise.all(Array.from({ length: 500 }, (_, i) => appendText(store, partition, `event ${i} ${PAYLOAD}`))))
    else t.same(await send(machine, store, partition, 500), { accepted: 500, refused: 0 }, 'and refuses nothing')
    await machine.run(5_000)
    t.ok(storedBytes(topic) <= QUOTA_BYTES, `${storedBytes(topic)} of ${QUOTA_BYTES} bytes`)
    t.ok(storedBytes(topic) >= 0.8 * QUOTA_BYTES, `${storedBytes(topic)} of ${QUOTA_BYTES} bytes`)
    const records = await machine.settle(readAll(partition))
    t.equal(records.length, 500 - partition.logStartOffset, 'the newest are there')
    t.ok(textOf(records.at(-1) as (typeof records)[number]).startsWith('event 499 '))
    t.equal(lost(store.metrics, 'quota'), partition.logStartOffset, 'the others are counted as lost')
    t.equal(store.metrics.lostRecords, partition.logStartOffset)
  })
}

t.test('drop_oldest keeps 80 % with several partitions, and takes from the one that holds most', async (t) => {
  const machine = newMachine(32)
  const store = await machine.open()
  const topic = await makeTopic(machine, store, { whenFull: 'drop_oldest', dropUndelivered: true, partitionCount: 2 })
  const [left, right] = topic.partitions as readonly Partition[] as [Partition, Partition]
  await send(machine, store, left, 40)
  await send(machine, store, right, 400)
  await machine.run(5_000)
  t.ok(storedBytes(topic) <= QUOTA_BYTES && storedBytes(topic) >= 0.8 * QUOTA_BYTES, `${storedBytes(topic)} of ${QUOTA_BYTES} bytes`)
  t.equal(left.logStartOffset, 0, 'the quiet partition keeps its events')
  t.ok(right.logStartOffset > 0)
})

for (const isForwarded of [false, true]) {
  t.test(`reject never exceeds its quota and loses nothing, ${isForwarded ? 'nothing delivered' : 'not forwarded'}`, async (t) => {
    const machine = newMachine(33)
    const store = await machine.open()
    const topic = await makeTopic(machine, store, { whenFull: 'reject', isForwarded })
    const partition = topic.partitions[0] as Partition
    let highest = 0
    let accepted = 0
    const refusals = new Set<string>()
    for (let wave = 0; wave < 60; wave++) {
      await machine.settle(
        Promise.all(
          Array.from({ length: 25 }, () =>
            appendText(store, partition, `event ${PAYLOAD}`).then(
              () => accepted++,
              (error: { code: string }) => refusals.add(error.code)
            )
          )
        )
      )
      highest = Math.max(highest, storedBytes(topic))
      if (wave % 3 === 0) await machine.run(400)
    }
    t.ok(highest <= QUOTA_BYTES, `${highest} of ${QUOTA_BYTES} bytes`)
    t.ok(highest > 0.9 * QUOTA_BYTES, 'it does fill')
    t.same([...refusals], ['WADI_QUOTA_EXCEEDED'])
    t.equal(partition.logStartOffset, 0)
    t.equal((await machine.settle(readAll(partition))).length, accepted, 'every accepted event is there')
    machine.powerCut()
    const again = await machine.open()
    const reopened = again.topics.get('telemetry')?.partitions[0] as Partition
    t.same([reopened.logStartOffset, reopened.highWatermark], [0, accepted], 'also after a power cut')
    await t.rejects(
      machine.settle(appendText(again, reopened, `event ${PAYLOAD}`)),
      { code: 'WADI_QUOTA_EXCEEDED' },
      'and it is full at once'
    )
  })
}

t.test('a full directory lets nothing through while retention thinks', async (t) => {
  const machine = newMachine(34, { quotaBytes: 4 * MIB + 128 * KIB, housekeepingIntervalMs: 50 })
  const store = await machine.open()
  const topic = await makeTopic(machine, store, { quotaBytes: null, isForwarded: false })
  const partition = topic.partitions[0] as Partition
  await machine.run(2_000)
  await send(machine, store, partition, 200)
  const full = partition.highWatermark
  t.ok(full > 50 && full < 200, `${full} were taken`)
  for (let round = 0; round < 200; round++) {
    store.append(partition, event(`event ${PAYLOAD}`), () => undefined)
    await machine.run(1 + machine.prng.fraction() * 20)
  }
  t.equal(partition.highWatermark, full, 'and not one more')
})

t.test('a full forwarded topic goes on when the centre has taken what it holds, also with drop_oldest and no leave', async (t) => {
  for (const whenFull of ['reject', 'drop_oldest'] as const) {
    const machine = newMachine(35)
    const store = await machine.open()
    const partition = (await makeTopic(machine, store, { whenFull })).partitions[0] as Partition
    const { accepted, refused } = await send(machine, store, partition, 400)
    t.ok(refused > 0, `${whenFull} refuses what it cannot keep`)
    t.equal(partition.logStartOffset, 0, 'and keeps what is not delivered')
    store.setDelivered(partition, partition.highWatermark)
    const more = await send(machine, store, partition, 100)
    t.equal(more.refused, 0, 'delivered events make room at once')
    t.ok(partition.logStartOffset > 0 && partition.logStartOffset <= accepted)
    t.equal(store.metrics.lostRecords, 0, 'which is no loss')
  }
})

for (const how of ['kill', 'powerCut'] as const) {
  t.test(`what was dropped undelivered is counted by topic and reason, and survives a ${how} at any moment`, async (t) => {
    const met = new Set<string>()
    for (let seed = 1; seed <= 6; seed++) {
      const machine = newMachine(seed * 104_729, { segmentBytesMin: 4 * KIB, checkpointAgeMs: 400 })
      let store = await machine.open()
      const config = { quotaBytes: 32 * KIB, whenFull: 'drop_oldest', codec: 'none' } as const
      await machine.settle(store.createTopic('up', { ...config, dropUndelivered: true }))
      await machine.settle(store.createTopic('here', { ...config, isForwarded: false }))
      await machine.settle(store.createTopic('old', { codec: 'none', retentionBytes: 32 * KIB, dropUndelivered: true }))
      for (let life = 0; life < 3; life++) {
        for (let i = 0; i < 100; i++) {
          for (const name of ['up', 'here', 'old'])
            store.append(store.topics.get(name)?.partitions[0] as Partition, event(`event ${i} ${PAYLOAD}`), () => undefined)
          await machine.run(machine.prng.fraction() * 6)
        }
        await machine.run(machine.prng.fraction() * 1_000)
        const seen = store.metrics.removals
        machine[how]()
        store = await machine.open()
        const startOf = (name: string): number => store.topics.get(name)?.partitions[0]?.logStartOffset ?? -1
        const expected = [
          { topicName: 'up', reason: 'quota', records: startOf('up'), isLoss: true },
          { topicName: 'here', reason: 'quota', records: startOf('here'), isLoss: false },
          { topicName: 'old', reason: 'retention', records: startOf('old'), isLoss: true }
        ]
        const byName = (a: { topicName: string }, b: { topicName: string }): number => a.topicName.localeCompare(b.topicName)
        const found = [...store.metrics.removals].sort(byName)
        t.same(found, expected.filter(({ records }) => records > 0).sort(byName), `seed ${seed}, life ${life}`)
        for (const { topicName, records } of seen) t.ok(startOf(topicName) >= records, 'and nothing that was counted is forgotten')
      }
      for (const { reason, isLoss } of store.metrics.removals) met.add(`${reason} ${isLoss}`)
    }
    t.equal(met.size, 3, 'every kind was met')
  })
}

t.test('a deletion that no commit can say, because journal and disk are full, is counted by the next start', async (t) => {
  const machine = new SimMachine(36, { settings: { checkpointAgeMs: 3_600_000 } })
  const store = await machine.open()
  const topic = await machine.settle(store.createTopic('old', { codec: 'none', retentionMs: 60_000, dropUndelivered: true }))
  const partition = topic.partitions[0] as Partition
  await send(machine, store, partition, 40)
  await machine.run(10_000)
  machine.disk.capacityBytes = machine.disk.usedBytes
  const { refused } = await send(machine, store, partition, 100)
  t.ok(refused > 0, 'journal and disk are full')
  const isDeleted = (): boolean => machine.disk.files().some(({ path, bytes }) => path.endsWith('.deleted') && bytes.byteLength === 0)
  for (let i = 0; i < 20_000 && !isDeleted(); i++) await machine.run(10)
  t.ok(isDeleted(), 'and yet retention frees room')
  t.equal(partition.isLogStartDurable, false, 'which a crash may undo')
  machine.kill()
  machine.disk.capacityBytes = Number.POSITIVE_INFINITY
  const again = await machine.open()
  const reopened = again.topics.get('old')?.partitions[0] as Partition
  t.equal(again.report.holes.length, 0)
  t.ok(reopened.logStartOffset > 0)
  t.equal(again.metrics.lostRecords, reopened.logStartOffset, 'what is gone is counted')
  machine.powerCut()
  t.equal((await machine.open()).metrics.lostRecords, reopened.logStartOffset, 'for good')
})

t.test('the reserve of the device is a limit like a quota, and ingest goes on when there is room again', async (t) => {
  const machine = newMachine(38, { freeBytesMin: MIB, housekeepingIntervalMs: 200 })
  const store = await machine.open()
  const partition = (await makeTopic(machine, store, { quotaBytes: null, isForwarded: false })).partitions[0] as Partition
  await machine.run(3_000)
  machine.disk.capacityBytes = machine.disk.usedBytes + MIB + 100 * KIB
  await machine.run(500)
  const { accepted, refused } = await send(machine, store, partition, 200)
  t.ok(accepted > 50 && refused > 50, `${accepted} were taken, ${refused} refused`)
  await t.rejects(machine.settle(appendText(store, partition, PAYLOAD)), { code: 'WADI_DISK_FULL' })
  await machine.run(20_000)
  t.ok(machine.disk.capacityBytes - machine.disk.usedBytes >= MIB, 'the reserve was not touched')
  machine.disk.capacityBytes += MIB
  await machine.run(500)
  t.equal((await send(machine, store, partition, 20)).refused, 0)
  t.equal(partition.logStartOffset, 0, 'nothing was deleted for it')
})

t.test('only the part that the centre does not have is a loss', async (t) => {
  const machine = newMachine(37)
  const store = await machine.open()
  const partition = (await makeTopic(machine, store, { whenFull: 'drop_oldest', dropUndelivered: true })).partitions[0] as Partition
  await send(machine, store, partition, 200)
  store.setDelivered(partition, partition.highWatermark)
  await send(machine, store, partition, 400)
  await machine.run(3_000)
  t.ok(partition.logStartOffset > 200)
  t.equal(store.metrics.lostRecords, partition.logStartOffset - 200)
})

t.test('events that came before the clock was set do not expire by their age when it is', async (t) => {
  const machine = newMachine(39, { housekeepingIntervalMs: 200, sealAgeMs: 100 })
  const store = await machine.open()
  const topic = await machine.settle(store.createTopic('local', { codec: 'none', retentionMs: 60_000, isForwarded: false }))
  const partition = topic.partitions[0] as Partition
  const append = async (timestampMs: number): Promise<void> => {
    for (let i = 0; i < 40; i++)
      await machine.settle(store.commit([{ partition, content: { record: { ...event(`event ${i} ${PAYLOAD}`), timestampMs } } }], []))
    await machine.run(5_000)
  }
  await append(3_000) // 1970
  t.equal(partition.logStartOffset, 0, 'kept')
  await append(machine.clock.wallMs())
  t.equal(partition.logStartOffset, 0, 'as old as what came behind it')
  await machine.run(120_000)
  t.ok(partition.logStartOffset >= 40, 'and goes with it')
  await machine.settle(store.close())
})

t.test('an empty segment file in front of the others does not keep the quota from making room', async (t) => {
  const machine = newMachine(40)
  const store = await machine.open()
  const topic = await makeTopic(machine, store, { isForwarded: false, whenFull: 'drop_oldest' })
  await send(machine, store, topic.partitions[0] as Partition, 600)
  const start = (topic.partitions[0] as Partition).logStartOffset
  t.ok(start > 0)
  await machine.settle(store.close())
  const name = `${String(start - 1).padStart(20, '0')}.log`
  await machine.settle(machine.disk.open(`/data/topics/telemetry-0/${name}`, 'create').then((file) => file.close()))
  const again = await machine.open()
  const partition = again.topics.get('telemetry')?.partitions[0] as Partition
  const { refused } = await send(machine, again, partition, 600)
  t.equal(refused, 0)
  t.ok(partition.logStartOffset > start)
  await machine.settle(again.close())
})

t.test('a segment below the log start that a deletion left behind goes without being counted again', async (t) => {
  const machine = newMachine(41)
  const store = await machine.open()
  const partition = (await makeTopic(machine, store, { isForwarded: false, whenFull: 'drop_oldest' })).partitions[0] as PartitionLog
  await send(machine, store, partition, 600)
  await machine.run(3_000)
  const oldest = partition.segments[0] as Segment
  machine.disk.failNext('rename', oldest.logPath, 'ENOSPC')
  while (oldest.nextOffset > partition.logStartOffset) await send(machine, store, partition, 1)
  t.equal(partition.segments[0], oldest, 'its files could not go')
  while (partition.segments.includes(oldest)) await send(machine, store, partition, 1)
  t.equal(store.failure, null)
  t.match(store.metrics.removals, [{ topicName: 'telemetry', records: partition.logStartOffset, isLoss: false }])
  await machine.settle(store.close())
})

t.test('the segment of the recovery point stays when the one before it was deleted, though the journal has a part of both', async (t) => {
  const machine = newMachine(42)
  const store = await machine.open()
  const before = (await makeTopic(machine, store, { isForwarded: false })).partitions[0] as PartitionLog
  await send(machine, store, before, 60)
  await machine.settle(store.close())
  const [deleted, kept] = before.segments as [Segment, Segment]
  await machine.settle(machine.disk.rename(deleted.logPath, `${deleted.logPath}.deleted`))
  const { topicName, topicNumber, partitionIndex, directory } = before
  const account = new TopicAccount(new DirectoryAccount(), () => 0)
  const partition = new PartitionLog({ topicName, topicNumber, partitionIndex, directory, account }, environmentOn(machine))
  const known = { logStartOffset: 0, segmentBaseOffset: kept.baseOffset, syncedBytes: kept.sizeBytes, nextOffset: kept.nextOffset }
  const coverage = [{ start: kept.baseOffset - 2, end: before.highWatermark }]
  const report = newRecoveryReport()
  const untilOffset = await machine.settle(partition.recover(known, { coverage, isJournalWhole: true }, report))
  t.equal(untilOffset, kept.baseOffset, 'what is gone was deleted')
  t.equal(partition.logStartOffset, kept.baseOffset)
  t.equal(partition.segments[0]?.nextOffset, kept.nextOffset)
  t.same(report.holes, [])
})
