// Proves: a full disk refuses no start, also when journal and reserve are full too. What is stored is read and delivered; what is delivered makes
// room, and then appends go on. Until the start has its own entry in the log, it takes nothing and names nothing that a crash could take back.

import t from 'tap'
import type { Partition } from '../../runtime/log/contract.ts'
import { GroupCommit } from '../../runtime/log/group-commit.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { lineages, OwnStart } from '../../runtime/log/own-start.ts'
import { KIB } from '../../runtime/log/settings.ts'
import { appendText, readAll, SimMachine, textOf } from '../helpers/sim-store.ts'

const FREE_MIN = 24 * KIB

/** Disk, reserve and journal are full; the process is gone. */
async function fullMachine(seed: number): Promise<{ machine: SimMachine; acked: string[] }> {
  const machine = new SimMachine(seed, { settings: { freeBytesMin: 0, journalFileBytes: 64 * KIB, checkpointAgeMs: 600_000 } })
  const store = await machine.open()
  const partition = (await machine.settle(store.createTopic('plant', { codec: 'none' }))).partitions[0] as Partition
  const acked: string[] = []
  let refused = 0
  for (let i = 0; refused < 20; i++) {
    if (i === 150) machine.disk.capacityBytes = machine.disk.usedBytes
    const text = `event ${i} ${'f'.repeat(300)}`
    await machine.settle(appendText(store, partition, text)).then(
      () => acked.push(text),
      () => refused++
    )
    await machine.run(20)
  }
  machine.kill()
  machine.disk.capacityBytes = machine.disk.usedBytes
  return { machine, acked }
}

function plantOf(store: LogStore): Partition {
  return store.topics.get('plant')?.partitions[0] as Partition
}

t.test('disk, reserve and journal are full: it starts again and again, and serves what is stored', async (t) => {
  for (let seed = 1; seed <= 6; seed++) {
    const { machine, acked } = await fullMachine(seed)
    for (let life = 0; life < 3; life++) {
      const store = await machine.open()
      t.same((await machine.settle(readAll(plantOf(store)))).map(textOf), acked, `seed ${seed}, life ${life}`)
      await t.rejects(machine.settle(appendText(store, plantOf(store), 'no room')), { code: 'WADI_DISK_FULL' })
      t.equal(store.failure, null)
      t.same(store.starts, lineages.get(store, lineages.key()), 'only starts that are durable are named')
      t.equal(store.incarnation, (store.starts.at(-1)?.incarnation ?? 0) + 1, 'it knows its number all the same')
      if (life === 1) await machine.settle(store.close())
      else machine.kill()
    }
  }
})

t.test('what is delivered makes room, and the start takes events then, as a start of its own', async (t) => {
  for (let seed = 1; seed <= 6; seed++) {
    const { machine, acked } = await fullMachine(seed)
    Object.assign(machine.settings, { freeBytesMin: FREE_MIN })
    const store = await machine.open()
    const before = store.starts.length
    store.setDelivered(plantOf(store), plantOf(store).highWatermark)
    await machine.run(30_000)
    for (let i = 0; i < 10; i++) await machine.settle(appendText(store, plantOf(store), `later ${i}`))
    t.equal(store.starts.length, before + 1, `seed ${seed}: the start is named`)
    t.equal(store.starts.at(-1)?.incarnation, store.incarnation)
    t.equal(plantOf(store).firstOffsetAfter(store.incarnation - 1), acked.length, 'what it wrote is its own')
    machine.powerCut()
    machine.disk.heal()
    const again = await machine.open()
    const texts = (await machine.settle(readAll(plantOf(again)))).map(textOf)
    t.equal(texts.filter((text) => text.startsWith('later')).length, 10, `seed ${seed}: and is kept`)
    t.equal(again.starts.length, before + 2)
  }
})

/** A start whose first commits are refused, while events come; then the power is cut. @returns whether an event is there whose start is not */
async function unnamedWriter(seed: number): Promise<{ isUnnamed: boolean; acked: number }> {
  const machine = new SimMachine(seed, { settings: { lingerMs: 0 } })
  const first = await machine.open()
  await machine.settle(first.createTopic('plant', { codec: 'none' }))
  await machine.settle(first.close())
  for (let write = 0; write < 3; write++) machine.disk.refuseNext('write-sync', 'journal') // two headers, the entry
  const store = await machine.open()
  t.notOk(store.starts.some(({ incarnation }) => incarnation === store.incarnation))
  machine.disk.refuseNext('write-sync', 'journal')
  let acked = 0
  for (let i = 0; i < 6; i++) {
    appendText(store, plantOf(store), `event ${i}`).then(
      () => acked++,
      () => undefined
    )
    await machine.run(machine.prng.fraction())
  }
  await machine.run(machine.prng.below(4))
  const { incarnation } = store
  machine.powerCut()
  const again = await machine.open()
  const wrote = plantOf(again).beginningsSince(incarnation).length > 0
  return { isUnnamed: wrote && !again.starts.slice(0, -1).some((start) => start.incarnation === incarnation), acked }
}

t.test('an event is never durable before the entry of its start', async (t) => {
  let acked = 0
  for (let seed = 1; seed <= 30; seed++) {
    const life = await unnamedWriter(seed)
    t.notOk(life.isUnnamed, `seed ${seed}`)
    acked += life.acked
  }
  t.ok(acked > 10, `${acked} were acknowledged`)
})

t.test('caught (canaries of the rig): what comes behind a refused entry is not refused; a start that insists on its entry', async (t) => {
  const { ask, askAndWait } = OwnStart.prototype
  try {
    const { takeWaiting } = GroupCommit.prototype
    GroupCommit.prototype.takeWaiting = () => () => undefined
    let caught = 0
    for (let seed = 1; seed <= 30; seed++) if ((await unnamedWriter(seed)).isUnnamed) caught++
    GroupCommit.prototype.takeWaiting = takeWaiting
    t.ok(caught > 0, `${caught} of 30 seeds`)
    OwnStart.prototype.askAndWait = async function () {
      const refusal = await askAndWait.call(this)
      if (refusal) throw refusal
      return null
    }
    const { machine } = await fullMachine(1)
    await t.rejects(machine.open(), { code: 'WADI_DISK_FULL' })
  } finally {
    Object.assign(OwnStart.prototype, { ask, askAndWait })
  }
})
