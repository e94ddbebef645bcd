// Proves: what a reader passes over as damaged is counted durably before the reader goes on, or as soon as there is room again, and once; what
// retention has passed is subtracted once. Damage is a set of offsets: ranges that overlap, a range that retention passes, and any number of ranges
// that cannot be committed count each offset once. How: one batch of a segment is rotten, one reader meets it and never comes back; and a model.

import t, { type Test } from 'tap'
import { WadiError } from '../../runtime/base/errors.ts'
import { toOffset } from '../../runtime/base/offset.ts'
import type { DroppedRange, Partition, StateChange } from '../../runtime/log/contract.ts'
import { listSegmentFiles } from '../../runtime/log/inspect.ts'
import { KnownDamage, type KnownDamageHost } from '../../runtime/log/known-damage.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import type { PartitionLog } from '../../runtime/log/partition-log.ts'
import { StateMap } from '../../runtime/log/state-map.ts'
import { appendText, readAll, SimMachine, sealedSegment } from '../helpers/sim-store.ts'
import { Prng } from '../sim/prng.ts'

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

t.test(
  'damage grows in place, behind what is known: the new part is counted and told, and waited for when it cannot be read',
  async (t) => {
    const texts = Array.from({ length: 60 }, (_, i) => `event ${i} ${'g'.repeat(150)}`)
    const { machine, store, partition, path, sizeBytes, batches } = await sealedSegment(6, texts)
    const starts = batches.map(({ positionBytes }) => positionBytes)
    const told: DroppedRange[] = []
    store.onDropped((range) => told.push(range))
    const countOf = (from: number, to: number): number =>
      batches.slice(from, to).reduce((sum, { header }) => sum + header.lastOffset - header.baseOffset + 1, 0)
    const passes = async (lost: number, what: string): Promise<void> => {
      t.equal((await machine.settle(readAll(partition))).length, 60 - lost, `${what}: read`)
      t.equal(store.metrics.lostRecords, lost, `${what}: counted`)
      t.equal(sizeOf(told), lost, `${what}: told`)
    }
    machine.disk.rot(path, (starts[2] ?? 0) + 70)
    await passes(countOf(2, 3), 'one batch')
    machine.disk.rot(path, (starts[3] ?? 0) + 70)
    await passes(countOf(2, 4), 'and the one behind it')
    await passes(countOf(2, 4), 'met again')
    for (let at = 4096; at < sizeBytes; at += 256) machine.disk.spoil(path, at)
    machine.disk.spoil(path, sizeBytes - 1)
    const cut = starts.findIndex((_, i) => (starts[i + 1] ?? sizeBytes) > 4096)
    for (let i = 4; i < cut; i++) machine.disk.rot(path, (starts[i] ?? 0) + 70)
    await t.rejects(machine.settle(readAll(partition)), { code: 'EIO' }, 'from the known place to the end nothing is whole: waited for')
    t.equal(store.metrics.lostRecords, countOf(2, 4), 'and nothing more is lost yet')
    await machine.run(700_000)
    await passes(countOf(2, batches.length), 'when the time is over')
    t.equal(store.failure, null)
  }
)

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

/** Of the topic number 1, which has one partition. */
function knownDamage(state: StateMap, submit: KnownDamageHost['submit'], removedUpTo = (): number => 0): KnownDamage {
  const damage = new KnownDamage({ state, submit, removedUpTo, partitionOf: () => place, tell: () => undefined })
  damage.load()
  return damage
}

const place = { topicNumber: 1, partitionIndex: 0, deliveredOffset: 0 } as PartitionLog

function range(startOffset: number, endOffset: number): DroppedRange {
  const of = { topicName: 'telemetry', partitionIndex: 0, reason: 'damage', isDelivered: false } as const
  return { ...of, startOffset: toOffset(startOffset), endOffset: toOffset(endOffset) }
}

function copyOf(state: StateMap): StateMap {
  return new StateMap(state.listState('').map((key) => [key, state.getState(key) as Uint8Array]))
}

t.test(
  'a commit is written and its answer is still on its way: a status and a snapshot of that moment count its events once',
  async (t) => {
    const state = new StateMap([])
    const answers: (() => void)[] = []
    const damage = knownDamage(state, (changes, done) => {
      state.apply(changes)
      answers.push(() => done(null))
    })
    const counted = damage.report(range(0, 22))
    await Promise.resolve()
    t.equal(answers.length, 1)
    t.equal(damage.recordsOf(place), 22, 'status')
    const snapshot = copyOf(state)
    snapshot.apply(damage.unsaved())
    t.equal(knownDamage(snapshot, () => undefined).recordsOf(place), 22, 'snapshot')
    for (const answer of answers) answer()
    await counted
    t.equal(damage.recordsOf(place), 22, 'and behind it')
  }
)

t.test('ranges that overlap: each offset is counted and told once', async (t) => {
  const state = new StateMap([])
  const damage = knownDamage(state, (changes, done) => {
    state.apply(changes)
    done(null)
  })
  for (const [startOffset, endOffset, count] of [
    [10, 20, 10],
    [10, 30, 20],
    [12, 18, 20],
    [0, 11, 30],
    [40, 50, 40],
    [0, 60, 60]
  ] as const) {
    await damage.report(range(startOffset, endOffset))
    t.equal(damage.recordsOf(place), count, `behind ${startOffset} to ${endOffset}`)
  }
  t.equal(damage.count, 1, 'one range without a gap')
  t.equal(knownDamage(copyOf(state), () => undefined).recordsOf(place), 60, 'and after a restart')
})

t.test('more ranges than a commit takes, and no room for any: a snapshot has them all', async (t) => {
  const damage = knownDamage(new StateMap([]), (_, done) => done(new WadiError('WADI_DISK_FULL', { happened: '', kept: '', next: '' })))
  for (let at = 0; at < 300; at++) await damage.report(range(at * 10, at * 10 + 3))
  const snapshot = new StateMap([])
  snapshot.apply(damage.unsaved())
  t.equal(knownDamage(snapshot, () => undefined).recordsOf(place), 900)
})

/** Commits that are refused, snapshots, crashes and retention in any order. @returns how many offsets damage took, and how many are counted */
async function modelLife(seed: number): Promise<{ damaged: number; counted: number }> {
  const prng = new Prng(seed)
  let durable = new StateMap([])
  let journal: StateChange[][] = []
  let state = copyOf(durable)
  let logStart = 0
  const open = (): KnownDamage => {
    const submit: KnownDamageHost['submit'] = (changes, done) => {
      if (prng.chance(30)) return done(new WadiError('WADI_DISK_FULL', { happened: '', kept: '', next: '' }))
      journal.push([...changes])
      state.apply(changes)
      queueMicrotask(() => done(null))
    }
    return knownDamage(state, submit, () => logStart)
  }
  let damage = open()
  const found: DroppedRange[] = []
  let behindSnapshot = 0
  const saveAll = async (): Promise<void> => {
    for (let round = 0; round < 50; round++) await damage.save()
  }
  const find = async (): Promise<void> => {
    const start = logStart + prng.below(300)
    found.push(range(start, start + 1 + prng.below(80)))
    void damage.report(found.at(-1) as DroppedRange)
  }
  const snapshot = async (): Promise<void> => {
    durable = copyOf(state)
    durable.apply(damage.unsaved())
    journal = []
    behindSnapshot = found.length
    damage.expire([[1, 0, logStart, -1, 0, logStart, 0]])
  }
  const crash = async (): Promise<void> => {
    state = copyOf(durable)
    for (const changes of journal) state.apply(changes)
    damage = open()
    // What was found before the snapshot may never be found again.
    const isFoundAgain = (at: number): boolean => at >= behindSnapshot || prng.chance(50)
    for (const [at, again] of found.entries()) if (again.endOffset > logStart && isFoundAgain(at)) await damage.report(again)
  }
  const retention = async (): Promise<void> => {
    await saveAll()
    logStart += prng.below(60)
  }
  const wait = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  const steps = [find, find, find, find, find, () => damage.save(), wait, snapshot, retention, crash]
  for (let step = 0; step < 60; step++) await steps[prng.below(steps.length)]?.()
  await saveAll()
  const offsets = new Set<number>()
  for (const { startOffset, endOffset } of found) for (let offset = startOffset; offset < endOffset; offset++) offsets.add(offset)
  return { damaged: offsets.size, counted: damage.recordsOf(place) }
}

t.test('a model: refusals, snapshots, crashes and retention in any order count no offset twice, and none is forgotten', async (t) => {
  for (let seed = 1; seed <= 400; seed++) {
    const { damaged, counted } = await modelLife(seed)
    if (counted !== damaged) t.fail(`seed ${seed}: ${counted} of ${damaged} are counted`)
  }
  t.pass('400 seeds')
})

t.test('a snapshot that has only one commit of what waits is caught (canary of the rig)', async (t) => {
  const { unsaved } = KnownDamage.prototype
  try {
    KnownDamage.prototype.unsaved = function () {
      return unsaved.call(this).slice(0, 1)
    }
    let caught = 0
    for (let seed = 1; seed <= 400; seed++) {
      const { damaged, counted } = await modelLife(seed)
      if (counted !== damaged) caught++
    }
    t.ok(caught > 0, `${caught} of 400 seeds`)
  } finally {
    Object.assign(KnownDamage.prototype, { unsaved })
  }
})

for (const isForwarded of [true, false]) {
  t.test(
    `a topic that is ${isForwarded ? '' : 'not '}delivered: what damage took is not counted again when a quota or retention passes it`,
    async (t) => {
      const { machine, store, partition, told } = await damaged(7)
      await machine.settle(partition.read(partition.logStartOffset, { bytesMax: 1024 }))
      const damagedRecords = sizeOf(told)
      t.ok(damagedRecords > 0)
      await machine.settle(
        store.alterTopic('telemetry', { isForwarded, quotaBytes: 16 * 1024, whenFull: 'drop_oldest', dropUndelivered: true })
      )
      await machine.run(3_000)
      t.ok(partition.logStartOffset > damagedRecords, `the log starts at ${partition.logStartOffset}`)
      const { lostRecords, droppedRecords } = store.metrics
      t.equal(lostRecords + droppedRecords, partition.logStartOffset, 'every offset below the log start once')
      t.equal(lostRecords, isForwarded ? partition.logStartOffset : damagedRecords)
      await machine.settle(store.deleteTopic('telemetry', { undelivered: 'lose' }))
      t.equal(store.metrics.lostRecords, isForwarded ? 120 : damagedRecords, 'nor when the topic is deleted')
      await machine.settle(store.close())
    }
  )
}
