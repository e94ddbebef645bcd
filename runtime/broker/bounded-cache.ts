// A map for names from outside: bounded, and cheap to hit. Two generations: what is used moves to the young one, the old one
// is forgotten whole. Between half of and all of `countMax` recently used entries are kept.

export class BoundedCache<V> {
  readonly #generationCountMax: number
  #young = new Map<string, V>()
  #old = new Map<string, V>()

  constructor(countMax: number) {
    this.#generationCountMax = Math.max(1, Math.floor(countMax / 2))
  }

  get size(): number {
    return this.#young.size + this.#old.size
  }

  get(key: string): V | undefined {
    const young = this.#young.get(key)
    if (young !== undefined) return young
    const old = this.#old.get(key)
    if (old !== undefined) {
      this.#old.delete(key)
      this.set(key, old)
    }
    return old
  }

  set(key: string, value: V): void {
    if (this.#young.size >= this.#generationCountMax) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(key, value)
  }
}
