// Where everything lies in a data directory. docs/formats/directory.md is the same in words.

export const JOURNAL_DIRECTORY = 'journal'
export const STATE_DIRECTORY = 'state'
export const TOPICS_DIRECTORY = 'topics'

export type SegmentFileKind = 'log' | 'index' | 'timeindex'

export function journalPath(directory: string, fileIndex: number): string {
  return `${directory}/${JOURNAL_DIRECTORY}/${fileIndex}.journal`
}

export function partitionDirectory(directory: string, topicName: string, partitionIndex: number): string {
  return `${directory}/${TOPICS_DIRECTORY}/${topicName}-${partitionIndex}`
}

/** Of a deleted topic, until its files are removed: no partition has such a name, they end with a digit. */
export function deletedDirectory(directory: string, topicNumber: number, partitionIndex: number): string {
  return `${directory}/${TOPICS_DIRECTORY}/${topicNumber}-${partitionIndex}.deleted`
}

/** Kafka's name: the base offset in 20 digits. */
export function segmentFileName(baseOffset: number, kind: SegmentFileKind): string {
  return `${String(baseOffset).padStart(20, '0')}.${kind}`
}

/** The base offset of a segment's file name, null for any other file. */
export function parseSegmentFileName(name: string): number | null {
  const match = /^(\d{20})\.log$/.exec(name)
  const baseOffset = match ? Number(match[1]) : Number.NaN
  return Number.isSafeInteger(baseOffset) ? baseOffset : null
}

/**
 * A segment that retention took, with Kafka's suffix: it held the offsets from `baseOffset` to `endOffset`, which is not part of it. The empty file stays until
 * the new log start is in the state snapshot.
 */
export function retiredFileName(baseOffset: number, endOffset: number): string {
  return `${String(baseOffset).padStart(20, '0')}-${endOffset}.deleted`
}

export interface RetiredSegment {
  readonly baseOffset: number
  /** null in names of 0.1.0, which do not say it. */
  readonly endOffset: number | null
}

/** null for any other file. */
export function parseRetiredFileName(name: string): RetiredSegment | null {
  const [, base, end] = /^(\d{20})(?:-(\d{1,20})|\.log)\.deleted$/.exec(name) ?? []
  const [baseOffset, endOffset] = [Number(base ?? Number.NaN), end === undefined ? null : Number(end)]
  if (!Number.isSafeInteger(baseOffset) || (endOffset !== null && !Number.isSafeInteger(endOffset))) return null
  return { baseOffset, endOffset }
}

/** Followed by the byte from which on a start set the file aside. */
export const TORN_SUFFIX = '.torn-'

/** A segment that compaction is writing anew: it takes the place of the segment when it is whole, and is nothing before. */
export const CLEANED_SUFFIX = '.cleaned'

export function isUnfinishedSegment(name: string): boolean {
  return /^\d{20}\.log\.cleaned$/.test(name)
}

export function stateFileName(number: number): string {
  return `${String(number).padStart(20, '0')}.state`
}

export function parseStateFileName(name: string): number | null {
  const match = /^(\d{20})\.state$/.exec(name)
  const number = match ? Number(match[1]) : Number.NaN
  return Number.isSafeInteger(number) ? number : null
}
