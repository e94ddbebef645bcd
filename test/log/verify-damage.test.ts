// Proves: what `wadi log verify` says is lost is what the next start, and a reader behind it, count as lost: not more, not less, and a place
// whose events are lost is never called a torn end that the journal has. How: one directory per seed; bits of one segment are turned over at a
// drawn place, or in its last batch; verify looks, then the gateway starts and everything is read.

import t from 'tap'
import { readBatchHeader } from '../../runtime/core/batch-header.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import { listSegmentFiles, verifyDirectory } from '../../runtime/log/inspect.ts'
import type { Inspection, Problem } from '../../runtime/log/inspection.ts'
import { LogStore } from '../../runtime/log/log-store.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, readAll, SimMachine } from '../helpers/sim-store.ts'
import { simCodec } from '../sim/sim-codec.ts'

const core = loadTestCore()
const EVENTS = 160

async function machineWithData(seed: number, stop: 'clean' | 'kill' | 'checkpoint'): Promise<SimMachine> {
  const machine = new SimMachine(seed)
  const store = await machine.open()
  const partition = (await machine.settle(store.createTopic('telemetry', { codec: seed % 2 === 0 ? 'none' : 'gzip' })))
    .partitions[0] as Partition
  for (let i = 0; i < EVENTS; i += 20) {
    await machine.settle(
      Promise.all(Array.from({ length: 20 }, (_, j) => appendText(store, partition, `event ${i + j} ${'l'.repeat(150)}`)))
    )
    if (i === 60) await machine.settle(store.flush())
  }
  if (stop === 'clean') await machine.settle(store.close())
  else {
    if (stop === 'checkpoint') await machine.settle(store.flush())
    machine.kill()
  }
  return machine
}

function inspectionOf({ disk }: SimMachine): Inspection {
  return { disk, core, codec: simCodec, directory: '/data' }
}

const placeOf = ({ file, positionBytes }: Problem): string => `${file} ${positionBytes}`

/** Where the batches of a segment begin. */
function beginningsOf(machine: SimMachine, path: string): number[] {
  const bytes = machine.disk.files().find((file) => file.path === path)?.bytes ?? new Uint8Array()
  const found: number[] = []
  for (let at = 0; at < bytes.byteLength; ) {
    const header = readBatchHeader(bytes.subarray(at))
    if (!header) break
    found.push(at)
    at += header.batchBytes
  }
  return found
}

interface Life {
  readonly lostRecords: number
  /** Where verify and the store do not say the same. */
  readonly complaints: readonly string[]
}

/** `verify`: verifyDirectory, or a broken one. */
async function live(seed: number, stop: 'clean' | 'kill' | 'checkpoint', place: string, verify = verifyDirectory): Promise<Life> {
  const complaints: string[] = []
  const expect = (isTrue: boolean, what: string): void => {
    if (!isTrue) complaints.push(`seed ${seed}: ${what}`)
  }
  const machine = await machineWithData(seed, stop)
  const files = await machine.settle(listSegmentFiles(inspectionOf(machine)))
  const file = place === 'anywhere' ? machine.prng.pick(files) : files.at(-1)
  if (!file || file.bytes === 0) return { lostRecords: 0, complaints }
  // What a kill leaves: not of our damage.
  const before = new Set((await machine.settle(verify(inspectionOf(machine)))).problems.map(placeOf))
  const lastAt = beginningsOf(machine, file.path).at(-1) ?? 0
  const fromByte = place === 'anywhere' ? 0 : lastAt + 30
  machine.disk.rot(file.path, fromByte + machine.prng.below(file.bytes - fromByte))
  const said = await machine.settle(verify(inspectionOf(machine)))
  const store = await machine.open()
  const partition = store.topics.get('telemetry')?.partitions[0] as Partition
  const records = await machine.settle(readAll(partition))
  const { lostRecords } = store.metrics
  expect(EVENTS - records.length === lostRecords, `${EVENTS - records.length} are missing, the store counts ${lostRecords}`)
  expect(said.lostRecords === lostRecords, `verify counts ${said.lostRecords}, the store ${lostRecords}`)
  const isTornAlready = said.problems.every((problem) => before.has(placeOf(problem)))
  const added = said.problems.filter((problem) => isTornAlready || !before.has(placeOf(problem)))
  const words = added.map(({ what, meaning }) => `${what}: ${meaning}`).join('\n')
  expect(added.length === 1, `the place is named ${added.length} times: ${words}`)
  if (lostRecords > 0)
    expect(words.includes(`(${lostRecords} events)`) && !/torn end|journal has what/.test(words), `${lostRecords}: ${words}`)
  else expect(/torn end|journal has what was there/.test(words), `nothing is lost: ${words}`)
  await machine.settle(store.close())
  const again = await machine.settle(verify(inspectionOf(machine)))
  expect(again.lostRecords === lostRecords, `when it was counted before, verify counts ${again.lostRecords} of ${lostRecords}`)
  return { lostRecords, complaints }
}

for (const stop of ['clean', 'kill', 'checkpoint'] as const) {
  for (const place of ['in the last batch', 'anywhere']) {
    t.test(`bits turned over ${place}, after a ${stop}: verify counts as lost what the next start and its readers count`, async (t) => {
      let lostSum = 0
      for (let seed = 2; seed < 14; seed++) {
        const { lostRecords, complaints } = await live(seed, stop, place)
        t.same(complaints, [])
        lostSum += lostRecords
      }
      if (stop !== 'kill') t.ok(lostSum > 0, `${lostSum} were lost`)
    })
  }
}

t.test('a verify that does not read behind the next start is caught (canary of the rig)', async (t) => {
  const original = Object.getOwnPropertyDescriptor(LogStore.prototype, 'topics') as PropertyDescriptor
  const blind: typeof verifyDirectory = async (inspection) => {
    Object.defineProperty(LogStore.prototype, 'topics', { ...original, get: () => new Map() })
    try {
      return await verifyDirectory(inspection)
    } finally {
      Object.defineProperty(LogStore.prototype, 'topics', original)
    }
  }
  t.not((await live(2, 'clean', 'in the last batch', blind)).complaints.length, 0)
})

t.test('a directory whose parts are missing: verify says which, and what a start says to it', async (t) => {
  for (const stop of ['clean', 'kill'] as const) {
    for (const missing of [['state'], ['journal'], ['topics'], ['state', 'journal'], ['state', 'topics'], ['journal', 'topics']]) {
      const machine = await machineWithData(3, stop)
      for (const { path } of machine.disk.files())
        if (missing.some((name) => path.startsWith(`/data/${name}/`))) await machine.settle(machine.disk.remove(path))
      const directories = new Set(['/data/topics/telemetry-0', ...missing.map((name) => `/data/${name}`)])
      for (const path of directories)
        if (missing.some((name) => path.startsWith(`/data/${name}`))) await machine.settle(machine.disk.removeDirectory(path))
      const report = await machine.settle(verifyDirectory(inspectionOf(machine)))
      const start = await machine.open().catch((error: { code: string }) => error.code)
      for (const name of missing)
        t.ok(
          report.problems.some(({ file, what }) => file === `/data/${name}` && what === 'is not there'),
          `${stop}: ${missing} is named`
        )
      const isRefused = report.problems.some(({ meaning }) => meaning === 'a start is refused')
      t.equal(isRefused, typeof start === 'string', `${stop}, ${missing}: refused by both or none`)
      if (missing.includes('state')) t.equal(start, 'WADI_STATE_DAMAGED', `${stop}, ${missing}: what is there is never started over`)
    }
  }
})
