// All sessions by their client ids, from their first CONNECT to their end: when those of absent clients expire, and which of those that have no
// subscriptions may stay.
//
// Invariants:
//   R1  A session that has ended has nothing left in memory when end() returns: no queue, no subscription, no place of others.
//   R2  Of sessions that are absent and subscribe to nothing at most sessionsMax stay: the oldest goes. Those that subscribe are bounded by subscriptions.ts.
// Not for: who is connected, packets (mqtt-sessions.ts), what is durable of a session when (session-store.ts).

import type { WadiError } from '../../runtime/base/errors.ts'
import { ClientSession } from './client-session.ts'
import { Deadlines } from './deadlines.ts'
import type { KeptSessions, RestoredSession } from './kept-sessions.ts'
import type { BrokerLimits } from './limits.ts'
import { Outbox, type QueueBudget } from './outbox.ts'
import { SESSION_NEVER_EXPIRES } from './packets.ts'
import type { Qos2Memory } from './qos2-memory.ts'
import { noPlace } from './session-faults.ts'
import type { Subscriptions } from './subscriptions.ts'
import type { Wills } from './wills.ts'

export interface SessionRegistryOptions {
  readonly limits: BrokerLimits
  readonly budget: QueueBudget
  readonly kept: KeptSessions
  readonly subscriptions: Subscriptions
  readonly wills: Wills
  readonly qos2: Qos2Memory
  /** Also one whose CONNECT is not answered yet: it will have the session, or end it. */
  readonly isConnected: (clientId: string) => boolean
  /** A session that was found at the start and has no place any more. */
  readonly onDamage: (error: WadiError) => void
}

export class SessionRegistry {
  readonly #options: SessionRegistryOptions
  readonly #sessions = new Map<string, ClientSession>()
  readonly #ends = new Deadlines<ClientSession>((session) => this.end(session))
  /** Sessions without connection and subscriptions, the oldest first. */
  readonly #idle = new Set<ClientSession>()

  constructor(options: SessionRegistryOptions) {
    this.#options = options
  }

  /** Those of absent clients included. */
  get size(): number {
    return this.#sessions.size
  }

  get(clientId: string): ClientSession | undefined {
    return this.#sessions.get(clientId)
  }

  /** In no order. */
  clientIds(): Iterable<string> {
    return this.#sessions.keys()
  }

  /** At the start. One that has expired ends, and so does one that there is no place for any more: its client has to hear that it must subscribe again. */
  restore(session: ClientSession, restored: RestoredSession['subscriptions']): void {
    const { subscriptions, onDamage, limits } = this.#options
    this.#sessions.set(session.clientId, session)
    if (restored.length > 0 && !subscriptions.takePlace(session)) {
      onDamage(noPlace(session, limits.sessionsMax))
      this.end(session)
      return
    }
    for (const { filter, subscription } of restored) subscriptions.restore(session, filter, subscription)
    const { expirySeconds, endedMs } = session
    if (expirySeconds !== SESSION_NEVER_EXPIRES) {
      const secondsLeft = expirySeconds - (Date.now() - (endedMs ?? Date.now())) / 1_000
      if (secondsLeft <= 0) {
        this.end(session)
        return
      }
      this.#ends.set(session, Math.min(secondsLeft, expirySeconds))
    }
    if (session.subscriptions.size === 0) this.#keepIdle(session)
  }

  /** In the place of one that has ended. */
  create(clientId: string): ClientSession {
    const { limits, budget } = this.#options
    const session = new ClientSession(clientId, new Outbox(limits, budget), 0)
    this.#sessions.set(clientId, session)
    return session
  }

  /** Its client is connected: it does not expire. `expirySeconds`: as the client asks for; 0 where there is no place for it. */
  occupy(session: ClientSession, expirySeconds: number): void {
    session.expirySeconds = expirySeconds
    session.endedMs = null
    if (session.subscriptions.size > 0 && !this.#options.subscriptions.takePlace(session)) session.expirySeconds = 0
    this.#options.wills.sessionResumed(session.clientId)
    this.#ends.delete(session)
    this.#idle.delete(session)
  }

  /** Its client is gone. @returns as end(), where it ends with its connection; null otherwise */
  leave(session: ClientSession): Promise<Error | null> {
    const { expirySeconds } = session
    if (expirySeconds === 0) return this.end(session)
    session.endedMs = Date.now()
    this.#options.kept.store.recordChanged(session)
    if (expirySeconds !== SESSION_NEVER_EXPIRES) this.#ends.set(session, expirySeconds)
    if (session.subscriptions.size === 0) this.#keepIdle(session)
    return Promise.resolve(null)
  }

  /**
   * Ends a session that has no connection. A will of its that waits is sent now (MQTT-3.1.2-8).
   * @returns why that is not durable yet; null = it is. What storage refuses is tried again
   */
  end(session: ClientSession, { keepsQos2 = false }: { keepsQos2?: boolean } = {}): Promise<Error | null> {
    const { kept, subscriptions, wills, qos2 } = this.#options
    const { clientId } = session
    if (this.#sessions.get(clientId) === session) this.#sessions.delete(clientId)
    this.#ends.delete(session)
    this.#idle.delete(session)
    session.outbox.clear()
    const forgotten = kept.store.forget(session)
    subscriptions.removeAll(session)
    wills.sessionEnded(clientId)
    if (keepsQos2) return forgotten
    // Refused by storage they stay: they are forgotten when this client comes again with a clean session, or for want of room.
    const released = qos2.forget(clientId).then(
      () => null,
      (error: Error) => error
    )
    return Promise.all([forgotten, released]).then(([one, other]) => one ?? other)
  }

  close(): void {
    this.#ends.close()
  }

  #keepIdle(session: ClientSession): void {
    this.#idle.add(session)
    if (this.#options.isConnected(session.clientId)) return // it is being taken over
    for (const oldest of this.#idle) {
      if (this.#idle.size <= this.#options.limits.sessionsMax) return
      this.end(oldest, { keepsQos2: true })
    }
  }
}
