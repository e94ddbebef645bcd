// Proves: a journal file that is too short for a commit (its making was cut short, or it was cut afterwards) takes none, and does no harm: what it holds
// is read, the start is not refused, appends go on when two files have room for them. Canary in test/sim/canaries.ts.

import t from 'tap'
import type { Partition } from '../../runtime/log/contract.ts'
import { JOURNAL_DIRECTORY } from '../../runtime/log/layout.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { KIB } from '../../runtime/log/settings.ts'
import { appendText, readAll, SimMachine, textOf } from '../helpers/sim-store.ts'

const DIRECTORY = `/data/${JOURNAL_DIRECTORY}`
/** Of the helper's settings: the header block and a commit take 20 KiB. */
const SHORT_SIZES = [8 * KIB, 12 * KIB, 19 * KIB]

function plantOf(store: LogStore): Partition {
  return store.topics.get('plant')?.partitions[0] as Partition
}

function sizesOf(machine: SimMachine): number[] {
  return machine.disk.files().flatMap(({ path, bytes }) => (path.endsWith('.journal') ? [bytes.byteLength] : []))
}

/** With a topic and `texts`; the process is gone, cleanly or not. */
async function machineWith(seed: number, texts: readonly string[], end: 'close' | 'kill'): Promise<SimMachine> {
  const machine = new SimMachine(seed)
  const store = await machine.open()
  await machine.settle(store.createTopic('plant', { codec: 'none' }))
  for (const text of texts) await machine.settle(appendText(store, plantOf(store), text))
  if (end === 'close') await machine.settle(store.close())
  else machine.kill()
  return machine
}

/** A file whose making was cut short, by a version that writes its header all the same, or before the header was written. */
async function leaveShortFile(machine: SimMachine, index: number, options: { sizeBytes: number; hasHeader: boolean }): Promise<void> {
  const header = machine.disk
    .files()
    .find(({ path }) => path === `${DIRECTORY}/0.journal`)
    ?.bytes.slice(0, 4 * KIB) as Uint8Array
  const file = await machine.settle(machine.disk.open(`${DIRECTORY}/${index}.journal`, 'create'))
  await machine.settle(file.writeAt(0, new Uint8Array(options.sizeBytes)))
  if (options.hasHeader) await machine.settle(file.writeAt(0, header))
  await machine.settle(file.sync())
  await machine.settle(file.close())
  await machine.settle(machine.disk.syncDirectory(DIRECTORY))
}

async function cut(machine: SimMachine, index: number, sizeBytes: number): Promise<void> {
  const file = await machine.settle(machine.disk.open(`${DIRECTORY}/${index}.journal`, 'write'))
  await machine.settle(file.truncate(sizeBytes))
  await machine.settle(file.sync())
  await machine.settle(file.close())
}

/** Until every journal file was in use: events are acknowledged, and read after a power cut. */
async function takesEvents(machine: SimMachine, store: LogStore, label: string): Promise<string[]> {
  const texts = Array.from({ length: 400 }, (_, at) => `${label} ${at} ${'j'.repeat(400)}`)
  for (let at = 0; at < texts.length; at += 20)
    await machine.settle(Promise.all(texts.slice(at, at + 20).map((text) => appendText(store, plantOf(store), text))))
  return texts
}

const making = SHORT_SIZES.flatMap((sizeBytes) => [true, false].map((hasHeader) => ({ sizeBytes, hasHeader })))

for (const { sizeBytes, hasHeader } of making) {
  t.test(
    `the third file has ${sizeBytes} bytes ${hasHeader ? 'and a header' : 'of zeros'}, and the disk is full: it takes no commit`,
    async (t) => {
      for (let seed = 1; seed <= 4; seed++) {
        const machine = await machineWith(seed, ['first'], seed % 2 === 0 ? 'close' : 'kill')
        await leaveShortFile(machine, 2, { sizeBytes, hasHeader })
        Object.assign(machine.settings, { journalFileCount: 3 })
        machine.disk.capacityBytes = machine.disk.usedBytes
        let store = await machine.open()
        t.same((await machine.settle(readAll(plantOf(store)))).map(textOf), ['first'], `seed ${seed}: it serves what is stored`)
        await machine.run(100)
        t.equal(sizesOf(machine)[2], sizeBytes, 'there is no room for the rest of it')
        machine.disk.capacityBytes = Number.POSITIVE_INFINITY
        const texts = await takesEvents(machine, store, 'event')
        machine.powerCut()
        store = await machine.open()
        t.same((await machine.settle(readAll(plantOf(store)))).map(textOf), ['first', ...texts], `seed ${seed}`)
        t.same(store.report.damagedFiles, [])
        t.equal(store.failure, null)
        await machine.settle(store.close())
      }
    }
  )
}

t.test('a file that is whole, and whose making ended before its directory was synced, keeps what it takes', async (t) => {
  for (let seed = 1; seed <= 8; seed++) {
    const machine = await machineWith(seed, ['first'], 'kill')
    const file = await machine.settle(machine.disk.open(`${DIRECTORY}/2.journal`, 'create'))
    await machine.settle(file.writeAt(0, new Uint8Array(64 * KIB)))
    await machine.settle(file.sync())
    machine.kill()
    Object.assign(machine.settings, { journalFileCount: 3 })
    const store = await machine.open()
    const texts = await takesEvents(machine, store, 'event')
    machine.powerCut()
    const again = await machine.open()
    t.same((await machine.settle(readAll(plantOf(again)))).map(textOf), ['first', ...texts], `seed ${seed}`)
    await machine.settle(again.close())
  }
})

t.test('a short file is made whole when there is room, at the start or later, and used then', async (t) => {
  for (let seed = 1; seed <= 6; seed++) {
    const machine = await machineWith(seed, ['first'], seed % 2 === 0 ? 'close' : 'kill')
    await leaveShortFile(machine, 2, { sizeBytes: 8 * KIB, hasHeader: seed % 3 === 0 })
    Object.assign(machine.settings, { journalFileCount: 3 })
    if (seed > 3) machine.disk.capacityBytes = machine.disk.usedBytes
    const store = await machine.open()
    machine.disk.capacityBytes = Number.POSITIVE_INFINITY
    await machine.run(2_000)
    t.same(sizesOf(machine), [64 * KIB, 64 * KIB, 64 * KIB], `seed ${seed}`)
    const texts = await takesEvents(machine, store, 'event')
    t.ok(
      machine.disk
        .files()
        .some(({ path, bytes }) => path === `${DIRECTORY}/2.journal` && bytes.subarray(4 * KIB).some((byte) => byte !== 0)),
      'commits are in it'
    )
    machine.kill()
    const again = await machine.open()
    t.same((await machine.settle(readAll(plantOf(again)))).map(textOf), ['first', ...texts])
    await machine.settle(again.close())
  }
})

for (const index of [0, 1]) {
  t.test(`journal file ${index} of two was cut: on a full disk it serves and refuses, with room it takes events`, async (t) => {
    for (const sizeBytes of [0, ...SHORT_SIZES]) {
      const machine = await machineWith(index + 1, ['first', 'second'], 'close')
      await cut(machine, index, sizeBytes)
      machine.disk.capacityBytes = machine.disk.usedBytes
      for (let life = 0; life < 3; life++) {
        const store = await machine.open()
        const label = `${sizeBytes} bytes, life ${life}`
        t.same((await machine.settle(readAll(plantOf(store)))).map(textOf), ['first', 'second'], label)
        await t.rejects(machine.settle(appendText(store, plantOf(store), 'no room')), { code: 'WADI_DISK_FULL' }, label)
        await machine.run(3_000)
        await t.rejects(machine.settle(appendText(store, plantOf(store), 'no room')), { code: 'WADI_DISK_FULL' }, label)
        t.equal(store.failure, null)
        if (life === 1) await machine.settle(store.close())
        else if (life === 0) machine.kill()
        else {
          machine.disk.capacityBytes = Number.POSITIVE_INFINITY
          await machine.run(3_000)
          const texts = await takesEvents(machine, store, 'event')
          machine.powerCut()
          const again = await machine.open()
          t.same((await machine.settle(readAll(plantOf(again)))).map(textOf), ['first', 'second', ...texts], `${label}, with room`)
          t.same(again.report.damagedFiles, [], 'and it is damage no longer')
          await machine.settle(again.close())
        }
      }
    }
  })
}

t.test('a cut file holds commits that are still needed: they are read, and kept until a checkpoint frees it', async (t) => {
  for (let seed = 1; seed <= 6; seed++) {
    const first = Array.from({ length: 3 }, (_, at) => `first ${at} ${'f'.repeat(100)}`)
    const machine = await machineWith(seed, first, 'kill')
    const { bytes } = machine.disk.files().find(({ path }) => path === `${DIRECTORY}/0.journal`) ?? {}
    t.ok(bytes)
    await cut(machine, 0, 16 * KIB) // the start's entry, the topic and the first of the events
    machine.disk.capacityBytes = machine.disk.usedBytes
    for (let life = 0; life < 2; life++) {
      const store = await machine.open()
      t.same(
        (await machine.settle(readAll(plantOf(store)))).map(textOf),
        [first[0]],
        `seed ${seed}, life ${life}: what is left of it is read`
      )
      t.same(store.report.damagedFiles, [`${DIRECTORY}/0.journal`])
      machine.kill()
    }
    machine.disk.capacityBytes = Number.POSITIVE_INFINITY
    const store = await machine.open()
    const texts = await takesEvents(machine, store, 'event')
    await machine.run(10_000)
    machine.powerCut()
    const again = await machine.open()
    t.same((await machine.settle(readAll(plantOf(again)))).map(textOf), [first[0], ...texts])
    await machine.settle(again.close())
  }
})
