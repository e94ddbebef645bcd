// What the centre says about our deliveries: the positions of upstream topics, read and held against the starts of this disk. A position that names
// starts which we do not know was written by a disk with another history: of what it says, only what was written up to the last common start is ours.
// Not for: what follows from it (resume.ts), the text of a position (position.ts).

import type { Partition } from '../log/contract.ts'
import type { Start } from '../log/lineage.ts'
import type { Forks } from './forks.ts'
import type { Hint } from './hint.ts'
import { type Beginnings, type Branch, decodePosition, pieceCountOf } from './position.ts'
import type { ResumeContext } from './resume-context.ts'
import type { Source } from './source.ts'
import { type Upstream, UpstreamFault } from './upstream.ts'

/** How a position names a start that drew no id. */
export const UNKNOWN_ID = '000000'

/** The word of the centre on one upstream topic. */
export interface Word {
  /** Everything that its position holds. */
  readonly branches: readonly Branch[]
  /** What it says of this log, by branch: each tells how far its writer had come, and up to which incarnation that speaks of our events. */
  readonly entries: readonly Entry[]
}

export interface Entry {
  readonly branch: Branch
  readonly limit: Limit
}

/** Of what a position says of our partitions, only what was written up to `after` is ours. null: all of it. */
export interface Limit {
  readonly after: number | null
  /** The centre knows of something behind it that is not ours. */
  readonly isFork: boolean
  /** Where the writer's starts after `after` began: what `after` itself wrote is common up to there. null: it had none. */
  readonly theirs: Beginnings | null
}

/** Of every upstream topic that is delivered to, or was. */
export async function readWords(context: ResumeContext, sources: readonly Source[]): Promise<Map<string, Word>> {
  const names = new Set(sources.map((source) => source.upstreamTopic))
  const committed = await readPositions(context.upstream, names)
  const former = new Set<string>()
  for (const source of sources) {
    for (const before of context.hint?.confirmed.get(source.edgeTopic)?.upstreamTopics ?? []) if (!names.has(before)) former.add(before)
  }
  if (former.size > 0) {
    try {
      for (const [name, pieces] of await readPositions(context.upstream, former)) committed.set(name, pieces)
    } catch (error) {
      // Nobody asks us to have rights on a topic that is not delivered to any more: then the notes are what there is.
      if (!(error instanceof UpstreamFault) || error.kind !== 'refused') throw error
    }
  }
  return new Map([...names, ...former].map((name) => [name, wordOf(context, name, committed.get(name) ?? [])]))
}

async function readPositions(upstream: Upstream, names: ReadonlySet<string>): Promise<Map<string, readonly string[]>> {
  const committed = new Map<string, readonly string[]>()
  const longer = new Map<string, number>()
  for (const [name, { pieces }] of await upstream.fetchPosition(new Map([...names].map((name) => [name, 1])))) {
    const count = pieceCountOf(pieces[0] ?? '')
    if (count > 1) longer.set(name, count)
    committed.set(name, pieces)
  }
  if (longer.size > 0) for (const [name, { pieces }] of await upstream.fetchPosition(longer)) committed.set(name, pieces)
  return committed
}

function wordOf(context: ResumeContext, upstreamTopic: string, pieces: readonly string[]): Word {
  const { store, notices } = context
  if (pieces.length === 0) return { branches: [], entries: [] }
  const branches = decodePosition(pieces)
  if (branches === null) {
    const text = `The position at the centre for ${upstreamTopic} was not written by this version of Wadi; it is not used.`
    notices.add('other-log', text, { upstreamTopic })
    return { branches: [], entries: [] }
  }
  const own = branches.filter(({ logId }) => logId === store.logId)
  const [other] = branches
  if (own.length === 0 && other) {
    const text = `The position at the centre for ${upstreamTopic} is of another log (${other.logId}); this log starts with what it has.`
    notices.add('other-log', text, { upstreamTopic, otherLogId: other.logId })
  }
  return { branches, entries: own.map((branch) => ({ branch, limit: limitOf(context, branch) })) }
}

/** The entries of the line that this disk goes on from: what they know and we do not is a fork of ours. They are others after each fork. */
export function evidenceIn(words: ReadonlyMap<string, Word>, forks: Forks): ReadonlySet<Entry> {
  const evidence = new Set<Entry>()
  for (const { entries } of words.values()) {
    const ids = evidenceIds(
      entries.map(({ branch }) => branch),
      forks
    )
    for (const entry of entries) if (ids.includes(entry.branch.branchId)) evidence.add(entry)
  }
  return evidence
}

/** Our own branch; when it has no entry yet the lines that it came from; when they have none either, whatever there is of this log. */
function evidenceIds(own: readonly Branch[], forks: Forks): string[] {
  const ids = own.map(({ branchId }) => branchId)
  if (ids.includes(forks.branchId)) return [forks.branchId]
  const line = ['', ...forks.list.map(({ branchId }) => branchId)].filter((branchId) => ids.includes(branchId))
  return line.length > 0 ? line : ids
}

/** Up to which of our starts the writer of `branch` has the same history. */
function limitOf({ store, hint, notices }: ResumeContext, { starts, beginnings }: Branch): Limit {
  const ours = store.starts
  const common = commonStart(ours, starts)
  if (common === null) {
    const after = hint?.incarnation ?? 0
    notices.add('undecided', `The centre knows none of the starts of this disk: what was written after start ${after} counts as new.`, {
      after
    })
    return { after, isFork: true, theirs: null }
  }
  if (!common.isNewest) return { after: common.incarnation, isFork: true, theirs: beginnings }
  return { after: common.incarnation === store.incarnation ? null : common.incarnation, isFork: false, theirs: null }
}

/** The newest of their starts that is ours too; isNewest: they know none after it. A start without id is known by its number, up to the last of ours without one. */
function commonStart(ours: readonly Start[], theirs: readonly Start[]): { incarnation: number; isNewest: boolean } | null {
  const newest = theirs.at(-1)
  if (newest?.id === '') {
    const last = ours.findLast(({ id }) => id === '')?.incarnation ?? -1
    return last < 0 ? null : { incarnation: Math.min(last, newest.incarnation), isNewest: newest.incarnation <= last }
  }
  for (let at = theirs.length - 1; at >= 0; at--) {
    const start = theirs[at] as Start
    const isOurs = ours.some(({ incarnation, id }) => incarnation === start.incarnation && (id || UNKNOWN_ID) === start.id)
    if (isOurs) return { incarnation: start.incarnation, isNewest: at === theirs.length - 1 }
  }
  return null
}

/** What the centre says of the source's edge topic: in the position of its upstream topic, and of those it was delivered to before. */
export function entriesFor(source: Source, words: ReadonlyMap<string, Word>, hint: Hint | null): Entry[] {
  const names = new Set([source.upstreamTopic, ...(hint?.confirmed.get(source.edgeTopic)?.upstreamTopics ?? [])])
  return [...names].flatMap((name) => (words.get(name)?.entries ?? []).filter(({ branch }) => branch.nextOffsets.has(source.edgeTopic)))
}

/** `said` as far as it speaks of events of ours: what either side wrote after the last common start is not meant. */
export function limited({ store }: ResumeContext, partition: Partition, said: number, limit: Limit): number {
  const { after } = limit
  const ours = after === null || after >= store.incarnation ? null : partition.firstOffsetAfter(after)
  return Math.min(said, ours ?? partition.highWatermark, commonEnd(partition, limit)?.offset ?? Number.POSITIVE_INFINITY)
}

/**
 * Where the writer of the position ended what it shares with us, when it had more starts: a copy of a running disk is a copy of the middle of
 * a start. null: it wrote nothing here after the common part. When it does not say any more, nothing of the common start counts as common.
 */
export function commonEnd(partition: Partition, { after, theirs }: Limit): { offset: number; isKnown: boolean } | null {
  if (theirs === null || after === null) return null
  const { topicName, partitionIndex } = partition
  const later = theirs.list.filter(
    (entry) => entry.edgeTopic === topicName && entry.partitionIndex === partitionIndex && entry.incarnation > after
  )
  const offset = Math.min(...later.map((entry) => entry.startOffset))
  if (theirs.knownFrom <= after + 1) return Number.isFinite(offset) ? { offset, isKnown: true } : null
  const began = partition.beginningsSince(after)[0]?.startOffset
  return began === undefined ? null : { offset: Math.min(began, offset), isKnown: false }
}
