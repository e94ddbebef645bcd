// Pseudo-random numbers from one 32-bit seed (sfc32): the same seed gives the same run. Also the simulated Random of the product.
// Not for: secrets.

import type { Random } from '../../runtime/io/random.ts'

export class Prng implements Random {
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: number) {
    this.#a = seed | 0
    this.#b = 0x9e3779b9 ^ seed
    this.#c = 0x243f6a88
    for (let round = 0; round < 15; round++) this.uint32()
  }

  /** Uniform in [0, 2^32). */
  uint32(): number {
    const result = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + result) | 0
    return result >>> 0
  }

  fraction(): number {
    return this.uint32() / 2 ** 32
  }

  /** Uniform integer in [0, limit). */
  below(limit: number): number {
    return Math.floor(this.fraction() * limit)
  }

  /** Uniform integer in [min, max]. */
  between(min: number, max: number): number {
    return min + this.below(max - min + 1)
  }

  /** True in `percent` of 100 cases; fractions of a percent are fine. Always draws. */
  chance(percent: number): boolean {
    return this.fraction() * 100 < percent
  }

  bytes(count: number): Uint8Array {
    const result = new Uint8Array(count)
    for (let at = 0; at < count; at++) result[at] = this.uint32() & 0xff
    return result
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T
  }

  /** An independent stream: what one part of a run draws does not shift the others. */
  fork(): Prng {
    return new Prng(this.uint32())
  }
}

/** The seeds of a run: SEED=n replays one; otherwise `count` seeds from `first` on. */
export function seeds(options: { first?: number; count: number }): number[] {
  const replay = process.env.SEED
  if (replay !== undefined) return [Number(replay)]
  return Array.from({ length: options.count }, (_, index) => (options.first ?? 1) + index)
}
