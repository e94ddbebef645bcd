// Proves: what a reader passes over as damaged is counted durably before the reader goes on, or as soon as there is room again, and once; what
// retention has passed is subtracted once. How: one batch of a segment is rotten, one reader meets it and never comes back.

import t, { type Test } from 'tap'
import { toOffset } from '../../runtime/base/offset.ts'
import type { DroppedRange, Partition } from '../../runtime/log/contract.ts'
import { listSegmentFiles } from '../../runtime/log/inspect.ts'
import { KnownDamage } from '../../runtime/log/known-damage.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import type { PartitionLog } from '../../runtime/log/partition-log.ts'
import { decodeNumber, StateMap } from '../../runtime/log/state-map.ts'
import { appendText, readAll, SimMachine } from '../helpers/sim-store.ts'

interface Life {
  readonly machine: SimMachine
  readonly store: LogStore
  readonly partition: Partition
  readonly told: DroppedRange[]
}

/** The first batch of the oldest segment is rotten; nobody has read it. */
async function damaged(seed: number, settings = {}): Promise<Life> {
  const machine = new SimMachine(seed, { settings })
  const before = await machine.open()
  const made = await machine.settle(before.createTopic('telemetry', { codec: 'none' }))
  for (let i = 0; i < 120; i++) await machine.settle(appendText(before, made.partitions[0] as Partition, `event ${i} ${'c'.repeat(200)}`))
  await machine.settle(before.close())
  const [file] = await machine.settle(listSegmentFiles({ disk: machine.disk, directory: '/data' }))
  machine.disk.rot(file?.path ?? '', 100)
  const store = await machine.open()
  const told: DroppedRange[] = []
  store.onDropped((range) => told.push(range))
  return { machine, store, partition: store.topics.get('telemetry')?.partitions[0] as Partition, told }
}

const sizeOf = (told: readonly DroppedRange[]): number => told.reduce((sum, { startOffset, endOffset }) => sum + endOffset - startOffset, 0)

/** What a later start counts, without reading. */
async function countsAgain(t: Test, { machine, told }: Life, what: string): Promise<void> {
  t.equal(told.length, 1, `${what}: told once`)
  const again = await machine.open()
  t.equal(again.metrics.lostRecords, sizeOf(told), `${what}: counted`)
  t.equal(again.metrics.damagedRanges, 1, what)
  await machine.settle(readAll(again.topics.get('telemetry')?.partitions[0] as Partition))
  t.equal(again.metrics.lostRecords, sizeOf(told), `${what}: counted once`)
  await machine.settle(again.close())
}

t.test('the power is cut when the reader has just passed the damage: it is counted', async (t) => {
  for (let seed = 1; seed <= 5; seed++) {
    const life = await damaged(seed)
    await life.machine.settle(life.partition.read(life.partition.logStartOffset, { bytesMax: 1024 }))
    life.machine.powerCut()
    await countsAgain(t, life, `seed ${seed}`)
  }
})

for (const end of ['kill', 'close'] as const) {
  t.test(`there is no room to count damage when it is met: it is counted when there is, before a ${end}`, async (t) => {
    const life = await damaged(3, end === 'close' ? { housekeepingIntervalMs: 600_000 } : {})
    const { machine, store, partition } = life
    machine.disk.refuseNext('write-sync', 'journal')
    await machine.settle(partition.read(partition.logStartOffset, { bytesMax: 1024 }))
    t.equal(store.metrics.lostRecords, sizeOf(life.told), 'it is told and counted at once')
    if (end === 'close') await machine.settle(store.close())
    else {
      await machine.run(2_000)
      machine.powerCut()
    }
    await countsAgain(t, life, end)
  })
}

t.test('damage that is delivered already is no loss, also where it is only a part of a range', async (t) => {
  const { machine, store, partition, told } = await damaged(4)
  store.setDelivered(partition, (partition.logStartOffset + 2) as Partition['logStartOffset'])
  await machine.settle(partition.read(partition.logStartOffset, { bytesMax: 1024 }))
  t.equal(store.metrics.lostRecords, sizeOf(told) - 2)
})

t.test('two checkpoints before one commit: a range that retention has passed is subtracted once', async (t) => {
  const { machine, store, partition } = await damaged(5, { lingerMs: 500 })
  await machine.settle(partition.read(partition.logStartOffset, { bytesMax: 1024 }))
  t.equal(store.metrics.damagedRanges, 1)
  store.setDelivered(partition, partition.highWatermark)
  await machine.settle(store.alterTopic('telemetry', { retentionBytes: 1024 }))
  await machine.run(3_000)
  t.ok(partition.logStartOffset > 0)
  await machine.settle(Promise.all([store.flush(), store.flush(), store.flush()]))
  await machine.run(2_000)
  t.equal(store.metrics.damagedRanges, 0)
})

t.test('a count that is not tried again is caught (canary of the rig)', async (t) => {
  const { save, unsaved } = KnownDamage.prototype
  KnownDamage.prototype.save = async () => undefined
  KnownDamage.prototype.unsaved = () => []
  try {
    const { machine, partition, told } = await damaged(3)
    machine.disk.refuseNext('write-sync', 'journal')
    await machine.settle(partition.read(partition.logStartOffset, { bytesMax: 1024 }))
    await machine.run(2_000)
    machine.powerCut()
    t.not((await machine.open()).metrics.lostRecords, sizeOf(told))
  } finally {
    Object.assign(KnownDamage.prototype, { save, unsaved })
  }
})

t.test(
  'a commit is written and its answer is still on its way: a status and a snapshot of that moment count its events once',
  async (t) => {
    const { machine, store, partition } = await damaged(6)
    const state = new StateMap([])
    const answers: (() => void)[] = []
    const damage = new KnownDamage({
      state,
      submit: (changes, done) => {
        state.apply(changes)
        answers.push(() => done(null))
      },
      partitionOf: () => partition as PartitionLog,
      tell: () => undefined
    })
    const counted = damage.report({
      topicName: 'telemetry',
      partitionIndex: 0,
      startOffset: toOffset(0),
      endOffset: toOffset(22),
      reason: 'hole',
      isDelivered: false
    })
    await Promise.resolve()
    t.equal(answers.length, 1)
    t.equal(damage.recordsOf(partition as PartitionLog), 22, 'status')
    const snapshot = new StateMap(state.list('').map((key) => [key, state.get(key) as Uint8Array] as const))
    snapshot.apply(damage.unsaved())
    t.same(
      snapshot.list('damage/').map((key) => decodeNumber(snapshot.get(key))),
      [22],
      'snapshot'
    )
    for (const answer of answers) answer()
    await counted
    t.equal(damage.recordsOf(partition as PartitionLog), 22, 'and behind it')
    await machine.settle(store.close())
  }
)
