// Proves: what a start has to write into segments, and has no room for, refuses no start and takes nothing: broken bytes at the end stay where they are
// until they can be kept aside, nothing is appended behind them, and what cannot be written again comes from the journal.

import t, { type Test } from 'tap'
import type { Partition } from '../../runtime/log/contract.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { appendText, readAll, SimMachine, textOf } from '../helpers/sim-store.ts'

function plantOf(store: LogStore): Partition {
  return store.topics.get('plant')?.partitions[0] as Partition
}

/** Events in two segments; the process is gone. @returns the last segment */
async function machineWithSegments(end: 'close' | 'kill'): Promise<{ machine: SimMachine; texts: string[]; path: string }> {
  const machine = new SimMachine(1, { settings: { checkpointAgeMs: 600_000, sealAgeMs: 200 } })
  const store = await machine.open()
  await machine.settle(store.createTopic('plant', { codec: 'none' }))
  const texts: string[] = []
  for (let i = 0; i < 60; i++) {
    texts.push(`event ${i} ${'r'.repeat(200)}`)
    await machine.settle(appendText(store, plantOf(store), texts.at(-1) as string))
    if (i === 20) await machine.settle(store.flush())
  }
  await machine.run(2_000) // sealed; synced with a clean stop only
  if (end === 'close') await machine.settle(store.close())
  else machine.kill()
  const paths = machine.disk.files().flatMap(({ path, bytes }) => (path.endsWith('.log') && bytes.byteLength > 0 ? [path] : []))
  return { machine, texts, path: paths.sort().at(-1) as string }
}

/** The store takes an event, survives a power cut, and so do all events. */
async function goesOn(t: Test, machine: SimMachine, store: LogStore, texts: readonly string[]): Promise<void> {
  t.same((await machine.settle(readAll(plantOf(store)))).map(textOf), texts, 'it serves what is stored')
  await machine.settle(appendText(store, plantOf(store), 'later'))
  machine.disk.heal()
  await machine.run(5_000)
  await machine.settle(store.flush())
  machine.powerCut()
  const again = await machine.open()
  t.same((await machine.settle(readAll(plantOf(again)))).map(textOf), [...texts, 'later'], 'and goes on')
  await machine.settle(again.close())
}

async function addBytes(machine: SimMachine, path: string, bytes: Uint8Array): Promise<void> {
  const file = await machine.settle(machine.disk.open(path, 'write'))
  await machine.settle(file.writeAt(await machine.settle(file.sizeBytes()), bytes))
  await machine.settle(file.sync())
  await machine.settle(file.close())
}

const asideOf = (machine: SimMachine): number[] =>
  machine.disk.files().flatMap(({ path, bytes }) => (path.includes('.torn') ? [bytes.byteLength] : []))

t.test('broken bytes at the end that the journal does not have, and no room to keep them aside', async (t) => {
  const { machine, texts, path } = await machineWithSegments('close')
  await addBytes(machine, path, new Uint8Array(3_000).fill(7))
  machine.disk.capacityBytes = machine.disk.usedBytes
  const store = await machine.open()
  t.same(asideOf(machine), [], 'nothing half is left of them')
  const sizeOf = (): number | undefined => machine.disk.files().find((file) => file.path === path)?.bytes.byteLength
  const before = sizeOf()
  await goesOn(t, machine, store, texts)
  t.equal(sizeOf(), before, 'they stay where they are, and the next segment begins behind them')
})

t.test('a segment of broken bytes only, and no room to keep them aside', async (t) => {
  const { machine, texts, path } = await machineWithSegments('close')
  const name = `${texts.length}`.padStart(20, '0')
  const file = await machine.settle(machine.disk.open(path.replace(/\d{20}/, name), 'create'))
  await machine.settle(file.close())
  await addBytes(machine, path.replace(/\d{20}/, name), new Uint8Array(3_000).fill(7))
  machine.disk.capacityBytes = machine.disk.usedBytes
  await goesOn(t, machine, await machine.open(), texts)
  t.same(asideOf(machine), [3_000])
})

t.test('the last page of the last segment cannot be read, and there is no room for the next segment', async (t) => {
  const { machine, texts, path } = await machineWithSegments('close')
  const bytes = machine.disk.files().find((file) => file.path === path)?.bytes.byteLength ?? 0
  machine.disk.spoil(path, bytes - 1)
  const next = `${`${texts.length}`.padStart(20, '0')}.log`
  machine.disk.failNext('open', next, 'ENOSPC')
  const store = await machine.open()
  t.equal(machine.disk.reached.get('planned:open'), 1)
  await machine.settle(appendText(store, plantOf(store), 'later'))
  await machine.settle(store.flush())
  t.ok(
    machine.disk.files().some((file) => file.path.endsWith(next) && file.bytes.byteLength > 0),
    'it begins when there is room'
  )
  await machine.settle(store.close())
})

t.test('what an earlier process wrote behind the recovery point cannot be written again', async (t) => {
  const { machine, texts, path } = await machineWithSegments('kill')
  machine.disk.failNext('write', path, 'ENOSPC')
  const store = await machine.open()
  t.equal(machine.disk.reached.get('planned:write'), 1)
  await goesOn(t, machine, store, texts)
})
