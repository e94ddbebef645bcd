// Proves: a journal file that there is no room to make refuses no start: the store goes on with those that are there, and the file is made when there is
// room. One whose making was cut short is no damage.

import t from 'tap'
import { DiskError } from '../../runtime/io/disk.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import { verifyDirectory } from '../../runtime/log/inspect.ts'
import { JOURNAL_DIRECTORY } from '../../runtime/log/layout.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { KIB } from '../../runtime/log/settings.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, readAll, SimMachine, textOf } from '../helpers/sim-store.ts'
import { simCodec } from '../sim/sim-codec.ts'

const DIRECTORY = `/data/${JOURNAL_DIRECTORY}`

function plantOf(store: LogStore): Partition {
  return store.topics.get('plant')?.partitions[0] as Partition
}

function sizesOf(machine: SimMachine): number[] {
  return machine.disk.files().flatMap(({ path, bytes }) => (path.endsWith('.journal') ? [bytes.byteLength] : []))
}

/** With a topic and an event; the process is gone. */
async function machineWithTwoFiles(seed: number): Promise<SimMachine> {
  const machine = new SimMachine(seed)
  const store = await machine.open()
  await machine.settle(store.createTopic('plant', { codec: 'none' }))
  await machine.settle(appendText(store, plantOf(store), 'first'))
  if (seed % 2 === 0) await machine.settle(store.close())
  else machine.kill()
  return machine
}

for (const freeBytes of [0, 20 * KIB, 70 * KIB]) {
  t.test(`journal.files is raised by two, and ${freeBytes} bytes are free`, async (t) => {
    for (let seed = 1; seed <= 6; seed++) {
      const machine = await machineWithTwoFiles(seed)
      Object.assign(machine.settings, { journalFileCount: 4 })
      machine.disk.capacityBytes = machine.disk.usedBytes + freeBytes
      let store = await machine.open()
      t.same((await machine.settle(readAll(plantOf(store)))).map(textOf), ['first'], `seed ${seed}: it serves what is stored`)
      await machine.settle(appendText(store, plantOf(store), 'second'))
      t.equal(sizesOf(machine).length, freeBytes > 64 * KIB ? 3 : 2, 'nothing is left of a file that there is no room for')
      machine.powerCut()
      store = await machine.open()
      t.same((await machine.settle(readAll(plantOf(store)))).map(textOf), ['first', 'second'])
      t.same(store.report.damagedFiles, [])
      machine.disk.capacityBytes = Number.POSITIVE_INFINITY
      await machine.run(5_000)
      t.same(
        sizesOf(machine),
        [64, 64, 64, 64].map((size) => size * KIB),
        'and they are made when there is room'
      )
      const texts = Array.from({ length: 400 }, (_, at) => `event ${at} ${'j'.repeat(400)}`)
      for (let at = 0; at < texts.length; at += 20)
        await machine.settle(Promise.all(texts.slice(at, at + 20).map((text) => appendText(store, plantOf(store), text))))
      machine.powerCut()
      store = await machine.open()
      t.same((await machine.settle(readAll(plantOf(store)))).map(textOf), ['first', 'second', ...texts], 'and used')
      t.same(store.report.damagedFiles, [])
      await machine.settle(store.close())
    }
  })
}

t.test('making a journal file was cut short: it is not yet made, no damage', async (t) => {
  for (const [bytes, seed] of [
    [0, 1],
    [4 * KIB, 2],
    [36 * KIB, 3],
    [64 * KIB, 4]
  ] as const) {
    const machine = await machineWithTwoFiles(seed)
    const file = await machine.settle(machine.disk.open(`${DIRECTORY}/2.journal`, 'create'))
    await machine.settle(file.writeAt(0, new Uint8Array(bytes)))
    await machine.settle(file.sync())
    await machine.settle(file.close())
    await machine.settle(machine.disk.syncDirectory(DIRECTORY))
    const inspection = { disk: machine.disk, core: loadTestCore(), codec: simCodec, directory: '/data' }
    t.same((await machine.settle(verifyDirectory(inspection))).problems, [], `${bytes} bytes: verify`)
    Object.assign(machine.settings, { journalFileCount: 3 })
    const store = await machine.open()
    t.same(store.report.damagedFiles, [], `${bytes} bytes`)
    t.same((await machine.settle(readAll(plantOf(store)))).map(textOf), ['first'])
    await machine.settle(store.close())
  }
})

t.test('journal files of which one is missing, and fewer are wanted: each that is there is opened, and what is in it served', async (t) => {
  for (let seed = 1; seed <= 12; seed++) {
    const machine = new SimMachine(seed, { settings: { journalFileCount: 3, checkpointAgeMs: 1_000_000_000 } })
    let store = await machine.open()
    await machine.settle(store.createTopic('plant', { codec: 'none' }))
    const texts = Array.from({ length: 40 + seed }, (_, at) => `event ${at} ${'g'.repeat(2_500)}`)
    await machine.settle(Promise.all(texts.map((text) => appendText(store, plantOf(store), text))))
    machine.kill()
    await machine.settle(machine.disk.rename(`${DIRECTORY}/2.journal`, `${DIRECTORY}/3.journal`))
    await machine.settle(machine.disk.syncDirectory(DIRECTORY))
    Object.assign(machine.settings, { journalFileCount: 2 })
    for (const end of ['kill', 'close'] as const) {
      store = await machine.open()
      t.same((await machine.settle(readAll(plantOf(store)))).map(textOf), texts, `seed ${seed}, before a ${end}`)
      if (end === 'kill') machine.kill()
      else await machine.settle(store.close())
    }
    const names = await machine.settle(machine.disk.list(DIRECTORY))
    t.notOk(names.includes('2.journal'), 'what nobody wants is not made')
  }
})

t.test('no journal file is made while one before it cannot be made', async (t) => {
  const machine = await machineWithTwoFiles(2)
  Object.assign(machine.settings, { journalFileCount: 4 })
  machine.disk.capacityBytes = machine.disk.usedBytes + 8 * KIB
  const { open } = machine.disk
  let isRefused = false
  machine.disk.open = (path, mode) =>
    isRefused && path.endsWith('/2.journal')
      ? Promise.reject(new DiskError('EIO', { operation: 'open', path }))
      : open.call(machine.disk, path, mode)
  let store = await machine.open()
  isRefused = true
  machine.disk.capacityBytes = Number.POSITIVE_INFINITY
  await machine.run(5_000)
  t.same(sizesOf(machine), [64 * KIB, 64 * KIB])
  isRefused = false
  machine.kill()
  store = await machine.open()
  t.same(sizesOf(machine), [64 * KIB, 64 * KIB, 64 * KIB, 64 * KIB], 'in turn, when it can')
  await machine.settle(store.close())
})

t.test('a journal file that the state knows, and that is zeros now, is damage', async (t) => {
  const machine = await machineWithTwoFiles(2)
  const file = await machine.settle(machine.disk.open(`${DIRECTORY}/1.journal`, 'write'))
  await machine.settle(file.writeAt(0, new Uint8Array(64 * KIB)))
  await machine.settle(file.sync())
  await machine.settle(file.close())
  const store = await machine.open()
  t.same(store.report.damagedFiles, [`${DIRECTORY}/1.journal`])
  await machine.settle(store.close())
})

t.test('a journal file with events that cannot be opened for now refuses the start by name, and the next one has them', async (t) => {
  const machine = await machineWithTwoFiles(1)
  Object.assign(machine.settings, { journalFileCount: 3 })
  machine.disk.failNext('open', '/0.journal', 'EMFILE')
  await t.rejects(machine.open(), { code: 'WADI_DISK_FULL' })
  machine.kill()
  const store = await machine.open()
  t.same((await machine.settle(readAll(plantOf(store)))).map(textOf), ['first'])
  await machine.settle(store.close())
})
