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
  /** Offsets skipped because the centre already had them and we did not. */
  raisedEvents: number
  /** In-doubt commits that were found committed. */
  resolvedCommits: number
}

export type NoticeKind =
  | 'hole'
  | 'parked'
  | 'stopped'
  | 'raised'
  | 'other-log'
  | 'other-copy'
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
    raisedEvents: 0,
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
