// Start of a data directory: the snapshot, then the journal's commits in order, each frame to its partition.
//
//   a frame whose last offset is below the partition's end   is in a segment already: skipped
//   one that continues at the end                            goes to the tail
//   one beyond it                                            is a hole: reported with topic, partition and offsets, then kept
//   a commit that is missing before later ones               is damage in the middle of the journal: reported, the rest is replayed
//   nothing whole behind the last commit                     a torn end: it was never acknowledged
//   a place that cannot be read where a commit may begin     it may have been acknowledged: reported, also at the end
//
// Cost depends on the size of the journal, not on what is stored. Memory: one commit plus the tails, which are sealed when they are large.

import { WadiError } from '../base/errors.ts'
import { readBatchHeader } from '../core/batch-header.ts'
import { readFrames } from '../core/commit-frames.ts'
import type { Core } from '../core/core.ts'
import type { Disk } from '../io/disk.ts'
import type { Random } from '../io/random.ts'
import type { StateChange } from './contract.ts'
import { journalIndexes } from './journal.ts'
import { isNotYetMade, readJournalHeader } from './journal-file.ts'
import { type FoundCommit, type JournalFileScan, newestScan, scanJournalFile, whereMoreMayLie } from './journal-scan.ts'
import { JOURNAL_DIRECTORY, journalPath } from './layout.ts'
import type { PartitionLog } from './partition-log.ts'
import { type Coverage, hole } from './partition-recovery.ts'
import { noteUnreadable, type RecoveryReport } from './recovery-report.ts'
import { patiently, SalvageFile, sizeOf } from './salvage-read.ts'
import { listSegmentFiles } from './segment-files.ts'
import type { StateMap } from './state-map.ts'
import type { LoadedSnapshot } from './state-snapshot.ts'
import { readTransactions } from './transaction-index.ts'

export interface JournalContents {
  /** In commit order. */
  readonly commits: readonly FoundCommit[]
  /** Greatest sequence seen, broken commits included; new commits continue behind it. */
  readonly lastSequence: number
  /** `topicNumber/partitionIndex` → what the journal holds of it. */
  readonly coverage: ReadonlyMap<string, Coverage>
}

interface ReadContext {
  readonly disk: Disk
  readonly core: Core
  readonly directory: string
  readonly report: RecoveryReport
}

/** First pass: finds the commits, applies their state changes, notes which offsets they hold. */
export async function readJournals(context: ReadContext, loaded: LoadedSnapshot | null, state: StateMap): Promise<JournalContents> {
  const { disk, core, report } = context
  const afterSequence = loaded?.snapshot.replayAfter ?? 0
  const generation = loaded?.snapshot.generation ?? 0
  const fileIndexes = await listJournals(context, loaded)
  const fileCount = Math.max(0, ...fileIndexes.map((index) => index + 1))
  const found: { commit: FoundCommit; changes: StateChange[]; ranges: [string, number, number][] }[] = []
  const scans: JournalFileScan[] = []
  for (const fileIndex of fileIndexes) {
    const path = journalPath(context.directory, fileIndex)
    const sizeBytes = (await sizeOf(disk, path)) ?? 0
    const file = await SalvageFile.open(disk, path)
    try {
      const isFinished = (await readJournalHeader(core, file)) !== null
      const window = { afterSequence, generationMin: loaded ? generation : 0, generationMax: generation + fileCount + 1 }
      const scan = await scanJournalFile(
        core,
        file,
        { fileIndex, sizeBytes },
        loaded ? window : { ...window, generationMax: 0xffffffff },
        (commit, block) => {
          found.push({ commit, ...contentsOf(core, block) })
        }
      )
      scans.push(scan)
      if (!isFinished && loaded && !(await isNotYetMade(file, sizeBytes, loaded.snapshot.journalFileBytes[fileIndex])))
        report.damagedFiles.push(file.path)
    } finally {
      await file.close()
    }
  }
  if (!loaded) await refuseWithoutState(context, found.length)
  found.sort((a, b) => a.commit.sequence - b.commit.sequence || a.commit.generation - b.commit.generation)
  const coverage = new Map<string, { start: number; end: number }[]>()
  let expected = afterSequence + 1
  for (const { commit, changes, ranges } of found) {
    if (commit.sequence > expected) report.missingCommits += commit.sequence - expected
    expected = Math.max(expected, commit.sequence + 1)
    if (commit.sequence > (loaded?.snapshot.stateSequence ?? 0)) state.apply(changes)
    for (const [key, start, end] of ranges) addRange(coverage, key, start, end)
  }
  // One write is in flight at a time: a power cut leaves one broken commit at the end, at most. One that cannot be read is no such thing.
  const lastBroken = Math.max(0, ...scans.flatMap((scan) => scan.broken))
  const isEndDamaged = lastBroken > expected || scans.some((scan) => scan.unreadableSequences.includes(expected))
  for (const { path, range } of whereMoreMayLie(scans, afterSequence))
    noteUnreadable(
      report,
      path,
      range,
      'it may have held the newest acknowledged events; if so they are lost, their offsets cannot be told'
    )
  // A broken last commit is a torn end, unless the state file knows of it: then it was durable.
  const lastSequence = Math.max(isEndDamaged ? lastBroken : expected - 1, loaded?.snapshot.stateSequence ?? 0)
  report.missingCommits += lastSequence - (expected - 1)
  if (report.missingCommits > 0)
    report.notes.push(
      `${report.missingCommits} commits of the journal are missing or do not verify: damage; what they held is reported by offset where it can be told`
    )
  noteOlderJournal(scans, afterSequence, context)
  return { commits: found.map(({ commit }) => commit), coverage, lastSequence }
}

/**
 * The first state file is durable before the first commit: without one, commits and segments are what is left of a directory whose state was lost, and
 * a start would begin anew over them. @throws WadiError WADI_STATE_DAMAGED
 */
async function refuseWithoutState({ disk, directory }: ReadContext, commitCount: number): Promise<void> {
  const segments = commitCount > 0 ? [] : await listSegmentFiles({ disk, directory })
  if (commitCount === 0 && segments.length === 0) return
  const what =
    commitCount > 0 ? `The journal in ${directory} has ${commitCount} commits` : `${directory} has ${segments.length} segment files`
  throw new WadiError('WADI_STATE_DAMAGED', {
    happened: `${what}, but there is no state file.`,
    kept: 'Nothing was touched.',
    next: 'Restore the state directory from a copy, or start with a new directory and keep this one.'
  })
}

/**
 * The journal always holds the newest commit that was written, so at least the last that the snapshot knows. Else it is an older copy (or that
 * commit is damaged), and what was acknowledged since the snapshot was in another journal.
 */
function noteOlderJournal(scans: readonly JournalFileScan[], afterSequence: number, { directory, report }: ReadContext): void {
  const newest = newestScan(scans)?.last?.sequence ?? 0
  const path = `${directory}/${JOURNAL_DIRECTORY}`
  const isToldAlready = report.damagedFiles.some((file) => file.startsWith(path)) || scans.some(({ unreadable }) => unreadable.length > 0)
  if (newest >= afterSequence || isToldAlready) return
  report.damagedFiles.push(path)
  report.notes.push(
    `${path} ends at commit ${newest}, the state file knows of commit ${afterSequence}: an older copy of the journal, or damage; events that were acknowledged after the state file and before the last stop are lost, their offsets cannot be told (none after a clean stop)`
  )
}

/** Of commits from now on. A new directory has a random one, so that nobody can publish bytes that look like a commit of ours. */
export function firstGeneration(loaded: LoadedSnapshot | null, random: Pick<Random, 'fraction'>): number {
  return loaded ? loaded.snapshot.generation + 1 : Math.floor(random.fraction() * 2 ** 30)
}

/** The greatest topic number that the journal has events of, whether or not anything names the topic; 0 without any. */
export function lastTopicNumber({ coverage }: JournalContents): number {
  return Math.max(0, ...[...coverage.keys()].map((key) => Number.parseInt(key, 10)))
}

function contentsOf(core: Core, block: Uint8Array): { changes: StateChange[]; ranges: [string, number, number][] } {
  const header = core.readCommitHeader(block)
  const changes: StateChange[] = []
  const ranges: [string, number, number][] = []
  for (const frame of header ? readFrames(block, header) : []) {
    if (frame.kind === 'state') changes.push({ key: frame.key, value: frame.value?.slice() ?? null })
    else {
      const batch = readBatchHeader(frame.batch)
      if (batch) ranges.push([`${frame.topicNumber}/${frame.partitionIndex}`, batch.baseOffset, batch.lastOffset + 1])
    }
  }
  return { changes, ranges }
}

function addRange(coverage: Map<string, { start: number; end: number }[]>, key: string, start: number, end: number): void {
  const ranges = coverage.get(key) ?? []
  const last = ranges.at(-1)
  if (last && last.end === start) last.end = end
  else ranges.push({ start, end })
  coverage.set(key, ranges)
}

/** The files that are there; one that is missing or shorter than the snapshot knows is reported. */
async function listJournals({ disk, directory, report }: ReadContext, loaded: LoadedSnapshot | null): Promise<number[]> {
  const names = await patiently(() => disk.list(`${directory}/${JOURNAL_DIRECTORY}`))
  for (const [index, bytes] of (loaded?.snapshot.journalFileBytes ?? []).entries()) {
    const path = journalPath(directory, index)
    const found = (await sizeOf(disk, path)) ?? 0
    if (found >= bytes) continue
    report.damagedFiles.push(path)
    report.notes.push(
      `${path} has ${found} bytes of ${bytes}: acknowledged events that were only in the rest are lost, their offsets cannot be told`
    )
  }
  return journalIndexes(names)
}

export interface ReplayTarget {
  /** undefined: its topic was deleted, or nothing names it any more (unnamed-topics.ts). */
  partitionOf(topicNumber: number, partitionIndex: number): PartitionLog | undefined
  nowMs(): number
  onProgress(doneBytes: number, totalBytes: number): void
  /** The tails may have become large. */
  afterCommit(): Promise<void>
}

/** Second pass: every frame to its partition. Returns the bytes of the last commit, for Journal.continueFrom. */
export async function replayJournals(context: ReadContext, contents: JournalContents, target: ReplayTarget): Promise<Uint8Array | null> {
  const { disk, core, report } = context
  let lastBlock: Uint8Array | null = null
  let doneBytes = 0
  const totalBytes = contents.commits.reduce((sum, { blockBytes }) => sum + blockBytes, 0)
  // Two blocks in turn, or the start leaves as much garbage as the journal has bytes: one to read into, one that holds the last good commit.
  let [room, kept] = [new Uint8Array(core.commitBytesMax), new Uint8Array(core.commitBytesMax)]
  for (const commit of contents.commits) {
    const file = await SalvageFile.open(disk, journalPath(context.directory, commit.fileIndex))
    const block = room.subarray(0, commit.blockBytes)
    try {
      await file.readAt(commit.positionBytes, block)
    } finally {
      await file.close()
    }
    const header = core.readCommitHeader(block)
    if (!header || !core.verifyCommit(block)) {
      report.missingCommits++
      continue
    }
    for (const frame of readFrames(block, header)) {
      if (frame.kind !== 'batch') continue
      const partition = target.partitionOf(frame.topicNumber, frame.partitionIndex)
      if (partition) replayBatch(core, partition, frame.batch, { sequence: commit.sequence, nowMs: target.nowMs(), report })
    }
    report.replayedCommits++
    doneBytes += commit.blockBytes
    target.onProgress(doneBytes, totalBytes)
    lastBlock = block
    ;[room, kept] = [kept, room]
    await target.afterCommit()
  }
  return lastBlock
}

function replayBatch(
  core: Core,
  partition: PartitionLog,
  batch: Uint8Array,
  commit: { sequence: number; nowMs: number; report: RecoveryReport }
): void {
  const header = readBatchHeader(batch)
  if (!header || core.checkBatch(batch) !== null) {
    commit.report.notes.push(
      `a frame of ${partition.topicName}-${partition.partitionIndex} in commit ${commit.sequence} is not a whole batch: not served`
    )
    return
  }
  const end = partition.highWatermark
  if (header.lastOffset < end) return
  if (header.baseOffset < end) {
    commit.report.notes.push(`a frame of ${partition.topicName}-${partition.partitionIndex} overlaps offset ${end}: not served`)
    return
  }
  if (header.baseOffset > end) {
    commit.report.holes.push(hole(partition, end, header.baseOffset))
    partition.skipTo(header.baseOffset)
  }
  partition.onCommitted(batch, commit)
  commit.report.replayedRecords += header.lastOffset - header.baseOffset + 1
}

/**
 * When the journal was replayed, batch by batch: transactions are as the state has them, which is that of the last commit already. What the state names
 * and the log does not hold was lost by damage: a hole, and its offsets are not given out again, or they would be taken for what is gone.
 * @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER
 */
export function restoreTransactions(
  topics: Iterable<{ readonly partitions: readonly PartitionLog[] }>,
  state: StateMap,
  report: RecoveryReport
): void {
  const transactionsOf = readTransactions(state)
  for (const { partitions } of topics) {
    for (const partition of partitions) {
      const transactions = transactionsOf(partition)
      partition.restoreTransactions(transactions)
      const { highWatermark } = partition
      if (transactions.endOffset <= highWatermark) continue
      report.holes.push(hole(partition, highWatermark, transactions.endOffset))
      partition.skipTo(transactions.endOffset)
    }
  }
}
