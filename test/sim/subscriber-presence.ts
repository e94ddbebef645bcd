// Whether the broker must, may or must not have a session of a client, from what its client saw and from the clock.
//
// Invariants: a session lives until its expiry has passed from the end of its last connection on, which after a fall of the gateway may count from the next start on;
// what was not answered may have been carried out or not: a CONNECT without CONNACK may have begun that time anew. Not for: what is in the session.

export type Presence = 'must' | 'may' | 'must-not'

/** The broker sees ends late, and its timers are late. */
const LATE_MS = 2_000
/** After that what a broker had to write down is durable. */
const DURABLE_MS = 1_500

export class SessionPresence {
  #isThere: 'yes' | 'maybe' | 'no' = 'no'
  /** In this life of the gateway it is not there, whatever the disk says; since when. */
  #goneInLife = -1
  #goneMs = 0
  #secondsMin = 0
  #secondsMax = 0
  /** The end of the last connection, and of the last one that was accepted. */
  #closedMs = 0
  #acceptedEndMs = 0
  #isCloseSeen = true
  /** CONNECT has left, CONNACK has not come. */
  #pending: { readonly isClean: boolean } | null = null
  /** DISCONNECT with expiry 0 has left. */
  #isEnding = false

  expected(now: { isClean: boolean; sentMs: number; nowMs: number; servesSinceMs: number; life: number }): Presence {
    const { isClean, sentMs, nowMs, servesSinceMs, life } = now
    if (isClean || this.#isThere === 'no' || this.#goneInLife === life) return 'must-not'
    const sinceMs = Math.max(this.#closedMs, servesSinceMs)
    if (this.#isCloseSeen && sentMs - sinceMs > this.#secondsMax * 1_000 + LATE_MS) return 'must-not'
    return this.#isThere === 'yes' && nowMs - this.#acceptedEndMs < this.#secondsMin * 1_000 ? 'must' : 'may'
  }

  connecting(expirySeconds: number, isClean: boolean): void {
    this.#pending = { isClean }
    this.#secondsMin = Math.min(this.#secondsMin, expirySeconds)
    this.#secondsMax = Math.max(this.#secondsMax, expirySeconds)
  }

  /** `isSoft`: it may not have been written down. */
  connected(expirySeconds: number, isSoft: boolean): void {
    this.#pending = null
    this.#isThere = isSoft ? 'maybe' : 'yes'
    this.#goneInLife = -1
    this.#secondsMin = expirySeconds
    this.#secondsMax = expirySeconds
    this.#isCloseSeen = false
    this.#isEnding = false
  }

  changing(expirySeconds: number): void {
    this.#secondsMin = Math.min(this.#secondsMin, expirySeconds)
    this.#secondsMax = Math.max(this.#secondsMax, expirySeconds)
    this.#isEnding = expirySeconds === 0
  }

  /** The broker has closed the connection behind DISCONNECT. */
  endConfirmed(life: number, nowMs: number): void {
    if (!this.#isEnding) return
    this.#goneInLife = life
    this.#goneMs = nowMs
  }

  closed(nowMs: number, isSeen: boolean): void {
    this.#closedMs = nowMs
    if (this.#pending === null) this.#acceptedEndMs = nowMs
    this.#isCloseSeen = isSeen
    if (this.#pending && this.#secondsMax > 0 && (this.#pending.isClean || this.#isThere === 'no' || this.#goneInLife >= 0)) {
      this.#isThere = 'maybe'
      this.#goneInLife = -1
    }
    this.#pending = null
    if (this.#secondsMax === 0 && isSeen) this.#isThere = 'no'
    else if (this.#secondsMin === 0 && this.#isThere === 'yes') this.#isThere = 'maybe'
  }

  /** The gateway is gone; `isFaulty`: what it had to write down may not be. */
  restarted(nowMs: number, isFaulty: boolean): void {
    this.#isCloseSeen = true
    if (this.#goneInLife < 0) return
    if (nowMs - this.#goneMs > DURABLE_MS && !isFaulty) this.#isThere = 'no'
    this.#goneInLife = -1
  }
}
