// A map that mostly has one entry or none: it has no table then, which takes 150 bytes, and a session has several maps.
// Invariant: it says what a Map says, in the order in which a Map says it. No private methods: an object of a class that has some takes eight bytes more.

export class SmallMap<K extends string | number | object, V> implements Iterable<readonly [K, V]> {
  /** Of the only entry, while there is no table; undefined = there is none. */
  #key: K | undefined
  #value: V | undefined
  #table: Map<K, V> | null = null

  get size(): number {
    return this.#table ? this.#table.size : Number(this.#key !== undefined)
  }

  get(key: K): V | undefined {
    if (this.#table) return this.#table.get(key)
    return this.#key === key ? this.#value : undefined
  }

  has(key: K): boolean {
    return this.#table ? this.#table.has(key) : this.#key === key
  }

  set(key: K, value: V): void {
    if (this.#table) this.#table.set(key, value)
    else if (this.#key !== undefined && this.#key !== key) {
      this.#table = new Map([
        [this.#key, this.#value as V],
        [key, value]
      ])
      this.#key = undefined
      this.#value = undefined
    } else {
      this.#key = key
      this.#value = value
    }
  }

  /** @returns whether it was there */
  delete(key: K): boolean {
    if (this.#table) {
      const isFound = this.#table.delete(key)
      if (this.#table.size === 0) this.#table = null
      return isFound
    }
    if (this.#key !== key) return false
    this.#key = undefined
    this.#value = undefined
    return true
  }

  clear(): void {
    this.#table = null
    this.#key = undefined
    this.#value = undefined
  }

  /** Entries may be deleted while they are looked at. */
  *[Symbol.iterator](): Generator<readonly [K, V]> {
    if (this.#table) yield* this.#table
    else if (this.#key !== undefined) yield [this.#key, this.#value as V]
  }

  *keys(): Generator<K> {
    if (this.#table) yield* this.#table.keys()
    else if (this.#key !== undefined) yield this.#key
  }

  *values(): Generator<V> {
    if (this.#table) yield* this.#table.values()
    else if (this.#key !== undefined) yield this.#value as V
  }

  /** As an iteration; without an object where there is one. */
  visit(visitor: (key: K, value: V) => void): void {
    if (this.#table) for (const [key, value] of this.#table) visitor(key, value)
    else if (this.#key !== undefined) visitor(this.#key, this.#value as V)
  }
}
