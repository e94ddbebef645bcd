// The filters that each connection has been granted, counted when they are granted. aedes counts a subscription of a persistent session
// when it is stored, and decides all filters of a SUBSCRIBE before that: one packet could ask for tens of thousands.
//
// Invariant: a connection has at most countMax. Not for: rights and names (asked before), what a session keeps (session-store.ts).

export class GrantedFilters {
  readonly #countMax: number
  readonly #filters = new WeakMap<object, Set<string>>()

  constructor(countMax: number) {
    this.#countMax = countMax
  }

  /** False when it would be one too many; one that the connection has already is granted again. */
  grant(connection: object, filter: string): boolean {
    const filters = this.#filters.get(connection) ?? new Set()
    if (!filters.has(filter) && filters.size >= this.#countMax) return false
    filters.add(filter)
    this.#filters.set(connection, filters)
    return true
  }

  has(connection: object, filter: string): boolean {
    return this.#filters.get(connection)?.has(filter) === true
  }

  release(connection: object, filters: readonly string[]): void {
    for (const filter of filters) this.#filters.get(connection)?.delete(filter)
  }
}
