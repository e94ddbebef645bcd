// Which offsets the centre claims to have of this log: the positions of upstream topics are read and compared with the starts of this disk. A
// position that names starts which this disk does not know was written by a disk with another history: a claim counts only for events that were
// written up to the last common start.
// Not for: what follows from it (find-positions.ts), the text of a position (position.ts).

import type { Start } from '../log/lineage.ts'
import type { DeliveryNotes } from './delivery-notes.ts'
import type { Forks } from './forks.ts'
import type { KnownPartition } from './known-partitions.ts'
import { type Beginnings, type Branch, decodePosition, pieceCountOf } from './position.ts'
import type { PositionContext } from './position-context.ts'
import type { Source } from './source.ts'
import { type Upstream, UpstreamFault } from './upstream.ts'

/** How a position names a start that drew no id. */
export const UNKNOWN_ID = '000000'

/** The position of one upstream topic, as the centre has it. */
export interface TopicPosition {
  /** Everything that its position holds. */
  readonly branches: readonly Branch[]
  /** Its branches of this log. */
  readonly claims: readonly Claim[]
}

/** Next offsets of edge topics, as far as a writer had come, and which of them count for this disk. */
export interface Claim {
  readonly branch: Branch
  readonly limit: Limit
}

/** A claim counts only for events that the start `after` and those before it wrote. null: for all. */
export interface Limit {
  readonly after: number | null
  /** The writer had starts after `after` that this disk does not have. */
  readonly isFork: boolean
  /** Where the writer's starts after `after` began: what `after` itself wrote is common up to there. null: it had none. */
  readonly theirs: Beginnings | null
}

/** Of every upstream topic that is delivered to, or was. */
export async function readTopicPositions(context: PositionContext, sources: readonly Source[]): Promise<Map<string, TopicPosition>> {
  const names = new Set(sources.map((source) => source.upstreamTopic))
  const committed = await fetchPieces(context.upstream, names)
  const former = new Set<string>()
  for (const source of sources) {
    for (const { upstreamTopic } of context.notes?.confirmed.get(source.edgeTopic)?.places ?? [])
      if (!names.has(upstreamTopic)) former.add(upstreamTopic)
  }
  for (const [name, pieces] of await fetchFormer(context.upstream, former)) committed.set(name, pieces)
  return new Map([...names, ...former].map((name) => [name, topicPositionOf(context, name, committed.get(name) ?? [])]))
}

/** Rights on a topic that is not delivered to any more are not required: one that is refused is left out, and the delivery notes are used. */
async function fetchFormer(upstream: Upstream, former: ReadonlySet<string>): Promise<Map<string, readonly string[]>> {
  for (let asked = former; asked.size > 0; ) {
    try {
      return await fetchPieces(upstream, asked)
    } catch (error) {
      if (!(error instanceof UpstreamFault) || error.kind !== 'refused') throw error
      const left = [...asked].filter((name) => !error.topics.has(name))
      if (left.length === asked.size) break
      asked = new Set(left)
    }
  }
  return new Map()
}

async function fetchPieces(upstream: Upstream, names: ReadonlySet<string>): Promise<Map<string, readonly string[]>> {
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

function topicPositionOf(context: PositionContext, upstreamTopic: string, pieces: readonly string[]): TopicPosition {
  const { store, notices } = context
  if (pieces.length === 0) return { branches: [], claims: [] }
  const branches = decodePosition(pieces)
  if (branches === null) {
    const text = `The position at the centre for ${upstreamTopic} was not written by this version of Wadi; it is not used.`
    notices.add('other-log', text, { upstreamTopic })
    return { branches: [], claims: [] }
  }
  const own = branches.filter(({ logId }) => logId === store.logId)
  const [other] = branches
  if (own.length === 0 && other) {
    const text = `The position at the centre for ${upstreamTopic} is of another log (${other.logId}); this log starts with what it has.`
    notices.add('other-log', text, { upstreamTopic, otherLogId: other.logId })
  }
  return { branches, claims: own.map((branch) => ({ branch, limit: limitOf(context, branch) })) }
}

/** The claims of the branch that this disk goes on from: where they exceed what this disk has, it has forked. They are others after each fork. */
export function evidenceIn(positions: ReadonlyMap<string, TopicPosition>, forks: Forks): ReadonlySet<Claim> {
  const evidence = new Set<Claim>()
  for (const { claims } of positions.values()) {
    const ids = evidenceIds(
      claims.map(({ branch }) => branch),
      forks
    )
    for (const claim of claims) if (ids.includes(claim.branch.branchId)) evidence.add(claim)
  }
  return evidence
}

/** Our own branch; when it has no claim yet the branches that it came from; when they have none either, all of this log. */
function evidenceIds(own: readonly Branch[], forks: Forks): string[] {
  const ids = own.map(({ branchId }) => branchId)
  if (ids.includes(forks.branchId)) return [forks.branchId]
  const line = ['', ...forks.list.map(({ branchId }) => branchId)].filter((branchId) => ids.includes(branchId))
  return line.length > 0 ? line : ids
}

/** Up to which of our starts the writer of `branch` has the same history. */
function limitOf({ store, notes, notices }: PositionContext, { starts, beginnings }: Branch): Limit {
  const ours = store.starts
  const common = commonStart(ours, starts)
  if (common === null) {
    const after = notes?.incarnation ?? 0
    notices.add('undecided', `The centre knows none of the starts of this disk: what was written after start ${after} counts as new.`, {
      after
    })
    return { after, isFork: true, theirs: null }
  }
  if (!common.isNewest) return { after: common.incarnation, isFork: true, theirs: beginnings }
  return { after: common.incarnation === store.incarnation ? null : common.incarnation, isFork: false, theirs: null }
}

/** The newest of their starts that is ours too; isNewest: they have none after it. A start without id is compared by its number, up to the last of ours without one. */
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

/** The claims on the source's edge topic: in the position of its upstream topic, and of those it was delivered to before. */
export function claimsFor(source: Source, positions: ReadonlyMap<string, TopicPosition>, notes: DeliveryNotes | null): Claim[] {
  const before = notes?.confirmed.get(source.edgeTopic)?.places ?? []
  const names = new Set([source.upstreamTopic, ...before.map(({ upstreamTopic }) => upstreamTopic)])
  return [...names].flatMap((name) => (positions.get(name)?.claims ?? []).filter(({ branch }) => branch.nextOffsets.has(source.edgeTopic)))
}

/** The part of `claimed` that counts for `partition`: what either side wrote after the last common start does not. */
export function withinLimit({ store }: PositionContext, partition: KnownPartition, claimed: number, limit: Limit): number {
  const { after } = limit
  const ours = after === null || after >= store.incarnation ? null : partition.firstOffsetAfter(after)
  return Math.min(claimed, ours ?? partition.highWatermark, commonEnd(partition, limit)?.offset ?? Number.POSITIVE_INFINITY)
}

/**
 * Where the writer of the position ended what it shares with us, when it had more starts: a copy of a running disk is a copy of the middle of
 * a start. null: it wrote nothing here after the common part. When the position does not list it any more, nothing of the common start counts as common.
 */
export function commonEnd(partition: KnownPartition, { after, theirs }: Limit): { offset: number; isKnown: boolean } | null {
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
