// Delivery notes: what we note locally about deliveries, in the store's state. The centre's position always wins; the notes are used only where the
// centre has none: it forgets committed offsets after seven days by default, and an edge topic may be new at an upstream topic.
//
//   uplink/hint                     2;<incarnation of the writer>;<closed|open>
//   uplink/confirmed/<edge topic>   <edge topic>;<upstream topic>@<gateway id>,…;<next offset>,…;<closed|open>;<incarnation>   known to be at the centre
//   uplink/written/<edge topic>     <edge topic>;<upstream topic>;<topic id>;<partition>:<offset>,… base offset of its last confirmed batch there
//
// A name that is too long for a key is shortened there; the value has all of it.
//
// The notes travel with commits that are made anyway (Store.note), so they may be a few transactions old. Whatever was delivered after them lies
// at the centre at or behind the noted base offsets: look-back.ts finds it there. "closed": the writer ended cleanly, nothing came after.
// Numbers of lists are in base 36.
//
// A note that is damaged (its bytes verify, and are none of ours) does not stop a start, because the centre's position is better: it is read as "open,
// and nothing is known to be confirmed", so that what the centre holds is looked through, and is written anew. Not for: deciding where to go on
// (find-positions.ts).

import type { StateChange, Store } from '../log/contract.ts'
import { STATE_VALUE_BYTES_MAX, StateArea } from '../log/state-area.ts'
import { json, stateNewer, textual, wholeOf } from '../log/state-codec.ts'
import { fields, integer, listOf, type Shape, tuple, whole, words } from '../log/state-shape.ts'
import type { Source } from './source.ts'

/** A state value holds 64 KiB: upstream topics with more partitions than fit are read from their beginning. */
const WRITTEN_PARTITIONS_MAX = 3000
const NAME_CHARS_MAX = 200

/** Where a position may be: the consumer group of each gateway id has one for each upstream topic. */
export interface Place {
  readonly upstreamTopic: string
  /** '' when an older version did not say. */
  readonly gatewayId: string
}

export interface Confirmed {
  /** Where its position may be: where it is delivered to, then the places before, until something was. Empty when an older version did not say. */
  readonly places: readonly Place[]
  /** By partition index. */
  readonly nextOffsets: readonly number[]
  /** The last start that delivered it ended cleanly: nothing came after. Not that of all notes: a later start may not have delivered it. */
  readonly isClosed: boolean
  /** The last start that delivered it, or could have. Before it delivers a topic each start says so here. */
  readonly incarnation: number
}

export interface Written {
  readonly upstreamTopic: string
  /** 32 hex digits; '' when the cluster does not tell. */
  readonly topicId: string
  /** Partition index → base offset. */
  readonly baseOffsets: ReadonlyMap<number, number>
}

export interface DeliveryNotes {
  /** The start that wrote them last; it need not have delivered every topic. */
  readonly incarnation: number
  /** Of topics that have no note of their own. */
  readonly isClosed: boolean
  /** By edge topic. */
  readonly confirmed: ReadonlyMap<string, Confirmed>
  /** By edge topic. */
  readonly written: ReadonlyMap<string, Written>
  /** Keys of notes that cannot be read. */
  readonly damaged?: readonly string[]
}

/** Of no note on the disk: what the notes of all topics say together. */
interface NotesHead {
  readonly incarnation: number
  readonly isClosed: boolean
}

/** As Confirmed. Older versions say the last two for all topics together: null. */
interface ConfirmedNote extends Omit<Confirmed, 'isClosed' | 'incarnation'> {
  readonly edgeTopic: string
  readonly isClosed: boolean | null
  readonly incarnation: number | null
}

interface WrittenNote extends Written {
  readonly edgeTopic: string
}

const VERSION = 2
const NOTES_OF_TOPICS = 'one for each topic that was ever delivered: those that there are, and 10,000 deleted ones'

const headCodec = textual<NotesHead>({
  format: ({ incarnation, isClosed }) => `${VERSION};${incarnation};${endingOf(isClosed)}`,
  parse(text) {
    const [, writer = '', ending] = text.split(';')
    const incarnation = wholeOf(writer)
    return incarnation === null ? null : { incarnation, isClosed: ending === endingOf(true) }
  }
})

export const notesHead = new StateArea<NotesHead>(
  'uplink/hint',
  {
    encode: headCodec.encode,
    decode(value, key) {
      const version = wholeOf(new TextDecoder().decode(value).split(';')[0] as string)
      if (version !== null && version > VERSION) throw stateNewer(key, version, VERSION)
      return headCodec.decode(value, key)
    }
  },
  { keys: '', valueBytesMax: 64, goes: 'never' }
)

export const confirmedNotes = new StateArea<ConfirmedNote>(
  'uplink/confirmed',
  textual({
    format({ edgeTopic, places, nextOffsets, isClosed, incarnation }) {
      const names = places.map(({ upstreamTopic, gatewayId }) => (gatewayId === '' ? upstreamTopic : `${upstreamTopic}@${gatewayId}`))
      const offsets = Array.from(nextOffsets, (offset = 0) => offset.toString(36))
      const parts = [edgeTopic, names.join(','), offsets.join(',')]
      if (isClosed !== null) parts.push(endingOf(isClosed))
      if (incarnation !== null) parts.push(String(incarnation))
      return parts.join(';')
    },
    parse(text) {
      const [edgeTopic = '', topics = '', list = '', ending, writer] = text.split(';')
      const nextOffsets = list.split(',').map((offset) => wholeOf(offset, 36))
      const incarnation = writer === undefined ? null : wholeOf(writer)
      if (!nextOffsets.every((offset) => offset !== null) || (writer !== undefined && incarnation === null)) return null
      const places = topics === '' ? [] : topics.split(',').map(placeOf)
      return { edgeTopic, places, nextOffsets, isClosed: ending === undefined ? null : ending === endingOf(true), incarnation }
    }
  }),
  { keys: '<edge topic>', valueBytesMax: STATE_VALUE_BYTES_MAX, entries: NOTES_OF_TOPICS, goes: 'never: a topic may come back' }
)

export const writtenNotes = new StateArea<WrittenNote>(
  'uplink/written',
  textual({
    format({ edgeTopic, upstreamTopic, topicId, baseOffsets }) {
      const pairs = [...baseOffsets].map((pair) => pair.map((number) => number.toString(36)).join(':'))
      return `${edgeTopic};${upstreamTopic};${topicId};${pairs.join(',')}`
    },
    parse(text) {
      const [edgeTopic = '', upstreamTopic = '', topicId = '', list = ''] = text.split(';')
      const pairs = list === '' ? [] : list.split(',').map((pair) => pair.split(':').map((number) => wholeOf(number, 36)))
      const isWhole = pairs.every((pair): pair is [number, number] => pair.length === 2 && !pair.includes(null))
      return isWhole ? { edgeTopic, upstreamTopic, topicId, baseOffsets: new Map(pairs) } : null
    }
  }),
  { keys: '<edge topic>', valueBytesMax: STATE_VALUE_BYTES_MAX, entries: NOTES_OF_TOPICS, goes: 'never: a topic may come back' }
)

interface OldNotes {
  readonly version: number
  readonly confirmed: readonly (readonly [string, readonly number[]])[]
  readonly ending: object | null
}

const oldShape = fields<OldNotes>({
  version: integer,
  confirmed: listOf(tuple(words, listOf(whole))),
  ending: ((value) => typeof value === 'object') as Shape<object | null>
})

/** Of version 1: one JSON value. */
export const oldNotes = new StateArea<OldNotes>(
  'uplink/position',
  json((value): value is OldNotes => oldShape(value) && value.version === 1),
  { keys: '', valueBytesMax: STATE_VALUE_BYTES_MAX, goes: 'at the first connection: replaced by the above' }
)

/** Of a disk that has none. */
export const noNotes: DeliveryNotes = { incarnation: 0, isClosed: true, confirmed: new Map(), written: new Map() }

/** Other gateway ids than `gatewayId` under which the edge topic may have been delivered last; notes of an older version do not say. */
export function otherIds(notes: DeliveryNotes | null, edgeTopic: string, gatewayId: string): string[] {
  const places = notes?.confirmed.get(edgeTopic)?.places ?? []
  return places.map((place) => place.gatewayId).filter((id) => id !== '' && id !== gatewayId)
}

/** First offset of the partition that is not noted as delivered; 0 when nothing is. */
export function notedOffset(notes: DeliveryNotes | null, { edgeTopic, partition }: Source): number {
  return notes?.confirmed.get(edgeTopic)?.nextOffsets[partition.partitionIndex] ?? 0
}

/** null when there are none. @throws WadiError WADI_FORMAT_NEWER */
export function readDeliveryNotes(store: Pick<Store, 'getState' | 'listState' | 'incarnation'>): DeliveryNotes | null {
  const damaged: string[] = []
  const noteDamage = (key: string) => (): void => void damaged.push(key)
  /** Of a note that is damaged: any start before this one may have delivered, and did not end. */
  const unknown: NotesHead = { incarnation: store.incarnation - 1, isClosed: false }
  const read = notesHead.getWhole(store, notesHead.key(), noteDamage(notesHead.key()))
  if (read === undefined && damaged.length === 0) return readOldNotes(store, unknown)
  const head = read ?? unknown
  const confirmed = new Map<string, Confirmed>()
  for (const key of confirmedNotes.keysIn(store)) {
    const note = confirmedNotes.getWhole(store, key, noteDamage(key))
    if (note === undefined) confirmed.set(confirmedNotes.restOf(key), { places: [], nextOffsets: [], ...unknown })
    else {
      const { edgeTopic, places, nextOffsets, isClosed, incarnation } = note
      confirmed.set(edgeTopic, { places, nextOffsets, isClosed: isClosed ?? head.isClosed, incarnation: incarnation ?? head.incarnation })
    }
  }
  const written = new Map<string, Written>()
  for (const key of writtenNotes.keysIn(store)) {
    const note = writtenNotes.getWhole(store, key, noteDamage(key))
    // Without the confirmed offsets nothing says that none of our batches lies in front of the last ones: all is looked through.
    if (note && confirmed.get(note.edgeTopic)?.nextOffsets.length !== 0)
      written.set(note.edgeTopic, { upstreamTopic: note.upstreamTopic, topicId: note.topicId, baseOffsets: note.baseOffsets })
  }
  return { ...head, confirmed, written, ...(damaged.length > 0 && { damaged }) }
}

/** What has to change in the state to hold `notes`; what they do not mention stays. */
export function deliveryNoteChanges(store: Pick<Store, 'getState'>, notes: DeliveryNotes): StateChange[] {
  const changes: StateChange[] = []
  const put = <V>(area: StateArea<V>, key: string, note: V): void => {
    const change = area.put(key, note)
    const before = store.getState(key)
    if (before === undefined || Buffer.compare(before, change.value as Uint8Array) !== 0) changes.push(change)
  }
  for (const [edgeTopic, entry] of notes.confirmed) put(confirmedNotes, keyOf(confirmedNotes, edgeTopic), { edgeTopic, ...entry })
  for (const [edgeTopic, entry] of notes.written) {
    const baseOffsets = new Map([...entry.baseOffsets].slice(0, WRITTEN_PARTITIONS_MAX))
    put(writtenNotes, keyOf(writtenNotes, edgeTopic), { edgeTopic, ...entry, baseOffsets })
  }
  put(notesHead, notesHead.key(), notes)
  if (store.getState(oldNotes.key())) changes.push(oldNotes.remove(oldNotes.key()))
  return changes
}

function placeOf(text: string): Place {
  const [upstreamTopic = '', gatewayId = ''] = text.split('@')
  return { upstreamTopic, gatewayId }
}

function keyOf(area: Pick<StateArea<unknown>, 'keyAt'>, name: string): string {
  if (name.length <= NAME_CHARS_MAX) return area.keyAt(name)
  let hash = 5381
  for (const character of name) hash = (hash * 33 + character.charCodeAt(0)) >>> 0
  return area.keyAt(`${name.slice(0, NAME_CHARS_MAX)}~${hash.toString(36)}`)
}

function endingOf(isClosed: boolean): string {
  return isClosed ? 'closed' : 'open'
}

/** Version 1 noted each transaction before it asked for the commit: without such a note nothing was in doubt. */
function readOldNotes(store: Pick<Store, 'getState'>, unknown: NotesHead): DeliveryNotes | null {
  const damaged: string[] = []
  const note = oldNotes.getWhole(store, oldNotes.key(), () => void damaged.push(oldNotes.key()))
  if (note === undefined) return damaged.length === 0 ? null : { ...unknown, confirmed: new Map(), written: new Map(), damaged }
  // Which edge topic a batch was of was not noted: each is looked for from the beginning.
  const head = { ...unknown, isClosed: note.ending === null }
  const confirmed = note.confirmed.map(([topic, nextOffsets]) => [topic, { places: [], nextOffsets, ...head }] as const)
  return { ...head, confirmed: new Map(confirmed), written: new Map() }
}
