// How durable state beside the events is written: mostly JSON in UTF-8 with a format number `v`, or a number; keys of "area/name/…" with %-escaped names.
// Not for: which areas there are (state-area.ts), what travels with every batch (producer-record.ts).

import { WadiError } from '../base/errors.ts'
import type { StateChange } from './contract.ts'

export const STATE_KEY_BYTES_MAX = 255
const STATE_VERSION = 1

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** `names` are escaped, so that "/" inside a name never separates. Numbers and ids may be passed as they are. */
export function stateKey(area: string, ...names: readonly (string | number | bigint)[]): string {
  return [area, ...names.map((name) => encodeURIComponent(String(name)))].join('/')
}

/** A key begins with its area: everything in front of its first "/", all of it when there is none. */
export function areaOf(key: string): string {
  const end = key.indexOf('/')
  return end < 0 ? key : key.slice(0, end)
}

/** Names of what a key has behind its area, unescaped. */
export function namesOfKey(rest: string): string[] {
  return rest.split('/').map(decodeURIComponent)
}

export function fitsStateKey(key: string): boolean {
  return encoder.encode(key).byteLength <= STATE_KEY_BYTES_MAX
}

/** JSON with the format number `v`. */
export function versioned<T extends object>(): { encode(fields: T): Uint8Array; decode(value: Uint8Array, key: string): T } {
  return {
    encode: (fields) => encoder.encode(JSON.stringify({ v: STATE_VERSION, ...fields })),
    decode: (value, key) => readState<T>(key, value)
  }
}

/** A count or an offset: decimal text. */
export const decimal = {
  bytesMax: 20,
  encode: (value: number): Uint8Array => encoder.encode(String(value)),
  decode: (value: Uint8Array): number => Number(decoder.decode(value))
}

export const text = {
  encode: (value: string): Uint8Array => encoder.encode(value),
  decode: (value: Uint8Array): string => decoder.decode(value)
}

export function deleteState(key: string): StateChange {
  return { key, value: null }
}

export function stateDamaged(key: string, value: Uint8Array, cause?: unknown): WadiError {
  return new WadiError('WADI_STATE_DAMAGED', {
    happened: `The stored state "${key}" (${value.byteLength} bytes) cannot be read.`,
    kept: 'Nothing was changed.',
    next: 'Run "wadi log verify" on the data directory and restore it from a copy when it reports damage.',
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
export function readState<T>(key: string, value: Uint8Array): T {
  let parsed: { v?: unknown }
  try {
    parsed = JSON.parse(decoder.decode(value)) as { v?: unknown }
  } catch (cause) {
    throw stateDamaged(key, value, cause)
  }
  if (parsed.v !== STATE_VERSION) throw stateNewer(key, parsed.v, STATE_VERSION)
  return parsed as T
}
