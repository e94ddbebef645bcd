// Proves for `wadi log verify` and `wadi log dump`: they see everything that is stored, in segments and in the journal, each event once; they
// name damage by file and offsets, take a torn end for what it is, and change nothing.

import t from 'tap'
import { readBatchHeader } from '../../runtime/core/batch-header.ts'
import { dumpRecords, listSegmentFiles, verifyDirectory } from '../../runtime/log/inspect.ts'
import { dumpJournal } from '../../runtime/log/inspect-journal.ts'
import type { Inspection } from '../../runtime/log/inspection.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, SimMachine } from '../helpers/sim-store.ts'
import { simCodec } from '../sim/sim-codec.ts'

const core = loadTestCore()

function inspectionOf({ disk }: SimMachine): Inspection {
  return { disk, core, codec: simCodec, directory: '/data' }
}

function fingerprint({ disk }: SimMachine): string {
  return JSON.stringify(disk.files().map(({ path, bytes }) => [path, core.crc32c(bytes), bytes.byteLength]))
}

/** A directory as a kill leaves it: `sealed` events in segments, `fresh` ones in the journal only. */
async function directoryWith(seed: number, { sealed, fresh }: { sealed: number; fresh: number }): Promise<SimMachine> {
  const machine = new SimMachine(seed)
  const store = await machine.open()
  const partition = (await machine.settle(store.createTopic('telemetry', { partitionCount: 2, codec: 'gzip' }))).partitions[0]!
  for (let i = 0; i < sealed; i++) await machine.settle(appendText(store, partition, `event ${i} ${'i'.repeat(100)}`))
  await machine.settle(store.flush())
  for (let i = sealed; i < sealed + fresh; i++) await machine.settle(appendText(store, partition, `event ${i} `))
  machine.kill()
  return machine
}

async function dumpedTexts(inspection: Inspection): Promise<string[]> {
  const texts: string[] = []
  let end = 0
  for (const file of await listSegmentFiles(inspection)) {
    for await (const step of dumpRecords(inspection, file)) {
      if ('problem' in step) throw new Error(step.problem.what)
      texts.push(
        ...step.records.map(({ value }) =>
          String(Buffer.from(value ?? []))
            .split(' ', 2)
            .join(' ')
        )
      )
      end = step.header.lastOffset + 1
    }
  }
  for await (const { header, records, partitionName } of dumpJournal(inspection)) {
    if (header.baseOffset < end) continue
    t.equal(partitionName, 'telemetry-0')
    texts.push(...records.map(({ value }) => String(Buffer.from(value ?? [])).trim()))
  }
  return texts
}

for (const counts of [
  { sealed: 0, fresh: 7 },
  { sealed: 150, fresh: 0 },
  { sealed: 150, fresh: 7 }
]) {
  t.test(`${counts.sealed} events in segments and ${counts.fresh} in the journal: all are seen once, nothing is changed`, async (t) => {
    const machine = await directoryWith(1, counts)
    const before = fingerprint(machine)
    const inspection = inspectionOf(machine)
    const report = await machine.settle(verifyDirectory(inspection))
    t.match(report, { topics: 1, partitions: 2, problems: [] })
    t.equal(report.records + report.journalRecords, counts.sealed + counts.fresh)
    t.ok(report.records >= counts.sealed, 'some of the fresh ones may have been sealed meanwhile')
    t.ok(report.journalCommits >= report.journalRecords)
    const expected = Array.from({ length: counts.sealed + counts.fresh }, (_, i) => `event ${i}`)
    t.same(await machine.settle(dumpedTexts(inspection)), expected)
    t.equal(fingerprint(machine), before)
  })
}

t.test('damage in a segment is named by file and offsets, and the rest is still checked', async (t) => {
  const machine = await directoryWith(2, { sealed: 150, fresh: 3 })
  const inspection = inspectionOf(machine)
  const whole = await machine.settle(verifyDirectory(inspection))
  const [first] = await machine.settle(listSegmentFiles(inspection))
  const header = readBatchHeader(machine.disk.files().find(({ path }) => path === first?.path)?.bytes ?? new Uint8Array())
  machine.disk.rot(first?.path ?? '', 100)
  const report = await machine.settle(verifyDirectory(inspection))
  t.equal(report.problems.length, 1)
  const meaning = `offsets 0 to ${header?.lastOffset} are missing (${header?.recordCount} events)`
  t.match(report.problems[0], { file: first?.path, positionBytes: 0, what: /crc/, meaning })
  t.equal(report.records, whole.records - (header?.recordCount ?? 0))
  t.equal(report.journalRecords, 3)
})

t.test('commits: one broken at the end is a torn end; in the middle, or several at the end, it is damage', async (t) => {
  const blockBytes = 4096
  for (const { rotten, problems } of [
    { rotten: [8], problems: [] },
    { rotten: [7, 8], problems: ['commits 8 to 9 are missing or do not verify'] },
    { rotten: [4], problems: ['commits 5 to 5 are missing or do not verify', 'offsets 2 to 2 are missing'] }
  ]) {
    const machine = new SimMachine(3)
    const store = await machine.open()
    const partition = (await machine.settle(store.createTopic('telemetry'))).partitions[0]!
    for (let i = 0; i < 7; i++) await machine.settle(appendText(store, partition, `event ${i} `)) // behind the two of start and topic
    machine.kill()
    for (const index of rotten) t.ok(machine.disk.rot('/data/journal/0.journal', blockBytes * (1 + index) + 60))
    const report = await machine.settle(verifyDirectory(inspectionOf(machine)))
    t.same(
      report.problems.map(({ what }) => what),
      problems,
      `commits ${rotten.join(', ')}`
    )
    t.equal(report.journalRecords, 7 - rotten.length)
  }
})

t.test('a segment in the middle that is gone, or damaged to its end, is named with its offsets and not called a torn end', async (t) => {
  for (const what of ['removed', 'damaged'] as const) {
    const machine = new SimMachine(5)
    const store = await machine.open()
    const partition = (await machine.settle(store.createTopic('telemetry', { codec: 'none' }))).partitions[0]!
    for (let i = 0; i < 120; i++) await machine.settle(appendText(store, partition, `event ${i} ${'x'.repeat(300)}`))
    await machine.settle(store.close())
    const files = await machine.settle(listSegmentFiles(inspectionOf(machine)))
    const [, middle, behind] = files
    if (!middle || !behind) throw new Error('too few segments')
    t.same((await machine.settle(verifyDirectory(inspectionOf(machine)))).problems, [])
    if (what === 'removed') await machine.settle(machine.disk.remove(middle.path))
    else for (let at = 70; at < middle.bytes; at += 100) machine.disk.rot(middle.path, at)
    const { problems } = await machine.settle(verifyDirectory(inspectionOf(machine)))
    t.equal(problems.length, 1, what)
    const words = `${problems[0]?.what}: ${problems[0]?.meaning}`
    t.match(words, `offsets ${middle.baseOffset} to ${behind.baseOffset - 1} are missing`)
    t.notMatch(words, /torn end/)
  }
})
