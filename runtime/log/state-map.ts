// Small durable values beside the events: topics, the uplink's notes, QoS 2 packet ids, offsets of groups. They travel in the same commits
// and are written whole into the snapshot at each checkpoint.
// Invariant: holds exactly what completed commits said, in commit order.

import { WadiError } from '../base/errors.ts'
import type { StateChange } from './contract.ts'
import type { StateEntry } from './snapshot-codec.ts'
import { STATE_VALUE_BYTES_MAX, type StateReader } from './state-area.ts'
import { areaOf, STATE_KEY_BYTES_MAX } from './state-codec.ts'

export class StateMap implements StateReader {
  /** By area (the key up to its first "/"): a list of one small area does not look at the keys of a large one. */
  readonly #areas = new Map<string, Map<string, Uint8Array>>()

  constructor(values: Iterable<StateEntry> = []) {
    for (const [key, value] of values) this.#set(key, value)
  }

  getState(key: string): Uint8Array | undefined {
    return this.#areas.get(areaOf(key))?.get(key)
  }

  /** Keys that begin with `prefix`, in the order of their characters. */
  listState(prefix: string): string[] {
    const areas = prefix.includes('/') ? [this.#areas.get(areaOf(prefix))] : this.#areas.values()
    const keys: string[] = []
    for (const area of areas) for (const key of area?.keys() ?? []) if (key.startsWith(prefix)) keys.push(key)
    return keys.sort()
  }

  apply(changes: readonly StateChange[]): void {
    for (const { key, value } of changes) {
      if (value !== null) this.#set(key, value)
      else this.#delete(key)
    }
  }

  /** All, as they are now; values of `unsaved`, which no commit has yet, are in the place of those that there are. */
  entries(unsaved: readonly StateChange[] = []): StateEntry[] {
    const put = new Map(unsaved.flatMap(({ key, value }) => (value ? [[key, value] as const] : [])))
    const entries: StateEntry[] = []
    for (const area of this.#areas.values()) for (const entry of area) if (!put.has(entry[0])) entries.push(entry)
    return put.size === 0 ? entries : [...entries, ...put]
  }

  #set(key: string, value: Uint8Array): void {
    const name = areaOf(key)
    const area = this.#areas.get(name) ?? new Map<string, Uint8Array>()
    area.set(key, value)
    this.#areas.set(name, area)
  }

  #delete(key: string): void {
    const name = areaOf(key)
    const area = this.#areas.get(name)
    area?.delete(key)
    if (area?.size === 0) this.#areas.delete(name)
  }
}

const encoder = new TextEncoder()

/** The key as bytes. @throws WadiError WADI_RECORD_INVALID when key or value are larger than a state change may be */
export function encodeStateKey({ key, value }: StateChange): Uint8Array {
  const bytes = encoder.encode(key)
  if (bytes.byteLength === 0 || bytes.byteLength > STATE_KEY_BYTES_MAX || (value?.byteLength ?? 0) > STATE_VALUE_BYTES_MAX) {
    throw new WadiError('WADI_RECORD_INVALID', {
      happened: `A state change has a key of ${bytes.byteLength} and a value of ${value?.byteLength ?? 0} bytes (1 to ${STATE_KEY_BYTES_MAX}, up to ${STATE_VALUE_BYTES_MAX}).`,
      kept: 'Nothing was written.',
      next: 'Use a shorter client id or fewer partitions.'
    })
  }
  return bytes
}
