// How a session that outlives its connection stands in the durable state. docs/formats/state.md has the layout.
// Invariant: what is read is what would be written, byte by byte. Not for: when it is written (session-store.ts).

import { StateArea } from '../../runtime/log/state-area.ts'
import { stateDamaged, stateNewer, type ValueCodec, versioned } from '../../runtime/log/state-codec.ts'
import { fields, flag, optional, type Shape, whole, within, words } from '../../runtime/log/state-shape.ts'
import { VarintReader, VarintWriter } from '../../runtime/log/state-varint.ts'
import { TOPIC_PARTITIONS_MAX } from '../../runtime/log/topic-catalogue.ts'
import { digestOf } from './name-digest.ts'
import type { ProtocolVersion, Qos } from './packets.ts'

export interface StoredSession {
  readonly expirySeconds: number
  /** Wall time, ms, when its connection ended; not there while it has one, or when the gateway fell. */
  readonly endedMs?: number | undefined
  /** Of its last connection; not there when an older version has written it. */
  readonly version?: ProtocolVersion | undefined
}

export interface StoredSubscription {
  readonly filter: string
  readonly qos: Qos
  readonly noLocal?: true | undefined
  readonly retainAsPublished?: true | undefined
  readonly id?: number | undefined
}

export interface StoredPlace {
  /** Topic number and partition (message-log.ts). */
  readonly code: number
  readonly offset: number
}

/** A message that the client was sent, or will be under this id. */
export interface StoredFlight {
  readonly packetId: number
  readonly qos: 1 | 2
  /** null = the client has it: PUBREL is what it waits for. */
  readonly place: StoredPlace | null
}

export interface StoredQueue {
  /** Numbers of the places that wait: pieces of `mqtt.queue` hold them. */
  readonly start: number
  readonly end: number
  /** In the order in which they were sent. */
  readonly flights: readonly StoredFlight[]
  /** Of partitions where that is more than `mqtt.queued` says: everything below `offset` has been looked at for this session. */
  readonly queued: readonly StoredPlace[]
  /** What has been looked at beyond that. */
  readonly ahead: readonly StoredPlace[]
}

const FORMAT = 1
/** Of a topic whose places can be told by one number. */
const TOPIC_NUMBER_MAX = 2 ** 53 / TOPIC_PARTITIONS_MAX - 1
export const PLACES_PER_PIECE = 64

export interface StoredPiece {
  /** Number of its first place. */
  readonly first: number
  readonly count: number
  /** As storedPiece() writes and pairsOf() reads them: mostly nobody wants to see them, and there may be very many. */
  readonly places: Uint8Array
}

export const storedSessions = new StateArea<StoredSession>(
  'mqtt.session',
  versioned(
    fields<StoredSession>({
      expirySeconds: within(1, 0xffff_ffff),
      endedMs: optional(whole),
      version: optional(within(3, 5) as Shape<ProtocolVersion>)
    })
  ),
  { keys: '<client>', valueBytesMax: 128, entries: '10,000 with subscriptions, 10,000 without', goes: 'when the session ends' }
)

export const storedSubscriptions = new StateArea<StoredSubscription>(
  'mqtt.subscription',
  versioned(
    fields<StoredSubscription>({
      filter: words,
      qos: within(0, 2) as Shape<Qos>,
      noLocal: optional(flag as Shape<true>),
      retainAsPublished: optional(flag as Shape<true>),
      id: optional(within(1, 268_435_455))
    })
  ),
  {
    keys: '<client>/<digest of the filter>',
    valueBytesMax: 8 * 1024,
    entries: '100 of a session',
    goes: 'with UNSUBSCRIBE, and with the session'
  }
)

export const storedQueues = new StateArea<StoredQueue>('mqtt.flight', exact({ write: writeQueue, read: readQueue }), {
  keys: '<client>',
  valueBytesMax: 64 * 1024,
  entries: 'one of a session that subscribes',
  goes: 'with the session'
})

export const storedPieces = new StateArea<StoredPiece>(
  'mqtt.queue',
  { encode: encodePiece, decode: decodePiece },
  {
    keys: '<client>/<number>',
    valueBytesMax: PLACES_PER_PIECE * 24,
    entries: '1,000,000 places in all',
    goes: 'when the last of its places was sent, and with the session'
  }
)

/** By topic: for each partition, from where on a start after a crash looks for messages. */
export const storedQueuedTo = new StateArea<readonly number[]>('mqtt.queued', exact({ write: writeOffsets, read: readOffsets }), {
  keys: '<topic number>',
  valueBytesMax: 16 * 1024,
  entries: 'one of a topic, while there is a session that subscribes',
  goes: 'with its topic, or with the last such session'
})

/** Numbers of the topics that routes may store events in: those of now may be others. */
export const storedRouted = new StateArea<readonly number[]>('mqtt.routed', exact({ write: writeOffsets, read: readOffsets }), {
  keys: '',
  valueBytesMax: 64 * 1024,
  goes: 'never; replaced when routes or topics are others'
})

export function subscriptionKey(clientId: string, filter: string): string {
  return storedSubscriptions.keyAt(`${clientId}/${digestOf(filter)}`)
}

/** The last "/" separates: a client id stands as it is. */
export function clientOfKey(rest: string): string {
  return rest.slice(0, rest.lastIndexOf('/'))
}

interface ExactCodec<V> {
  write(writer: VarintWriter, value: V): void
  read(reader: VarintReader): V
}

/** Of all values, one after the other. */
const writer = new VarintWriter()

/** Behind the format. @throws WadiError WADI_FORMAT_NEWER */
function readerOf(value: Uint8Array, key: string): VarintReader {
  const reader = new VarintReader(key, value, 0)
  const format = reader.next()
  if (format > FORMAT) throw stateNewer(key, format, FORMAT)
  if (format < FORMAT) throw stateDamaged(key, value)
  return reader
}

/** A format byte, then numbers. */
function exact<V>({ write, read }: ExactCodec<V>): ValueCodec<V> {
  const encode = (value: V): Uint8Array => {
    writer.clear()
    writer.put(FORMAT)
    write(writer, value)
    return writer.bytes()
  }
  return {
    encode,
    decode(value, key) {
      const reader = readerOf(value, key)
      const decoded = read(reader)
      reader.end()
      if (!Buffer.from(encode(decoded)).equals(value)) throw stateDamaged(key, value)
      return decoded
    }
  }
}

function writeQueue(writer: VarintWriter, { start, end, flights, queued, ahead }: StoredQueue): void {
  writer.put(start)
  writer.put(end)
  writer.put(flights.length)
  for (const { packetId, qos, place } of flights) {
    writer.put(packetId)
    writer.put(place === null ? 3 : qos)
    if (place !== null) writePlace(writer, place)
  }
  writePlaces(writer, queued)
  writePlaces(writer, ahead)
}

function readQueue(reader: VarintReader): StoredQueue {
  const start = reader.next()
  const end = reader.next()
  const flights: StoredFlight[] = []
  for (let left = reader.count(); left > 0; left--) {
    const packetId = reader.next()
    const kind = reader.next()
    flights.push({ packetId, qos: kind === 1 ? 1 : 2, place: kind === 3 ? null : readPlace(reader) })
  }
  return { start, end, flights, queued: readPlaces(reader), ahead: readPlaces(reader) }
}

interface Places {
  codeAt(number: number): number
  offsetAt(number: number): number
}

/** With the numbers from `first` up to `end`. */
export function storedPiece(first: number, end: number, places: Places): StoredPiece {
  writer.clear()
  for (let number = first; number < end; number++) putPlace(writer, places.codeAt(number), places.offsetAt(number))
  return { first, count: end - first, places: writer.bytes() }
}

/** Code and offset of each place in turn. */
export function pairsOf({ count, places }: StoredPiece): Float64Array {
  const reader = new VarintReader(storedPieces.name, places, 0)
  const pairs = new Float64Array(count * 2)
  for (let at = 0; at < pairs.length; at += 2) {
    pairs[at] = reader.next() * TOPIC_PARTITIONS_MAX + reader.next()
    pairs[at + 1] = reader.next()
  }
  return pairs
}

function encodePiece({ first, count, places }: StoredPiece): Uint8Array {
  writer.clear()
  writer.put(FORMAT)
  writer.put(first)
  writer.put(count)
  writer.putBytes(places)
  return writer.bytes()
}

/** Without an object for a place: at a start all of them are looked at. */
function decodePiece(value: Uint8Array, key: string): StoredPiece {
  const reader = readerOf(value, key)
  const first = reader.next()
  const count = reader.count()
  const from = reader.at
  for (let left = count; left > 0; left--) {
    const topicNumber = reader.next()
    if (reader.next() >= TOPIC_PARTITIONS_MAX || topicNumber > TOPIC_NUMBER_MAX) throw stateDamaged(key, value)
    reader.next()
  }
  reader.end()
  return { first, count, places: value.subarray(from) }
}

function writePlaces(writer: VarintWriter, places: readonly StoredPlace[]): void {
  writer.put(places.length)
  for (const place of places) writePlace(writer, place)
}

function readPlaces(reader: VarintReader): StoredPlace[] {
  const places: StoredPlace[] = []
  for (let left = reader.count(); left > 0; left--) places.push(readPlace(reader))
  return places
}

function writePlace(writer: VarintWriter, { code, offset }: StoredPlace): void {
  putPlace(writer, code, offset)
}

function putPlace(writer: VarintWriter, code: number, offset: number): void {
  writer.put(Math.floor(code / TOPIC_PARTITIONS_MAX))
  writer.put(code % TOPIC_PARTITIONS_MAX)
  writer.put(offset)
}

function readPlace(reader: VarintReader): StoredPlace {
  const topicNumber = reader.next()
  const partition = reader.next()
  return { code: topicNumber * TOPIC_PARTITIONS_MAX + partition, offset: reader.next() }
}

function writeOffsets(writer: VarintWriter, offsets: readonly number[]): void {
  writer.put(offsets.length)
  for (const offset of offsets) writer.put(offset)
}

function readOffsets(reader: VarintReader): number[] {
  const offsets: number[] = []
  for (let left = reader.count(); left > 0; left--) offsets.push(reader.next())
  return offsets
}
