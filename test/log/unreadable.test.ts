// Proves: a sector that cannot be read stops neither the start nor ingest. What can be read is served; what lay in the sector and nowhere else
// is named; nothing else is lost, and what cannot be read is not thrown away.
// How: one directory with segments, indexes, journal and state per seed; each of its files gets a bad sector at a drawn place. The model knows
// from the bytes before which offsets lay there.

import t, { type Test } from 'tap'
import { toOffset } from '../../runtime/base/offset.ts'
import { readBatchHeader } from '../../runtime/core/batch-header.ts'
import { readFrames } from '../../runtime/core/commit-frames.ts'
import { DiskError } from '../../runtime/io/disk.ts'
import type { DroppedRange, Partition } from '../../runtime/log/contract.ts'
import { BLOCK_BYTES } from '../../runtime/log/journal-file.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, readAll, SimMachine, sealedSegment, textOf } from '../helpers/sim-store.ts'

const core = loadTestCore()
const EVENTS = 220
const PIECE_BYTES = 4096

async function machineWithData(seed: number, stop: 'clean' | 'kill'): Promise<SimMachine> {
  const machine = new SimMachine(seed, { settings: { indexIntervalBytes: 512, segmentBytes: 16 * 1024 } })
  const store = await machine.open()
  const partition = (await machine.settle(store.createTopic('telemetry', { codec: seed % 2 === 0 ? 'none' : 'gzip' })))
    .partitions[0] as Partition
  for (let i = 0; i < EVENTS; i += 20) {
    await machine.settle(
      Promise.all(Array.from({ length: 20 }, (_, j) => appendText(store, partition, `event ${i + j} ${'u'.repeat(100 + (i % 7) * 30)}`)))
    )
    if (i === 120) await machine.run(8_000)
    if (i === 60) await machine.settle(store.flush())
  }
  if (stop === 'clean') await machine.settle(store.close())
  else machine.kill()
  return machine
}

interface Piece {
  readonly path: string
  readonly atByte: number
}

const overlaps = ({ atByte }: Piece, startBytes: number, endBytes: number): boolean => {
  const start = atByte - (atByte % PIECE_BYTES)
  return startBytes < start + PIECE_BYTES && endBytes > start
}

/** Offsets that lie in the piece of a segment or a journal, by the bytes as they were before. */
function offsetsIn(machine: SimMachine, piece: Piece): Set<number> {
  const bytes = machine.disk.files().find(({ path }) => path === piece.path)?.bytes ?? new Uint8Array()
  const offsets = new Set<number>()
  const add = (from: number, to: number): void => {
    for (let offset = from; offset <= to; offset++) offsets.add(offset)
  }
  if (piece.path.endsWith('.log')) {
    for (let at = 0; at < bytes.byteLength; ) {
      const header = readBatchHeader(bytes.subarray(at))
      if (!header) break
      if (overlaps(piece, at, at + header.batchBytes)) add(header.baseOffset, header.lastOffset)
      at += header.batchBytes
    }
  }
  if (piece.path.endsWith('.journal')) {
    for (let at = BLOCK_BYTES; at + BLOCK_BYTES <= bytes.byteLength; at += BLOCK_BYTES) {
      const header = core.readCommitHeader(bytes.subarray(at, at + BLOCK_BYTES))
      if (!header || at + header.blockBytes > bytes.byteLength || !overlaps(piece, at, at + header.blockBytes)) continue
      for (const frame of readFrames(bytes.subarray(at, at + header.blockBytes), header)) {
        const batch = frame.kind === 'batch' ? readBatchHeader(frame.batch) : null
        if (batch) add(batch.baseOffset, batch.lastOffset)
      }
    }
  }
  return offsets
}

async function checkLife(t: Test, machine: SimMachine, piece: Piece, mayBeLost: ReadonlySet<number>): Promise<void> {
  const what = `${piece.path} byte ${piece.atByte}`
  const dropped: DroppedRange[] = []
  const store = await machine.open()
  dropped.push(...store.report.holes)
  store.onDropped((range) => dropped.push(range))
  const partition = store.topics.get('telemetry')?.partitions[0] as Partition
  const records = await machine.settle(readAll(partition))
  const texts = new Map(records.map((record) => [record.offset as number, textOf(record)]))
  const missing = Array.from({ length: EVENTS }, (_, offset) => offset).filter((offset) => !texts.has(offset))
  const isNamed = (offset: number): boolean =>
    dropped.some((range) => offset >= range.startOffset && offset < range.endOffset) ||
    (offset >= partition.highWatermark && store.report.unreadable.length + store.report.missingCommits > 0)
  for (const [offset, text] of texts) if (text.split(' ')[1] !== String(offset)) t.fail(`${what}: offset ${offset} is altered`)
  t.same(
    missing.filter((offset) => !mayBeLost.has(offset)),
    [],
    `${what}: what is readable is served`
  )
  t.same(
    missing.filter((offset) => !isNamed(offset)),
    [],
    `${what}: ${missing.length} missing, all of them named`
  )
  await machine.settle(Promise.all(Array.from({ length: 40 }, (_, i) => appendText(store, partition, `later ${i} ${'v'.repeat(200)}`))))
  await machine.settle(partition.offsetForTime(0))
  await machine.run(8_000)
  t.equal(store.failure, null, `${what}: ingest goes on`)
  await machine.settle(store.close())
  const lost = store.metrics.lostRecords
  const again = await machine.open()
  const after = again.topics.get('telemetry')?.partitions[0] as Partition
  const later = (await machine.settle(readAll(after))).map(textOf)
  t.equal(later.filter((text) => text.startsWith('later ')).length, 40, `${what}: and is kept`)
  t.equal(later.filter((text) => text.startsWith('event ')).length, texts.size, `${what}: nothing more is lost by the next start`)
  t.equal(again.metrics.lostRecords, lost, `${what}: what is lost is counted once`)
  await machine.settle(again.close())
}

for (const stop of ['clean', 'kill'] as const) {
  for (const kind of ['.index', '.timeindex', '.log', '.journal', '.state']) {
    t.test(
      `a bad sector in ${kind}, after a ${stop === 'clean' ? 'clean stop' : 'kill'}: the rest serves, and what is gone is named`,
      async (t) => {
        let reads = 0
        for (let seed = 2; seed < 14; seed++) {
          const paths = (await machineWithData(seed, stop)).disk.files().flatMap(({ path }) => (path.endsWith(kind) ? [path] : []))
          const path = kind === '.state' ? (paths.at(-1) ?? '') : (paths[seed % Math.max(1, paths.length)] ?? '')
          if (kind === '.state' && paths.length < 2) continue
          const machine = await machineWithData(seed, stop)
          const file = machine.disk.files().find((candidate) => candidate.path === path)
          const size = kind === '.journal' ? 24 * 1024 : (file?.bytes.byteLength ?? 0)
          if (size === 0) continue
          const piece = { path, atByte: machine.prng.below(size) }
          const mayBeLost = offsetsIn(machine, piece)
          machine.disk.spoil(path, piece.atByte)
          await checkLife(t, machine, piece, mayBeLost)
          reads += machine.disk.reached.get('read-of-bad-sector') ?? 0
        }
        t.ok(reads > 0, `the bad sectors were met ${reads} times`)
      }
    )
  }
}

/** 40 events in batches of two or fewer, sealed; `cut` is the batch that begins on the first page of the file and ends on the next. */
async function sealedAcrossPages(): Promise<{
  machine: SimMachine
  partition: Partition
  path: string
  cut: { positionBytes: number; baseOffset: number }
}> {
  const texts = Array.from({ length: 40 }, (_, i) => `event ${i} ${'p'.repeat(150)}`)
  const { machine, partition, path, batches } = await sealedSegment(3, texts)
  for (const { positionBytes, header } of batches) {
    if (positionBytes + header.batchBytes > PIECE_BYTES)
      return { machine, partition, path, cut: { positionBytes, baseOffset: header.baseOffset } }
  }
  throw new Error('no batch lies on two pages')
}

/** The device refuses everything from the second page on. */
function refuseBehindFirstPage(machine: SimMachine, path: string): void {
  const size = machine.disk.files().find((file) => file.path === path)?.bytes.byteLength ?? 0
  for (let at = PIECE_BYTES; at < size; at += 256) machine.disk.spoil(path, at)
  machine.disk.spoil(path, size - 1)
}

t.test(
  'the unreadable part begins inside a batch and reaches to the end of the file: it is waited for, as at its first page',
  async (t) => {
    const { machine, partition, path, cut } = await sealedAcrossPages()
    refuseBehindFirstPage(machine, path)
    const read = (): Promise<unknown> => machine.settle(partition.read(toOffset(cut.baseOffset), { bytesMax: 1024 }))
    await t.rejects(read(), { code: 'EIO' }, 'not lost yet')
    t.equal((await machine.settle(partition.read(partition.logStartOffset, { bytesMax: 1024 * 1024 }))).nextOffset, cut.baseOffset)
    await machine.run(700_000)
    t.match(await read(), { batches: [], nextOffset: 40 }, 'but not for ever')
  }
)

t.test('a bad sector where the newest commit lies is said, although nothing is behind it', async (t) => {
  const machine = new SimMachine(3)
  const store = await machine.open()
  const partition = (await machine.settle(store.createTopic('telemetry'))).partitions[0] as Partition
  for (let i = 0; i < 7; i++) await machine.settle(appendText(store, partition, `event ${i} `))
  machine.kill()
  machine.disk.spoil('/data/journal/0.journal', BLOCK_BYTES * 9 + 40) // behind header, incarnation and topic: the 7th event
  const again = await machine.open()
  t.match(again.report.unreadable, [{ path: '/data/journal/0.journal', startBytes: BLOCK_BYTES * 9, endBytes: BLOCK_BYTES * 10 }])
  t.match(again.report.notes.join('\n'), /may have held the newest acknowledged events/)
  t.equal(again.topics.get('telemetry')?.partitions[0]?.highWatermark, 6)
  machine.kill()
  t.same((await machine.open()).report.unreadable, [], 'it is written again by then')
})

t.test('a bad sector behind the end of the journal is nobody’s loss, and nothing is said', async (t) => {
  const machine = new SimMachine(4)
  const store = await machine.open()
  const partition = (await machine.settle(store.createTopic('telemetry'))).partitions[0] as Partition
  for (let i = 0; i < 3; i++) await machine.settle(appendText(store, partition, `event ${i} `))
  machine.kill()
  machine.disk.spoil('/data/journal/0.journal', BLOCK_BYTES * 9)
  machine.disk.spoil('/data/journal/1.journal', BLOCK_BYTES * 3)
  const again = await machine.open()
  t.same(again.report.unreadable, [])
  t.equal(again.report.missingCommits, 0)
  t.equal(again.topics.get('telemetry')?.partitions[0]?.highWatermark, 3)
})

t.test('a damaged header of a journal costs no commit', async (t) => {
  for (const harm of ['spoil', 'rot'] as const) {
    const machine = new SimMachine(5)
    const store = await machine.open()
    const partition = (await machine.settle(store.createTopic('telemetry'))).partitions[0] as Partition
    for (let i = 0; i < 7; i++) await machine.settle(appendText(store, partition, `event ${i} `))
    machine.kill()
    machine.disk[harm]('/data/journal/0.journal', 5)
    const again = await machine.open()
    const recovered = again.topics.get('telemetry')?.partitions[0] as Partition
    t.equal((await machine.settle(readAll(recovered))).length, 7, harm)
    t.equal(again.report.missingCommits, 0)
  }
})

for (const pathPart of ['.journal', '.log']) {
  t.test(
    `a device that does not tell the sizes of ${pathPart} for a moment takes nothing: it is asked another way, or a later start asks`,
    async (t) => {
      for (const refusals of [3, 6]) {
        const machine = await machineWithData(4, 'kill')
        for (let i = 0; i < refusals; i++) machine.disk.failNext('stat', pathPart, 'EIO')
        if (refusals > 3) await t.rejects(machine.open(), { code: 'WADI_DATA_DIR_UNUSABLE' })
        const again = await machine.open()
        t.match(again.report, { missingCommits: 0, damagedFiles: [], unreadable: [], holes: [] })
        const recovered = again.topics.get('telemetry')?.partitions[0] as Partition
        t.equal((await machine.settle(readAll(recovered))).length, EVENTS, `${refusals} refusals`)
        await machine.settle(again.close())
      }
    }
  )
}

t.test('a segment whose size is not told, and that cannot be opened, stays where it is', async (t) => {
  const machine = await machineWithData(4, 'clean')
  const [first] = machine.disk
    .files()
    .filter(({ path }) => path.endsWith('.log'))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
  const path = first?.path ?? ''
  for (const operation of ['stat', 'open-read']) for (let i = 0; i < 3; i++) machine.disk.failNext(operation, path, 'EIO')
  const again = await machine.open()
  t.ok(machine.disk.files().some((file) => file.path === path))
  await machine.settle(again.close())
})

t.test('a segment that cannot even be opened: the start succeeds, the rest serves, ingest goes on', async (t) => {
  for (const stop of ['clean', 'kill'] as const) {
    const machine = await machineWithData(4, stop)
    const last = machine.disk.files().flatMap(({ path }) => (path.endsWith('.log') ? [path] : []))
    const path = last.at(-1) ?? ''
    const before = machine.disk.files().find((file) => file.path === path)?.bytes.byteLength
    let dead = path
    const { open, rename } = machine.disk
    machine.disk.open = (asked, mode) =>
      asked === dead ? Promise.reject(new DiskError('EIO', { operation: 'open', path })) : open.call(machine.disk, asked, mode)
    machine.disk.rename = (from, to) => {
      if (from === dead) dead = to
      return rename.call(machine.disk, from, to)
    }
    const store = await machine.open()
    const dropped: DroppedRange[] = []
    store.onDropped((range) => dropped.push(range))
    const partition = store.topics.get('telemetry')?.partitions[0] as Partition
    const texts = (await machine.settle(readAll(partition))).map(textOf)
    t.ok(texts.length > 0 && (stop === 'kill' || texts.length < EVENTS), `${texts.length} of ${EVENTS} are served`)
    const named = [...dropped, ...store.report.holes].reduce((sum, range) => sum + range.endOffset - range.startOffset, 0)
    t.equal(named, EVENTS - texts.length, 'the others are named')
    await machine.settle(appendText(store, partition, `later`))
    await machine.settle(store.flush())
    t.equal(store.failure, null)
    t.equal(machine.disk.files().find((file) => file.path === dead)?.bytes.byteLength, before, 'its bytes are left alone')
  }
})

t.test('canary: a read error that is not taken for damage stops the start', async (t) => {
  const machine = await machineWithData(2, 'kill')
  const index = machine.disk.files().find(({ path }) => path.endsWith('.log'))?.path ?? ''
  machine.disk.spoil(index, 10)
  const { open } = machine.disk
  machine.disk.open = async (path, mode) => {
    const file = await open.call(machine.disk, path, mode)
    const { readAt } = file
    file.readAt = (at, into) =>
      readAt.call(file, at, into).catch((error: Error) => {
        throw new Error(error.message)
      })
    return file
  }
  await t.rejects(
    (async () => {
      const store = await machine.open()
      const partition = store.topics.get('telemetry')?.partitions[0] as Partition
      await machine.settle(readAll(partition))
    })(),
    'it is noticed'
  )
})
