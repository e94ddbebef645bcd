// Bytes that count in a quota, kept so that asking is cheap: topics are counted anew only after they changed.
// Invariant: what is reserved is released once, when it is stored or refused.
// Not for: comparing with a limit (quota.ts).

/** Bytes of all topics; only topics that changed are counted anew. */
export class DirectoryAccount {
  reservedBytes = 0
  #storedBytes = 0
  readonly #stale = new Set<TopicAccount>()

  get storedBytes(): number {
    for (const account of this.#stale) account.refresh()
    return this.#storedBytes
  }

  onStale(account: TopicAccount): void {
    this.#stale.add(account)
  }

  onRefreshed(account: TopicAccount, moreBytes: number): void {
    this.#stale.delete(account)
    this.#storedBytes += moreBytes
  }
}

/** Bytes of one topic: what is stored, and what waits for its commit. */
export class TopicAccount {
  reservedBytes = 0
  readonly #directory: DirectoryAccount
  readonly #count: () => number
  #storedBytes = 0
  #isStale = false

  /** `count` walks over the topic's partitions. */
  constructor(directory: DirectoryAccount, count: () => number) {
    this.#directory = directory
    this.#count = count
  }

  get storedBytes(): number {
    if (this.#isStale) this.refresh()
    return this.#storedBytes
  }

  /** Segments or tails have changed. */
  touch(): void {
    if (this.#isStale) return
    this.#isStale = true
    this.#directory.onStale(this)
  }

  refresh(): void {
    const bytes = this.#count()
    this.#directory.onRefreshed(this, bytes - this.#storedBytes)
    this.#storedBytes = bytes
    this.#isStale = false
  }

  reserve(bytes: number): void {
    this.reservedBytes += bytes
    this.#directory.reservedBytes += bytes
  }

  release(bytes: number): void {
    this.reserve(-bytes)
  }
}
