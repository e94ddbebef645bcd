// Ranges of offsets as sets: what of one no other has, and how many offsets they hold together, each once.

import type { OffsetRange } from './contract.ts'

/** The parts of `range` that none of `others` has, in order. */
export function uncoveredParts(range: OffsetRange, others: Iterable<OffsetRange>): OffsetRange[] {
  const parts: OffsetRange[] = []
  let next = range.startOffset
  for (const { startOffset, endOffset } of inOrder(range, others)) {
    if (startOffset > next) parts.push({ startOffset: next, endOffset: startOffset })
    next = Math.max(next, endOffset)
  }
  if (next < range.endOffset) parts.push({ startOffset: next, endOffset: range.endOffset })
  return parts
}

/** Offsets of `range` that at least one of `others` has. */
export function coveredCount(range: OffsetRange, others: Iterable<OffsetRange>): number {
  if (range.endOffset <= range.startOffset) return 0
  const uncovered = uncoveredParts(range, others).reduce((sum, { startOffset, endOffset }) => sum + endOffset - startOffset, 0)
  return range.endOffset - range.startOffset - uncovered
}

/** Of ranges that do not overlap: those that adjoin count as one. */
export function separateCount(ranges: Iterable<OffsetRange>): number {
  const all = [...ranges]
  const starts = new Set(all.map(({ startOffset }) => startOffset))
  return all.filter(({ endOffset }) => !starts.has(endOffset)).length
}

export function overlaps(a: OffsetRange, b: OffsetRange): boolean {
  return a.startOffset < b.endOffset && a.endOffset > b.startOffset
}

function inOrder(range: OffsetRange, others: Iterable<OffsetRange>): OffsetRange[] {
  return [...others].filter((other) => overlaps(range, other)).sort((left, right) => left.startOffset - right.startOffset)
}
