// What an operator should know about deliveries at once: a kind to decide by, a text for people, and the facts that the text names.
// Not for: counting (counters.ts), the state of the link (link-state.ts).

export type NoticeKind =
  | 'hole'
  | 'dead-letter'
  | 'stopped'
  | 'left-out'
  | 'let-in'
  | 'forked'
  | 'other-log'
  | 'recreated'
  | 'undecided'
  | 'went-back'
  | 'renamed'
  | 'unreadable'
  | 'whole'
  | 'notes'

export interface Notice {
  readonly kind: NoticeKind
  readonly text: string
  readonly facts: Readonly<Record<string, string | number>>
}

export class Notices {
  readonly #listeners = new Set<(notice: Notice) => void>()

  /** Returns the unsubscribe. */
  onNotice(listener: (notice: Notice) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Tells every listener, before it returns. */
  add(kind: NoticeKind, text: string, facts: Notice['facts'] = {}): void {
    for (const listener of this.#listeners) listener({ kind, text, facts })
  }
}
