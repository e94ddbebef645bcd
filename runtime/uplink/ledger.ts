// What the uplink counts and says. Every promise has a counter; what an operator must know is a notice.

export interface UplinkCounters {
  transactions: number
  deliveredEvents: number
  /** As sent: compressed batches of committed transactions. */
  deliveredBytes: number
  failures: number
  fences: number
  /** Deleted here before they could be delivered. */
  lostEvents: number
  /** Put aside into the dead-letter topic. */
  parkedEvents: number
  /** Events sent again because the centre could not say whether it has them. */
  undecidedEvents: number
  /** Times an older image of this disk was found to have been put back, or a copy to be in use. */
  forks: number
  /** In-doubt commits that were found committed. */
  resolvedCommits: number
}

export type NoticeKind =
  | 'hole'
  | 'parked'
  | 'stopped'
  | 'forked'
  | 'other-log'
  | 'recreated'
  | 'undecided'
  | 'went-back'
  | 'unreadable'
  | 'whole'
  | 'hint'

export interface Notice {
  readonly kind: NoticeKind
  readonly text: string
  readonly facts: Readonly<Record<string, string | number>>
}

export class Ledger {
  readonly counters: UplinkCounters = {
    transactions: 0,
    deliveredEvents: 0,
    deliveredBytes: 0,
    failures: 0,
    fences: 0,
    lostEvents: 0,
    parkedEvents: 0,
    undecidedEvents: 0,
    forks: 0,
    resolvedCommits: 0
  }
  readonly #listeners = new Set<(notice: Notice) => void>()

  onNotice(listener: (notice: Notice) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  notice(kind: NoticeKind, text: string, facts: Notice['facts'] = {}): void {
    for (const listener of this.#listeners) listener({ kind, text, facts })
  }
}
