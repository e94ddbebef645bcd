// The payload of a state snapshot: numbers as JSON, then every value of the state, area by area. docs/formats/state.md has the bytes, of this format
// and of the one before.
// Invariants: made in slices, without an object for each value; what is read is what was written, or nothing.
// Not for: files, checksums, generations (state-snapshot.ts).

import { byteLengthOfHeld, type HeldValue } from './held-value.ts'

/** Written; 1 is still read. */
export const STATE_FORMAT_VERSION = 2

const AREA = 0
const VALUE = 1
const POINT_NUMBERS = 7
const SLICE_BYTES = 64 * 1024
const ENTRY_HEADER_BYTES = 2
const VALUE_LENGTH_BYTES = 4
/** Of one UTF-16 unit of a string. */
const UTF8_BYTES_MAX = 3
/** Values up to here are copied byte by byte: a call costs more. */
const SHORT_VALUE_BYTES = 64

/** [topicNumber, partitionIndex, logStartOffset, segmentBaseOffset, syncedBytes, nextOffset, deliveredOffset]; segmentBaseOffset -1 = no segment */
export type RecoveryPoint = readonly [number, number, number, number, number, number, number]

export interface SnapshotHead {
  readonly logId: string
  /** Commits up to here are whole in synced segments. */
  readonly replayAfter: number
  /** State changes of commits up to here are in `state`. */
  readonly stateSequence: number
  /** Generation of the journal file that was active. */
  readonly generation: number
  /** How large each journal file was: one that is missing or shorter has lost commits. */
  readonly journalFileBytes: readonly number[]
  readonly recoveryPoints: readonly RecoveryPoint[]
  readonly droppedRecords: number
  readonly lostRecords: number
}

export type StateEntry = readonly [key: string, value: Uint8Array]

/** The state of one moment. */
export interface StateImage {
  /** Count of the values. */
  readonly size: number
  /** By what their keys begin with up to the first "/". */
  readonly areas: Iterable<readonly [area: string, values: ReadonlyMap<string, HeldValue>]>
}

export interface StateSnapshot extends SnapshotHead {
  /** Each key once. Each value holds until the next one is asked for. */
  readonly state: Iterable<StateEntry>
}

/** In slices of about 64 KiB; each holds until the next one is asked for. Keys have at most 255 bytes (state-map.ts). */
export function* encodeSnapshot(head: SnapshotHead, { size, areas }: StateImage): Generator<Uint8Array> {
  const slice = new Slice()
  const numbers = JSON.stringify({ ...head, values: size })
  slice.begin(4 + numbers.length * UTF8_BYTES_MAX)
  slice.u32(Buffer.byteLength(numbers))
  slice.text(numbers, 0)
  for (const [area, values] of areas) {
    const areaBytes = ENTRY_HEADER_BYTES + area.length * UTF8_BYTES_MAX
    if (!slice.hasRoom(areaBytes)) {
      yield slice.taken()
      slice.begin(areaBytes)
    }
    slice.area(area)
    for (const [key, value] of values) {
      const bytes = ENTRY_HEADER_BYTES + VALUE_LENGTH_BYTES + key.length * UTF8_BYTES_MAX + byteLengthOfHeld(value)
      if (!slice.hasRoom(bytes)) {
        yield slice.taken()
        slice.begin(bytes)
      }
      slice.value(key, area.length, value)
    }
  }
  yield slice.taken()
}

/** One buffer, written from its beginning again and again; a larger one only for a piece that does not fit. */
class Slice {
  #buffer: Buffer = Buffer.allocUnsafeSlow(SLICE_BYTES)
  #at = 0

  begin(bytes: number): void {
    if (bytes > this.#buffer.byteLength) this.#buffer = Buffer.allocUnsafeSlow(bytes)
    this.#at = 0
  }

  hasRoom(bytes: number): boolean {
    return this.#at + bytes <= this.#buffer.byteLength
  }

  taken(): Uint8Array {
    return this.#buffer.subarray(0, this.#at)
  }

  area(name: string): void {
    this.#buffer[this.#at++] = AREA
    this.#shortText(name, 0)
  }

  /** `from`: where the rest of the key begins. */
  value(key: string, from: number, value: HeldValue): void {
    this.#buffer[this.#at++] = VALUE
    this.#shortText(key, from)
    const bytes = byteLengthOfHeld(value)
    this.u32(bytes)
    const [buffer, at] = [this.#buffer, this.#at]
    if (typeof value !== 'string') buffer.set(value, at)
    else if (bytes > SHORT_VALUE_BYTES) buffer.write(value, at, 'latin1')
    else for (let index = 0; index < bytes; index++) buffer[at + index] = value.charCodeAt(index)
    this.#at += bytes
  }

  u32(value: number): void {
    this.#at = this.#buffer.writeUInt32BE(value, this.#at)
  }

  /** Its length in front, one byte. */
  #shortText(text: string, from: number): void {
    const lengthAt = this.#at++
    this.text(text, from)
    this.#buffer[lengthAt] = this.#at - lengthAt - 1
  }

  /** Text from its unit `from` on. One byte each while it is ASCII, as almost all keys are: no string is made and no call leaves JavaScript. */
  text(text: string, from: number): void {
    const buffer = this.#buffer
    let at = this.#at
    for (let index = from; index < text.length; index++) {
      const unit = text.charCodeAt(index)
      if (unit >= 0x80) {
        at += buffer.write(text.slice(index), at)
        break
      }
      buffer[at++] = unit
    }
    this.#at = at
  }
}

/** null when the payload is not of this form, though its checksum is right. `version`: 1 or 2. */
export function decodeSnapshot(version: number, payload: Uint8Array): StateSnapshot | null {
  try {
    return version === 1 ? decodeJson(payload) : decodeBinary(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength))
  } catch (error) {
    if (error instanceof RangeError || error instanceof SyntaxError) return null
    throw error
  }
}

function decodeBinary(payload: Buffer): StateSnapshot | null {
  const headEnd = 4 + payload.readUInt32BE(0)
  if (headEnd > payload.byteLength) return null
  const numbers = JSON.parse(payload.toString('utf8', 4, headEnd)) as unknown
  const head = headOf(numbers)
  if (head === null) return null
  const count = countEntries(payload, headEnd)
  if (count === null || count !== (numbers as { readonly values?: unknown }).values) return null
  return { ...head, state: { [Symbol.iterator]: () => entriesIn(payload, headEnd) } }
}

/** null when they are not of this form. @throws RangeError then too */
function countEntries(payload: Buffer, from: number): number | null {
  let count = 0
  let hasArea = false
  for (let at = from; at < payload.byteLength; ) {
    const kind = payload.readUInt8(at)
    const textEnd = at + ENTRY_HEADER_BYTES + payload.readUInt8(at + 1)
    if (textEnd > payload.byteLength || kind > VALUE) return null
    at = textEnd
    if (kind === AREA) hasArea = true
    else if (!hasArea) return null
    else {
      at += VALUE_LENGTH_BYTES + payload.readUInt32BE(textEnd)
      if (at > payload.byteLength) return null
      count++
    }
  }
  return count
}

/** Of what countEntries() has looked at. */
function* entriesIn(payload: Buffer, from: number): Generator<StateEntry> {
  let area = ''
  for (let at = from; at < payload.byteLength; ) {
    const kind = payload.readUInt8(at)
    const textEnd = at + ENTRY_HEADER_BYTES + payload.readUInt8(at + 1)
    const text = payload.toString('utf8', at + ENTRY_HEADER_BYTES, textEnd)
    at = textEnd
    if (kind === AREA) area = text
    else {
      const valueAt = textEnd + VALUE_LENGTH_BYTES
      at = valueAt + payload.readUInt32BE(textEnd)
      yield [area + text, payload.subarray(valueAt, at)]
    }
  }
}

/** Format 1: everything in one JSON, values in base64. */
function decodeJson(payload: Uint8Array): StateSnapshot | null {
  const numbers = JSON.parse(new TextDecoder().decode(payload)) as unknown
  const head = headOf(numbers)
  if (head === null) return null
  const { state } = numbers as { readonly state?: unknown }
  if (!isObject(state)) return null
  const entries = Object.entries(state)
  if (!entries.every((entry): entry is [string, string] => typeof entry[1] === 'string')) return null
  return { ...head, state: entries.map(([key, text]) => [key, new Uint8Array(Buffer.from(text, 'base64'))]) }
}

/** The numbers, when all are there and are numbers. */
function headOf(numbers: unknown): SnapshotHead | null {
  if (!isObject(numbers)) return null
  const { logId, replayAfter, stateSequence, generation, journalFileBytes, recoveryPoints, droppedRecords, lostRecords } = numbers
  const isWhole =
    typeof logId === 'string' &&
    areIntegers([replayAfter, stateSequence, generation, droppedRecords, lostRecords]) &&
    areIntegers(journalFileBytes) &&
    Array.isArray(recoveryPoints) &&
    recoveryPoints.every((point) => areIntegers(point) && point.length === POINT_NUMBERS)
  if (!isWhole) return null
  return { logId, replayAfter, stateSequence, generation, journalFileBytes, recoveryPoints, droppedRecords, lostRecords } as SnapshotHead
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function areIntegers(values: unknown): values is readonly number[] {
  return Array.isArray(values) && values.every((value) => Number.isSafeInteger(value))
}
