// Proves: whatever happens to the data files (cut, flipped, zeroed, random, deleted, swapped), a start either works or is refused by a
// named error; damaged bytes are never served as good; what is missing is reported by topic, partition and offsets.
// How: one directory with segments, journal and state is made once per mode of stopping; every file is damaged in every way, each time
// on a fresh copy. The model is the list of events.

import t, { type Test } from 'tap'
import { WadiError } from '../../runtime/base/errors.ts'
import { toOffset } from '../../runtime/base/offset.ts'
import type { StoredRecord } from '../../runtime/core/record.ts'
import type { DroppedRange, Partition } from '../../runtime/log/contract.ts'
import type { PartitionLog } from '../../runtime/log/partition-log.ts'
import type { Segment } from '../../runtime/log/segment.ts'
import { KIB } from '../../runtime/log/settings.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, readAll, SimMachine, type SimMachineOptions, textOf } from '../helpers/sim-store.ts'
import { Prng } from '../sim/prng.ts'
import { withMembers } from '../sim/with-members.ts'

const EVENTS = 260

async function machineWithData(seed: number, stop: 'clean' | 'kill', options: SimMachineOptions = {}): Promise<SimMachine> {
  const machine = new SimMachine(seed, options)
  const store = await machine.open()
  const partition = (await machine.settle(store.createTopic('telemetry', { codec: seed % 2 === 0 ? 'none' : 'gzip' })))
    .partitions[0] as Partition
  for (let i = 0; i < EVENTS; i += 20) {
    await machine.settle(
      Promise.all(Array.from({ length: 20 }, (_, j) => appendText(store, partition, `event ${i + j} ${'d'.repeat(120 + (i % 7) * 20)}`)))
    )
    if (i === 120) await machine.run(8_000)
  }
  if (stop === 'clean') await machine.settle(store.close())
  else machine.kill()
  return machine
}

const damages: Record<string, (bytes: Uint8Array, prng: Prng) => Uint8Array | null> = {
  'cut in the middle': (bytes) => bytes.slice(0, bytes.byteLength >> 1),
  'cut by one byte': (bytes) => bytes.slice(0, Math.max(0, bytes.byteLength - 1)),
  'one bit flipped': (bytes, prng) => {
    const copy = bytes.slice()
    const at = prng.below(Math.max(1, copy.byteLength))
    copy[at] = (copy[at] ?? 0) ^ (1 << prng.below(8))
    return copy
  },
  'a stretch zeroed': (bytes, prng) => {
    const at = prng.below(Math.max(1, bytes.byteLength))
    return bytes.slice().fill(0, at, at + 600)
  },
  'a stretch random': (bytes, prng) => {
    const copy = bytes.slice()
    const at = prng.below(Math.max(1, copy.byteLength - 300))
    copy.set(prng.bytes(Math.min(300, copy.byteLength - at)), at)
    return copy
  },
  'all random': (bytes, prng) => prng.bytes(bytes.byteLength),
  empty: () => new Uint8Array(0),
  deleted: () => null
}

for (const stop of ['clean', 'kill'] as const) {
  for (const [name, damage] of Object.entries(damages)) {
    t.test(`data files ${name}, after ${stop === 'clean' ? 'a clean stop' : 'a kill'}: named, never served`, async (t) => {
      const paths = (await machineWithData(2, stop)).disk.files().map(({ path }) => path)
      for (let i = 0; i < paths.length; i++) {
        const path = paths[i] as string
        if (path.endsWith('wadi.lock')) continue
        const seed = i + (stop === 'clean' ? 1000 : 2000)
        const machine = await machineWithData(2 + (i % 2), stop)
        const file = machine.disk.files().find((candidate) => candidate.path === path)
        if (!file) continue
        await machine.settle(replaceFile(machine, path, damage(file.bytes, new Prng(seed))))
        await checkOpen(t, machine, `${path} ${name}`)
      }
    })
  }
}

async function replaceFile({ disk }: SimMachine, path: string, bytes: Uint8Array | null): Promise<void> {
  if (bytes === null) return disk.remove(path)
  const file = await disk.open(path, 'write')
  await file.truncate(0)
  if (bytes.byteLength > 0) await file.writeAt(0, bytes.slice())
  await file.sync()
  await file.close()
}

function isUnaltered(record: StoredRecord): boolean {
  return /^event (\d+) d+$/.exec(textOf(record))?.[1] === String(record.offset)
}

async function checkOpen(t: Test, machine: SimMachine, what: string): Promise<void> {
  const dropped: DroppedRange[] = []
  let store: Awaited<ReturnType<SimMachine['open']>>
  try {
    store = await machine.open()
  } catch (error) {
    t.ok(error instanceof WadiError, `${what}: refused by name (${error instanceof WadiError ? error.code : String(error)})`)
    return
  }
  dropped.push(...store.report.holes)
  store.onDropped((range) => dropped.push(range))
  const partition = store.topics.get('telemetry')?.partitions[0]
  if (!partition) {
    t.ok(store.report.damagedFiles.length + store.report.missingCommits > 0, `${what}: the topic is gone and that is said`)
    return
  }
  const records = await machine.settle(readAll(partition))
  t.ok(records.every(isUnaltered), `${what}: nothing altered is served`)
  const missing = Array.from({ length: EVENTS }, (_, offset) => offset).filter(
    (offset) => !records.some((record) => record.offset === offset)
  )
  const isNamed = (offset: number): boolean => dropped.some((range) => offset >= range.startOffset && offset < range.endOffset)
  const isAtEnd = (offset: number): boolean => offset >= partition.highWatermark
  const said = store.report.notes.length + store.report.damagedFiles.length + store.report.missingCommits
  t.ok(
    missing.every((offset) => isNamed(offset) || (isAtEnd(offset) && said > 0)),
    `${what}: ${missing.length} missing, all of them named`
  )
  await machine.settle(appendText(store, partition, 'goes on'))
}

t.test('a core that checks no CRC is caught (canary of the rig)', async (t) => {
  const core = withMembers(loadTestCore(), { verifyCommit: () => true, checkBatch: () => null, checkStoredBatch: () => null })
  let alteredCount = 0
  for (let seed = 1; seed <= 20; seed++) {
    const machine = await machineWithData(2, 'clean', { core: () => core })
    const file = machine.disk.files().find(({ path }) => path.endsWith('.log'))
    if (!file) return t.fail('no segment was written')
    await machine.settle(replaceFile(machine, file.path, damages['one bit flipped']?.(file.bytes, new Prng(seed)) ?? null))
    const partition = (await machine.open()).topics.get('telemetry')?.partitions[0] as Partition
    const records = await machine.settle(readAll(partition)).catch(() => [])
    if (!records.every(isUnaltered)) alteredCount++
  }
  t.ok(alteredCount > 0, `altered events were served in ${alteredCount} of 20 runs`)
})

t.test('a journal from an older copy of the directory is named, by the start and by verify', async (t) => {
  const machine = new SimMachine(7)
  const store = await machine.open()
  const partition = (await machine.settle(store.createTopic('telemetry'))).partitions[0] as Partition
  await machine.settle(appendText(store, partition, 'first'))
  const isJournal = ({ path }: { path: string }): boolean => path.startsWith('/data/journal/')
  const older = machine.disk
    .files()
    .filter(isJournal)
    .map(({ path, bytes }) => ({ path, bytes: bytes.slice() }))
  for (let i = 0; i < 20; i++) await machine.settle(appendText(store, partition, `sealed ${i}`))
  await machine.settle(store.flush())
  for (let i = 0; i < 20; i++) await machine.settle(appendText(store, partition, `only in the journal ${i}`))
  machine.kill()
  for (const { path, bytes } of older) {
    const file = await machine.settle(machine.disk.open(path, 'write'))
    await machine.settle(file.writeAt(0, bytes))
    await machine.settle(file.close())
  }
  const again = await machine.open()
  t.match(again.report.damagedFiles, ['/data/journal'])
  t.match(again.report.notes.join('\n'), /journal ends at commit \d+, the state file knows of commit \d+: an older copy/)
  const { highWatermark = 0 } = again.topics.get('telemetry')?.partitions[0] ?? {}
  t.ok(highWatermark >= 21 && highWatermark < 41, `what was in segments is served: ${highWatermark}`)
  await machine.settle(appendText(again, again.topics.get('telemetry')?.partitions[0] as Partition, 'goes on'))
  machine.kill()
  t.same((await machine.open()).report.damagedFiles, [], 'told once')
})

/** Acknowledged events in several segments, each with random bytes of its own, and the recovery point in the third. */
async function machineWithSegments(
  stop: 'clean' | 'kill'
): Promise<{ machine: SimMachine; sent: number; segments: { path: string; base: number; next: number }[] }> {
  const machine = new SimMachine(7, { settings: { journalFileBytes: 1024 * KIB, segmentBytes: 16 * KIB, checkpointAgeMs: 3_600_000 } })
  const store = await machine.open()
  const partition = (await machine.settle(store.createTopic('telemetry', { codec: 'none' }))).partitions[0] as PartitionLog
  const prng = new Prng(3)
  let sent = 0
  const sendUntil = async (count: number): Promise<void> => {
    while (partition.segments.length < count) {
      for (let i = 0; i < 4; i++)
        await machine.settle(appendText(store, partition, `${sent++} ${Buffer.from(prng.bytes(250)).toString('hex')}`))
      await machine.run(1_500)
    }
  }
  await sendUntil(3)
  await machine.settle(store.flush())
  await sendUntil(6)
  if (stop === 'clean') await machine.settle(store.close())
  else machine.kill()
  const segments = partition.segments.map(({ logPath, baseOffset, nextOffset }) => ({ path: logPath, base: baseOffset, next: nextOffset }))
  return { machine, sent, segments }
}

async function truncateFile(machine: SimMachine, path: string, bytes: number | null): Promise<void> {
  if (bytes === null) return machine.settle(machine.disk.remove(path))
  const file = await machine.settle(machine.disk.open(path, 'write'))
  await machine.settle(file.truncate(bytes))
  await machine.settle(file.close())
}

/** Every number that was sent is read, or lies in a hole that the start reported; new events get offsets of their own. */
async function checkAllNamed(t: Test, machine: SimMachine, sent: number): Promise<Set<number>> {
  const store = await machine.open()
  const partition = store.topics.get('telemetry')?.partitions[0] as PartitionLog
  const read = new Set((await machine.settle(readAll(partition))).map((record) => Number(textOf(record).split(' ')[0])))
  const isNamed = (offset: number): boolean =>
    store.report.holes.some(({ startOffset, endOffset }) => offset >= startOffset && offset < endOffset)
  for (let number = 0; number < sent; number++) if (!read.has(number) && !isNamed(number)) t.fail(`${number} is gone and not named`)
  await machine.settle(appendText(store, partition, 'new'))
  t.equal(partition.highWatermark, sent + 1, 'no offset is given out twice')
  const lost = store.report.holes.reduce((sum, { startOffset, endOffset }) => sum + endOffset - startOffset, 0)
  t.equal(store.metrics.lostRecords, lost, 'and counted')
  await machine.settle(store.close())
  return read
}

for (const bytes of [0, 700, null]) {
  const what = bytes === null ? 'deleted' : `cut to ${bytes} bytes`
  t.test(`the newest segment, ${what} after a clean stop: what is gone is named, its offsets stay its own`, async (t) => {
    const { machine, sent, segments } = await machineWithSegments('clean')
    const last = segments.at(-1) as (typeof segments)[number]
    await truncateFile(machine, last.path, bytes)
    const read = await checkAllNamed(t, machine, sent)
    t.ok(read.size < sent && read.has(last.base - 1))
  })

  t.test(`the segment of the recovery point, ${what} after a kill: what the journal has is served, the rest is named`, async (t) => {
    const { machine, sent, segments } = await machineWithSegments('kill')
    const point = segments[2] as (typeof segments)[number]
    await truncateFile(machine, point.path, bytes)
    const read = await checkAllNamed(t, machine, sent)
    for (let number = point.next; number < sent; number++) t.ok(read.has(number))
    t.ok(read.has(point.next - 1), 'what came into it after the recovery point is in the journal')
  })
}

t.test('damage right behind a segment that retention took is not retention', async (t) => {
  const machine = new SimMachine(7, { settings: { journalFileBytes: 1024 * KIB, segmentBytes: 16 * KIB, checkpointAgeMs: 3_600_000 } })
  const store = await machine.open()
  const topic = await machine.settle(store.createTopic('telemetry', { codec: 'none', isForwarded: true, retentionMs: null }))
  const partition = topic.partitions[0] as PartitionLog
  const prng = new Prng(3)
  while (partition.segments.length < 5) {
    await machine.settle(appendText(store, partition, Buffer.from(prng.bytes(250)).toString('hex')))
    await machine.run(300)
  }
  await machine.settle(store.flush())
  const [taken, damaged] = partition.segments as [Segment, Segment]
  store.setDelivered(partition, toOffset(taken.nextOffset))
  await machine.settle(store.alterTopic('telemetry', { retentionBytes: 30 * KIB }))
  for (let i = 0; i < 200 && partition.segments[0] === taken; i++) await machine.run(300)
  t.equal(partition.segments[0], damaged)
  machine.kill()
  await truncateFile(machine, damaged.logPath, 0)
  const again = await machine.open()
  t.match(again.report.holes, [{ startOffset: damaged.baseOffset, endOffset: damaged.nextOffset }])
  t.equal(again.metrics.lostRecords, damaged.nextOffset - damaged.baseOffset)
})
