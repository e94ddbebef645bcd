// Proves that a deleted segment explains, to a start, the offsets that it held and no others: a deletion that no commit could say is no damage, also when
// nothing but the journal is left behind it, and what damage took beside a deletion is counted to the event.
// How: retention deletes what was delivered, with its commit or on a full disk without, before a checkpoint; the gateway is killed and starts again.

import t from 'tap'
import type { Offset } from '../../runtime/base/offset.ts'
import { BLOCK_BYTES } from '../../runtime/log/journal-file.ts'
import { parseRetiredFileName, type RetiredSegment } from '../../runtime/log/layout.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import type { PartitionLog } from '../../runtime/log/partition-log.ts'
import type { Segment } from '../../runtime/log/segment.ts'
import { appendText, readAll, SimMachine } from '../helpers/sim-store.ts'

const DIRECTORY = '/data/topics/telemetry-0'
const CONFIG = { codec: 'none', retentionMs: 60_000 } as const
/** Sealed before the entry of the topic is lost. */
const TAKEN_IN = 12

const telemetryOf = (store: LogStore): PartitionLog => store.topics.get('telemetry')?.partitions[0] as PartitionLog

const range = (from: number, until: number): number[] => Array.from({ length: until - from }, (_, at) => from + at)

async function send(machine: SimMachine, store: LogStore, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await machine.settle(appendText(store, telemetryOf(store), `event ${i} ${'r'.repeat(200)}`))
}

async function offsetsOf(machine: SimMachine, store: LogStore): Promise<number[]> {
  return (await machine.settle(readAll(telemetryOf(store)))).map(({ offset }) => offset)
}

function retiredOf({ disk }: SimMachine): RetiredSegment[] {
  return disk.files().flatMap(({ path }) => parseRetiredFileName(path.slice(path.lastIndexOf('/') + 1)) ?? [])
}

/** Of all segments that are left, in the order of their offsets. */
function pathsOf({ disk }: SimMachine): string[] {
  return disk.files().flatMap(({ path }) => (path.startsWith(DIRECTORY) && path.endsWith('.log') ? [path] : []))
}

/** Segments that a checkpoint is behind; the oldest was delivered and deleted, with a commit that says so. @returns those that are left */
async function killedBehindDeletion(): Promise<{ machine: SimMachine; left: readonly Segment[] }> {
  const machine = new SimMachine(51, { settings: { journalFileBytes: 1024 * 1024, checkpointAgeMs: 3_600_000, segmentBytes: 4_096 } })
  const store = await machine.open()
  await machine.settle(store.createTopic('telemetry', { ...CONFIG, retentionBytes: 1 }))
  await send(machine, store, 60)
  await machine.settle(store.flush())
  const partition = telemetryOf(store)
  const [oldest, ...left] = partition.segments as [Segment, ...Segment[]]
  store.setDelivered(partition, oldest.nextOffset as Offset)
  while (partition.segments.includes(oldest)) await machine.run(250)
  t.same(partition.segments, left)
  t.ok(left.length > 3)
  t.same(retiredOf(machine), [{ baseOffset: 0, endOffset: oldest.nextOffset }], 'its name says what it held')
  machine.kill()
  return { machine, left }
}

t.test('segments are lost to damage right behind one that retention deleted: they are counted', async (t) => {
  for (const count of [0, 1, 2]) {
    const { machine, left } = await killedBehindDeletion()
    const [first, end] = [left[0], left[count]] as [Segment, Segment]
    for (const { logPath } of left.slice(0, count)) await machine.settle(machine.disk.remove(logPath))
    const store = await machine.open()
    const holes = count === 0 ? [] : [{ startOffset: first.baseOffset, endOffset: end.baseOffset, isDelivered: false }]
    t.match(store.report.holes, holes)
    t.equal(store.metrics.lostRecords, end.baseOffset - first.baseOffset)
  }
})

t.test('all segments are lost to damage behind one that retention deleted: they are counted', async (t) => {
  const { machine, left } = await killedBehindDeletion()
  for (const { logPath } of left) await machine.settle(machine.disk.remove(logPath))
  const store = await machine.open()
  t.equal(store.metrics.lostRecords, (left.at(-1) as Segment).nextOffset - (left[0] as Segment).baseOffset)
  t.same(await offsetsOf(machine, store), [])
})

/** Damage took the entry of the topic, and with it `unsealed` events that only the journal has. */
async function withoutEntry({ unsealed }: { unsealed: number }): Promise<SimMachine> {
  const machine = new SimMachine(52, { settings: { journalFileBytes: 1024 * 1024, checkpointAgeMs: 3_600_000, segmentBytes: 1_024 } })
  const before = await machine.open()
  await machine.settle(before.createTopic('telemetry', CONFIG))
  await send(machine, before, TAKEN_IN)
  await machine.run(5_000)
  await send(machine, before, unsealed)
  machine.kill()
  const journal = machine.disk.files().find(({ path }) => path.endsWith('/0.journal'))
  const at = Buffer.from(journal?.bytes ?? []).indexOf('topic/telemetry')
  machine.disk.rot(journal?.path ?? '', at - (at % BLOCK_BYTES) + 40)
  return machine
}

/**
 * The segments of a topic without an entry are taken in; no checkpoint is behind it. From then on the disk has no room for a commit, and retention deletes
 * what is in segments and delivered, while nothing can say so.
 */
async function killedOnFullDisk({
  more,
  deleted,
  unsealed = 1
}: {
  more: number
  deleted: number
  unsealed?: number
}): Promise<SimMachine> {
  const machine = await withoutEntry({ unsealed })
  const store = await machine.open()
  await machine.settle(store.createTopic('telemetry', CONFIG))
  const partition = telemetryOf(store)
  t.equal(partition.highWatermark, TAKEN_IN + unsealed)
  t.equal(store.metrics.lostRecords, unsealed)
  t.ok(partition.segments.length > 2)
  await send(machine, store, more)
  if (more > 0) await machine.run(5_000)
  for (let commit = 0; commit < 1_000; commit++) machine.disk.refuseNext('write-sync', '/journal/')
  const last = partition.segments[Math.min(deleted, partition.segments.length) - 1] as Segment
  store.setDelivered(partition, last.nextOffset as Offset)
  while (retiredOf(machine).at(-1)?.endOffset !== last.nextOffset) await machine.run(250)
  t.equal(partition.isLogStartDurable, false, 'no commit says so')
  machine.kill()
  machine.disk.heal()
  return machine
}

t.test('all that was taken in is deleted, and no commit can say so: the next starts do not call it damage', async (t) => {
  const machine = await killedOnFullDisk({ more: 8, deleted: 100 })
  for (const stop of ['kill', 'power', 'stop', 'kill']) {
    const store = await machine.open()
    t.same(store.report.holes, [], 'no damage that was not known')
    t.equal(store.metrics.lostRecords, 1)
    t.same(await offsetsOf(machine, store), range(TAKEN_IN + 1, TAKEN_IN + 9), 'what the journal has is there again')
    if (stop === 'stop') await machine.settle(store.close())
    else if (stop === 'power') machine.powerCut()
    else machine.kill()
  }
})

t.test('nothing is left of what was taken in and deleted, not even in the journal: its offsets are not given again', async (t) => {
  for (const unsealed of [0, 1]) {
    const machine = await killedOnFullDisk({ more: 0, deleted: 100, unsealed })
    for (const path of pathsOf(machine)) await machine.settle(machine.disk.remove(path)) // the next segment, empty: there may be no room for it
    const store = await machine.open()
    t.same(store.report.holes, [])
    t.equal(store.metrics.lostRecords, unsealed)
    t.equal(await machine.settle(appendText(store, telemetryOf(store), 'new')), TAKEN_IN + unsealed)
  }
})

t.test(
  'damage takes segments behind those that were deleted, and no commit can say which is which: what damage took is counted',
  async (t) => {
    for (const deleted of [1, 2]) {
      for (const hasJournal of [true, false]) {
        const machine = await killedOnFullDisk({ more: hasJournal ? 8 : 0, deleted })
        const end = retiredOf(machine).at(-1)?.endOffset as number
        for (const path of pathsOf(machine)) await machine.settle(machine.disk.remove(path))
        const store = await machine.open()
        t.same(await offsetsOf(machine, store), hasJournal ? range(TAKEN_IN + 1, TAKEN_IN + 9) : [])
        t.equal(store.metrics.lostRecords, TAKEN_IN + 1 - end, `${deleted} deleted, ${hasJournal ? 'more' : 'nothing'} in the journal`)
      }
    }
  }
)

t.test(
  'damage takes a segment of a topic that nothing names, in front of what is known to be lost: it is counted when the rest is taken in',
  async (t) => {
    const machine = await withoutEntry({ unsealed: 1 })
    await machine.settle((await machine.open()).close()) // the loss is known, and the journal does not have the events any more
    await machine.settle(machine.disk.remove(pathsOf(machine).at(-1) as string))
    const store = await machine.open()
    await machine.settle(store.createTopic('telemetry', CONFIG))
    await machine.run(1_000)
    const left = await offsetsOf(machine, store)
    t.ok(left.length > 0 && left.length < TAKEN_IN)
    t.equal(store.metrics.lostRecords, TAKEN_IN + 1 - left.length)
    t.equal(await machine.settle(appendText(store, telemetryOf(store), 'new')), TAKEN_IN + 1)
    machine.kill()
    t.equal((await machine.open()).metrics.lostRecords, TAKEN_IN + 1 - left.length, 'once')
  }
)
