// Proves: `wadi log verify` names everything that the next start refuses, reports or repairs, and changes nothing. How: every file of a directory
// is damaged in every way, each time on a fresh copy; verify looks first, then the gateway starts.

import t from 'tap'
import { WadiError } from '../../runtime/base/errors.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import { verifyDirectory } from '../../runtime/log/inspect.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, readAll, SimMachine } from '../helpers/sim-store.ts'
import { simCodec } from '../sim/sim-codec.ts'

const core = loadTestCore()

async function machineWithData(stop: 'clean' | 'kill'): Promise<SimMachine> {
  const machine = new SimMachine(2)
  const store = await machine.open()
  const partition = (await machine.settle(store.createTopic('telemetry', { codec: 'none' }))).partitions[0] as Partition
  for (let i = 0; i < 200; i += 20) {
    const wave = Array.from({ length: 20 }, (_, j) => appendText(store, partition, `event ${i + j} ${'w'.repeat(150)}`))
    await machine.settle(Promise.all(wave))
    if (i === 100) await machine.settle(store.flush())
  }
  if (stop === 'clean') await machine.settle(store.close())
  else machine.kill()
  return machine
}

/** What is wrong with a file then. */
const damages: Record<string, (machine: SimMachine, path: string, bytes: Uint8Array) => Promise<void>> = {
  deleted: ({ disk }, path) => disk.remove(path),
  empty: (machine, path) => rewrite(machine, path, new Uint8Array(0)),
  'cut in the middle': (machine, path, bytes) => rewrite(machine, path, bytes.slice(0, bytes.byteLength >> 1)),
  'a bit turned over': async ({ disk, prng }, path, bytes) => void disk.rot(path, prng.below(bytes.byteLength)),
  'a bad sector at the start': async ({ disk }, path) => void disk.spoil(path, 0),
  'a bad sector in the middle': async ({ disk, prng }, path, bytes) => void disk.spoil(path, prng.below(bytes.byteLength)),
  'a newer format': async (machine, path, bytes) => {
    if (!path.endsWith('.journal')) return
    const copy = bytes.slice()
    const view = new DataView(copy.buffer)
    view.setUint32(4, 99)
    view.setUint32(8, core.crc32c(copy.subarray(0, 8)))
    await rewrite(machine, path, copy)
  },
  'overlapping names': async (machine, path, bytes) => {
    if (path.endsWith('00000000000000000000.log'))
      await rewrite(machine, path.replace('00000000000000000000.log', '00000000000000000003.log'), bytes)
  }
}

async function rewrite({ disk }: SimMachine, path: string, bytes: Uint8Array): Promise<void> {
  const file = await disk.open(path, 'create')
  await file.truncate(0)
  if (bytes.byteLength > 0) await file.writeAt(0, bytes.slice())
  await file.sync()
  await file.close()
}

function fingerprint({ disk }: SimMachine): string {
  return JSON.stringify(disk.files().map(({ path, bytes }) => [path, core.crc32c(bytes), bytes.byteLength]))
}

for (const stop of ['clean', 'kill'] as const) {
  for (const [name, damage] of Object.entries(damages)) {
    t.test(`${name}, after a ${stop === 'clean' ? 'clean stop' : 'kill'}: verify names what the next start says`, async (t) => {
      const count = (await machineWithData(stop)).disk.files().length
      for (let i = 0; i < count; i++) {
        const machine = await machineWithData(stop)
        const { path, bytes } = machine.disk.files()[i] as { path: string; bytes: Uint8Array }
        if (path.endsWith('wadi.lock') || bytes.byteLength === 0) continue
        await machine.settle(damage(machine, path, bytes))
        const before = fingerprint(machine)
        const report = await machine.settle(verifyDirectory({ disk: machine.disk, core, codec: simCodec, directory: '/data' }))
        t.equal(fingerprint(machine), before, `${path}: nothing is changed`)
        const start: LogStore | unknown = await machine.open().catch((error: unknown) => error)
        const isRefused = report.problems.some(({ meaning }) => meaning === 'a start is refused')
        t.equal(isRefused, start instanceof WadiError, `${path}: refused by both or none`)
        if (start instanceof WadiError || !(start instanceof Object) || !('report' in start)) continue
        const { report: said } = start as LogStore
        const harm = said.holes.length + said.damagedFiles.length + said.missingCommits + said.unreadable.length
        t.equal(report.problems.length > 0 || harm === 0, true, `${path}: ${harm} harms, ${report.problems.length} problems`)
        for (const note of said.notes) t.ok(report.repairs.includes(note), `${path}: named: ${note}`)
        const store = start as LogStore
        await machine.settle(readAll(store.topics.get('telemetry')?.partitions[0] as Partition))
        await machine.run(100)
        t.equal(report.lostRecords, store.metrics.lostRecords, `${path}: as many lost as the start and its readers count`)
      }
    })
  }
}

t.test('a directory without state files is refused, and verify says so', async (t) => {
  const machine = await machineWithData('kill')
  for (const { path } of machine.disk.files()) if (path.endsWith('.state')) await machine.settle(machine.disk.remove(path))
  const report = await machine.settle(verifyDirectory({ disk: machine.disk, core, codec: simCodec, directory: '/data' }))
  t.match(report.problems.at(-1), { what: /^WADI_STATE_DAMAGED/, meaning: 'a start is refused' })
  await t.rejects(machine.open(), { code: 'WADI_STATE_DAMAGED' })
})
