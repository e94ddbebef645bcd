// Positions of sources for which the centre has none: from the delivery notes (delivery-notes.ts), and from what the partitions of the centre hold
// behind them (look-back.ts). Not for: sources that the centre has a position of (find-positions.ts).

import { type Limit, withinLimit } from './claimed-offsets.ts'
import { type Confirmed, type DeliveryNotes, notedOffset } from './delivery-notes.ts'
import { type Found, foundKey, lookBack } from './look-back.ts'
import type { PositionContext } from './position-context.ts'
import { EventsOfBranches } from './same-events.ts'
import type { Source } from './source.ts'
import { type FoundFork, forkAt, forksOfOthers, type SharedWithOthers } from './unnoted-forks.ts'
import { UpstreamFault, type UpstreamTopic } from './upstream.ts'
import { isTopicId } from './upstream-topics.ts'

/** The limit of our own notes: what the start `after` and those before it wrote. */
function writtenUpTo(after: number): Limit {
  return { after, isFork: true, theirs: null }
}

export interface NotedOffsets {
  readonly next: ReadonlyMap<Source, number>
  /** That the centre shows, by what it holds; any order. */
  readonly forks: readonly FoundFork[]
}

/** Positions of `sources` by the notes and by what the centre holds behind them. @throws UpstreamFault, WadiError, DiskError */
export async function findNotedOffsets(context: PositionContext, notes: DeliveryNotes, sources: readonly Source[]): Promise<NotedOffsets> {
  const result = new Map<Source, number>()
  const found: FoundFork[] = []
  const doubtful: { source: Source; confirmed: number; end: number; isOpen: boolean; isDamaged: boolean; incarnation: number }[] = []
  for (const source of sources) {
    // The note travels behind what this process has seen confirmed.
    const noted = Math.max(notedOffset(notes, source), source.isPlaced ? source.confirmed : 0)
    const { incarnation, isClosed, isDamaged } = lastDelivery(context, notes, source)
    // What was written after the start that noted the topic cannot have been delivered by us: each start notes a topic before it delivers it.
    const end = withinLimit(context, source.partition, source.partition.highWatermark, writtenUpTo(incarnation))
    const confirmed = Math.min(noted, end)
    // After a clean end nothing is open, but this disk may be an image from before later starts: what those delivered is looked for behind the notes.
    const isOpen = !isClosed && noted < end
    if (isOpen || noted > 0 || isDamaged) doubtful.push({ source, confirmed, end, isOpen, isDamaged, incarnation })
    else result.set(source, confirmed)
  }
  const seenIn = new Map<string, Found>()
  for (const name of new Set(doubtful.map(({ source }) => deliveredTo(source, notes)))) {
    const there = doubtful.flatMap(({ source }) => (deliveredTo(source, notes) === name ? source : []))
    seenIn.set(name, await lookThrough(context, notes, name, there))
  }
  let undecided = 0
  const shared: SharedWithOthers[] = []
  for (const { source, confirmed, end, isOpen, isDamaged, incarnation } of doubtful) {
    const seen = seenIn.get(deliveredTo(source, notes)) as Found
    let next = Math.max(confirmed, endOfKnownBranches(context, source, seen, end))
    // Offsets that damage took with their events are given again: as a branch, or the centre would have two events of one name. What was noted may lie in front of
    // the batches that are looked through.
    const isNotedLost = !source.isPlaced && notedOffset(notes, source) > end
    if (isNotedLost || next > end || (isDamaged && !seen.isComplete)) found.push({ after: incarnation, cuts: {} })
    next = Math.min(next, end)
    const own = next > confirmed ? await seen.ofOurs.commonWith(source, confirmed) : null
    if (own?.isApart && own.next < next) {
      next = own.next
      found.push(forkAt(source, next))
    }
    const common = await seen.ofOthers.commonWith(source, next)
    if (common) {
      const until = Math.min(source.partition.highWatermark, 1 + Math.max(...[...common.branches.values()].map(({ greatest }) => greatest)))
      if (!common.isComplete) undecided += Math.max(0, until - common.next)
      shared.push({ source, common, isSame: common.next > next })
      next = common.next
    }
    if (!seen.isComplete && isOpen) undecided += Math.max(0, end - next)
    result.set(source, next)
  }
  if (undecided > 0) noteUndecided(context, undecided)
  return { next: result, forks: [...found, ...forksOfOthers(context, shared)] }
}

/**
 * The start that delivered the edge topic last, as far as is noted, and whether it may have delivered more. When damage was found since (isDamaged), it may have
 * delivered what is not here any more; and where there is no note of the topic, that may be gone too.
 */
function lastDelivery(
  { store }: PositionContext,
  notes: DeliveryNotes,
  { edgeTopic }: Source
): Pick<Confirmed, 'incarnation' | 'isClosed'> & { isDamaged: boolean } {
  const { lastDamagedStart } = store
  const noted = notes.confirmed.get(edgeTopic)
  const { incarnation, isClosed } = noted ?? notes
  const isDamaged = lastDamagedStart > incarnation
  if (isDamaged && !noted) return { incarnation: lastDamagedStart - 1, isClosed: false, isDamaged }
  return { incarnation, isClosed, isDamaged }
}

/** Where the events of branches that this disk knows end at the centre; behind `end` when some of them are not ours. */
function endOfKnownBranches({ forks }: PositionContext, { key, partition }: Source, seen: Found, end: number): number {
  let next = 0
  for (const branchId of seen.knownBranches) {
    const greatest = seen.greatest.get(foundKey(branchId, key)) ?? -1
    const { from, until } = forks.spanOf(partition, branchId)
    // Behind `until` its events are not those that we have there.
    if (greatest >= Math.min(from, end)) next = Math.max(next, Math.min(greatest + 1, until ?? Number.POSITIVE_INFINITY))
  }
  return next
}

function deliveredTo(source: Source, notes: DeliveryNotes): string {
  return notes.confirmed.get(source.edgeTopic)?.places[0]?.upstreamTopic ?? source.upstreamTopic
}

async function lookThrough(context: PositionContext, notes: DeliveryNotes, topicName: string, sources: readonly Source[]): Promise<Found> {
  const edgeTopics = new Set(sources.map(({ edgeTopic }) => edgeTopic))
  const { upstream, core, codec, store, forks } = context
  const partitions = new Map(sources.map(({ key, partition }) => [key, partition]))
  const found: Found = {
    knownBranches: new Set(['', ...forks.list.map(({ branchId }) => branchId)]),
    isOfOurBranch: ({ sourceKey, offset, branchId }) => {
      const partition = partitions.get(sourceKey)
      return partition !== undefined && forks.at(partition, offset).branchId === branchId
    },
    ofOurs: new EventsOfBranches(context, sources),
    ofOthers: new EventsOfBranches(context, sources),
    greatest: new Map(),
    isComplete: true
  }
  const topic = await describedOrNull(context, topicName)
  const written = [...edgeTopics].map((edgeTopic) => notes.written.get(edgeTopic))
  const isMadeAnew = written.some(
    (entry) => entry && entry.topicId !== '' && isTopicId(topic?.topicId ?? '') && entry.topicId !== topic?.topicId
  )
  const gatewayIds = idsOf(context, notes, edgeTopics)
  // Gone, forbidden, or made anew: what was there cannot be read.
  if (!topic || isMadeAnew) return { ...found, isComplete: false }
  for (let partitionIndex = 0; partitionIndex < topic.partitionCount; partitionIndex++) {
    const noted = (entry: (typeof written)[number]): number =>
      entry?.upstreamTopic === topicName ? (entry.baseOffsets.get(partitionIndex) ?? 0) : 0
    const fromOffset = Math.min(...written.map(noted))
    try {
      await lookBack({ upstream, core, codec, logId: store.logId, gatewayIds }, { topicName, partitionIndex, fromOffset }, found)
    } catch (error) {
      // Rights to read are not needed otherwise, and other topics do not wait for them: what may have been delivered is sent again, and counted.
      if (!(error instanceof UpstreamFault) || error.kind !== 'refused') throw error
      return { ...found, isComplete: false }
    }
  }
  return found
}

/** The ids under which any of `edgeTopics` may have been delivered; null when notes of an older version do not say. */
function idsOf({ gatewayId }: PositionContext, notes: DeliveryNotes, edgeTopics: ReadonlySet<string>): ReadonlySet<string> | null {
  const noted = [...edgeTopics].flatMap((edgeTopic) => notes.confirmed.get(edgeTopic)?.places ?? [{ upstreamTopic: '', gatewayId: '' }])
  const ids = noted.map((place) => place.gatewayId)
  return ids.includes('') || ids.length === 0 ? null : new Set([gatewayId, ...ids])
}

/** A topic that is not delivered to any more may be gone, or not ours to read. */
export async function describedOrNull({ topics, upstream }: PositionContext, topicName: string): Promise<UpstreamTopic | null> {
  const known = topics.get(topicName)
  if (known) return known
  try {
    return (await upstream.describeTopics([topicName], { createPartitionCount: null }))[0] ?? null
  } catch (error) {
    if (!(error instanceof UpstreamFault) || error.kind !== 'refused') throw error
    return null
  }
}

/** Events that are sent again because it is not known any more whether they arrived: counted, with a notice. */
export function noteUndecided({ counters, notices }: Pick<PositionContext, 'counters' | 'notices'>, events: number): void {
  counters.undecidedEvents += events
  const text = `The centre cannot say any more whether it took the last ${events} events: they are sent again.`
  notices.add('undecided', text, { events })
}
