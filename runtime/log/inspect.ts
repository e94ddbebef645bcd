// Looks at a data directory from outside: offline, read-only, without the lock. For `wadi log verify` and `wadi log dump`.
// Invariant: writes nothing. What is in the journal only is counted, not dumped by partition.

import { readBatchHeader } from '../core/batch-header.ts'
import { readFrames } from '../core/commit-frames.ts'
import type { Core } from '../core/core.ts'
import type { BatchHeader, StoredRecord } from '../core/record.ts'
import type { BlockCodec } from '../io/codec.ts'
import type { Disk } from '../io/disk.ts'
import { codecOf, decompressBatch } from './batch-codec.ts'
import { BatchScan } from './batch-scan.ts'
import { readJournalHeader } from './journal.ts'
import { scanJournalFile } from './journal-scan.ts'
import { JOURNAL_DIRECTORY, journalPath, parseSegmentFileName, TOPICS_DIRECTORY } from './layout.ts'
import { decodeBytes, loadSnapshot } from './state-snapshot.ts'
import { decodeTopicEntry, TOPIC_PREFIX } from './topic-catalogue.ts'

export interface Inspection {
  readonly disk: Disk
  readonly core: Core
  readonly codec: BlockCodec
  readonly directory: string
}

export interface Problem {
  readonly file: string
  readonly positionBytes: number
  readonly what: string
  /** What it means for data, in words. */
  readonly meaning: string
}

export interface VerifyReport {
  topics: number
  partitions: number
  segments: number
  bytes: number
  batches: number
  records: number
  journalCommits: number
  problems: Problem[]
}

export interface SegmentFile {
  readonly partitionName: string
  readonly path: string
  readonly baseOffset: number
  readonly bytes: number
}

/** Every segment file, by partition and offset. @throws DiskError when the directory cannot be read */
export async function listSegmentFiles({ disk, directory }: Pick<Inspection, 'disk' | 'directory'>): Promise<SegmentFile[]> {
  const files: SegmentFile[] = []
  for (const partitionName of await disk.list(`${directory}/${TOPICS_DIRECTORY}`)) {
    const partition = `${directory}/${TOPICS_DIRECTORY}/${partitionName}`
    for (const name of await disk.list(partition)) {
      const baseOffset = parseSegmentFileName(name)
      if (baseOffset === null) continue
      const path = `${partition}/${name}`
      files.push({ partitionName, path, baseOffset, bytes: (await disk.fileSizeBytes(path)) ?? 0 })
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
  const report: VerifyReport = {
    topics: new Set(files.map((file) => file.partitionName.replace(/-\d+$/, ''))).size,
    partitions: new Set(files.map((file) => file.partitionName)).size,
    segments: files.length,
    bytes: totalBytes,
    batches: 0,
    records: 0,
    journalCommits: 0,
    problems: []
  }
  await verifyState(inspection, report)
  let doneBytes = 0
  for (const file of files) {
    onProgress(doneBytes, totalBytes, file.partitionName)
    await verifySegment(inspection, file, report)
    doneBytes += file.bytes
  }
  onProgress(totalBytes, totalBytes, '')
  return report
}

async function verifySegment(inspection: Inspection, file: SegmentFile, report: VerifyReport): Promise<void> {
  const { core, codec } = inspection
  for await (const step of readSegment(inspection, file)) {
    if (step.kind === 'problem') {
      report.problems.push(step.problem)
      continue
    }
    report.batches++
    report.records += step.header.recordCount
    try {
      if (codecOf(step.batch) === null) continue // snappy of a Kafka client: the CRC was right
      const plain = await decompressBatch(core, codec, step.batch)
      if (core.checkBatch(plain) !== null) throw new RangeError('records do not fit their header')
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error)
      report.problems.push({
        file: file.path,
        positionBytes: step.positionBytes,
        what,
        meaning: `offsets ${step.header.baseOffset} to ${step.header.lastOffset} cannot be read`
      })
    }
  }
}

export type SegmentStep =
  | { readonly kind: 'batch'; readonly header: BatchHeader; readonly batch: Uint8Array; readonly positionBytes: number }
  | { readonly kind: 'problem'; readonly problem: Problem }

/** The batches of one file; goes on behind what is broken. */
export async function* readSegment({ disk, core }: Inspection, file: SegmentFile): AsyncGenerator<SegmentStep> {
  const handle = await disk.open(file.path, 'read')
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
      const meaning =
        behind === null
          ? `nothing whole behind it (${file.bytes - step.positionBytes} bytes): a torn end is cut at the next start, what was acknowledged is in the journal`
          : `${behind - step.positionBytes} damaged bytes; offsets from ${scan.nextOffset} are missing until the next whole batch`
      yield {
        kind: 'problem',
        problem: { file: file.path, positionBytes: step.positionBytes, what: `no whole batch (${step.fault})`, meaning }
      }
      if (behind === null) return
      scan.positionBytes = behind
    }
  } finally {
    await handle.close()
  }
}

async function verifyState({ disk, core, directory }: Inspection, report: VerifyReport): Promise<void> {
  const loaded = await loadSnapshot(disk, core, directory)
  for (const path of loaded?.damaged ?? [])
    report.problems.push({ file: path, positionBytes: 0, what: 'does not verify', meaning: 'the one before it is used' })
  const names = await disk.list(`${directory}/${JOURNAL_DIRECTORY}`)
  const sequences: number[] = []
  for (let fileIndex = 0; names.includes(`${fileIndex}.journal`); fileIndex++) {
    const file = await disk.open(journalPath(directory, fileIndex), 'read')
    try {
      if ((await readJournalHeader(core, file)) === null)
        report.problems.push({ file: file.path, positionBytes: 0, what: 'header does not verify', meaning: 'its commits are still read' })
      const generation = loaded?.snapshot.generation ?? 0
      const window = {
        afterSequence: loaded?.snapshot.replayAfter ?? 0,
        generationMin: generation,
        generationMax: generation + names.length + 1
      }
      await scanJournalFile(core, file, fileIndex, window, (commit) => {
        sequences.push(commit.sequence)
      })
    } finally {
      await file.close()
    }
  }
  sequences.sort((a, b) => a - b)
  report.journalCommits = sequences.length
  let expected = (loaded?.snapshot.replayAfter ?? 0) + 1
  for (const sequence of sequences) {
    if (sequence > expected)
      report.problems.push({
        file: `${directory}/${JOURNAL_DIRECTORY}`,
        positionBytes: 0,
        what: `commits ${expected} to ${sequence - 1} are missing`,
        meaning: 'acknowledged events in them are lost unless a segment has them'
      })
    expected = Math.max(expected, sequence + 1)
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
    const codec = codecOf(step.batch)
    const plain = codec === null ? null : await decompressBatch(inspection.core, inspection.codec, step.batch)
    yield {
      header: step.header,
      positionBytes: step.positionBytes,
      codec: codec ?? 'snappy',
      records: plain ? inspection.core.readRecords(plain) : []
    }
  }
}

/** Records that are in the journal, in commit order (some may be in segments too: compare offsets). */
export async function dumpJournal(
  inspection: Inspection
): Promise<{ partitionName: string; header: BatchHeader; records: StoredRecord[] }[]> {
  const { disk, core, directory } = inspection
  const loaded = await loadSnapshot(disk, core, directory)
  const names = new Map<number, string>()
  for (const [key, value] of Object.entries(loaded?.snapshot.state ?? {})) {
    if (key.startsWith(TOPIC_PREFIX)) names.set(decodeTopicEntry(decodeBytes(value)).number, key.slice(TOPIC_PREFIX.length))
  }
  const found: { sequence: number; partitionName: string; header: BatchHeader; records: StoredRecord[] }[] = []
  const generation = loaded?.snapshot.generation ?? 0
  for (let fileIndex = 0; (await disk.fileSizeBytes(journalPath(directory, fileIndex))) !== null; fileIndex++) {
    const file = await disk.open(journalPath(directory, fileIndex), 'read')
    try {
      const window = { afterSequence: loaded?.snapshot.replayAfter ?? 0, generationMin: generation, generationMax: generation + 64 }
      await scanJournalFile(core, file, fileIndex, window, (commit, block) => {
        const header = core.readCommitHeader(block)
        for (const frame of header ? readFrames(block, header) : []) {
          if (frame.kind === 'state' && frame.key.startsWith(TOPIC_PREFIX) && frame.value)
            names.set(decodeTopicEntry(frame.value).number, frame.key.slice(TOPIC_PREFIX.length))
          if (frame.kind !== 'batch') continue
          const batch = readBatchHeader(frame.batch)
          if (!batch || codecOf(frame.batch) !== 'none') continue
          found.push({
            sequence: commit.sequence,
            partitionName: `${names.get(frame.topicNumber) ?? `#${frame.topicNumber}`}-${frame.partitionIndex}`,
            header: batch,
            records: core.readRecords(frame.batch.slice())
          })
        }
      })
    } finally {
      await file.close()
    }
  }
  return found.sort((a, b) => a.sequence - b.sequence)
}
