// An area of the durable state: what its keys and values are, how large and how many they may be, and who takes them away. Every value of the state
// belongs to one. Making an area registers it: so none can be forgotten, and the store refuses a key of no area without knowing who owns which
// (areas belong to rooms that runtime/log does not see). docs/formats/state.md lists them; test/gateway/state-areas.test.ts holds that page, the
// sources and the registry together.
//
// Invariant: no key of one area is a key of another. Not for: when a change is durable (it travels in a commit).

import { assert } from '../base/assert.ts'
import { WadiError } from '../base/errors.ts'
import type { StateChange } from './contract.ts'
import { areaOf, deleteState, STATE_KEY_BYTES_MAX, stateDamaged, stateKey, type ValueCodec } from './state-codec.ts'

/** A store, or its state at a start. */
export interface StateReader {
  getState(key: string): Uint8Array | undefined
  /** In the order of their characters. */
  listState(prefix: string): string[]
}

export interface AreaRules {
  /** What stands in a key behind the area, "" = nothing: it has one value. */
  readonly keys: string
  /** Not there: what a state key may have at all. */
  readonly keyBytesMax?: number
  readonly valueBytesMax: number
  /** How many keys there are at most, and by what. Not there when `keys` is "". */
  readonly entries?: string
  /** Who takes a value away, and when. */
  readonly goes: string
}

/** By what their keys begin with up to the first "/". */
const registry = new Map<string, StateArea<unknown>[]>()

/** Of everything that is loaded. */
export function registeredAreas(): readonly StateArea<unknown>[] {
  return [...registry.values()].flat()
}

/** undefined: nobody knows what it would be, or when it goes. */
export function areaOfKey(key: string): StateArea<unknown> | undefined {
  return registry.get(areaOf(key))?.find((area) => area.owns(key))
}

function register(area: StateArea<unknown>): void {
  const beginning = areaOf(area.name)
  const others = registry.get(beginning) ?? []
  const keyOf = ({ name, rules }: StateArea<unknown>): string => (rules.keys === '' ? name : `${name}/`)
  const isApart = others.every((other) => other.name !== area.name && !other.owns(keyOf(area)) && !area.owns(keyOf(other)))
  assert(isApart, `the state area "${area.name}" has keys of another`)
  registry.set(beginning, [...others, area])
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
    register(this)
  }

  get keyBytesMax(): number {
    return this.rules.keyBytesMax ?? (this.rules.keys === '' ? this.name.length : STATE_KEY_BYTES_MAX)
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

  /** Names of a key, unescaped. @throws WadiError WADI_STATE_DAMAGED */
  namesOf(key: string): string[] {
    try {
      return this.restOf(key).split('/').map(decodeURIComponent)
    } catch (cause) {
      throw stateDamaged(key, new Uint8Array(0), cause)
    }
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

  /** As get(), of an area that is rebuilt where its values are damaged: `onDamage` says which is. @throws WadiError WADI_FORMAT_NEWER */
  getWhole(state: Pick<StateReader, 'getState'>, key: string, onDamage: (error: WadiError) => void): V | undefined {
    try {
      return this.get(state, key)
    } catch (error) {
      if (!(error instanceof WadiError) || error.code !== 'WADI_STATE_DAMAGED') throw error
      onDamage(error)
      return undefined
    }
  }

  /** Whatever a codec throws, and NaN, is damage. @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
  decode(value: Uint8Array, key: string): V {
    let decoded: V
    try {
      decoded = this.#codec.decode(value, key)
    } catch (cause) {
      throw cause instanceof WadiError ? cause : stateDamaged(key, value, cause)
    }
    if (Number.isNaN(decoded)) throw stateDamaged(key, value)
    return decoded
  }

  /** @throws WadiError WADI_RECORD_INVALID when key or value are larger than the area allows: nothing would be written */
  put(key: string, value: V): StateChange {
    const bytes = this.#codec.encode(value)
    const { valueBytesMax } = this.rules
    if (bytes.byteLength > valueBytesMax) throw this.#tooLarge(key, 'The state', bytes.byteLength, valueBytesMax)
    const { keyBytesMax } = this.rules
    const keyBytes = keyBytesMax === undefined ? 0 : Buffer.byteLength(key)
    if (keyBytesMax !== undefined && keyBytes > keyBytesMax) throw this.#tooLarge(key, 'The key of the state', keyBytes, keyBytesMax)
    return { key, value: bytes }
  }

  #tooLarge(key: string, what: string, bytes: number, bytesMax: number): WadiError {
    return new WadiError('WADI_RECORD_INVALID', {
      happened: `${what} "${key}" would have ${bytes} bytes, at most ${bytesMax}.`,
      kept: 'Nothing was written.',
      next: 'Use shorter names or fewer partitions.',
      facts: { key, bytes }
    })
  }

  remove(key: string): StateChange {
    return deleteState(key)
  }
}
