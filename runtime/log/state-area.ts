// An area of the durable state: what its keys and values are, how large they may be, and who takes them away. Every value of the state belongs to one;
// docs/formats/state.md lists them, and test/gateway/state-areas.test.ts holds that page and the areas together.
//
// Invariant: no key of one area is a key of another. Not for: when a change is durable (it travels in a commit).

import { WadiError } from '../base/errors.ts'
import type { StateChange } from './contract.ts'
import { deleteState, namesOfKey, stateKey } from './state-codec.ts'

/** A store, or its state at a start. */
export interface StateReader {
  getState(key: string): Uint8Array | undefined
  /** In the order of their characters. */
  listState(prefix: string): string[]
}

export interface ValueCodec<V> {
  encode(value: V): Uint8Array
  /** @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
  decode(value: Uint8Array, key: string): V
}

export interface AreaRules {
  /** What stands in a key behind the area, "" = nothing: it has one value. */
  readonly keys: string
  readonly valueBytesMax: number
  /** Who takes a value away, and when. */
  readonly goes: string
}

/** Of areas whose values have no smaller bound: what a state change may have at all. */
export const STATE_VALUE_BYTES_MAX = 64 * 1024

export class StateArea<V> {
  readonly name: string
  readonly rules: AreaRules
  readonly #codec: ValueCodec<V>

  constructor(name: string, codec: ValueCodec<V>, rules: AreaRules) {
    this.name = name
    this.rules = rules
    this.#codec = codec
  }

  /** `names` are escaped; without any, the key of the area's one value. */
  key(...names: readonly (string | number | bigint)[]): string {
    return stateKey(this.name, ...names)
  }

  /** As key(), of what is written behind the area's "/" as it is. */
  keyAt(rest: string): string {
    return `${this.name}/${rest}`
  }

  restOf(key: string): string {
    return key.slice(this.name.length + 1)
  }

  /** Names of a key, unescaped. */
  namesOf(key: string): string[] {
    return namesOfKey(this.restOf(key))
  }

  owns(key: string): boolean {
    return this.rules.keys === '' ? key === this.name : key.startsWith(`${this.name}/`)
  }

  /** Keys whose first names are these. */
  keysIn(state: Pick<StateReader, 'listState'>, ...names: readonly (string | number)[]): string[] {
    return state.listState(`${this.key(...names)}/`)
  }

  /** @throws as the codec */
  get(state: Pick<StateReader, 'getState'>, key: string): V | undefined {
    const value = state.getState(key)
    return value && this.decode(value, key)
  }

  /** @throws as the codec */
  decode(value: Uint8Array, key: string): V {
    return this.#codec.decode(value, key)
  }

  /** @throws WadiError WADI_RECORD_INVALID when the value is larger than the area allows: nothing would be written */
  put(key: string, value: V): StateChange {
    const bytes = this.#codec.encode(value)
    const { valueBytesMax } = this.rules
    if (bytes.byteLength <= valueBytesMax) return { key, value: bytes }
    throw new WadiError('WADI_RECORD_INVALID', {
      happened: `The state "${key}" would have ${bytes.byteLength} bytes, at most ${valueBytesMax}.`,
      kept: 'Nothing was written.',
      next: 'Use shorter names or fewer partitions.',
      facts: { key, valueBytes: bytes.byteLength }
    })
  }

  remove(key: string): StateChange {
    return deleteState(key)
  }
}
