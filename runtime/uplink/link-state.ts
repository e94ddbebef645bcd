// In which state the uplink is, since when, and why. Times are kept on the monotonic clock and given as wall time.

import type { Clock } from '../io/clock.ts'

/**
 * connecting  finding the cluster, taking the producer id, reading our position
 * idle        everything is delivered
 * sending     a transaction is on its way
 * waiting     the last try failed; the next one is at retryAtMs
 * fenced      another process uses our id; tried again every few minutes
 * refused     the cluster does not let us; tried again slowly
 * paused      by command
 * closed      not started, or at the end
 */
export type LinkPhase = 'connecting' | 'idle' | 'sending' | 'waiting' | 'fenced' | 'refused' | 'paused' | 'closed'

export interface LinkStatus {
  readonly state: LinkPhase
  /** Wall time since when it is up, or is not up (tries do not count), or is paused. */
  readonly sinceMs: number
  /** Text of the last failure; stays until a transaction succeeds. */
  readonly lastError: string | null
  /** Wall time of the next try; null when none is planned. */
  readonly retryAtMs: number | null
}

/** Connected, as far as what was sent last has told. */
export function isUp(phase: LinkPhase): boolean {
  return phase === 'idle' || phase === 'sending'
}

function kindOf(phase: LinkPhase): 'up' | 'not up' | 'paused' {
  if (phase === 'paused') return phase
  return isUp(phase) ? 'up' : 'not up'
}

export class LinkState {
  readonly #clock: Clock
  #phase: LinkPhase = 'closed'
  #sinceMs: number
  #lastError: string | null = null
  #retryAtMs: number | null = null
  readonly #listeners = new Set<() => void>()

  constructor(clock: Clock) {
    this.#clock = clock
    this.#sinceMs = clock.monotonicMs()
  }

  get phase(): LinkPhase {
    return this.#phase
  }

  enter(phase: LinkPhase): void {
    if (this.#phase === phase) return
    if (kindOf(this.#phase) !== kindOf(phase)) this.#sinceMs = this.#clock.monotonicMs()
    this.#phase = phase
    this.#retryAtMs = null
    this.#notify()
  }

  /** waiting, fenced or refused, until the next try. */
  enterDelay(phase: 'waiting' | 'fenced' | 'refused', delayMs: number): void {
    this.enter(phase)
    this.#retryAtMs = this.#clock.monotonicMs() + delayMs
    this.#notify()
  }

  fail(message: string): void {
    this.#lastError = message
  }

  succeed(): void {
    this.#lastError = null
  }

  status(): LinkStatus {
    const wallMinusMonotonicMs = this.#clock.wallMs() - this.#clock.monotonicMs()
    return {
      state: this.#phase,
      sinceMs: Math.round(this.#sinceMs + wallMinusMonotonicMs),
      lastError: this.#lastError,
      retryAtMs: this.#retryAtMs === null ? null : Math.round(this.#retryAtMs + wallMinusMonotonicMs)
    }
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #notify(): void {
    for (const listener of this.#listeners) listener()
  }
}
