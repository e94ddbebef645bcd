// How durable state beside the events is written: mostly JSON in UTF-8 with a format number `v`, or a number; keys of "area/name/…" with %-escaped names.
// Invariant: what is read is what would be written, byte by byte; everything else is refused by name. Forms of older versions are codecs of their own.
// Not for: which areas there are (state-area.ts), what a JSON value has to be (state-shape.ts), what travels with every batch (producer-record.ts).

import { WadiError } from '../base/errors.ts'
import type { StateChange } from './contract.ts'
import type { Shape } from './state-shape.ts'

export interface ValueCodec<V> {
  encode(value: V): Uint8Array
  /** @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
  decode(value: Uint8Array, key: string): V
}

export const STATE_KEY_BYTES_MAX = 255
const STATE_VERSION = 1

/** Digits of a number in a key, with the "/" in front. */
const NUMBER_BYTES = 21

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** `names` are escaped, so that "/" inside a name never separates. Numbers and ids may be passed as they are. */
export function stateKey(area: string, ...names: readonly (string | number | bigint)[]): string {
  return [area, ...names.map((name) => encodeURIComponent(String(name)))].join('/')
}

/** A key begins with its area: everything in front of its first "/", all of it when there is none. */
export function areaOf(key: string): string {
  const end = key.indexOf('/')
  return end < 0 ? key : key.slice(0, end)
}

/** How long a key is at most that has so many numbers behind its area. */
export function numberedKeyBytes(area: string, count: number): number {
  return area.length + count * NUMBER_BYTES
}

export function fitsStateKey(key: string): boolean {
  return encoder.encode(key).byteLength <= STATE_KEY_BYTES_MAX
}

/** JSON with the format number `v`. */
export function versioned<T extends object>(shape: Shape<T>): ValueCodec<T> {
  return {
    encode: (fields) => encoder.encode(JSON.stringify({ v: STATE_VERSION, ...fields })),
    decode: (value, key) => readState(key, value, shape)
  }
}

/** JSON without a format number. */
export function json<T>(shape: Shape<T>): ValueCodec<T> {
  return { encode: (value) => encoder.encode(JSON.stringify(value)), decode: (value, key) => readJson(key, value, shape) }
}

/** `parse` may give null, or anything that `format` writes in another way: both are damage. */
export function textual<V>({ format, parse }: { format(value: V): string; parse(text: string): V | null }): ValueCodec<V> {
  return {
    encode: (value) => encoder.encode(format(value)),
    decode(value, key) {
      const text = textOf(key, value)
      const parsed = parse(text)
      if (parsed === null || format(parsed) !== text) throw stateDamaged(key, value)
      return parsed
    }
  }
}

/** A count or an offset: decimal text. */
export const decimal = {
  bytesMax: 20,
  ...textual<number>({ format: String, parse: (text) => wholeOf(text) })
}

/** null when it is none that can be counted with. */
export function wholeOf(text: string, radix = 10): number | null {
  const number = Number.parseInt(text, radix)
  return Number.isSafeInteger(number) && number >= 0 && number.toString(radix) === text ? number : null
}

export function deleteState(key: string): StateChange {
  return { key, value: null }
}

export function stateDamaged(key: string, value: Uint8Array, cause?: unknown): WadiError {
  return new WadiError('WADI_STATE_DAMAGED', {
    happened: `The stored state "${key}" (${value.byteLength} bytes) cannot be read.`,
    kept: 'The value is as it was, and so are all events.',
    next: 'Copy the data directory; restore it from an older copy, or start with a new one and keep this one.',
    facts: { key, valueBytes: value.byteLength },
    ...(cause !== undefined && { cause })
  })
}

export function stateNewer(key: string, version: unknown, knownVersion: number): WadiError {
  return new WadiError('WADI_FORMAT_NEWER', {
    happened: `The stored state "${key}" has format ${String(version)}, this program knows format ${knownVersion}.`,
    kept: 'Nothing was changed.',
    next: 'Start the newer version of Wadi that wrote this directory.',
    facts: { key }
  })
}

/** @throws WadiError WADI_STATE_DAMAGED or WADI_FORMAT_NEWER */
export function readState<T extends object>(key: string, value: Uint8Array, shape: Shape<T>): T {
  return readJson(key, value, (parsed): parsed is T => {
    const version = typeof parsed === 'object' && parsed !== null && 'v' in parsed ? parsed.v : undefined
    if (Number.isSafeInteger(version) && (version as number) > STATE_VERSION) throw stateNewer(key, version, STATE_VERSION)
    return version === STATE_VERSION && shape(parsed)
  })
}

function readJson<T>(key: string, value: Uint8Array, shape: Shape<T>): T {
  const text = textOf(key, value)
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (cause) {
    throw stateDamaged(key, value, cause)
  }
  if (!shape(parsed) || JSON.stringify(parsed) !== text) throw stateDamaged(key, value)
  return parsed
}

function textOf(key: string, value: Uint8Array): string {
  try {
    return decoder.decode(value)
  } catch (cause) {
    throw stateDamaged(key, value, cause)
  }
}
