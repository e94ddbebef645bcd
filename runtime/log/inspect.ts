// Looks at a data directory from outside: offline, read-only, without the lock. For `wadi log verify` and `wadi log dump`.
// Invariant: writes nothing. Not for: what is in the journal only (inspect-journal.ts).

import { WadiError } from '../base/errors.ts'
import type { BatchHeader, StoredRecord } from '../core/record.ts'
import { DiskError } from '../io/disk.ts'
import { codecOf, decompressBatch, readBatchRecords } from './batch-codec.ts'
import { BatchScan } from './batch-scan.ts'
import type { Store } from './contract.ts'
import { unmovedPartitions } from './deleted-topics.ts'
import { dryStart } from './dry-start.ts'
import { viewJournal } from './inspect-journal.ts'
import type { Inspection, Problem } from './inspection.ts'
import { JOURNAL_DIRECTORY, STATE_DIRECTORY, TOPICS_DIRECTORY } from './layout.ts'
import { findMissing, type MissingRange } from './missing-offsets.ts'
import { patiently, SalvageFile } from './salvage-read.ts'
import { listSegmentFiles, type SegmentFile } from './segment-files.ts'

export { listSegmentFiles } from './segment-files.ts'

export interface VerifyReport {
  topics: number
  partitions: number
  segments: number
  bytes: number
  batches: number
  /** In segments. */
  records: number
  journalCommits: number
  /** In the journal and not in a segment yet. */
  journalRecords: number
  /** What the next start, and a reader of everything behind it, have counted as lost by damage, what was counted before included; null when a start is refused. */
  lostRecords: number | null
  /** What is damaged or missing, and what a start refuses. */
  problems: Problem[]
  /** What the next start will put right, in its own words: nothing acknowledged is lost by it. */
  repairs: string[]
}

/** A place in a segment where something is broken or missing. What that means is known when the next start has been seen. */
interface Place {
  readonly partitionName: string
  readonly file: string
  readonly positionBytes: number
  readonly what: string
  /** Offsets that may be missing: up to the next whole batch or segment, Infinity behind the last one. */
  readonly startOffset: number
  readonly endOffset: number
  /** What it means when nothing is missing; null = nothing worth a word. */
  readonly harmless: string | null
}

/** Checks every batch of every segment (size, magic, CRC, order, and records inside), the state file and the journal. */
export async function verifyDirectory(
  inspection: Inspection,
  onProgress: (bytes: number, totalBytes: number, name: string) => void = () => undefined
): Promise<VerifyReport> {
  const absent = await absentParts(inspection)
  const files = await listSegmentFiles(inspection)
  const totalBytes = files.reduce((sum, file) => sum + file.bytes, 0)
  const journal = await viewJournal(inspection)
  const partitionNames = new Set([...journal.partitionNames, ...files.map((file) => file.partitionName)])
  const report: VerifyReport = {
    topics: new Set([...partitionNames].map((name) => name.replace(/-\d+$/, ''))).size,
    partitions: partitionNames.size,
    segments: files.length,
    bytes: totalBytes,
    batches: 0,
    records: 0,
    journalCommits: journal.commitCount,
    journalRecords: 0,
    lostRecords: null,
    problems: [...absent, ...journal.problems],
    repairs: []
  }
  const ends = new Map<string, number>()
  const places: Place[] = []
  let doneBytes = 0
  for (const [at, file] of files.entries()) {
    onProgress(doneBytes, totalBytes, file.partitionName)
    const segment = await verifySegment(inspection, file, { report, followingOffset: followingOffset(files, at) })
    places.push(...segment.places)
    ends.set(file.partitionName, Math.max(segment.endOffset, ends.get(file.partitionName) ?? 0))
    doneBytes += file.bytes
  }
  for (const { partitionName, header } of journal.batches) {
    report.journalRecords += Math.max(0, header.lastOffset + 1 - Math.max(header.baseOffset, ends.get(partitionName) ?? 0))
  }
  await addNextStart(inspection, report, { places, partitionNames: [...new Set(files.map((file) => file.partitionName))] })
  onProgress(totalBytes, totalBytes, '')
  return report
}

const PARTS: readonly (readonly [name: string, meaning: string])[] = [
  [STATE_DIRECTORY, 'topics, positions and sessions are in it: without it nothing can be served'],
  [JOURNAL_DIRECTORY, 'acknowledged events that were only there are lost'],
  [TOPICS_DIRECTORY, 'events that were in segments are lost']
]

/** @throws DiskError when it has no part of a data directory, or one cannot be listed */
export async function checkIsDataDirectory({ disk, directory }: Pick<Inspection, 'disk' | 'directory'>): Promise<void> {
  let absent: unknown = null
  for (const [name] of PARTS) {
    try {
      await patiently(() => disk.list(`${directory}/${name}`))
      return
    } catch (error) {
      if (!(error instanceof DiskError) || error.code !== 'ENOENT') throw error
      absent = error
    }
  }
  throw absent
}

/** The parts of a directory that are not there, or cannot be listed: what was in them is gone for a start. */
async function absentParts({ disk, directory }: Inspection): Promise<Problem[]> {
  const problems: Problem[] = []
  for (const [name, meaning] of PARTS) {
    const file = `${directory}/${name}`
    try {
      await patiently(() => disk.list(file))
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      const what = error.code === 'ENOENT' ? 'is not there' : `cannot be listed (${error.message})`
      problems.push({ file, positionBytes: 0, what, meaning })
    }
  }
  return problems
}

/** What `run` would say, and what a reader behind it finds missing. */
async function addNextStart(
  inspection: Inspection,
  report: VerifyReport,
  { places, partitionNames }: { places: readonly Place[]; partitionNames: readonly string[] }
): Promise<void> {
  const { directory } = inspection
  const isNamed = (path: string): boolean => report.problems.some(({ file }) => file === path || file.startsWith(`${path}/`))
  const add = (file: string, what: string, meaning: string, positionBytes = 0): void => {
    if (!isNamed(file)) report.problems.push({ file, positionBytes, what, meaning })
  }
  let missing: MissingRange[] = []
  let unnamed: string[] = []
  const start = await dryStart(inspection, async (store) => {
    const holes = store.report.holes.map((range) => ({
      ...range,
      partitionName: `${range.topicName}-${range.partitionIndex}`,
      isKnown: false
    }))
    const found = await findMissing(store, new Set([...places, ...holes].map(({ partitionName }) => partitionName)))
    const isNew = (range: MissingRange): boolean => holes.every((hole) => !overlap(hole, range))
    const isOutside = (range: MissingRange): boolean => found.every((other) => !overlap(other, range)) // in front of the log start
    missing = [...found.map((range) => ({ ...range, isKnown: range.isKnown && isNew(range) })), ...holes.filter(isOutside)]
    const deleted = new Set(unmovedPartitions(store))
    unnamed = partitionNames.filter((name) => !isNamedBy(store, name) && !deleted.has(name))
    report.lostRecords = store.metrics.removals.reduce((sum, { reason, records }) => sum + (reason === 'damage' ? records : 0), 0)
  })
  if (start instanceof WadiError) {
    for (const { harmless, startOffset, endOffset, partitionName: _, ...place } of places) {
      const until = endOffset === Number.POSITIVE_INFINITY ? 'on' : `to ${endOffset - 1}`
      report.problems.push({ ...place, meaning: `offsets from ${startOffset} ${until} are missing unless the journal has them` })
    }
    report.problems.push({
      file: directory,
      positionBytes: 0,
      what: `${start.code}: ${start.story.happened}`,
      meaning: 'a start is refused'
    })
    return
  }
  for (const name of unnamed)
    add(`${directory}/${TOPICS_DIRECTORY}/${name}`, UNNAMED, 'not served until a topic of this name is made, which has them then')
  const unplaced = new Set(missing)
  for (const { harmless, startOffset, endOffset, partitionName, ...place } of places) {
    const ranges = missing.filter((range) => overlap(range, { partitionName, startOffset, endOffset }))
    for (const range of ranges) unplaced.delete(range)
    if (ranges.length > 0) report.problems.push({ ...place, meaning: ranges.map(inWords).join('; ') })
    else if (harmless !== null) report.problems.push({ ...place, meaning: harmless })
  }
  for (const file of start.damagedFiles) add(file, 'is missing, too short or does not verify', 'the next start reports it')
  for (const { path, startBytes, endBytes, meaning } of start.unreadable)
    add(path, `bytes ${startBytes} to ${endBytes - 1} cannot be read`, meaning, startBytes)
  for (const range of unplaced) {
    const what = `offsets ${range.startOffset} to ${range.endOffset - 1} are missing`
    report.problems.push({
      file: `${directory}/${TOPICS_DIRECTORY}/${range.partitionName}`,
      positionBytes: 0,
      what,
      meaning: inWords(range)
    })
  }
  if (start.missingCommits > 0)
    add(`${directory}/${JOURNAL_DIRECTORY}`, `${start.missingCommits} commits are missing`, 'the next start reports it')
  report.repairs.push(...start.notes)
}

const UNNAMED = 'no state file and no commit of the journal names this partition'

function isNamedBy({ topics }: Store, partitionName: string): boolean {
  const dashAt = partitionName.lastIndexOf('-')
  return Number(partitionName.slice(dashAt + 1)) < (topics.get(partitionName.slice(0, dashAt))?.partitions.length ?? 0)
}

type OffsetRange = Pick<MissingRange, 'partitionName' | 'startOffset' | 'endOffset'>

function overlap(a: OffsetRange, b: OffsetRange): boolean {
  return a.partitionName === b.partitionName && a.startOffset < b.endOffset && a.endOffset > b.startOffset
}

function inWords({ startOffset, endOffset, isDelivered, isKnown }: MissingRange): string {
  const delivered = isDelivered ? '; the centre has them' : ''
  const told = isKnown ? 'they were reported before' : 'the next start, or the first reader, reports them as lost'
  return `offsets ${startOffset} to ${endOffset - 1} are missing (${endOffset - startOffset} events): no segment and no commit of the journal has them${delivered}; ${told}`
}

/** Where the file that follows in the partition begins; Infinity behind the last one. */
function followingOffset(files: readonly SegmentFile[], at: number): number {
  const following = files[at + 1]
  return following && following.partitionName === files[at]?.partitionName ? following.baseOffset : Number.POSITIVE_INFINITY
}

/** Counts what is in it. @returns the offset behind the last whole batch, and what is broken or missing */
async function verifySegment(
  inspection: Inspection,
  file: SegmentFile,
  { report, followingOffset }: { report: VerifyReport; followingOffset: number }
): Promise<{ endOffset: number; places: Place[] }> {
  const { core, codec } = inspection
  const places: Place[] = []
  const add = (place: Pick<Place, 'positionBytes' | 'what' | 'startOffset' | 'endOffset' | 'harmless'>): void => {
    places.push({ partitionName: file.partitionName, file: file.path, ...place })
  }
  let endOffset = file.baseOffset
  let endBytes = 0
  for await (const step of readSegment(inspection, file)) {
    if (step.kind === 'problem') {
      const { positionBytes, what } = step.problem
      add({
        positionBytes,
        what,
        startOffset: step.startOffset,
        endOffset: Math.min(step.endOffset, followingOffset),
        harmless: step.harmless
      })
      endBytes = Number.POSITIVE_INFINITY
      continue
    }
    const { header, batch, positionBytes } = step
    if (header.baseOffset > endOffset && endBytes === positionBytes) {
      const what = `the batch before it ends at offset ${endOffset}, this one begins at ${header.baseOffset}`
      add({ positionBytes, what, startOffset: endOffset, endOffset: header.baseOffset, harmless: null })
    }
    report.batches++
    report.records += header.recordCount
    endOffset = header.lastOffset + 1
    endBytes = positionBytes + batch.byteLength
    try {
      const plain = await decompressBatch(core, codec, batch)
      if (core.checkBatch(plain) !== null) throw new RangeError('records do not fit their header')
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error)
      report.problems.push(unreadable(file, step, what))
    }
  }
  if (endBytes !== Number.POSITIVE_INFINITY && followingOffset !== Number.POSITIVE_INFINITY && endOffset < followingOffset) {
    const what = `it ends at offset ${endOffset}, the next segment begins at ${followingOffset}`
    add({ positionBytes: endBytes, what, startOffset: endOffset, endOffset: followingOffset, harmless: null })
  }
  return { endOffset, places }
}

export type SegmentStep =
  | { readonly kind: 'batch'; readonly header: BatchHeader; readonly batch: Uint8Array; readonly positionBytes: number }
  | {
      readonly kind: 'problem'
      readonly problem: Problem
      /** What may be missing: up to the next whole batch, Infinity when none follows in this file. */
      readonly startOffset: number
      readonly endOffset: number
      /** What it means when the journal has what was there; null for the rest of a segment that another follows: a start puts it right. */
      readonly harmless: string | null
    }

/** The batches of one file; goes on behind what is broken. */
export async function* readSegment({ disk, core }: Inspection, file: SegmentFile): AsyncGenerator<SegmentStep> {
  const handle = await SalvageFile.open(disk, file.path)
  try {
    const scan = new BatchScan(core, handle, { startBytes: 0, endBytes: file.bytes, nextOffset: file.baseOffset })
    for (;;) {
      const step = await scan.next()
      if (step.kind === 'end') return
      if (step.kind === 'batch') {
        yield step
        continue
      }
      const { positionBytes, fault } = step
      const startOffset = scan.nextOffset
      const behind = await scan.findBehind(positionBytes)
      if (behind !== null) scan.positionBytes = behind
      const next = behind === null ? null : await scan.next()
      const endOffset = next?.kind === 'batch' ? next.header.baseOffset : Number.POSITIVE_INFINITY
      const what = `${scan.isUnreadable(positionBytes, behind ?? file.bytes) ? 'cannot be read' : 'no whole batch'} (${fault})`
      const extent =
        behind === null
          ? `nothing whole behind it (${file.bytes - positionBytes} bytes)${file.isLast ? '' : ' up to the next segment'}`
          : `${behind - positionBytes} damaged bytes`
      const range = endOffset === Number.POSITIVE_INFINITY ? `from ${startOffset} on` : `${startOffset} to ${endOffset - 1}`
      const meaning =
        endOffset <= startOffset ? `${extent}; nothing is missing` : `${extent}; offsets ${range} are missing unless the journal has them`
      yield {
        kind: 'problem',
        problem: { file: file.path, positionBytes, what, meaning },
        startOffset,
        endOffset,
        harmless: harmlessMeaning(extent, { isLast: file.isLast, isEnd: behind === null })
      }
      if (next?.kind === 'batch') yield next
      if (behind === null) return
    }
  } finally {
    await handle.close()
  }
}

function harmlessMeaning(extent: string, { isLast, isEnd }: { isLast: boolean; isEnd: boolean }): string | null {
  if (!isEnd) return `${extent}; no event is missing: the journal has what was there, or nothing was`
  return isLast ? `${extent}: a torn end, cut at the next start; what was acknowledged is in the journal` : null
}

/** Records of one segment file, decoded. */
export async function* dumpRecords(
  inspection: Inspection,
  file: SegmentFile
): AsyncGenerator<{ header: BatchHeader; positionBytes: number; codec: string; records: StoredRecord[] } | { problem: Problem }> {
  for await (const step of readSegment(inspection, file)) {
    if (step.kind === 'problem') {
      yield { problem: step.problem }
      continue
    }
    const records = await readBatchRecords(inspection.core, inspection.codec, step.batch)
    if (records === null) yield { problem: unreadable(file, step, 'its compressed records cannot be opened') }
    else yield { header: step.header, positionBytes: step.positionBytes, codec: codecOf(step.batch) ?? 'unknown', records }
  }
}

function unreadable(file: SegmentFile, { positionBytes, header }: { positionBytes: number; header: BatchHeader }, what: string): Problem {
  return { file: file.path, positionBytes, what, meaning: `offsets ${header.baseOffset} to ${header.lastOffset} cannot be read` }
}
