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
// Numbers of lists are in base 36. Not for: deciding where to go on (find-positions.ts).

import type { StateChange, Store } from '../log/contract.ts'
import { STATE_VALUE_BYTES_MAX, StateArea } from '../log/state-area.ts'
import { text } from '../log/state-codec.ts'
import type { Source } from './source.ts'

/** Its fields are separated by ";", as readDeliveryNotes reads them; the same for the next two. */
export const notesHead = new StateArea<string>('uplink/hint', text, { keys: '', valueBytesMax: 64, goes: 'never' })
export const confirmedNotes = new StateArea<string>('uplink/confirmed', text, {
  keys: '<edge topic>',
  valueBytesMax: STATE_VALUE_BYTES_MAX,
  goes: 'never: a topic may come back'
})
export const writtenNotes = new StateArea<string>('uplink/written', text, {
  keys: '<edge topic>',
  valueBytesMax: STATE_VALUE_BYTES_MAX,
  goes: 'never: a topic may come back'
})
/** Of version 1: one JSON value. */
export const oldNotes = new StateArea<string>('uplink/position', text, {
  keys: '',
  valueBytesMax: STATE_VALUE_BYTES_MAX,
  goes: 'at the first connection: replaced by the above'
})
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
}

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

/** null when there are none, or they are not readable: notes may be missing at any time. */
export function readDeliveryNotes(store: Pick<Store, 'getState' | 'listState' | 'incarnation'>): DeliveryNotes | null {
  const head = notesHead.get(store, notesHead.key())?.split(';')
  if (!head) return readOldNotes(store)
  const incarnation = Number(head[1])
  if (head[0] !== '2' || !Number.isSafeInteger(incarnation)) return null
  const confirmed = new Map<string, Confirmed>()
  for (const key of confirmedNotes.keysIn(store)) {
    const [edgeTopic = '', topics = '', list = '', ending = head[2], writer = head[1]] = (confirmedNotes.get(store, key) ?? '').split(';')
    const isClosed = ending === 'closed' // older versions say it, and which start it was, for all topics together
    const nextOffsets = list.split(',').map((text) => Number.parseInt(text, 36))
    const places = topics === '' ? [] : topics.split(',').map(placeOf)
    if (nextOffsets.every(isOffset) && isOffset(Number(writer)))
      confirmed.set(edgeTopic, { places, nextOffsets, isClosed, incarnation: Number(writer) })
  }
  const written = new Map<string, Written>()
  for (const key of writtenNotes.keysIn(store)) {
    const [edgeTopic = '', upstreamTopic = '', topicId = '', list = ''] = (writtenNotes.get(store, key) ?? '').split(';')
    const pairs = list === '' ? [] : list.split(',').map((pair) => pair.split(':').map((text) => Number.parseInt(text, 36)))
    if (pairs.every((pair) => pair.length === 2 && pair.every(isOffset)))
      written.set(edgeTopic, { upstreamTopic, topicId, baseOffsets: new Map(pairs as [number, number][]) })
  }
  return { incarnation, isClosed: head[2] === 'closed', confirmed, written }
}

/** What has to change in the state to hold `notes`; what they do not mention stays. */
export function deliveryNoteChanges(store: Pick<Store, 'getState'>, notes: DeliveryNotes): StateChange[] {
  const changes: StateChange[] = []
  const put = (area: StateArea<string>, key: string, note: string): void => {
    if (area.get(store, key) !== note) changes.push(area.put(key, note))
  }
  for (const [edgeTopic, { places, nextOffsets, isClosed, incarnation }] of notes.confirmed) {
    const names = places.map(({ upstreamTopic, gatewayId }) => (gatewayId === '' ? upstreamTopic : `${upstreamTopic}@${gatewayId}`))
    const offsets = nextOffsets.map((offset) => offset.toString(36))
    const note = `${edgeTopic};${names.join(',')};${offsets.join(',')};${isClosed ? 'closed' : 'open'};${incarnation}`
    put(confirmedNotes, keyOf(confirmedNotes, edgeTopic), note)
  }
  for (const [edgeTopic, { upstreamTopic, topicId, baseOffsets }] of notes.written) {
    const pairs = [...baseOffsets].slice(0, WRITTEN_PARTITIONS_MAX)
    put(
      writtenNotes,
      keyOf(writtenNotes, edgeTopic),
      `${edgeTopic};${upstreamTopic};${topicId};${pairs.map((pair) => pair.map((n) => n.toString(36)).join(':')).join(',')}`
    )
  }
  put(notesHead, notesHead.key(), `2;${notes.incarnation};${notes.isClosed ? 'closed' : 'open'}`)
  if (store.getState(oldNotes.key())) changes.push(oldNotes.remove(oldNotes.key()))
  return changes
}

function placeOf(text: string): Place {
  const [upstreamTopic = '', gatewayId = ''] = text.split('@')
  return { upstreamTopic, gatewayId }
}

function keyOf(area: StateArea<string>, name: string): string {
  if (name.length <= NAME_CHARS_MAX) return area.keyAt(name)
  let hash = 5381
  for (const character of name) hash = (hash * 33 + character.charCodeAt(0)) >>> 0
  return area.keyAt(`${name.slice(0, NAME_CHARS_MAX)}~${hash.toString(36)}`)
}

function isOffset(value: number | undefined): boolean {
  return value !== undefined && Number.isSafeInteger(value) && value >= 0
}

interface OldNotes {
  version: number
  confirmed: [string, number[]][]
  ending: object | null
}

/** Version 1 noted each transaction before it asked for the commit: without such a note nothing was in doubt. */
function readOldNotes(store: Pick<Store, 'getState' | 'incarnation'>): DeliveryNotes | null {
  const note = oldNotes.get(store, oldNotes.key())
  if (note === undefined) return null
  try {
    const value = JSON.parse(note) as OldNotes
    if (value.version !== 1 || !value.confirmed.every(([, offsets]) => offsets.every(isOffset))) return null
    // Which edge topic a batch was of was not noted: each is looked for from the beginning.
    const isClosed = value.ending === null
    const incarnation = store.incarnation - 1
    return {
      incarnation,
      isClosed,
      confirmed: new Map(
        value.confirmed.map(([topic, nextOffsets]) => [String(topic), { places: [], nextOffsets, isClosed, incarnation }])
      ),
      written: new Map()
    }
  } catch {
    return null
  }
}
