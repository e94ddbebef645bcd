// The payload of a state snapshot: numbers as JSON, then every value of the state, area by area. docs/formats/state.md has the bytes, of this format
// and of the one before.
// Invariants: made in slices; what is read is what was written, or nothing. Not for: files, checksums, generations (state-snapshot.ts).

import { areaOf } from './state-codec.ts'

/** Written; 1 is still read. */
export const STATE_FORMAT_VERSION = 2

const AREA = 0
const VALUE = 1
const SLICE_BYTES = 64 * 1024
const VALUE_HEADER_BYTES = 6
/** Of one UTF-16 unit of a string. */
const UTF8_BYTES_MAX = 3

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

export interface StateSnapshot extends SnapshotHead {
  /** Each key once. */
  readonly state: readonly StateEntry[]
}

/** In slices of about 64 KiB, so that the event loop can turn between them. Keys have at most 255 bytes (state-map.ts). */
export function* encodeSnapshot(head: SnapshotHead, state: readonly StateEntry[]): Generator<Uint8Array> {
  const slice = new Slice()
  const numbers = JSON.stringify({ ...head, values: state.length })
  slice.makeRoom(4 + numbers.length * UTF8_BYTES_MAX)
  slice.u32(Buffer.byteLength(numbers))
  slice.text(numbers)
  let area: string | null = null
  for (const [key, value] of state) {
    const full = slice.makeRoom(2 + VALUE_HEADER_BYTES + key.length * UTF8_BYTES_MAX + value.byteLength)
    if (full) yield full
    const ownArea = areaOf(key)
    if (ownArea !== area) {
      area = ownArea
      slice.u8(AREA)
      slice.shortText(area)
    }
    slice.u8(VALUE)
    slice.shortText(key.slice(area.length))
    slice.u32(value.byteLength)
    slice.bytes(value)
  }
  yield slice.taken()
}

/** Written from its beginning on, and begun anew when the next piece does not fit. */
class Slice {
  #buffer: Buffer = Buffer.allocUnsafeSlow(SLICE_BYTES)
  #at = 0

  /** What was written before, when a new one was begun; else null. */
  makeRoom(bytes: number): Uint8Array | null {
    if (this.#at + bytes <= this.#buffer.byteLength) return null
    const taken = this.#at > 0 ? this.taken() : null
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(SLICE_BYTES, bytes))
    this.#at = 0
    return taken
  }

  taken(): Uint8Array {
    return this.#buffer.subarray(0, this.#at)
  }

  u8(value: number): void {
    this.#at = this.#buffer.writeUInt8(value, this.#at)
  }

  u32(value: number): void {
    this.#at = this.#buffer.writeUInt32BE(value, this.#at)
  }

  text(text: string): void {
    this.#at += this.#buffer.write(text, this.#at)
  }

  /** Its length in front, one byte. */
  shortText(text: string): void {
    const bytes = this.#buffer.write(text, this.#at + 1)
    this.u8(bytes)
    this.#at += bytes
  }

  bytes(bytes: Uint8Array): void {
    this.#buffer.set(bytes, this.#at)
    this.#at += bytes.byteLength
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
  const numbers = JSON.parse(payload.toString('utf8', 4, headEnd)) as (SnapshotHead & { readonly values: number }) | null
  if (numbers === null) return null
  const { values, ...head } = numbers
  const state: StateEntry[] = []
  let area = ''
  for (let at = headEnd; at < payload.byteLength; ) {
    const textEnd = at + 2 + payload.readUInt8(at + 1)
    if (textEnd > payload.byteLength) return null
    const text = payload.toString('utf8', at + 2, textEnd)
    if (payload.readUInt8(at) === AREA) {
      area = text
      at = textEnd
      continue
    }
    const valueAt = textEnd + 4
    at = valueAt + payload.readUInt32BE(textEnd)
    if (at > payload.byteLength) return null
    state.push([area + text, new Uint8Array(payload.subarray(valueAt, at))]) // a copy: one value would hold the whole file
  }
  return state.length === values ? { ...head, state } : null
}

/** Format 1: everything in one JSON, values in base64. */
function decodeJson(payload: Uint8Array): StateSnapshot {
  const { state, ...head } = JSON.parse(new TextDecoder().decode(payload)) as SnapshotHead & { readonly state: Record<string, string> }
  return { ...head, state: Object.entries(state).map(([key, text]) => [key, new Uint8Array(Buffer.from(text, 'base64'))]) }
}
