// What the uplink counts since its start. Every guarantee of the uplink has a counter here that shows when it was needed or could not be kept.
// Not for: what an operator should know at once (notices.ts), rates (progress.ts).

export interface UplinkCounters {
  transactions: number
  deliveredEvents: number
  /** As sent: compressed batches of committed transactions. */
  deliveredBytes: number
  failures: number
  fences: number
  /** Gone here before they could be delivered: retention, a quota or damage took them. */
  lostEvents: number
  /** In the dead-letter topic, because the centre does not take them or they cannot be opened. */
  deadLetterEvents: number
  /** Events sent again because the centre could not say whether it has them. */
  undecidedEvents: number
  /** Times an older image of this disk was found to have been put back, or a copy to be in use. */
  forks: number
  /** In-doubt commits that were found committed. */
  resolvedCommits: number
}

export function newCounters(): UplinkCounters {
  return {
    transactions: 0,
    deliveredEvents: 0,
    deliveredBytes: 0,
    failures: 0,
    fences: 0,
    lostEvents: 0,
    deadLetterEvents: 0,
    undecidedEvents: 0,
    forks: 0,
    resolvedCommits: 0
  }
}
