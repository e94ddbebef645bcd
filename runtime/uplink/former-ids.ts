// Under which gateway ids the edge topics were delivered last, where the delivery notes do not say: versions before did not note ids. Asked only where
// our own position does not reach what is noted, because then another id may have delivered since: the batch at the centre that was
// noted as the last one names its writer. The first version did not note where its batches lie: there the last noted event is looked for.
// Not for: what follows from it (find-positions.ts).

import { type DeliveryNotes, notedOffset, type Place } from './delivery-notes.ts'
import { describedOrNull } from './noted-offsets.ts'
import type { PositionContext } from './position-context.ts'
import { readBack } from './read-back.ts'
import type { Source } from './source.ts'
import { UpstreamFault } from './upstream.ts'

/** A source of which our position claims everything below `claimed`. */
export interface ClaimedSource {
  readonly source: Source
  readonly claimed: number
}

/** The notes with the ids that were found; as they are when nothing had to be looked for, or nothing was found. @throws UpstreamFault */
export async function withFormerIds(context: PositionContext, claimed: readonly ClaimedSource[]): Promise<DeliveryNotes | null> {
  const { notes, gatewayId } = context
  if (!notes) return null
  const doubtful = claimed.filter((entry) => isDoubtful(notes, entry))
  const confirmed = new Map(notes.confirmed)
  for (const edgeTopic of new Set(doubtful.map(({ source }) => source.edgeTopic))) {
    const of = notes.confirmed.get(edgeTopic)
    const writers = await writersOf(
      context,
      notes,
      doubtful.flatMap(({ source }) => (source.edgeTopic === edgeTopic ? source : []))
    )
    if (!of || writers.size === 0) continue
    const upstreamTopics = of.places.length > 0 ? of.places.map(({ upstreamTopic }) => upstreamTopic) : [...namesOf(doubtful, edgeTopic)]
    // When we wrote it too our position is of after it, and the centre has lost some of it.
    const ids = writers.has(gatewayId) ? [gatewayId] : [...writers]
    const places = upstreamTopics.flatMap((upstreamTopic) => ids.map((id): Place => ({ upstreamTopic, gatewayId: id })))
    confirmed.set(edgeTopic, { ...of, places })
  }
  return { ...notes, confirmed }
}

/** The notes do not say under which id the edge topic was delivered. */
export function hasUnknownId(notes: DeliveryNotes | null, edgeTopic: string): boolean {
  const of = notes?.confirmed.get(edgeTopic)
  return of?.places.every((place) => place.gatewayId === '') ?? false
}

function isDoubtful(notes: DeliveryNotes, { source, claimed }: ClaimedSource): boolean {
  return claimed < notedOffset(notes, source) && hasUnknownId(notes, source.edgeTopic)
}

function namesOf(doubtful: readonly ClaimedSource[], edgeTopic: string): Set<string> {
  return new Set(doubtful.flatMap(({ source }) => (source.edgeTopic === edgeTopic ? source.upstreamTopic : [])))
}

/** Who wrote the last noted event of any of `sources`, which are of one edge topic. */
async function writersOf(context: PositionContext, notes: DeliveryNotes, sources: readonly Source[]): Promise<Set<string>> {
  const { upstream, core, codec, store } = context
  const [first] = sources
  const writers = new Set<string>()
  if (!first) return writers
  const written = notes.written.get(first.edgeTopic)
  const topicName = written?.upstreamTopic ?? notes.confirmed.get(first.edgeTopic)?.places[0]?.upstreamTopic ?? first.upstreamTopic
  const partitionCount = (await describedOrNull(context, topicName))?.partitionCount ?? 0
  const last = new Set(sources.map((source) => `${source.key}/${notedOffset(notes, source) - 1}`))
  for (let partitionIndex = 0; partitionIndex < partitionCount; partitionIndex++) {
    const fromOffset = written ? written.baseOffsets.get(partitionIndex) : 0
    if (fromOffset === undefined) continue
    try {
      await readBack(
        { upstream, core, codec },
        { topicName, partitionIndex, fromOffset, isFirstBatchOnly: written !== undefined },
        (event) => {
          if (event.logId === store.logId && last.has(`${event.sourceKey}/${event.offset}`)) writers.add(event.gatewayId)
        }
      )
    } catch (error) {
      // Rights to read are not needed otherwise.
      if (!(error instanceof UpstreamFault) || error.kind !== 'refused') throw error
    }
  }
  return writers
}
