// Brings the segments of one partition to a state that can be trusted, at the cost of what was written since the recovery point.
//
//   case                                                       what is done
//   A  the file ends at a whole batch                          nothing
//   B  no whole batch at the end                               torn tail: cut, bytes kept aside when the journal does not have them; with no
//                                                              room for that they stay, and the next segment begins behind them
//   C  a broken place, whole batches behind, journal has all   power cut before a checkpoint: cut, the journal brings it again
//   D  a broken place, whole batches behind, journal has not   damage: it stays where it is, readers pass over it, hole reported
//   E  file shorter than the recovery point, or missing        damage: scanned from its start; what it held up to that point is a hole, its
//                                                              offsets are not given out again, and the journal brings what came behind
//   F  an empty file in front of others                        as if it were missing: retention would find it oldest and delete nothing
//   G  the device does not tell its size, nor opens it         as if it were missing, but it stays
//
// What the device cannot read (salvage-read.ts) is a broken place like any other, but one that may be read another day: it is cut only when the
// journal has what was there. At the end of the last file nothing more is appended behind it: the next segment begins.
//
// Invariant: nothing is cut that was acknowledged and is nowhere else. Not here: the journal (recovery.ts).

import { type Offset, toOffset } from '../base/offset.ts'
import type { BatchHeader } from '../core/record.ts'
import { DiskError } from '../io/disk.ts'
import { BatchScan } from './batch-scan.ts'
import { isUnfinishedSegment, parseRetiredFileName, parseSegmentFileName, type RetiredSegment, TORN_SUFFIX } from './layout.ts'
import type { PartitionEnvironment } from './partition-environment.ts'
import type { PartitionSegments } from './partition-segments.ts'
import { noteUnreadable, type RecoveryReport } from './recovery-report.ts'
import { patiently, SalvageFile, sizeOf } from './salvage-read.ts'
import type { RecoveryPoint } from './snapshot-codec.ts'
import { onlyDisk, onlyFull } from './store-errors.ts'

const PAGE_BYTES = 4096
/** No size of a file. */
const UNTOLD_BYTES = -1
const NOT_IN_JOURNAL = 'what was there and is not in the journal is lost'

export interface KnownPoint {
  readonly logStartOffset: number
  /** -1 = the partition had no segment. */
  readonly segmentBaseOffset: number
  readonly syncedBytes: number
  readonly nextOffset: number
}

/** The recovery point, with the log start that the last commit said when that is newer. */
export function knownPoint(point: RecoveryPoint | undefined, startOffset: number): KnownPoint | null {
  if (!point)
    return startOffset > 0 ? { logStartOffset: startOffset, segmentBaseOffset: -1, syncedBytes: 0, nextOffset: startOffset } : null
  return {
    logStartOffset: Math.max(point[2], startOffset),
    segmentBaseOffset: point[3],
    syncedBytes: point[4],
    nextOffset: point[5]
  }
}

/** Offsets [start, end) that the journal holds for this partition, as a list of adjoining or separate ranges in order. */
export type Coverage = readonly { readonly start: number; readonly end: number }[]

interface Gap {
  /** Where the broken bytes begin. */
  readonly positionBytes: number
  /** Offsets that are missing: from the end of the batch before to the begin of the one behind. */
  readonly startOffset: number
  readonly endOffset: number
}

interface Found {
  readonly headers: { header: BatchHeader; positionBytes: number }[]
  /** Broken places with whole batches behind them. */
  readonly gaps: Gap[]
  /** The end of the last whole batch. */
  readonly sizeBytes: number
  readonly nextOffset: number
  /** No whole batch behind sizeBytes, and the file goes on. */
  readonly isBroken: boolean
  /** A part of what lies behind sizeBytes cannot be read. */
  readonly isEndUnreadable: boolean
  readonly isUnreadable: boolean
  /** The device refuses to open the file. */
  readonly isClosedToUs: boolean
}

/** A partition whose segments are being taken over: `segments` is empty at first. */
export interface RecoveringPartition {
  readonly topicName: string
  readonly partitionIndex: number
  readonly deliveredOffset: number
  readonly segments: PartitionSegments
  readonly env: PartitionEnvironment
  /** No commit is missing, and the newest state is the one that was loaded: together they know the end of every partition. */
  readonly isJournalWhole: boolean
}

export interface RecoveredOffsets {
  readonly logStartOffset: number
  readonly nextOffset: number
  /** Up to here a gap at the start of the log is retention's, not damage. */
  readonly untilOffset: number
}

export async function recoverSegments(
  partition: RecoveringPartition,
  known: KnownPoint | null,
  coverage: Coverage,
  report: RecoveryReport
): Promise<RecoveredOffsets> {
  const { baseOffsets, retired } = await listSegments(partition)
  const retiredBases = retired.map(({ baseOffset }) => baseOffset)
  await removeStale(partition, baseOffsets, Math.min(Math.max(-1, ...retiredBases), known?.logStartOffset ?? 0))
  // When retention has taken the segment of the recovery point, what comes next is what the journal has behind that point.
  const isPointRetired = known !== null && retiredBases.includes(known.segmentBaseOffset)
  const endOffset = endOffsetOf(known, coverage, partition.isJournalWhole)
  let nextOffset = isPointRetired ? Math.max(known.logStartOffset, known.nextOffset) : (known?.logStartOffset ?? 0)
  const recoveryBase = known && known.segmentBaseOffset >= 0 ? known.segmentBaseOffset : (baseOffsets[0] ?? 0)
  const firstListed = baseOffsets[0] ?? Number.POSITIVE_INFINITY
  const lastBase = baseOffsets.at(-1)
  const sealed = baseOffsets.filter((baseOffset) => baseOffset < recoveryBase && baseOffset !== lastBase)
  nextOffset = (await adoptSealed(partition, sealed, Math.min(baseOffsets[sealed.length] ?? recoveryBase, recoveryBase))) ?? nextOffset
  for (const baseOffset of baseOffsets.slice(sealed.length)) {
    if (baseOffset > nextOffset) {
      if (await isSuperseded(partition, { baseOffset, nextOffset, known, coverage, endOffset })) continue
      if (partition.segments.first !== null) report.holes.push(hole(partition, nextOffset, baseOffset))
    }
    const isLast = baseOffset === lastBase
    nextOffset = Math.max(nextOffset, await recoverSegment(partition, { baseOffset, isLast }, known, coverage, report))
  }
  return settleEnds(partition, { known, coverage, nextOffset, retired, firstListed }, report)
}

interface Ends {
  readonly known: KnownPoint | null
  readonly coverage: Coverage
  /** Where the segments end. */
  readonly nextOffset: number
  readonly retired: readonly RetiredSegment[]
  /** Base of the first file that retention had left there. */
  readonly firstListed: number
}

/** Where the log begins and goes on, and what is missing at either end. */
async function settleEnds(partition: RecoveringPartition, ends: Ends, report: RecoveryReport): Promise<RecoveredOffsets> {
  const { known, coverage, nextOffset } = ends
  const knownStart = known?.logStartOffset ?? 0
  const { first } = partition.segments
  const isGone = first === null && known !== null && known.segmentBaseOffset >= 0
  const restoredNext = Math.max(nextOffset, known?.nextOffset ?? 0)
  // What was synced up to the recovery point is not there, and no later file: its offsets are not given out again.
  const isEndMissing = first !== null && restoredNext > nextOffset && !isCovered(coverage, nextOffset, restoredNext)
  if (isEndMissing) report.holes.push(hole(partition, nextOffset, restoredNext))
  const deletedUpTo = Math.max(0, ...ends.retired.map((segment) => deletedEnd(segment, ends)))
  // Nothing is left but what the journal brings: that, and a gap in front of it which is not retention's.
  const journalStart = coverage.find(({ end }) => end > knownStart)?.start ?? Number.POSITIVE_INFINITY
  const firstOffset = isGone ? restoredNext : (first?.baseOffset ?? Math.min(deletedUpTo, journalStart))
  const logStartOffset = Math.max(knownStart, firstOffset)
  // A gap at the start is retention's as far as deleted segments reached; any other is damage.
  const holeStart = Math.max(knownStart, deletedUpTo)
  if (logStartOffset > holeStart) report.holes.push(hole(partition, holeStart, logStartOffset))
  // Nothing is appended behind a file whose end is not known: a reader would take what lies between for one gap.
  if (isEndMissing) await partition.segments.closeActive(restoredNext)
  return { logStartOffset, nextOffset: restoredNext, untilOffset: Math.min(holeStart, logStartOffset) }
}

/** Behind a deleted segment, and so behind all that was in front of it. */
function deletedEnd({ baseOffset, endOffset }: RetiredSegment, { known, firstListed }: Ends): number {
  if (endOffset !== null) return endOffset
  // 0.1.0 did not say it: up to the file that lay behind it, or, as far as is known, what was synced of it.
  if (Number.isFinite(firstListed)) return Math.max(baseOffset, firstListed)
  return known?.segmentBaseOffset === baseOffset ? Math.max(baseOffset, known.nextOffset) : baseOffset
}

/**
 * Retention takes the oldest first: a file in front of one that it took, and below the log start of the snapshot, is what a failed deletion
 * left. (Above that log start it may be new: the journal brings events again whose deletion was not in a snapshot yet.)
 */
async function removeStale(partition: RecoveringPartition, baseOffsets: number[], belowBase: number): Promise<void> {
  for (let baseOffset = baseOffsets[0]; baseOffset !== undefined && baseOffset < belowBase; baseOffset = baseOffsets[0]) {
    await partition.segments.fileAt(baseOffset).remove()
    baseOffsets.shift()
  }
}

/**
 * The files in front of the recovery point, up to `untilOffset`: taken as they are. Case F: what an empty one held is missing between its
 * neighbours, as if it were deleted. @returns where they end; null when there is none
 */
async function adoptSealed(partition: RecoveringPartition, baseOffsets: readonly number[], untilOffset: number): Promise<number | null> {
  const files: { baseOffset: number; sizeBytes: number }[] = []
  for (const baseOffset of baseOffsets) {
    const segment = partition.segments.fileAt(baseOffset)
    const sizeBytes = (await sizeOf(partition.env.disk, segment.logPath, { untold: UNTOLD_BYTES })) ?? 0
    if (sizeBytes === UNTOLD_BYTES) continue // it stays where it is: the device may say it to a later start
    if (sizeBytes > 0) files.push({ baseOffset, sizeBytes })
    else await segment.remove()
  }
  for (const [index, { baseOffset, sizeBytes }] of files.entries()) {
    const nextOffset = files[index + 1]?.baseOffset ?? untilOffset // the file of the recovery point may be missing
    partition.segments.add(partition.segments.segmentOf({ baseOffset, sizeBytes, nextOffset }))
  }
  return files.length === 0 ? null : untilOffset
}

/**
 * What should lie before this segment was cut or is not there (its directory entry was not synced), and the journal has a part of it and
 * everything from there to the end of this one: the journal brings it again, in order, so this file goes. What the journal does not have is a
 * hole, which the replay reports. Only a file that was made after the recovery point: the replay begins behind that point, and what the point's own
 * segment holds below it is only there.
 */
async function isSuperseded(
  partition: RecoveringPartition,
  gap: { baseOffset: number; nextOffset: number; known: KnownPoint | null; coverage: Coverage; endOffset: number }
): Promise<boolean> {
  if (gap.known !== null && gap.baseOffset <= gap.known.segmentBaseOffset) return false
  const segment = partition.segments.fileAt(gap.baseOffset)
  const endBytes = (await sizeOf(partition.env.disk, segment.logPath, { untold: UNTOLD_BYTES })) ?? 0
  if (endBytes === UNTOLD_BYTES) return false
  const found = await scanFrom(partition, segment.logPath, {
    startBytes: 0,
    endBytes,
    nextOffset: gap.baseOffset,
    endOffset: gap.endOffset
  })
  const journalStart = gap.coverage.find(({ end }) => end > gap.nextOffset)?.start ?? Number.POSITIVE_INFINITY
  const fromOffset = Math.max(gap.nextOffset, journalStart)
  if (found.isUnreadable || fromOffset >= gap.baseOffset || !isCovered(gap.coverage, fromOffset, found.nextOffset)) return false
  await segment.remove()
  return true
}

/**
 * The journal has what is missing there, or the end of it, and everything behind it: it brings that again, in order, so the file is cut there. What the
 * journal does not have of the gap is a hole, which the replay reports.
 */
function isFilled({ startOffset, endOffset }: Gap, coverage: Coverage, untilOffset: number): boolean {
  const journalStart = coverage.find(({ end }) => end > startOffset)?.start ?? Number.POSITIVE_INFINITY
  const fromOffset = Math.max(startOffset, journalStart)
  return fromOffset < Math.max(endOffset, startOffset + 1) && isCovered(coverage, fromOffset, untilOffset)
}

async function listSegments(partition: RecoveringPartition): Promise<{ baseOffsets: number[]; retired: RetiredSegment[] }> {
  try {
    const names = await patiently(() => partition.env.disk.list(partition.segments.directory))
    partition.segments.onDirectoryFound(names.filter((name) => parseRetiredFileName(name) !== null))
    for (const name of names.filter(isUnfinishedSegment))
      await partition.env.disk.remove(`${partition.segments.directory}/${name}`).catch(onlyDisk)
    const baseOffsets = names.flatMap((name) => parseSegmentFileName(name) ?? []).sort((a, b) => a - b)
    return { baseOffsets, retired: names.flatMap((name) => parseRetiredFileName(name) ?? []) }
  } catch (error) {
    if (error instanceof DiskError && error.code === 'ENOENT') return { baseOffsets: [], retired: [] }
    throw error
  }
}

/** Scans one segment from its recovery point, cuts what cannot be trusted. Returns its next offset. */
async function recoverSegment(
  partition: RecoveringPartition,
  { baseOffset, isLast }: { baseOffset: number; isLast: boolean },
  known: KnownPoint | null,
  coverage: Coverage,
  report: RecoveryReport
): Promise<number> {
  const { disk } = partition.env
  const path = partition.segments.fileAt(baseOffset).logPath
  const previousEnd = partition.segments.active?.nextOffset ?? 0
  if (baseOffset < previousEnd) {
    report.notes.push(`${path} begins below the end of the segment before it and is set aside`)
    await disk.rename(path, `${path}.overlap`)
    return previousEnd
  }
  const fileBytes = (await sizeOf(disk, path)) ?? 0
  const start = startOf(path, { baseOffset, fileBytes, known, report })
  const found = await scanFrom(partition, path, {
    ...start,
    endBytes: fileBytes,
    endOffset: endOffsetOf(known, coverage, partition.isJournalWhole)
  })
  const journalGoesOn = coverage.some((range) => range.start <= found.nextOffset && range.end > found.nextOffset)
  const filled = found.gaps.find((gap) => isFilled(gap, coverage, found.nextOffset))
  for (const gap of found.gaps.slice(0, filled ? found.gaps.indexOf(filled) : undefined)) reportGap(partition, path, gap, report)
  if (filled) {
    await cut(partition, path, { fromBytes: filled.positionBytes, endBytes: fileBytes, isInJournal: true, report })
    if (filled.positionBytes === 0 && !isLast) {
      await partition.segments.fileAt(baseOffset).remove()
      return start.nextOffset
    }
    return adopt(partition, { baseOffset, start, found: beforeGap(found, filled), coverage })
  }
  const isUnknown = found.isBroken && (found.isClosedToUs || (found.isEndUnreadable && !journalGoesOn))
  if (isUnknown) noteUnreadable(report, path, { startBytes: found.sizeBytes, endBytes: fileBytes }, NOT_IN_JOURNAL)
  const isCut =
    found.isBroken &&
    !isUnknown &&
    (await cut(partition, path, { fromBytes: found.sizeBytes, endBytes: fileBytes, isInJournal: journalGoesOn, report }))
  const isKept = found.isBroken && !isCut
  if (found.sizeBytes === 0 && (found.isBroken || !isLast)) {
    // Nothing of it is whole: the journal brings it again under the same name, or it was never acknowledged, or it is set aside until the device can read
    // it, or until somebody looks at it.
    if (isKept) await disk.rename(path, `${path}${TORN_SUFFIX}0`)
    await partition.segments.fileAt(baseOffset).remove()
    return start.nextOffset
  }
  const nextOffset = await adopt(partition, { baseOffset, start, found, coverage })
  // A batch that begins on a page that cannot be read cannot be written either.
  if (isLast && (isKept || (await isEndPageUnreadable(partition, path, found.sizeBytes)))) await partition.segments.closeActive(nextOffset)
  return nextOffset
}

async function isEndPageUnreadable(partition: RecoveringPartition, path: string, sizeBytes: number): Promise<boolean> {
  const file = await SalvageFile.open(partition.env.disk, path)
  try {
    const startBytes = sizeBytes - (sizeBytes % PAGE_BYTES)
    await file.readAt(startBytes, new Uint8Array(sizeBytes - startBytes))
    return file.unreadable.length > 0
  } finally {
    await file.close()
  }
}

/** Where the scan of a segment begins: at its recovery point, or at its start when there is none or the file is shorter. */
function startOf(
  path: string,
  segment: { baseOffset: number; fileBytes: number; known: KnownPoint | null; report: RecoveryReport }
): Start {
  const { baseOffset, fileBytes, known, report } = segment
  if (known === null || known.segmentBaseOffset !== baseOffset) return { startBytes: 0, nextOffset: baseOffset }
  if (fileBytes >= known.syncedBytes) return { startBytes: known.syncedBytes, nextOffset: Math.max(baseOffset, known.nextOffset) }
  report.notes.push(`${path} has ${fileBytes} bytes, less than the ${known.syncedBytes} that were synced: damage, scanned from its start`)
  report.damagedFiles.push(path)
  return { startBytes: 0, nextOffset: baseOffset }
}

function beforeGap(found: Found, gap: Gap): Found {
  const headers = found.headers.filter(({ positionBytes }) => positionBytes < gap.positionBytes)
  return { ...found, headers, gaps: [], sizeBytes: gap.positionBytes, nextOffset: gap.startOffset, isBroken: false }
}

interface Start {
  readonly startBytes: number
  readonly nextOffset: number
}

/** @returns the offset behind it */
async function adopt(
  partition: RecoveringPartition,
  of: { baseOffset: number; start: Start; found: Found; coverage: Coverage }
): Promise<number> {
  const { baseOffset, start, found, coverage } = of
  const { sizeBytes, nextOffset, headers } = found
  const segment = partition.segments.segmentOf({ baseOffset, sizeBytes, nextOffset })
  if (sizeBytes === 0 && found.isUnreadable) return nextOffset
  if (!found.isClosedToUs) {
    const syncedBytes = Math.min(start.startBytes, sizeBytes)
    try {
      await segment.adopt({ sizeBytes, syncedBytes, nextOffset, headers })
    } catch (error) {
      const isInJournal = isCovered(coverage, start.nextOffset, Math.max(nextOffset, coverage.at(-1)?.end ?? 0))
      if (!isInJournal) await segment.close().catch(onlyDisk) // no partition has it yet
      onlyFull(error)
      // What cannot be written again is not to be trusted (Segment.adopt): the journal brings it, and what is in later segments.
      if (!isInJournal) throw error
      await segment.adoptSynced({ sizeBytes: syncedBytes, nextOffset: start.nextOffset })
    }
  }
  partition.segments.add(segment)
  return segment.nextOffset
}

/** Case D: readers pass over the place; what is behind it stays where it is. */
function reportGap(partition: RecoveringPartition, path: string, gap: Gap, report: RecoveryReport): void {
  if (gap.endOffset <= gap.startOffset) {
    report.notes.push(`${path} has broken bytes from byte ${gap.positionBytes} on, between offsets that adjoin: nothing is missing`)
    return
  }
  report.notes.push(
    `${path} is damaged from byte ${gap.positionBytes} on: offsets ${gap.startOffset} to ${gap.endOffset - 1} are gone, what is behind is served`
  )
  report.holes.push(hole(partition, gap.startOffset, gap.endOffset))
}

/**
 * What segments hold is in the journal until it is in front of the recovery point, so nothing in them goes on to this offset or further. Infinity
 * where that is not known: the journal or the newest state is damaged. What is wrong with a segment, of this or another partition, does not matter.
 */
function endOffsetOf(known: KnownPoint | null, coverage: Coverage, isJournalWhole: boolean): number {
  if (!isJournalWhole || (known === null && coverage.length === 0)) return Number.POSITIVE_INFINITY
  return Math.max(known?.nextOffset ?? 0, coverage.at(-1)?.end ?? 0)
}

async function scanFrom(
  partition: RecoveringPartition,
  path: string,
  range: { startBytes: number; endBytes: number; nextOffset: number; endOffset: number }
): Promise<Found> {
  const file = await SalvageFile.open(partition.env.disk, path)
  try {
    const scan = new BatchScan(partition.env.core, file, range)
    const headers: Found['headers'] = []
    const gaps: Gap[] = []
    let broken: { positionBytes: number; startOffset: number } | null = null
    for (;;) {
      const step = await scan.next()
      if (step.kind === 'batch') {
        if (broken) gaps.push({ ...broken, endOffset: step.header.baseOffset })
        broken = null
        headers.push({ header: step.header, positionBytes: step.positionBytes })
        continue
      }
      const behind: number | null = step.kind === 'fault' ? await scan.findBehind(step.positionBytes) : null
      if (behind !== null) {
        broken ??= { positionBytes: step.positionBytes, startOffset: scan.nextOffset }
        scan.positionBytes = behind
        continue
      }
      return {
        headers,
        gaps,
        sizeBytes: step.positionBytes,
        nextOffset: scan.nextOffset,
        isBroken: step.kind === 'fault',
        isEndUnreadable: file.isUnreadable(step.positionBytes, range.endBytes),
        isUnreadable: file.unreadable.length > 0,
        isClosedToUs: file.isClosedToUs
      }
    }
  } finally {
    await file.close()
  }
}

/** Every offset of [start, end) is in the journal. */
export function isCovered(coverage: Coverage, start: number, end: number): boolean {
  let offset = start
  for (const range of coverage) {
    if (range.start > offset) break
    if (range.end > offset) offset = range.end
  }
  return offset >= end
}

/** @returns false when there was no room to keep aside what the journal does not have: then nothing was cut */
async function cut(
  partition: RecoveringPartition,
  path: string,
  what: { fromBytes: number; endBytes: number; isInJournal: boolean; report: RecoveryReport }
): Promise<boolean> {
  const { fromBytes, endBytes, report } = what
  const bytes = endBytes - fromBytes
  if (!what.isInJournal && !(await isAllZero(partition, path, fromBytes, endBytes))) {
    const aside = `${path}${TORN_SUFFIX}${fromBytes}`
    try {
      await copyRange(partition, { from: path, to: aside, startBytes: fromBytes, endBytes })
    } catch (error) {
      onlyFull(error)
      await partition.env.disk.remove(aside).catch(onlyDisk)
      report.notes.push(`${path} ends in a broken batch: ${bytes} bytes from byte ${fromBytes} stay there, the disk is full`)
      return false
    }
    report.notes.push(`${path} ended in a broken batch: ${bytes} bytes from byte ${fromBytes} are kept in ${aside}`)
  } else
    report.notes.push(`${path}: ${bytes} bytes after byte ${fromBytes} were not whole and were cut; the journal has what was acknowledged`)
  report.cutBytes += bytes
  await truncate(partition, path, fromBytes)
  return true
}

async function truncate(partition: RecoveringPartition, path: string, sizeBytes: number): Promise<void> {
  const file = await partition.env.disk.open(path, 'write')
  try {
    await file.truncate(sizeBytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function isAllZero(partition: RecoveringPartition, path: string, startBytes: number, endBytes: number): Promise<boolean> {
  const file = await SalvageFile.open(partition.env.disk, path)
  try {
    const chunk = new Uint8Array(64 * 1024)
    for (let at = startBytes; at < endBytes; at += chunk.byteLength) {
      const count = await file.readAt(at, chunk.subarray(0, Math.min(chunk.byteLength, endBytes - at)))
      for (let i = 0; i < count; i++) if (chunk[i] !== 0) return false
    }
    return true
  } finally {
    await file.close()
  }
}

/** A range of the partition's offsets that nothing on the disk has. */
export function hole(
  partition: Pick<RecoveringPartition, 'topicName' | 'partitionIndex' | 'deliveredOffset'>,
  startOffset: number,
  endOffset: number
) {
  return {
    topicName: partition.topicName,
    partitionIndex: partition.partitionIndex,
    startOffset: toOffset(startOffset) as Offset,
    endOffset: toOffset(endOffset) as Offset,
    reason: 'hole' as const,
    isDelivered: endOffset <= partition.deliveredOffset
  }
}

async function copyRange(
  partition: RecoveringPartition,
  range: { from: string; to: string; startBytes: number; endBytes: number }
): Promise<void> {
  const { disk } = partition.env
  const source = await SalvageFile.open(disk, range.from)
  const target = await disk.open(range.to, 'create')
  try {
    const chunk = new Uint8Array(256 * 1024)
    await target.truncate(0)
    for (let at = range.startBytes; at < range.endBytes; ) {
      const part = chunk.subarray(0, Math.min(chunk.byteLength, range.endBytes - at))
      const count = await source.readAt(at, part)
      if (count === 0) break
      await target.writeAt(at - range.startBytes, part.slice(0, count))
      at += count
    }
    await target.sync()
  } finally {
    await source.close()
    await target.close()
  }
}
