// Where to go on after a start or any uncertainty. The centre's position wins; the local notes are asked only where the centre has none.
//
//   the centre has our branch           → there, whatever the notes say
//   it has the line we branched from    → there, but not further than where we branched
//   it has a start that we do not know  → an older image of this disk was put back: common is what was written up to the last start that both
//                                         know, and in that up to where the first of them ended it; everything after it is new here, and is a
//                                         branch of its own from now on (forks.ts)
//   the edge topic was moved            → the furthest of what the positions of its upstream topics say, the present one and those before
//   it has nothing for an edge topic, or
//   only of a place it was moved from   → the notes; what may have been delivered after them is looked for in the centre itself (noted-places.ts);
//                                         nothing noted → log start
// A position below our log start means retention was faster: the hole is counted.
// Not for: sending, writing positions (uplink.ts).

import { toOffset } from '../base/offset.ts'
import type { Partition } from '../log/contract.ts'
import { commonEnd, type Entry, entriesFor, evidenceIn, limited, readWords, UNKNOWN_ID, type Word } from './centre-words.ts'
import type { Forks } from './forks.ts'
import { type Hint, notedOffset } from './hint.ts'
import { skipHole } from './holes.ts'
import { fromHint, noteUndecided } from './noted-places.ts'
import { type Branch, CARRIED_MAX } from './position.ts'
import type { ResumeContext } from './resume-context.ts'
import type { Source } from './source.ts'

/** What stands in the position of an upstream topic beside our sources: it is written again with every transaction. */
export interface Carried {
  /** Edge topics that are not delivered there any more. */
  readonly own: ReadonlyMap<string, readonly number[]>
  /** Other branches and other logs. */
  readonly others: readonly Branch[]
}

/** Sets every source to where the centre is. Returns what to carry, by upstream topic. @throws UpstreamFault; WadiError when a fork cannot be made durable */
export async function resume(context: ResumeContext, sources: readonly Source[]): Promise<Map<string, Carried>> {
  const { hint, forks } = context
  const words = await readWords(context, sources)
  const places = new Map<Source, { next: number; isCentresWord: boolean }>()
  const silent: Source[] = []
  const stale = new Map<Source, number>()
  for (const source of sources) {
    const next = toldBy(context, source, entriesFor(source, words, hint))
    const isLatest = isHeardOfLastPlace(source, words, hint)
    if (next !== null && !isLatest) stale.set(source, next)
    // What this process was told by the centre needs no notes and no looking back.
    if (next !== null && isLatest) places.set(source, { next, isCentresWord: true })
    else if (source.isPlaced && !context.isCommitOpen) places.set(source, { next: source.confirmed, isCentresWord: false })
    else silent.push(source)
  }
  const found: number[] = []
  if (silent.length > 0 && hint) {
    for (const [source, { next, forkAfter }] of await fromHint(context, hint, silent)) {
      places.set(source, { next, isCentresWord: false })
      if (forkAfter !== null && !isKnownFork(forks, forkAfter)) found.push(forkAfter)
    }
  }
  await branchOffAll(context, { words, sources, found })
  for (const source of sources) {
    source.forks = forks
    const { next, isCentresWord } = places.get(source) ?? { next: 0, isCentresWord: false }
    place(context, source, { next: Math.max(next, stale.get(source) ?? 0), isCentresWord })
  }
  const carried = new Map<string, Carried>()
  for (const [upstreamTopic, word] of words) carried.set(upstreamTopic, carriedOf(context, upstreamTopic, word, sources))
  return carried
}

/** The furthest of what the centre says about `source`; null when it says nothing. */
function toldBy(context: ResumeContext, { edgeTopic, partition }: Source, entries: readonly Entry[]): number | null {
  let next: number | null = null
  for (const { branch, limit } of entries) {
    const said = branch.nextOffsets.get(edgeTopic)?.[partition.partitionIndex] ?? 0
    next = Math.max(next ?? 0, limited(context, partition, said, limit))
  }
  return next
}

/**
 * Where an edge topic was delivered before it was moved, the centre says how far it had come there. When the centre has forgotten the position of the
 * place where it was delivered last, that is no word on where it is now.
 */
function isHeardOfLastPlace({ edgeTopic }: Source, words: ReadonlyMap<string, Word>, hint: Hint | null): boolean {
  const lastPlace = hint?.confirmed.get(edgeTopic)?.upstreamTopics.at(-1)
  return lastPlace === undefined || (words.get(lastPlace)?.entries ?? []).some(({ branch }) => branch.nextOffsets.has(edgeTopic))
}

/** Everything that `branch` says of this log, also of topics that are not delivered now; `partition` is null where this disk has none. */
function* saidIn({ store }: ResumeContext, { nextOffsets }: Branch): Generator<{ partition: Partition | null; said: number }> {
  for (const [edgeTopic, offsets] of nextOffsets) {
    const partitions = store.topics.get(edgeTopic)?.partitions ?? []
    for (const [index, said] of offsets.entries()) yield { partition: partitions[index] ?? null, said }
  }
}

const isKnownFork = (forks: Forks, after: number): boolean => forks.list.some((fork) => fork.after === after)

/** What the evidence knows and this disk does not: the last incarnation before each; forks that are known left out. */
function forksTold(context: ResumeContext, evidence: Iterable<Entry>): number[] {
  const found: number[] = []
  for (const { branch, limit } of evidence) {
    if (limit.after === null || isKnownFork(context.forks, limit.after)) continue
    const isBehind = ({ partition, said }: { partition: Partition | null; said: number }): boolean =>
      (partition === null ? 0 : limited(context, partition, said, limit)) < said
    if (limit.isFork || [...saidIn(context, branch)].some(isBehind)) found.push(limit.after)
  }
  return found
}

/**
 * The earliest fork is made first. The branch that begins there may be at the centre already, further than we are: this disk was copied before it had
 * noted the fork, and the original went on. Then there is another one behind it.
 */
async function branchOffAll(
  context: ResumeContext,
  { words, sources, found }: { words: ReadonlyMap<string, Word>; sources: readonly Source[]; found: readonly number[] }
): Promise<void> {
  const tried = new Set<number>()
  let evidence = evidenceIn(words, context.forks)
  let next = [...found, ...forksTold(context, evidence)]
  while (next.length > 0) {
    const after = Math.min(...next)
    if (tried.has(after)) return
    tried.add(after)
    await branchOff(context, after, { sources, evidence })
    evidence = evidenceIn(words, context.forks)
    next = forksTold(context, evidence)
  }
}

/** The hint's word on `source`: for the status before the centre was heard, nothing more. */
export function placeByHint(source: Source, hint: Hint | null): void {
  source.reset(Math.min(Math.max(notedOffset(hint, source), source.partition.logStartOffset), source.partition.highWatermark))
}

/** From now on what was written after `after` is a branch of its own. Durable before anything of it leaves. */
async function branchOff(
  context: ResumeContext,
  after: number,
  { sources, evidence }: { sources: readonly Source[]; evidence: Iterable<Entry> }
): Promise<void> {
  const { store, forks, counters, notices } = context
  const first = store.starts.find(({ incarnation }) => incarnation > after) ?? store.starts.at(-1)
  const branchId = first?.id || store.starts.at(-1)?.id || UNKNOWN_ID
  if (forks.list.some((fork) => fork.branchId === branchId)) return
  const delivered = new Set(sources.map(({ partition }) => partition))
  const cuts: Record<string, number> = {}
  let undecided = 0
  for (const { branch, limit } of evidence) {
    if (limit.after !== after) continue
    for (const { partition } of saidIn(context, branch)) {
      const end = partition && commonEnd(partition, limit)
      if (!end) continue
      const key = `${partition.topicName}/${partition.partitionIndex}`
      const ourEnd = partition.firstOffsetAfter(after)
      if (end.offset < (ourEnd ?? Number.POSITIVE_INFINITY)) cuts[key] = Math.min(end.offset, cuts[key] ?? Number.POSITIVE_INFINITY)
      if (!end.isKnown && delivered.has(partition)) undecided += Math.max(0, (ourEnd ?? partition.highWatermark) - end.offset)
    }
  }
  const fork = { branchId, after, cuts }
  await store.commit([], [forks.changeFor(fork)])
  forks.add(fork)
  counters.forks++
  const text = `The centre knows more of this log than this disk: an older image was put back, a copy is in use, or this disk lost what it had stored (then its start reported damage). Common is what was written up to start ${after}; everything after it is delivered as branch ${branchId}.`
  notices.add('forked', text, { after, branchId })
  if (undecided > 0) noteUndecided(context, undecided)
}

function carriedOf(context: ResumeContext, upstreamTopic: string, { branches, entries }: Word, sources: readonly Source[]): Carried {
  const { store, forks } = context
  const delivered = new Set(sources.filter((source) => source.upstreamTopic === upstreamTopic).map((source) => source.edgeTopic))
  const own = new Map<string, number[]>()
  for (const { branch, limit } of entries) {
    for (const [edgeTopic, offsets] of branch.nextOffsets) {
      if (delivered.has(edgeTopic)) continue
      const partitions = store.topics.get(edgeTopic)?.partitions ?? []
      const next = own.get(edgeTopic) ?? []
      own.set(edgeTopic, next)
      for (const [index, said] of offsets.entries()) {
        const partition = partitions[index]
        next[index] = Math.max(next[index] ?? 0, partition ? limited(context, partition, said, limit) : said)
      }
    }
  }
  const others = branches.filter(({ logId, branchId }) => logId !== store.logId || branchId !== forks.branchId)
  return { own, others: others.slice(0, CARRIED_MAX) }
}

// -- The sources

function place(context: ResumeContext, source: Source, { next, isCentresWord }: { next: number; isCentresWord: boolean }): void {
  const { store, counters, notices, hint } = context
  const { partition } = source
  const noted = notedOffset(hint, source)
  if (isCentresWord && next < noted) {
    const text = `${source.key}: the centre is at ${next} and had confirmed ${noted}: it lost its memory. We go on from ${next}.`
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
