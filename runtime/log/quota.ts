// Is there room for an append? Asked before it is taken, and what was taken counts at once: no append passes the limit while a round of retention runs.
//
//   counted     segments (their .log files), tails in memory, and what waits for its commit
//   not counted the journal, which has its size from the start, and indexes (about half a percent); the directory's quota counts the journal
//   the limit   is the quota; while retention can make room by deleting, at most one commit more
//
// Invariant: a topic of which nothing may be deleted never holds more than its quota.
// Not here: what may be deleted (retention.ts), deleting it (retention-round.ts).

import type { WadiError } from '../base/errors.ts'
import type { DirectoryAccount } from './accounts.ts'
import { type Cause, canMakeRoom } from './retention.ts'
import { quotaExceeded, reserveReached } from './store-errors.ts'
import type { StoredTopic } from './stored-topic.ts'

export interface QuotaOptions {
  readonly directory: DirectoryAccount
  readonly quotaBytes: number | null
  /** 0 = no reserve. */
  readonly freeBytesMin: number
  /** How far a quota may be exceeded for as long as room is being made. */
  readonly commitBytesMax: number
  /** Bytes of the directory that belong to no topic: journal and state. */
  otherBytes(): number
  topics(): Iterable<StoredTopic>
}

export class Quota {
  readonly #options: QuotaOptions
  #limitBytes: number
  #limitCause: 'directory quota' | 'disk reserve' = 'directory quota'
  #freeBytes = Number.POSITIVE_INFINITY

  constructor(options: QuotaOptions) {
    this.#options = options
    this.#limitBytes = options.quotaBytes ?? Number.POSITIVE_INFINITY
  }

  get #directoryBytes(): number {
    return this.#options.directory.storedBytes + this.#options.otherBytes()
  }

  get limitCause(): 'directory quota' | 'disk reserve' {
    return this.#limitCause
  }

  /** How far the directory may grow: to its quota, or until only the reserve is free. `tailBytes` will need room on the disk too. */
  measured(freeBytes: number, tailBytes: number): void {
    const { quotaBytes, freeBytesMin } = this.#options
    const quotaLimit = quotaBytes ?? Number.POSITIVE_INFINITY
    const diskLimit = freeBytesMin > 0 ? this.#directoryBytes - tailBytes + freeBytes - freeBytesMin : Number.POSITIVE_INFINITY
    this.#limitCause = diskLimit < quotaLimit ? 'disk reserve' : 'directory quota'
    this.#limitBytes = Math.min(diskLimit, quotaLimit)
    this.#freeBytes = freeBytes
  }

  isTopicOver(topic: StoredTopic): boolean {
    return topic.config.quotaBytes !== null && topic.account.storedBytes > topic.config.quotaBytes
  }

  get isDirectoryOver(): boolean {
    return this.#limitBytes !== Number.POSITIVE_INFINITY && this.#directoryBytes > this.#limitBytes
  }

  /** Why `bytes` more cannot be taken, or null. `alsoBytes`: what the same commit has asked for before. */
  refusalFor(topic: StoredTopic, bytes: number, alsoBytes = { topic: 0, directory: 0 }): WadiError | null {
    const { quotaBytes } = topic.config
    if (quotaBytes !== null) {
      const wanted = topic.account.storedBytes + topic.account.reservedBytes + alsoBytes.topic + bytes
      if (this.#isTooMuch(wanted, quotaBytes, [topic], 'topic quota')) return quotaExceeded(topic.name, wanted - bytes, quotaBytes)
    }
    if (this.#limitBytes === Number.POSITIVE_INFINITY) return null
    const { directory, freeBytesMin, topics } = this.#options
    const wanted = this.#directoryBytes + directory.reservedBytes + alsoBytes.directory + bytes
    if (!this.#isTooMuch(wanted, this.#limitBytes, topics(), this.#limitCause)) return null
    if (this.#limitCause === 'disk reserve') return reserveReached(topic.name, this.#freeBytes, freeBytesMin)
    return quotaExceeded(topic.name, wanted - bytes, this.#limitBytes)
  }

  #isTooMuch(wanted: number, limit: number, topics: Iterable<StoredTopic>, cause: Cause): boolean {
    if (wanted <= limit) return false
    return wanted > limit + this.#options.commitBytesMax || !canMakeRoom(topics, cause)
  }
}
