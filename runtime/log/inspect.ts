// Looks at a data directory from outside: offline, read-only, without the lock. For `wadi log verify` and `wadi log dump`.
// Invariant: writes nothing. Not for: what is in the journal only (inspect-journal.ts).

import { WadiError } from '../base/errors.ts'
import type { BatchHeader, StoredRecord } from '../core/record.ts'
import { codecOf, decompressBatch, readBatchRecords } from './batch-codec.ts'
import { BatchScan } from './batch-scan.ts'
import { dryStart } from './dry-start.ts'
import { viewJournal } from './inspect-journal.ts'
import type { Inspection, Problem } from './inspection.ts'
import { JOURNAL_DIRECTORY, parseSegmentFileName, partitionDirectory, TOPICS_DIRECTORY } from './layout.ts'
import { patiently, SalvageFile, sizeOf } from './salvage-read.ts'

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
  /** What is damaged or missing, and what a start refuses. */
  problems: Problem[]
  /** What the next start will put right, in its own words: nothing acknowledged is lost by it. */
  repairs: string[]
}

export interface SegmentFile {
  /** Others follow: nothing is cut from it. */
  readonly isLast: boolean
  readonly partitionName: string
  readonly path: string
  readonly baseOffset: number
  readonly bytes: number
}

const PARTITION_NAME = /^[a-zA-Z0-9._-]+-\d+$/

/** Every segment file, by partition and offset. @throws DiskError when the directory cannot be read */
export async function listSegmentFiles({ disk, directory }: Pick<Inspection, 'disk' | 'directory'>): Promise<SegmentFile[]> {
  const files: SegmentFile[] = []
  for (const partitionName of await patiently(() => disk.list(`${directory}/${TOPICS_DIRECTORY}`))) {
    if (!PARTITION_NAME.test(partitionName)) continue // not Wadi's
    const partition = `${directory}/${TOPICS_DIRECTORY}/${partitionName}`
    const bases = (await patiently(() => disk.list(partition))).flatMap((name) => {
      const baseOffset = parseSegmentFileName(name)
      return baseOffset === null ? [] : [{ name, baseOffset }]
    })
    for (const [at, { name, baseOffset }] of bases.entries()) {
      const path = `${partition}/${name}`
      files.push({ partitionName, path, baseOffset, bytes: (await sizeOf(disk, path)) ?? 0, isLast: at === bases.length - 1 })
    }
  }
  return files
}

/** Checks every batch of every segment (size, magic, CRC, order, and records inside), the state file and the journal. */
export async function verifyDirectory(
  inspection: Inspection,
  onProgress: (bytes: number, totalBytes: number, name: string) => void = () => undefined
): Promise<VerifyReport> {
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
    problems: [...journal.problems],
    repairs: []
  }
  const ends = new Map<string, number>()
  /** Partitions where the end of a segment that is not the last is missing: the journal may have it, and the next start puts it there. */
  const torn = new Set<string>()
  let doneBytes = 0
  for (const [at, file] of files.entries()) {
    onProgress(doneBytes, totalBytes, file.partitionName)
    const endOffset = await verifySegment(inspection, file, report)
    if (endOffset < followingOffset(files, at)) torn.add(file.partitionName)
    ends.set(file.partitionName, Math.max(endOffset, ends.get(file.partitionName) ?? 0))
    doneBytes += file.bytes
  }
  for (const { partitionName, header } of journal.batches) {
    report.journalRecords += Math.max(0, header.lastOffset + 1 - Math.max(header.baseOffset, ends.get(partitionName) ?? 0))
  }
  await addNextStart(inspection, report, torn)
  onProgress(totalBytes, totalBytes, '')
  return report
}

/** What `run` would say, where the bytes alone have not said it. */
async function addNextStart(inspection: Inspection, report: VerifyReport, torn: ReadonlySet<string>): Promise<void> {
  const { directory } = inspection
  const isNamed = (path: string): boolean => report.problems.some(({ file }) => file === path || file.startsWith(`${path}/`))
  const add = (file: string, what: string, meaning: string, positionBytes = 0): void => {
    if (!isNamed(file)) report.problems.push({ file, positionBytes, what, meaning })
  }
  const missing: Problem[] = []
  const start = await dryStart(inspection, async (after) => {
    missing.push(...(await tornEnds(after, torn)))
  })
  if (start instanceof WadiError) {
    report.problems.push({
      file: directory,
      positionBytes: 0,
      what: `${start.code}: ${start.story.happened}`,
      meaning: 'a start is refused'
    })
    return
  }
  report.problems.push(...missing)
  for (const file of start.damagedFiles) add(file, 'is missing, too short or does not verify', 'the next start reports it')
  for (const { path, startBytes, endBytes, meaning } of start.unreadable)
    add(path, `bytes ${startBytes} to ${endBytes - 1} cannot be read`, meaning, startBytes)
  for (const { topicName, partitionIndex, startOffset, endOffset } of start.holes) {
    const what = `offsets ${startOffset} to ${endOffset - 1} are missing`
    report.problems.push({
      file: partitionDirectory(directory, topicName, partitionIndex),
      positionBytes: 0,
      what,
      meaning: 'the next start reports them as lost'
    })
  }
  if (start.missingCommits > 0)
    add(`${directory}/${JOURNAL_DIRECTORY}`, `${start.missingCommits} commits are missing`, 'the next start reports it')
  report.repairs.push(...start.notes)
}

/** Where the file that follows in the partition begins; −1 behind the last one. */
function followingOffset(files: readonly SegmentFile[], at: number): number {
  const following = files[at + 1]
  return following?.partitionName === files[at]?.partitionName ? (following?.baseOffset ?? -1) : -1
}

/** What is missing behind the segments of these partitions, up to the segment that follows. */
async function tornEnds(inspection: Inspection, partitionNames: ReadonlySet<string>): Promise<Problem[]> {
  if (partitionNames.size === 0) return []
  const problems: Problem[] = []
  const files = (await listSegmentFiles(inspection)).filter(({ partitionName }) => partitionNames.has(partitionName))
  for (const [at, file] of files.entries()) {
    let endOffset = file.baseOffset
    let endBytes = 0
    for await (const step of readSegment(inspection, file)) {
      if (step.kind !== 'batch') continue
      endOffset = step.header.lastOffset + 1
      endBytes = step.positionBytes + step.batch.byteLength
    }
    const following = followingOffset(files, at)
    if (endOffset >= following) continue
    const what = `offsets ${endOffset} to ${following - 1} are missing behind it`
    const meaning = 'no segment and no commit of the journal has them: who reads there passes over them and reports it'
    problems.push({ file: file.path, positionBytes: endBytes, what, meaning })
  }
  return problems
}

/** @returns the offset behind the last whole batch */
async function verifySegment(inspection: Inspection, file: SegmentFile, report: VerifyReport): Promise<number> {
  const { core, codec } = inspection
  let endOffset = file.baseOffset
  for await (const step of readSegment(inspection, file)) {
    if (step.kind === 'problem') {
      if (!step.isTornMiddle) report.problems.push(step.problem)
      continue
    }
    report.batches++
    report.records += step.header.recordCount
    endOffset = step.header.lastOffset + 1
    try {
      const plain = await decompressBatch(core, codec, step.batch)
      if (core.checkBatch(plain) !== null) throw new RangeError('records do not fit their header')
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error)
      report.problems.push(unreadable(file, step, what))
    }
  }
  return endOffset
}

export type SegmentStep =
  | { readonly kind: 'batch'; readonly header: BatchHeader; readonly batch: Uint8Array; readonly positionBytes: number }
  | {
      readonly kind: 'problem'
      readonly problem: Problem
      /** The rest of a segment that another follows: tornEnds knows whether it is missing. */
      readonly isTornMiddle: boolean
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
      const behind = await scan.findBehind(step.positionBytes)
      const isUnreadable = scan.isUnreadable(step.positionBytes, behind ?? file.bytes)
      const isTornMiddle = behind === null && !file.isLast
      const meaning = isTornMiddle
        ? `nothing whole behind it (${file.bytes - step.positionBytes} bytes) up to the next segment: offsets from ${scan.nextOffset} on are missing unless the journal has them`
        : behind === null
          ? `nothing whole behind it (${file.bytes - step.positionBytes} bytes): a torn end is cut at the next start, what was acknowledged is in the journal`
          : `${behind - step.positionBytes} damaged bytes; offsets from ${scan.nextOffset} are missing until the next whole batch`
      yield {
        kind: 'problem',
        isTornMiddle,
        problem: {
          file: file.path,
          positionBytes: step.positionBytes,
          what: `${isUnreadable ? 'cannot be read' : 'no whole batch'} (${step.fault})`,
          meaning
        }
      }
      if (behind === null) return
      scan.positionBytes = behind
    }
  } finally {
    await handle.close()
  }
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
