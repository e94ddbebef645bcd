// What the centre keeps for us beside the events: how far each edge topic has been delivered. It is the metadata of committed group offsets,
// written inside the transaction that carries the events, so both happen or neither. docs/formats/position.md has the text.
//
//   wadi2;<piece>/<pieces>;<part of the text>            Kafka keeps at most 4,096 characters: a longer text goes in pieces, all in one transaction
//   text    branch *( "|" branch )                        ours first, then those of others that we carry along
//   branch  <log id>;<branch id>;<first start>,<ids>,<known from>;<edge topic>=<next>,<next>…;<edge topic>=…     numbers in base 36, one per partition
//           … ;<edge topic>@<start>=<partition>:<offset>,…     where this start of the writer began to write; complete from the start <known from> on
//                                                                 of the newest start also where it would begin
//
// A branch is one line of a log's history. When an older image of a disk is put back, what it takes in from then on is a branch of its own: it
// has the log's id and its own branch id, and an entry of its own here, so that none of the copies takes the other's place.
// Not for: deciding what to do with a position (find-positions.ts), where the pieces are kept (adapters/kafka-upstream).

import { TOPIC_NAME } from '../base/topic-names.ts'
import { type Beginning, STARTS_NAMED, type Start } from '../log/lineage.ts'

/** offset.metadata.max.bytes of Kafka, which counts characters. */
export const METADATA_CHARS_MAX = 4096

const VERSION = 'wadi2'
const OLD_VERSION = 'wadi1'
/** A piece begins with version, number and count. */
const PIECE_CHARS = METADATA_CHARS_MAX - 32
const PIECES_MAX = 4096
const START_ID_CHARS = 6
/** Beginnings that are listed, but at least those of the newest start. */
const BEGINNINGS_MAX = 64
/** Branches of others that are carried along. */
export const CARRIED_MAX = 4
const LOG_ID = /^[a-zA-Z0-9-]{1,64}$/
const BRANCH_ID = /^[0-9a-z]{0,16}$/
const START_IDS = /^(?:[0-9a-z]{6})*$/
const BASE_36 = /^(0|[1-9a-z][0-9a-z]{0,10})$/
export const NO_BEGINNINGS: Beginnings = { knownFrom: Number.POSITIVE_INFINITY, list: [] }

export interface Branch {
  readonly logId: string
  /** '' for the line a log began with. */
  readonly branchId: string
  /** Of the writer, oldest first; ids are '' in a position of version 1. */
  readonly starts: readonly Start[]
  /** Edge topic → next offset to deliver, by partition index. */
  readonly nextOffsets: ReadonlyMap<string, readonly number[]>
  readonly beginnings: Beginnings
}

/** Where starts of the writer began to write, or the newest would: what a common start wrote is common up to where either side's next start began. */
export interface Beginnings {
  /** Of this start and all after it every beginning is listed. Infinity: of none. */
  readonly knownFrom: number
  /** Newest start first. */
  readonly list: readonly BeginningAt[]
}

export interface BeginningAt extends Beginning {
  readonly edgeTopic: string
  readonly partitionIndex: number
}

/**
 * What fits a position of the beginnings that starts after the first named one made: newest first, whole starts. `next`: where the newest one would begin
 * in partitions to which it has written nothing, all of them.
 */
export function beginningsOf(starts: readonly Start[], all: readonly BeginningAt[], next: readonly BeginningAt[] = []): Beginnings {
  const named = lastRun(starts)
  const list: BeginningAt[] = []
  let knownFrom = Number.POSITIVE_INFINITY
  for (let at = named.length - 1; at >= 1; at--) {
    const { incarnation } = named[at] as Start
    const ofStart = all.filter((beginning) => beginning.incarnation === incarnation)
    if (list.length > 0 && list.length + ofStart.length > BEGINNINGS_MAX) break
    list.push(...ofStart)
    knownFrom = incarnation
  }
  return { knownFrom, list: named.length > 1 ? [...list, ...next] : list }
}

/** The text in pieces, each at most METADATA_CHARS_MAX long. */
export function encodePosition(branches: readonly Branch[]): string[] {
  const text = branches.map(encodeBranch).join('|')
  const count = Math.max(1, Math.ceil(text.length / PIECE_CHARS))
  return Array.from({ length: count }, (_, index) => {
    return `${VERSION};${index}/${count};${text.slice(index * PIECE_CHARS, (index + 1) * PIECE_CHARS)}`
  })
}

function encodeBranch({ logId, branchId, starts, nextOffsets, beginnings }: Branch): string {
  const named = lastRun(starts)
  const ids = named.map(({ id }) => (id.length === START_ID_CHARS ? id : '0'.repeat(START_ID_CHARS))).join('')
  const topics = [...nextOffsets].map(([topic, offsets]) => `;${topic}=${offsets.map((offset) => offset.toString(36)).join(',')}`)
  const knownFrom = Number.isFinite(beginnings.knownFrom) ? beginnings.knownFrom.toString(36) : ''
  const lineage = `${(named[0]?.incarnation ?? 0).toString(36)},${ids},${knownFrom}`
  return `${logId};${branchId};${lineage}${topics.join('')}${encodeBeginnings(beginnings.list)}`
}

function encodeBeginnings(list: readonly BeginningAt[]): string {
  const groups = new Map<string, string[]>()
  for (const { edgeTopic, incarnation, partitionIndex, startOffset } of list) {
    const key = `${edgeTopic}@${incarnation.toString(36)}`
    groups.set(key, [...(groups.get(key) ?? []), `${partitionIndex.toString(36)}:${startOffset.toString(36)}`])
  }
  return [...groups].map(([key, pairs]) => `;${key}=${pairs.join(',')}`).join('')
}

/** The oldest of these starts that a position names. */
export function firstNamed(starts: readonly Start[]): number {
  return lastRun(starts)[0]?.incarnation ?? 0
}

/** The last starts whose numbers follow each other. */
function lastRun(starts: readonly Start[]): readonly Start[] {
  let from = starts.length - 1
  while (from > 0 && starts.length - from < STARTS_NAMED && starts[from - 1]?.incarnation === (starts[from] as Start).incarnation - 1)
    from--
  return starts.slice(Math.max(0, from))
}

/** How many pieces the first one says there are; 1 for what is no position of ours. */
export function pieceCountOf(first: string): number {
  return headOf(first)?.count ?? 1
}

/** null when the pieces are not a position of ours: another tool's, a newer format, damaged. */
export function decodePosition(pieces: readonly string[]): Branch[] | null {
  const [first] = pieces
  if (first === undefined) return null
  if (first.startsWith(`${OLD_VERSION};`)) return decodeOld(first)
  const heads = pieces.map(headOf)
  const count = heads[0]?.count ?? 0
  if (count < 1 || pieces.length < count) return null
  let text = ''
  for (let index = 0; index < count; index++) {
    const head = heads[index]
    if (!head || head.index !== index || head.count !== count) return null
    text += head.text
  }
  const branches = text.split('|').map(decodeBranch)
  return branches.every((branch) => branch !== null) ? branches : null
}

function headOf(piece: string): { index: number; count: number; text: string } | null {
  const match = /^wadi2;(\d{1,4})\/(\d{1,4});(.*)$/s.exec(piece)
  if (!match || piece.length > METADATA_CHARS_MAX) return null
  const [index, count] = [Number(match[1]), Number(match[2])]
  return count >= 1 && count <= PIECES_MAX && index < count ? { index, count, text: match[3] ?? '' } : null
}

function decodeBranch(text: string): Branch | null {
  const [logId, branchId, lineage, ...topics] = text.split(';')
  const [firstText, ids, knownText = ''] = (lineage ?? '').split(',')
  const first = readNumber(firstText)
  if (logId === undefined || !LOG_ID.test(logId) || branchId === undefined || !BRANCH_ID.test(branchId)) return null
  if (first === null || ids === undefined || !START_IDS.test(ids)) return null
  const starts = Array.from({ length: ids.length / START_ID_CHARS }, (_, index) => ({
    incarnation: first + index,
    id: ids.slice(index * START_ID_CHARS, (index + 1) * START_ID_CHARS)
  }))
  const nextOffsets = readTopics(topics.filter((entry) => !entry.includes('@')))
  const list = readBeginnings(topics.filter((entry) => entry.includes('@')))
  const knownFrom = knownText === '' ? Number.POSITIVE_INFINITY : readNumber(knownText)
  return nextOffsets && list && knownFrom !== null ? { logId, branchId, starts, nextOffsets, beginnings: { knownFrom, list } } : null
}

/** Version 1: one branch, the number of the writer's start, no ids. */
function decodeOld(text: string): Branch[] | null {
  const [, logId, incarnationText, ...topics] = text.split(';')
  const incarnation = readNumber(incarnationText)
  const nextOffsets = readTopics(topics)
  if (logId === undefined || !LOG_ID.test(logId) || incarnation === null || !nextOffsets) return null
  return [{ logId, branchId: '', starts: [{ incarnation, id: '' }], nextOffsets, beginnings: NO_BEGINNINGS }]
}

function readTopics(topics: readonly string[]): Map<string, number[]> | null {
  const nextOffsets = new Map<string, number[]>()
  for (const entry of topics) {
    const [topic, list, ...rest] = entry.split('=')
    if (topic === undefined || list === undefined || rest.length > 0 || !TOPIC_NAME.test(topic) || nextOffsets.has(topic)) return null
    const offsets = list.split(',').map(readNumber)
    if (offsets.some((offset) => offset === null)) return null
    nextOffsets.set(topic, offsets as number[])
  }
  return nextOffsets
}

function readBeginnings(entries: readonly string[]): BeginningAt[] | null {
  const list: BeginningAt[] = []
  for (const entry of entries) {
    const [, edgeTopic = '', startText, pairs = ''] = /^([^@=]+)@([0-9a-z]+)=(.+)$/.exec(entry) ?? []
    const incarnation = readNumber(startText)
    if (!TOPIC_NAME.test(edgeTopic) || incarnation === null) return null
    for (const pair of pairs.split(',')) {
      const [partitionText, offsetText, ...rest] = pair.split(':')
      const [partitionIndex, startOffset] = [readNumber(partitionText), readNumber(offsetText)]
      if (partitionIndex === null || startOffset === null || rest.length > 0) return null
      list.push({ edgeTopic, partitionIndex, incarnation, startOffset })
    }
  }
  return list
}

function readNumber(text: string | undefined): number | null {
  if (text === undefined || !BASE_36.test(text)) return null
  const value = Number.parseInt(text, 36)
  return Number.isSafeInteger(value) ? value : null
}
