// Small durable values beside the events: topics, the uplink's notes, QoS 2 packet ids, offsets of groups. They travel in the same commits
// and are written whole into the snapshot at each checkpoint.
// Invariant: holds exactly what completed commits said, in commit order.

import { WadiError } from '../base/errors.ts'
import type { StateChange } from './contract.ts'

export const STATE_KEY_BYTES_MAX = 255
export const STATE_VALUE_BYTES_MAX = 64 * 1024

export class StateMap {
  readonly #values: Map<string, Uint8Array>

  constructor(values: Iterable<readonly [string, Uint8Array]> = []) {
    this.#values = new Map(values)
  }

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key)
  }

  list(prefix: string): string[] {
    return [...this.#values.keys()].filter((key) => key.startsWith(prefix)).sort()
  }

  apply(changes: readonly StateChange[]): void {
    for (const { key, value } of changes) {
      if (value === null) this.#values.delete(key)
      else this.#values.set(key, value)
    }
  }

  entries(): IterableIterator<[string, Uint8Array]> {
    return this.#values.entries()
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

/** A count or an offset as a state value: decimal text. */
export function encodeNumber(value: number): Uint8Array {
  return new TextEncoder().encode(String(value))
}

export function decodeNumber(value: Uint8Array | undefined): number {
  return value ? Number(new TextDecoder().decode(value)) : 0
}
