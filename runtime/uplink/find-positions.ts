// The position of every source after a start or a fault: the first offset that the centre does not have. The centre's position wins; the delivery
// notes are used only where the centre has none.
//
//   the centre has our branch           → there, whatever is noted
//   it has a branch that bears the id
//   of a start of ours                  → there, and what follows is of that branch: a copy of this disk has noted its fork, and this one has not
//   it has the branch we came from      → there, but not further than where we branched
//   it has a start that this disk lacks → an older image of this disk was put back: common is what was written up to the last start that both
//                                         know, and in that up to where the first of them ended it; everything after it is new here, and is a
//                                         branch of its own from now on (forks.ts)
//   the edge topic was moved            → the furthest of what the positions of its upstream topics claim, the present one and those before
//   it was delivered under another
//   gateway id, perhaps (the notes say
//   it, or the centre: former-ids.ts)   → as if the centre had nothing: its positions belong to that id; what ours says is older, and the least
//   it has nothing for an edge topic, or
//   only of a place it was moved from   → the notes; what may have been delivered after them is looked for in the centre itself (noted-offsets.ts);
//                                         nothing noted → log start
// A position below the log start means that events are gone: they are counted (holes.ts).
// Not for: sending (uplink.ts), writing positions (transaction-positions.ts).

import { toOffset } from '../base/offset.ts'
import {
  type Claim,
  claimsFor,
  commonEnd,
  evidenceIn,
  readTopicPositions,
  type TopicPosition,
  UNKNOWN_ID,
  withinLimit
} from './claimed-offsets.ts'
import { type DeliveryNotes, noNotes, notedOffset, otherIds } from './delivery-notes.ts'
import { cutKey } from './forks.ts'
import { hasUnknownId, withFormerIds } from './former-ids.ts'
import { skipHole } from './holes.ts'
import { type KnownPartition, knownPartitions } from './known-partitions.ts'
import { findNotedOffsets, noteUndecided } from './noted-offsets.ts'
import { type Branch, CARRIED_MAX } from './position.ts'
import type { PositionContext } from './position-context.ts'
import type { Source } from './source.ts'
import { type FoundFork, forksOfClaims } from './unnoted-forks.ts'

/** What stands in the position of an upstream topic beside our sources: it is written again with every transaction. */
export interface Carried {
  /** Edge topics that are not delivered there any more. */
  readonly own: ReadonlyMap<string, readonly number[]>
  /** Other branches and other logs. */
  readonly others: readonly Branch[]
}

export interface FoundPositions {
  /** By upstream topic. */
  readonly carried: ReadonlyMap<string, Carried>
  /** Those of the context, with the gateway ids that the centre told. */
  readonly notes: DeliveryNotes | null
}

/** Sets every source to its position. @throws UpstreamFault; WadiError when a fork cannot be made durable */
export async function findPositions(known: PositionContext, sources: readonly Source[]): Promise<FoundPositions> {
  const { forks } = known
  const positions = await readTopicPositions(known, sources)
  const claimed = sources.flatMap((source) => {
    const next = furthestClaim(known, source, claimsFor(source, positions, known.notes))
    return next === null || source.isPlaced ? [] : { source, claimed: next }
  })
  const notes = await withFormerIds(known, claimed)
  const context = { ...known, notes }
  const places = new Map<Source, { next: number; isFromCentre: boolean }>()
  const unclaimed: Source[] = []
  const stale = new Map<Source, number>()
  for (const source of sources) {
    const next = furthestClaim(context, source, claimsFor(source, positions, notes))
    if (next !== null && hasPositionOfLastPlace(source, positions, context)) {
      places.set(source, { next, isFromCentre: true })
      continue
    }
    stale.set(source, next ?? 0)
    // What this process delivered itself needs no notes and no looking back.
    if (source.isPlaced && !source.isInDoubt) places.set(source, { next: source.confirmed, isFromCentre: false })
    else unclaimed.push(source)
  }
  noteRename(context, sources)
  const noted = unclaimed.length > 0 ? await findNotedOffsets(context, notes ?? noNotes, unclaimed) : null
  for (const [source, next] of noted?.next ?? []) places.set(source, { next, isFromCentre: false })
  await branchOffAll(context, { positions, sources, ofEvents: noted?.forks ?? [] })
  for (const source of sources) {
    source.forks = forks
    const { next, isFromCentre } = places.get(source) ?? { next: 0, isFromCentre: false }
    place(context, source, { next: Math.max(next, stale.get(source) ?? 0), isFromCentre })
  }
  const carried = new Map<string, Carried>()
  for (const [upstreamTopic, position] of positions) carried.set(upstreamTopic, carriedOf(context, upstreamTopic, position, sources))
  return { carried, notes }
}

/** The furthest offset that `claims` give for the source, within their limits; null when there is no claim. */
function furthestClaim(context: PositionContext, { edgeTopic, partition }: Source, claims: readonly Claim[]): number | null {
  let next: number | null = null
  for (const { branch, limit } of claims) {
    const claimed = branch.nextOffsets.get(edgeTopic)?.[partition.partitionIndex] ?? 0
    next = Math.max(next ?? 0, withinLimit(context, partition, claimed, limit))
  }
  return next
}

/**
 * An edge topic that was moved has positions on several upstream topics, and one that was delivered under another gateway id has them in another
 * group. When the centre has forgotten that of a place where it may have been delivered last, or it is in another group, the others are older than
 * what is delivered. A start notes a new place before it delivers there: where that has no position, it never got one, or it was forgotten.
 */
function hasPositionOfLastPlace(
  { edgeTopic }: Source,
  positions: ReadonlyMap<string, TopicPosition>,
  { notes, gatewayId }: Pick<PositionContext, 'notes' | 'gatewayId'>
): boolean {
  if (otherIds(notes, edgeTopic, gatewayId).length > 0) return false
  const places = notes?.confirmed.get(edgeTopic)?.places ?? []
  const hasClaim = (upstreamTopic: string): boolean =>
    (positions.get(upstreamTopic)?.claims ?? []).some(({ branch }) => branch.nextOffsets.has(edgeTopic))
  return places.every(({ upstreamTopic }) => hasClaim(upstreamTopic))
}

/** Once in a start, and at each until something is delivered under the new id. */
function noteRename({ notes, gatewayId, notices }: PositionContext, sources: readonly Source[]): void {
  const unplaced = sources.filter((source) => !source.isPlaced)
  const former = new Set(unplaced.flatMap(({ edgeTopic }) => otherIds(notes, edgeTopic, gatewayId)))
  if (former.size === 0) return
  const text = `gateway.id is ${gatewayId} now, and was ${[...former].join(', ')} when something was delivered last: how far that came is looked up in the delivery notes and at the centre; events that are sent from now on carry the new id.`
  notices.add('renamed', text, { gatewayId, former: [...former].join(',') })
}

/** All next offsets of `branch`, also of topics that are not delivered now; `partition` is null where this disk never had one. */
function* offsetsIn({ store }: PositionContext, { nextOffsets }: Branch): Generator<{ partition: KnownPartition | null; claimed: number }> {
  for (const [edgeTopic, offsets] of nextOffsets) {
    const partitions = knownPartitions(store, edgeTopic)
    for (const [index, claimed] of offsets.entries()) yield { partition: partitions[index] ?? null, claimed }
  }
}

/** Forks that `evidence` shows: the last incarnation before each. */
function forksIn(context: PositionContext, evidence: Iterable<Claim>): number[] {
  const found: number[] = []
  for (const { branch, limit } of evidence) {
    if (limit.after === null) continue
    const isBehind = ({ partition, claimed }: { partition: KnownPartition | null; claimed: number }): boolean =>
      (partition === null ? 0 : withinLimit(context, partition, claimed, limit)) < claimed
    if (limit.isFork || [...offsetsIn(context, branch)].some(isBehind)) found.push(limit.after)
  }
  return found
}

/**
 * The earliest fork is made first. The branch that begins there may be at the centre already, further than we are: this disk was copied before it had
 * noted the fork, and the original went on. Then there is another one behind it. One that is noted already may cut more partitions: their topics were
 * left out then.
 */
async function branchOffAll(
  context: PositionContext,
  {
    positions,
    sources,
    ofEvents
  }: { positions: ReadonlyMap<string, TopicPosition>; sources: readonly Source[]; ofEvents: readonly FoundFork[] }
): Promise<void> {
  const { forks } = context
  const tried = new Set<number>()
  for (;;) {
    const evidence = evidenceIn(positions, forks)
    const found = [...ofEvents, ...forksOfClaims(context, evidence)]
    const isNew = (after: number): boolean => !tried.has(after)
    const after = Math.min(...[...found.map((fork) => fork.after), ...forksIn(context, evidence)].filter(isNew))
    if (after === Number.POSITIVE_INFINITY) return
    tried.add(after)
    const cuts = Object.assign({}, ...found.map((fork) => (fork.after === after ? fork.cuts : {}))) as Record<string, number>
    await branchOff(context, after, { sources, evidence, cuts })
  }
}

/** Sets `source` to its noted offset: for the status before the first connection, nothing more. */
export function placeByNotes(source: Source, notes: DeliveryNotes | null): void {
  source.reset(Math.min(Math.max(notedOffset(notes, source), source.partition.logStartOffset), source.partition.highWatermark))
}

/** From now on what was written after `after` is a branch of its own. Durable before anything of it leaves. */
async function branchOff(
  context: PositionContext,
  after: number,
  { sources, evidence, cuts }: { sources: readonly Source[]; evidence: Iterable<Claim>; cuts: Record<string, number> }
): Promise<void> {
  const { store, forks, counters, notices } = context
  // The branch bears the id of the first start behind it: this one, whose entry the disk may have had no room for.
  if (store.starts.at(-1)?.incarnation !== store.incarnation) await store.commit([], [])
  const first = store.starts.find(({ incarnation }) => incarnation > after) ?? store.starts.at(-1)
  const branchId = first?.id || store.starts.at(-1)?.id || UNKNOWN_ID
  const noted = forks.list.find((fork) => fork.after === after)
  if (!noted && forks.list.some((fork) => fork.branchId === branchId)) return
  const delivered = new Set<KnownPartition>(sources.map(({ partition }) => partition))
  let undecided = 0
  for (const { branch, limit } of evidence) {
    if (limit.after !== after) continue
    for (const { partition } of offsetsIn(context, branch)) {
      const end = partition && commonEnd(partition, limit)
      if (!end) continue
      const key = cutKey(partition)
      const ourEnd = partition.firstOffsetAfter(after)
      if (end.offset < (ourEnd ?? Number.POSITIVE_INFINITY)) cuts[key] = Math.min(end.offset, cuts[key] ?? Number.POSITIVE_INFINITY)
      if (!end.isKnown && delivered.has(partition)) undecided += Math.max(0, (ourEnd ?? partition.highWatermark) - end.offset)
    }
  }
  const isCutAnew = Object.keys(cuts).some((key) => noted?.cuts?.[key] === undefined)
  if (noted && !isCutAnew) return
  const fork = noted ? { ...noted, cuts: { ...cuts, ...noted.cuts } } : { branchId, after, cuts }
  await store.commit([], [forks.changeFor(fork)])
  forks.add(fork)
  if (undecided > 0) noteUndecided(context, undecided)
  if (noted) return
  counters.forks++
  const text = `The centre knows more of this log than this disk: an older image was put back, a copy is in use, or this disk lost what it had stored (then its start reported damage). Common is what was written up to start ${after}; everything after it is delivered as branch ${branchId}.`
  notices.add('forked', text, { after, branchId })
}

function carriedOf(
  context: PositionContext,
  upstreamTopic: string,
  { branches, claims }: TopicPosition,
  sources: readonly Source[]
): Carried {
  const { store, forks } = context
  const delivered = new Set(sources.filter((source) => source.upstreamTopic === upstreamTopic).map((source) => source.edgeTopic))
  const own = new Map<string, number[]>()
  for (const { branch, limit } of claims) {
    for (const [edgeTopic, offsets] of branch.nextOffsets) {
      if (delivered.has(edgeTopic)) continue
      const partitions = knownPartitions(store, edgeTopic)
      // Of a topic that never was here nothing tells which events of another branch are ours: made here, it would begin in front of what that delivered.
      if (partitions.length === 0 && branch.branchId !== forks.branchId) continue
      const next = own.get(edgeTopic) ?? []
      own.set(edgeTopic, next)
      for (const [index, claimed] of offsets.entries()) {
        const partition = partitions[index]
        next[index] = Math.max(next[index] ?? 0, partition ? withinLimit(context, partition, claimed, limit) : claimed)
      }
    }
  }
  const others = branches.filter(({ logId, branchId }) => logId !== store.logId || branchId !== forks.branchId)
  return { own, others: others.slice(0, CARRIED_MAX) }
}

// -- The sources

function place(context: PositionContext, source: Source, { next, isFromCentre }: { next: number; isFromCentre: boolean }): void {
  const { store, counters, notices, notes } = context
  const { partition } = source
  const noted = notedOffset(notes, source)
  if (isFromCentre && next < noted) {
    const why = hasUnknownId(notes, source.edgeTopic)
      ? 'it has lost part of what it had, or gateway.id was another then'
      : 'it has lost part of what it had'
    const text = `${source.key}: the centre is at ${next} and had confirmed ${noted}: ${why}. We go on from ${next}.`
    notices.add('went-back', text, { partition: source.key, centre: next, noted })
  }
  if (source.isPlaced && next > source.confirmed) {
    // A commit whose answer was lost.
    counters.deliveredEvents += next - source.confirmed
    counters.resolvedCommits++
  }
  source.reset(next)
  source.isPlaced = true
  skipHole(source, context)
  store.setDelivered(partition, toOffset(next))
}
