// The journal and the state of a data directory, looked at from outside: offline, read-only, without the lock.
// Invariant: writes nothing. Not for: segments (inspect.ts), replaying (recovery.ts).

import { WadiError } from '../base/errors.ts'
import { readBatchHeader } from '../core/batch-header.ts'
import { readFrames } from '../core/commit-frames.ts'
import type { Core } from '../core/core.ts'
import type { BatchHeader, StoredRecord } from '../core/record.ts'
import { DiskError } from '../io/disk.ts'
import { codecOf, readBatchRecords } from './batch-codec.ts'
import type { Inspection, Problem } from './inspection.ts'
import { isNotYetMade, readJournalHeader } from './journal-file.ts'
import { type JournalFileScan, scanJournalFile, whereMoreMayLie } from './journal-scan.ts'
import { JOURNAL_DIRECTORY, journalPath } from './layout.ts'
import { namesIn, SalvageFile, sizeOf } from './salvage-read.ts'
import { loadSnapshot } from './state-snapshot.ts'
import { topicEntries } from './topic-catalogue.ts'

/** One batch as it lies in a commit. */
export interface JournalBatch {
  readonly sequence: number
  /** `topic-partition`. */
  readonly partitionName: string
  readonly header: BatchHeader
  readonly batch: Uint8Array
}

export interface JournalView {
  /** Whole commits that a start would replay. */
  readonly commitCount: number
  /** In the order of the commits; some may be in segments too: compare offsets. */
  readonly batches: readonly JournalBatch[]
  /** Every topic's partitions by name, those without any event as well. */
  readonly partitionNames: ReadonlySet<string>
  readonly problems: readonly Problem[]
}

/** @throws DiskError when a file cannot be read */
export async function viewJournal({ disk, core, directory }: Inspection): Promise<JournalView> {
  const problems: Problem[] = []
  const loaded = await loadSnapshot(disk, core, directory).catch((error: unknown) => {
    if (error instanceof WadiError || error instanceof DiskError) return null // what a start says to it is told by dry-start.ts
    throw error
  })
  for (const file of loaded?.damaged ?? [])
    problems.push({ file, positionBytes: 0, what: 'does not verify or cannot be read', meaning: 'the one before it is used' })
  const topics = new Topics()
  for (const [key, value] of loaded?.snapshot.state ?? []) topics.see(key, value)
  const found: { sequence: number; topicNumber: number; partitionIndex: number; header: BatchHeader; batch: Uint8Array }[] = []
  const sequences: number[] = []
  const broken: number[] = []
  const scans: JournalFileScan[] = []
  const names = await namesIn(disk, `${directory}/${JOURNAL_DIRECTORY}`)
  const generation = loaded?.snapshot.generation ?? 0
  const window = {
    afterSequence: loaded?.snapshot.replayAfter ?? 0,
    generationMin: generation,
    generationMax: loaded ? generation + names.length + 1 : 0xffffffff
  }
  for (let fileIndex = 0; names.includes(`${fileIndex}.journal`); fileIndex++) {
    const path = journalPath(directory, fileIndex)
    const sizeBytes = (await sizeOf(disk, path, { untold: 0 })) ?? 0
    const file = await SalvageFile.open(disk, path)
    try {
      const isWhole = (await headerOf(core, file)) !== null
      if (!isWhole && !(await isNotYetMade(file, sizeBytes, loaded?.snapshot.journalFileBytes[fileIndex])))
        problems.push({ file: file.path, positionBytes: 0, what: 'header does not verify', meaning: 'its commits are still read' })
      const scan = await scanJournalFile(core, file, { fileIndex, sizeBytes }, window, ({ sequence }, block) => {
        sequences.push(sequence)
        const commit = core.readCommitHeader(block)
        for (const frame of commit ? readFrames(block, commit) : []) {
          if (frame.kind === 'state') topics.see(frame.key, frame.value)
          const header = frame.kind === 'batch' ? readBatchHeader(frame.batch) : null
          if (frame.kind === 'batch' && header) found.push({ ...frame, sequence, header, batch: frame.batch.slice() })
        }
      })
      scans.push(scan)
      broken.push(...scan.broken)
    } finally {
      await file.close()
    }
  }
  for (const { path, range } of whereMoreMayLie(scans, window.afterSequence))
    problems.push({
      file: path,
      positionBytes: range.startBytes,
      what: `${range.endBytes - range.startBytes} bytes cannot be read`,
      meaning: 'they may have held the newest acknowledged events'
    })
  problems.push(...gapsOf({ sequences, broken, afterSequence: window.afterSequence, file: `${directory}/${JOURNAL_DIRECTORY}` }))
  return {
    commitCount: sequences.length,
    batches: found
      .sort((a, b) => a.sequence - b.sequence)
      .map(({ sequence, header, batch, topicNumber, partitionIndex }) => {
        return { sequence, header, batch, partitionName: `${topics.nameOf(topicNumber)}-${partitionIndex}` }
      }),
    partitionNames: topics.partitionNames(),
    problems
  }
}

/** A newer format is no damage of ours: a start refuses it, which dry-start.ts tells. */
async function headerOf(core: Core, file: SalvageFile): Promise<number | null> {
  try {
    return await readJournalHeader(core, file)
  } catch (error) {
    if (error instanceof WadiError) return Number.POSITIVE_INFINITY
    throw error
  }
}

class Topics {
  readonly #byNumber = new Map<number, { name: string; partitionCount: number }>()

  see(key: string, value: Uint8Array | null): void {
    if (!topicEntries.owns(key) || value === null) return
    const { number, config } = topicEntries.decode(value, key)
    this.#byNumber.set(number, { name: topicEntries.restOf(key), partitionCount: config.partitionCount })
  }

  nameOf(topicNumber: number): string {
    return this.#byNumber.get(topicNumber)?.name ?? `#${topicNumber}`
  }

  partitionNames(): Set<string> {
    const names = new Set<string>()
    for (const { name, partitionCount } of this.#byNumber.values()) {
      for (let index = 0; index < partitionCount; index++) names.add(`${name}-${index}`)
    }
    return names
  }
}

/** Commits that are missing in the middle; and broken ones at the end when they are more than a power cut leaves, which is one. */
function gapsOf(journal: { sequences: number[]; broken: readonly number[]; afterSequence: number; file: string }): Problem[] {
  const { sequences, broken, afterSequence, file } = journal
  const problems: Problem[] = []
  const report = (from: number, to: number): void => {
    const meaning = 'acknowledged events in them are lost unless a segment has them'
    problems.push({ file, positionBytes: 0, what: `commits ${from} to ${to} are missing or do not verify`, meaning })
  }
  let expected = afterSequence + 1
  for (const sequence of sequences.sort((a, b) => a - b)) {
    if (sequence > expected) report(expected, sequence - 1)
    expected = Math.max(expected, sequence + 1)
  }
  const lastBroken = Math.max(0, ...broken)
  if (lastBroken > expected) report(expected, lastBroken)
  return problems
}

export interface DumpedJournalBatch extends JournalBatch {
  readonly codec: string
  /** Empty when the batch cannot be opened. */
  readonly records: readonly StoredRecord[]
}

/** What is in the journal, decoded, in commit order (some may be in segments too: compare offsets). @throws DiskError */
export async function* dumpJournal(inspection: Inspection): AsyncGenerator<DumpedJournalBatch> {
  for (const entry of (await viewJournal(inspection)).batches) {
    const records = await readBatchRecords(inspection.core, inspection.codec, entry.batch)
    const name = codecOf(entry.batch) ?? 'unknown'
    yield { ...entry, codec: records ? name : `${name} (cannot be opened)`, records: records ?? [] }
  }
}
