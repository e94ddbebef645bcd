// Brings the segments of one partition to a state that can be trusted, at the cost of what was written since the recovery point.
//
//   case                                                       what is done
//   A  the file ends at a whole batch                          nothing
//   B  a broken batch, nothing whole behind it                 torn tail: cut, bytes kept aside when the journal does not have them
//   C  a broken batch, whole ones behind, journal has all      power cut before a checkpoint: cut, the journal brings it again
//   D  a broken batch, whole ones behind, journal has not      damage: cut there, what is behind becomes a segment of its own, hole reported
//   E  file shorter than the recovery point, or missing        damage below the recovery point: scanned from its start, hole reported by replay
//
// Invariant: nothing is cut that was acknowledged and is nowhere else. Not here: the journal (recovery.ts).

import { type Offset, toOffset } from '../base/offset.ts'
import type { BatchHeader } from '../core/record.ts'
import { DiskError } from '../io/disk.ts'
import { BatchScan } from './batch-scan.ts'
import { isRetiredSegment, parseSegmentFileName } from './layout.ts'
import type { PartitionLog } from './partition-log.ts'
import type { RecoveryReport } from './recovery-report.ts'
import { Segment } from './segment.ts'

export interface KnownPoint {
  readonly logStartOffset: number
  /** -1 = the partition had no segment. */
  readonly segmentBaseOffset: number
  readonly syncedBytes: number
  readonly nextOffset: number
}

/** Offsets [start, end) that the journal holds for this partition, as a list of adjoining or separate ranges in order. */
export type Coverage = readonly { readonly start: number; readonly end: number }[]

interface Found {
  readonly headers: { header: BatchHeader; positionBytes: number }[]
  readonly sizeBytes: number
  readonly nextOffset: number
  readonly isBroken: boolean
  /** Whole batches behind the broken place: start position and first offset. */
  readonly behind: { positionBytes: number; offset: number } | null
}

export async function recoverPartition(
  partition: PartitionLog,
  known: KnownPoint | null,
  coverage: Coverage,
  report: RecoveryReport
): Promise<void> {
  const { baseOffsets, retiredBases } = await listSegments(partition)
  await removeStale(partition, baseOffsets, Math.min(Math.max(-1, ...retiredBases), known?.logStartOffset ?? 0))
  // When retention has taken the segment of the recovery point, what comes next is what the journal has behind that point.
  const isPointRetired = known !== null && retiredBases.includes(known.segmentBaseOffset)
  let nextOffset = isPointRetired ? Math.max(known.logStartOffset, known.nextOffset) : (known?.logStartOffset ?? 0)
  const recoveryBase = known && known.segmentBaseOffset >= 0 ? known.segmentBaseOffset : (baseOffsets[0] ?? 0)
  for (let i = 0; i < baseOffsets.length; i++) {
    const baseOffset = baseOffsets[i] as number
    const followingBase = baseOffsets[i + 1]
    if (baseOffset < recoveryBase && followingBase !== undefined) {
      const sizeBytes = (await partition.env.disk.fileSizeBytes(segmentAt(partition, baseOffset).logPath)) ?? 0
      partition.segments.push(
        new Segment(partition.env, { directory: partition.directory, baseOffset, sizeBytes, nextOffset: followingBase })
      )
      nextOffset = followingBase
      continue
    }
    if (baseOffset > nextOffset && (await isSuperseded(partition, { baseOffset, nextOffset, coverage }))) continue
    nextOffset = Math.max(nextOffset, await recoverSegment(partition, baseOffset, known, coverage, report))
  }
  const knownStart = known?.logStartOffset ?? 0
  const isGone = partition.segments.length === 0 && known !== null && known.segmentBaseOffset >= 0
  const restoredNext = Math.max(nextOffset, partition.segments.length === 0 ? (known?.nextOffset ?? 0) : 0)
  const logStartOffset = Math.max(knownStart, isGone ? restoredNext : (partition.segments[0]?.baseOffset ?? 0))
  // A gap at the start that a deleted segment explains is retention's; any other is damage.
  const isRetired = retiredBases.some((baseOffset) => baseOffset < logStartOffset)
  if (logStartOffset > knownStart && !isRetired) report.holes.push(hole(partition, knownStart, logStartOffset))
  partition.restore({ logStartOffset, nextOffset: restoredNext })
}

/**
 * Retention takes the oldest first: a file in front of one that it took, and below the log start of the snapshot, is what a failed deletion
 * left. (Above that log start it may be new: the journal brings events again whose deletion was not in a snapshot yet.)
 */
async function removeStale(partition: PartitionLog, baseOffsets: number[], belowBase: number): Promise<void> {
  for (let baseOffset = baseOffsets[0]; baseOffset !== undefined && baseOffset < belowBase; baseOffset = baseOffsets[0]) {
    await segmentAt(partition, baseOffset).remove()
    baseOffsets.shift()
  }
}

/**
 * What should lie before this segment was cut or is not there (its directory entry was not synced), and the journal has everything from there to the end of this one: the journal brings it all again,
 * in order, so this file goes. (It was made after the recovery point, so nothing in it is only here.)
 */
async function isSuperseded(
  partition: PartitionLog,
  gap: { baseOffset: number; nextOffset: number; coverage: Coverage }
): Promise<boolean> {
  const segment = segmentAt(partition, gap.baseOffset)
  const endBytes = (await partition.env.disk.fileSizeBytes(segment.logPath)) ?? 0
  const found = await scanFrom(partition, segment.logPath, { startBytes: 0, endBytes, nextOffset: gap.baseOffset })
  if (!isCovered(gap.coverage, gap.nextOffset, found.nextOffset)) return false
  await segment.remove()
  partition.isDirectoryDirty = true
  return true
}

/** The directory's entries may be newer than its last sync (the process before was killed), and recovery builds on them: it is dirty. */
async function listSegments(partition: PartitionLog): Promise<{ baseOffsets: number[]; retiredBases: number[] }> {
  try {
    const names = await partition.env.disk.list(partition.directory)
    partition.hasDirectory = true
    partition.isDirectoryDirty = true
    const retired = names.filter(isRetiredSegment)
    partition.retired = retired.map((name) => `${partition.directory}/${name}`)
    const baseOffsets = names.flatMap((name) => parseSegmentFileName(name) ?? []).sort((a, b) => a - b)
    return { baseOffsets, retiredBases: retired.map((name) => Number.parseInt(name, 10)) }
  } catch (error) {
    if (error instanceof DiskError && error.code === 'ENOENT') return { baseOffsets: [], retiredBases: [] }
    throw error
  }
}

/** Only for its names. */
function segmentAt(partition: PartitionLog, baseOffset: number): Segment {
  return new Segment(partition.env, { directory: partition.directory, baseOffset, sizeBytes: 0, nextOffset: baseOffset })
}

/** Scans one segment from its recovery point, cuts what cannot be trusted. Returns its next offset. */
async function recoverSegment(
  partition: PartitionLog,
  baseOffset: number,
  known: KnownPoint | null,
  coverage: Coverage,
  report: RecoveryReport
): Promise<number> {
  const { disk } = partition.env
  const path = segmentAt(partition, baseOffset).logPath
  const fileBytes = (await disk.fileSizeBytes(path)) ?? 0
  const isKnown = known !== null && known.segmentBaseOffset === baseOffset && fileBytes >= known.syncedBytes
  if (known !== null && known.segmentBaseOffset === baseOffset && !isKnown) {
    report.notes.push(`${path} has ${fileBytes} bytes, less than the ${known.syncedBytes} that were synced: damage, scanned from its start`)
    report.damagedFiles.push(path)
  }
  const startBytes = isKnown ? known.syncedBytes : 0
  const startOffset = isKnown ? Math.max(baseOffset, known.nextOffset) : baseOffset
  const previousEnd = partition.segments.at(-1)?.nextOffset ?? 0
  if (baseOffset < previousEnd) {
    report.notes.push(`${path} begins below the end of the segment before it and is set aside`)
    await disk.rename(path, `${path}.overlap`)
    return previousEnd
  }
  const found = await scanFrom(partition, path, { startBytes, endBytes: fileBytes, nextOffset: startOffset })
  const segment = new Segment(partition.env, {
    directory: partition.directory,
    baseOffset,
    sizeBytes: found.sizeBytes,
    nextOffset: found.nextOffset
  })
  if (found.isBroken) await cut(partition, path, found, { fileBytes, coverage, report })
  if (found.sizeBytes === 0 && found.isBroken && found.behind === null) {
    // Nothing of it is whole: the journal brings it again under the same name, or it was never acknowledged.
    await segment.remove()
    partition.isDirectoryDirty = true
    return startOffset
  }
  await segment.adopt({
    sizeBytes: found.sizeBytes,
    syncedBytes: Math.min(startBytes, found.sizeBytes),
    nextOffset: found.nextOffset,
    headers: found.headers
  })
  partition.segments.push(segment)
  if (found.behind !== null && !isCovered(coverage, found.nextOffset, found.behind.offset)) {
    return keepBehind(partition, path, found.behind, report)
  }
  return found.nextOffset
}

async function scanFrom(
  partition: PartitionLog,
  path: string,
  range: { startBytes: number; endBytes: number; nextOffset: number }
): Promise<Found> {
  const file = await partition.env.disk.open(path, 'read')
  try {
    const scan = new BatchScan(partition.env.core, file, range)
    const headers: Found['headers'] = []
    for (;;) {
      const step = await scan.next()
      if (step.kind === 'batch') {
        headers.push({ header: step.header, positionBytes: step.positionBytes })
        continue
      }
      const base = { headers, sizeBytes: step.positionBytes, nextOffset: scan.nextOffset }
      if (step.kind === 'end') return { ...base, isBroken: false, behind: null }
      const nextOffset = scan.nextOffset
      const positionBytes = await scan.findBehind(step.positionBytes)
      if (positionBytes === null) return { ...base, nextOffset, isBroken: true, behind: null }
      scan.positionBytes = positionBytes
      const next = await scan.next()
      return {
        ...base,
        nextOffset,
        isBroken: true,
        behind: next.kind === 'batch' ? { positionBytes, offset: next.header.baseOffset } : null
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

async function cut(
  partition: PartitionLog,
  path: string,
  found: Found,
  context: { fileBytes: number; coverage: Coverage; report: RecoveryReport }
): Promise<void> {
  const bytes = context.fileBytes - found.sizeBytes
  const journalGoesOn = context.coverage.some((range) => range.start <= found.nextOffset && range.end > found.nextOffset)
  const isZero = found.behind === null && (await isAllZero(partition, path, found.sizeBytes, context.fileBytes))
  context.report.cutBytes += bytes
  if (!journalGoesOn && !isZero) {
    await copyRange(partition, {
      from: path,
      to: `${path}.torn-${found.sizeBytes}`,
      startBytes: found.sizeBytes,
      endBytes: context.fileBytes
    })
    context.report.notes.push(
      `${path} ended in a broken batch: ${bytes} bytes from byte ${found.sizeBytes} are kept in ${path}.torn-${found.sizeBytes}`
    )
  } else {
    context.report.notes.push(
      `${path}: ${bytes} bytes after byte ${found.sizeBytes} were not whole and were cut; the journal has what was acknowledged`
    )
  }
  if (found.behind !== null && !isCovered(context.coverage, found.nextOffset, found.behind.offset)) return // keepBehind copies first, then cuts
  await truncate(partition, path, found.sizeBytes)
}

async function truncate(partition: PartitionLog, path: string, sizeBytes: number): Promise<void> {
  const file = await partition.env.disk.open(path, 'write')
  try {
    await file.truncate(sizeBytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function isAllZero(partition: PartitionLog, path: string, startBytes: number, endBytes: number): Promise<boolean> {
  const file = await partition.env.disk.open(path, 'read')
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

/** Case D: what lies behind the damage becomes a segment of its own; the hole before it is reported. */
async function keepBehind(
  partition: PartitionLog,
  path: string,
  behind: { positionBytes: number; offset: number },
  report: RecoveryReport
): Promise<number> {
  const { disk } = partition.env
  const holeStart = partition.segments.at(-1)?.nextOffset ?? 0
  const kept = new Segment(partition.env, {
    directory: partition.directory,
    baseOffset: behind.offset,
    sizeBytes: 0,
    nextOffset: behind.offset
  })
  const fileBytes = (await disk.fileSizeBytes(path)) ?? 0
  await copyRange(partition, { from: path, to: kept.logPath, startBytes: behind.positionBytes, endBytes: fileBytes })
  await disk.syncDirectory(partition.directory)
  await truncate(partition, path, partition.segments.at(-1)?.sizeBytes ?? 0)
  report.notes.push(
    `${path} is damaged before byte ${behind.positionBytes}: offsets ${holeStart} to ${behind.offset - 1} are gone, what is behind is kept in ${kept.logPath}`
  )
  report.holes.push(hole(partition, holeStart, behind.offset))
  return recoverSegment(partition, behind.offset, null, [], report)
}

export function hole(partition: PartitionLog, startOffset: number, endOffset: number) {
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
  partition: PartitionLog,
  range: { from: string; to: string; startBytes: number; endBytes: number }
): Promise<void> {
  const { disk } = partition.env
  const source = await disk.open(range.from, 'read')
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
