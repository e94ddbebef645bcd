// Keeps the delivery notes (delivery-notes.ts) up to date without a commit of their own: after a transaction they travel with the next
// commit that somebody else asks for. Written at once only by the first connection of a start, after a long pause, and at the end.
//
// Invariant: what is noted as confirmed is at the centre; our batches behind it lie at or behind the noted base offsets.
// Not for: reading the notes back (delivery-notes.ts, find-positions.ts).

import { WadiError } from '../base/errors.ts'
import type { Clock } from '../io/clock.ts'
import type { Store } from '../log/contract.ts'
import { type Confirmed, type DeliveryNotes, deliveryNoteChanges, type Place, readDeliveryNotes } from './delivery-notes.ts'
import type { Notices } from './notices.ts'
import type { Source } from './source.ts'
import type { WrittenBatch } from './transaction-send.ts'
import type { UpstreamTopic } from './upstream.ts'
import { isTopicId } from './upstream-topics.ts'

/** Notes add this much to what is written to the disk, at most, once a second at most. */
const NOTE_BYTES_PER_MS = 1
const NOTE_INTERVAL_MS_MIN = 1_000
/** A topic that is moved, or a gateway that is renamed, so often before anything of it is delivered may be sent twice. */
const PLACES_MAX = 8

export interface DeliveryNotesWriterOptions {
  readonly store: Store
  readonly clock: Clock
  readonly notices: Notices
  readonly gatewayId: string
  /** What is delivered now. */
  sources(): readonly Source[]
}

export class DeliveryNotesWriter {
  readonly #options: DeliveryNotesWriterOptions
  /** Edge topic → where its last confirmed batches lie. */
  readonly #written = new Map<
    string,
    { readonly upstreamTopic: string; readonly topicId: string; readonly baseOffsets: Map<number, number> }
  >()
  /** Edge topic → where its position may be, the present place first. */
  readonly #places = new Map<string, readonly Place[]>()
  #topicIds: ReadonlyMap<string, string> = new Map()
  #nextNoteAtMs = 0

  constructor(options: DeliveryNotesWriterOptions) {
    this.#options = options
  }

  /**
   * What is noted on the disk, and in its place what this start knows better: where our last batches lie, and topics that a disk without room has
   * no note of. null: nothing is known.
   */
  known(): DeliveryNotes | null {
    const noted = readDeliveryNotes(this.#options.store)
    const own = this.#current(false)
    if (own.confirmed.size === 0) return noted
    const confirmed = new Map(noted?.confirmed)
    for (const [edgeTopic, entry] of own.confirmed)
      confirmed.set(edgeTopic, { ...entry, nextOffsets: noted?.confirmed.get(edgeTopic)?.nextOffsets ?? entry.nextOffsets })
    return { ...own, confirmed, written: new Map([...(noted?.written ?? []), ...own.written]) }
  }

  /**
   * A connection was made: `topics` are those of the centre, `notes` what was noted before. A topic whose position was not looked for, because
   * its upstream topic was refused, keeps the notes it has.
   */
  onConnected(topics: ReadonlyMap<string, UpstreamTopic>, notes: DeliveryNotes | null): void {
    for (const { edgeTopic, upstreamTopic } of this.#placed()) {
      const now = { upstreamTopic, gatewayId: this.#options.gatewayId }
      const before = this.#places.get(edgeTopic) ?? notes?.confirmed.get(edgeTopic)?.places ?? []
      const isNow = (place: Place): boolean => place.upstreamTopic === upstreamTopic && [now.gatewayId, ''].includes(place.gatewayId)
      this.#places.set(edgeTopic, [now, ...before.filter((place) => !isNow(place))].slice(0, PLACES_MAX))
    }
    this.#topicIds = new Map([...topics.values()].map(({ name, topicId }) => [name, isTopicId(topicId) ? topicId : '']))
    for (const { edgeTopic, upstreamTopic } of this.#placed()) {
      const known = this.#written.get(edgeTopic) ?? notes?.written.get(edgeTopic)
      const isKnown = known?.upstreamTopic === upstreamTopic
      // Of a topic that is left out nothing is told: it may be another one when it is let in.
      const topicId = this.#topicIds.get(upstreamTopic) ?? (isKnown ? known.topicId : '')
      const isSame = isKnown && (known.topicId === topicId || known.topicId === '' || topicId === '')
      this.#written.set(edgeTopic, { upstreamTopic, topicId, baseOffsets: new Map(isSame ? known.baseOffsets : []) })
    }
  }

  /** The notes on the disk do not say of every topic that is delivered now that it is, by this start, and where to. */
  get isNew(): boolean {
    const { store } = this.#options
    const notes = readDeliveryNotes(store)
    return [...this.#places].some(([edgeTopic, [now]]) => {
      const noted = notes?.confirmed.get(edgeTopic)
      const before = noted?.places[0]
      const isOfThisStart = noted?.incarnation === store.incarnation && !noted.isClosed
      return !isOfThisStart || before?.upstreamTopic !== now?.upstreamTopic || before?.gatewayId !== now?.gatewayId
    })
  }

  /** An edge topic is delivered to another topic than before, or under another gateway id: without a durable note of it a later start would not look there. */
  get hasMoved(): boolean {
    return [...this.#places.values()].some((places) => places.length > 1)
  }

  /** A transaction was committed, with positions on `upstreamTopics`. */
  onDelivered(written: readonly WrittenBatch[], upstreamTopics: Iterable<string>): void {
    const positioned = new Set(upstreamTopics)
    for (const [edgeTopic, [now]] of this.#places) if (now && positioned.has(now.upstreamTopic)) this.#places.set(edgeTopic, [now])
    for (const { edgeTopic, partitionIndex, baseOffset } of written)
      this.#written.get(edgeTopic)?.baseOffsets.set(partitionIndex, baseOffset)
    const { store, clock } = this.#options
    const nowMs = clock.monotonicMs()
    if (nowMs < this.#nextNoteAtMs) return
    const changes = deliveryNoteChanges(store, this.#current(false))
    store.note(changes)
    const bytes = changes.reduce((sum, { key, value }) => sum + key.length + (value?.byteLength ?? 0), 0)
    this.#nextNoteAtMs = nowMs + Math.max(NOTE_INTERVAL_MS_MIN, bytes / NOTE_BYTES_PER_MS)
  }

  /** More is delivered than the state says. */
  get isBehind(): boolean {
    return deliveryNoteChanges(this.#options.store, this.#current(false)).length > 0
  }

  /** With a commit of its own; of a topic that has a commit in doubt `isClosed` is not said. False when that failed; then there is a notice. */
  async write({ isClosed }: { isClosed: boolean }): Promise<boolean> {
    const { store, notices } = this.#options
    const changes = deliveryNoteChanges(store, this.#current(isClosed))
    if (changes.length === 0) return true
    store.note(changes) // in the place of an older note that waits
    try {
      await store.commit([], changes)
      return true
    } catch (error) {
      if (!(error instanceof WadiError)) throw error
      notices.add('notes', `The local note of what is delivered could not be written: ${error.message}`)
      return false
    }
  }

  /** All of the edge topics of which something was placed: a partition may have been added since. */
  #placed(): Source[] {
    const sources = this.#options.sources()
    const topics = new Set(sources.filter(({ isPlaced }) => isPlaced).map(({ edgeTopic }) => edgeTopic))
    return sources.filter(({ edgeTopic }) => topics.has(edgeTopic))
  }

  #current(isClosed: boolean): DeliveryNotes {
    const { store, gatewayId, sources } = this.#options
    const { incarnation } = store
    const inDoubt = new Set(sources().flatMap(({ isInDoubt, edgeTopic }) => (isInDoubt ? edgeTopic : [])))
    const confirmed = new Map<string, Confirmed & { nextOffsets: number[] }>()
    for (const { edgeTopic, upstreamTopic, partition, confirmed: next } of this.#placed()) {
      const places = this.#places.get(edgeTopic) ?? [{ upstreamTopic, gatewayId }]
      const isTopicClosed = isClosed && !inDoubt.has(edgeTopic)
      const entry = confirmed.get(edgeTopic) ?? { places, nextOffsets: [], isClosed: isTopicClosed, incarnation }
      entry.nextOffsets[partition.partitionIndex] = next
      confirmed.set(edgeTopic, entry)
    }
    return { incarnation, isClosed: isClosed && inDoubt.size === 0, confirmed, written: this.#written }
  }
}
