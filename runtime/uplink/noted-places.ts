// Where to go on with sources about which the centre says nothing: from the local notes (hint.ts), and from what the centre's own log holds behind them
// (look-back.ts). Not for: sources that the centre has a position of (resume.ts).

import { type Limit, limited } from './centre-words.ts'
import { type Hint, notedOffset } from './hint.ts'
import { type Found, foundKey, lookBack } from './look-back.ts'
import type { ResumeContext } from './resume-context.ts'
import type { Source } from './source.ts'
import { UpstreamFault, type UpstreamTopic } from './upstream.ts'

/** The limit of what is said by our own notes: what the start `after` and those before it wrote. */
function writtenUpTo(after: number): Limit {
  return { after, isFork: true, theirs: null }
}

/** Of sources about which the centre says nothing. */
export async function fromHint(
  context: ResumeContext,
  hint: Hint,
  sources: readonly Source[]
): Promise<Map<Source, { next: number; forkAfter: number | null }>> {
  const { forks } = context
  const result = new Map<Source, { next: number; forkAfter: number | null }>()
  const doubtful: { source: Source; confirmed: number; end: number; isOpen: boolean }[] = []
  for (const source of sources) {
    const noted = notedOffset(hint, source)
    // What was written after the start that wrote the hint cannot have been delivered by us: each start writes one before it delivers.
    const end = limited(context, source.partition, source.partition.highWatermark, writtenUpTo(hint.incarnation))
    const confirmed = Math.min(noted, end)
    // An end in peace leaves nothing open, but this disk may be an image from before other lives: what was delivered before is looked for behind it.
    const isOpen = !hint.isClosed && noted < end
    if (isOpen || noted > 0) doubtful.push({ source, confirmed, end, isOpen })
    else result.set(source, { next: confirmed, forkAfter: null })
  }
  const seenIn = new Map<string, Found>()
  for (const name of new Set(doubtful.map(({ source }) => deliveredTo(source, hint)))) {
    const edgeTopics = new Set(doubtful.filter(({ source }) => deliveredTo(source, hint) === name).map(({ source }) => source.edgeTopic))
    seenIn.set(name, await lookThrough(context, hint, name, edgeTopics))
  }
  let undecided = 0
  for (const { source, confirmed, end, isOpen } of doubtful) {
    const seen = seenIn.get(deliveredTo(source, hint)) as Found
    let next = confirmed
    for (const branchId of ['', ...forks.list.map((fork) => fork.branchId)]) {
      const greatest = seen.greatest.get(foundKey(branchId, source.key)) ?? -1
      if (greatest >= 0 && (greatest >= end || forks.at(source.partition, greatest).branchId === branchId))
        next = Math.max(next, greatest + 1)
    }
    if (!seen.isComplete && isOpen) undecided += Math.max(0, end - next)
    result.set(source, { next: Math.min(next, end), forkAfter: next > end ? hint.incarnation : null })
  }
  if (undecided > 0) noteUndecided(context, undecided)
  return result
}

function deliveredTo(source: Source, hint: Hint): string {
  return hint.confirmed.get(source.edgeTopic)?.upstreamTopics[0] ?? source.upstreamTopic
}

async function lookThrough(context: ResumeContext, hint: Hint, topicName: string, edgeTopics: ReadonlySet<string>): Promise<Found> {
  const found: Found = { greatest: new Map(), isComplete: true }
  const { upstream, core, codec, store } = context
  const topic = await describedOrNull(context, topicName)
  const written = [...edgeTopics].map((edgeTopic) => hint.written.get(edgeTopic))
  const isMadeAnew = written.some(
    (entry) => entry && entry.topicId !== '' && /[^0]/.test(topic?.topicId ?? '') && entry.topicId !== topic?.topicId
  )
  // Gone, forbidden, or made anew: what was there cannot be read.
  if (!topic || isMadeAnew) return { ...found, isComplete: false }
  for (let partitionIndex = 0; partitionIndex < topic.partitionCount; partitionIndex++) {
    const noted = (entry: (typeof written)[number]): number =>
      entry?.upstreamTopic === topicName ? (entry.baseOffsets.get(partitionIndex) ?? 0) : 0
    const fromOffset = Math.min(...written.map(noted))
    await lookBack({ upstream, core, codec, logId: store.logId }, { topicName, partitionIndex, fromOffset }, found)
  }
  return found
}

/** A topic that is not delivered to any more may be gone, or not ours to read. */
async function describedOrNull({ topics, upstream }: ResumeContext, topicName: string): Promise<UpstreamTopic | null> {
  const known = topics.get(topicName)
  if (known) return known
  try {
    return (await upstream.describeTopics([topicName], { createPartitionCount: null }))[0] ?? null
  } catch (error) {
    if (!(error instanceof UpstreamFault) || error.kind !== 'refused') throw error
    return null
  }
}

/** It is sent again because nobody can say any more whether it arrived: counted and told. */
export function noteUndecided({ counters, notices }: Pick<ResumeContext, 'counters' | 'notices'>, events: number): void {
  counters.undecidedEvents += events
  const text = `The centre cannot say any more whether it took the last ${events} events: they are sent again.`
  notices.add('undecided', text, { events })
}
