// Small durable values beside the events: topics, the uplink's notes, QoS 2 packet ids, offsets of groups. They travel in the same commits
// and are written whole into the snapshot at each checkpoint.
//
// Invariants: holds exactly what completed commits said, in commit order. While an image is read nothing of it changes: changes wait in a map of
// their own, in which reads look first, so that a checkpoint copies nothing.

import { assert } from '../base/assert.ts'
import { WadiError } from '../base/errors.ts'
import type { StateChange } from './contract.ts'
import { bytesOfHeld, type HeldValue, heldValue } from './held-value.ts'
import type { StateEntry, StateImage } from './snapshot-codec.ts'
import { areaOfKey, STATE_VALUE_BYTES_MAX, type StateReader } from './state-area.ts'
import { areaOf, STATE_KEY_BYTES_MAX } from './state-codec.ts'

export class StateMap implements StateReader {
  /** By area (the key up to its first "/"): a list of one small area does not look at the keys of a large one. */
  readonly #areas = new Map<string, Map<string, HeldValue>>()
  /** What came while an image is read, null where a value went; null when none is read. */
  #changed: Map<string, HeldValue | null> | null = null

  constructor(values: Iterable<StateEntry> = []) {
    for (const [key, value] of values) this.#put(key, heldValue(value))
  }

  /** Not to be changed. */
  getState(key: string): Uint8Array | undefined {
    const changed = this.#changed?.get(key)
    const value = changed === undefined ? this.#areas.get(areaOf(key))?.get(key) : changed
    return value === undefined || value === null ? undefined : bytesOfHeld(value)
  }

  /** Keys that begin with `prefix`, in the order of their characters. */
  listState(prefix: string): string[] {
    const changed = this.#changed
    const areas = prefix.includes('/') ? [this.#areas.get(areaOf(prefix))] : this.#areas.values()
    const keys: string[] = []
    for (const area of areas) for (const key of area?.keys() ?? []) if (key.startsWith(prefix) && changed?.has(key) !== true) keys.push(key)
    for (const [key, value] of changed ?? []) if (value !== null && key.startsWith(prefix)) keys.push(key)
    return keys.sort()
  }

  apply(changes: readonly StateChange[]): void {
    for (const { key, value } of changes) {
      const held = value && heldValue(value)
      if (this.#changed) this.#changed.set(key, held)
      else if (held !== null) this.#put(key, held)
      else this.#delete(key)
    }
  }

  /**
   * All, as they are now, until release(); values of `unsaved`, which no commit has yet, are in the place of those that there are. One at a time.
   */
  image(unsaved: readonly StateChange[] = []): StateImage {
    assert(this.#changed === null, 'an image of the state is being read')
    this.#changed = new Map()
    const areas = new Map<string, ReadonlyMap<string, HeldValue>>(this.#areas)
    for (const { key, value } of unsaved) {
      const name = areaOf(key)
      // copied once: of the areas that have unsaved values none is large
      if (value) areas.set(name, new Map(areas.get(name)).set(key, heldValue(value)))
    }
    let size = 0
    for (const area of areas.values()) size += area.size
    return { size, areas }
  }

  /** The image is not read any more. */
  release(): void {
    const changed = this.#changed ?? []
    this.#changed = null
    for (const [key, value] of changed) {
      if (value !== null) this.#put(key, value)
      else this.#delete(key)
    }
  }

  #put(key: string, value: HeldValue): void {
    const name = areaOf(key)
    const area = this.#areas.get(name)
    if (area) area.set(key, value)
    else this.#areas.set(name, new Map([[key, value]]))
  }

  #delete(key: string): void {
    const name = areaOf(key)
    const area = this.#areas.get(name)
    area?.delete(key)
    if (area?.size === 0) this.#areas.delete(name)
  }
}

const encoder = new TextEncoder()

/** The key as bytes. @throws WadiError WADI_RECORD_INVALID when key or value are larger than a state change may be, or a value is of no area */
export function encodeStateKey({ key, value }: StateChange): Uint8Array {
  const bytes = encoder.encode(key)
  if (value !== null && areaOfKey(key) === undefined) {
    throw new WadiError('WADI_RECORD_INVALID', {
      happened: `The state key ${JSON.stringify(key.slice(0, 80))} is of no area: nobody would know what it is, or when it goes.`,
      kept: 'Nothing was written.',
      next: 'Make a StateArea for it and list it in docs/formats/state.md.'
    })
  }
  if (bytes.byteLength === 0 || bytes.byteLength > STATE_KEY_BYTES_MAX || (value?.byteLength ?? 0) > STATE_VALUE_BYTES_MAX) {
    throw new WadiError('WADI_RECORD_INVALID', {
      happened: `A state change has a key of ${bytes.byteLength} and a value of ${value?.byteLength ?? 0} bytes (1 to ${STATE_KEY_BYTES_MAX}, up to ${STATE_VALUE_BYTES_MAX}).`,
      kept: 'Nothing was written.',
      next: 'Use a shorter client id or fewer partitions.'
    })
  }
  return bytes
}
