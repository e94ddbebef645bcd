// What goes wrong on the link between a simulated gateway and its centre. Not for: the centre itself (sim-centre.ts).

export interface LinkFaults {
  isDown: boolean
  /** Percent of calls, each. */
  requestLostPercent: number
  answerLostPercent: number
  /** The caller gives up; the request arrives all the same, up to a minute later. */
  lateRequestPercent: number
  /** "Not now": leader moved, coordinator loading. */
  retryPercent: number
  delayMs: { min: number; max: number }
  deadlineMs: number
}

export interface Loss {
  readonly name: string
  readonly what: 'request' | 'answer' | 'late'
  readonly times?: number
  /** Runs with each of them. */
  onLost?(): void
}

export const goodLink: LinkFaults = {
  isDown: false,
  requestLostPercent: 0,
  answerLostPercent: 0,
  lateRequestPercent: 0,
  retryPercent: 0,
  delayMs: { min: 1, max: 40 },
  deadlineMs: 10_000
}
