// Wills: what is published for a client that goes without saying goodbye. They are durable from before CONNACK until they are sent or dropped; those that a
// start finds belong to clients that lost their gateway.
//
// Invariants:
//   W1  A will is sent once: the commit of its event takes it out of the state. One that is refused by rule is counted and gone; one that there is no room
//       for is tried again, until the client connects again.
//   W2  A will of a connection that said DISCONNECT, or never got CONNACK, is not sent; nor is a delayed one whose session was resumed in time (MQTT-3.1.3-9).
//   W3  Each will has a key of its own, so that a commit that comes late takes away or puts nothing but it. #stored has the newest one of each client id.
// Not for: rights and the append (the handlers).

import { WadiError } from '../../runtime/base/errors.ts'
import type { StateChange, Store } from '../../runtime/log/contract.ts'
import { StateArea } from '../../runtime/log/state-area.ts'
import { Deadlines } from './deadlines.ts'
import { ReasonCode, type WillPacket } from './packets.ts'
import { GateFault } from './reasons.ts'
import type { Session } from './session-layer.ts'
import { type StoredMessage, storedMessageCodec } from './stored-message.ts'

export const storedWills = new StateArea<StoredMessage>('mqtt.will', storedMessageCodec, {
  keys: '<client>/<number>',
  valueBytesMax: 24 * 1024,
  entries: '10,000',
  goes: 'with DISCONNECT, the event of the will, or the next CONNECT of the client'
})

/**
 * `sender` is null when only the client id is known: the gateway fell meanwhile. `state` travels with the event. `done` is called once: 'sent', 'refused' by
 * a rule that will not change by itself, or 'later': there was no room.
 */
export type SendWill = (due: DueWill, state: readonly StateChange[], done: (outcome: 'sent' | 'refused' | 'later') => void) => void

export interface DueWill {
  readonly sender: Session | null
  readonly clientId: string
  readonly will: WillPacket
}

interface StoredWill {
  readonly will: WillPacket
  readonly key: string
}

const RETRY_SECONDS = 5

export class Wills {
  readonly #store: Pick<Store, 'commit' | 'listState' | 'getState'>
  readonly #countMax: number
  readonly #send: SendWill
  /** The newest of each client id that is in the state, or will be. */
  readonly #stored = new Map<string, StoredWill>()
  #lastNumber = 0
  /** Those whose connection is gone, until they are sent: they wait for their delay, or for room. */
  readonly #due = new Map<string, DueWill>()
  readonly #deadlines = new Deadlines<string>((clientId) => this.#sendNow(clientId))
  /** Their commit is under way. */
  readonly #sending = new WeakSet<DueWill>()
  /** There was no room for them when they were due. */
  readonly #overdue = new WeakSet<DueWill>()
  #droppedCount = 0

  constructor(store: Pick<Store, 'commit' | 'listState' | 'getState'>, countMax: number, send: SendWill) {
    this.#store = store
    this.#countMax = countMax
    this.#send = send
  }

  /** Durable, and not sent: of connected clients, and of those that are gone. */
  get count(): number {
    return this.#stored.size
  }

  /** Of this client, in either way. */
  has(clientId: string): boolean {
    return this.#stored.has(clientId) || this.#due.has(clientId)
  }

  /** That were due and will not be sent: refused by rule, or without room until their client came back. */
  get droppedCount(): number {
    return this.#droppedCount
  }

  /** At the start. `onDamage` hears of those that cannot be read: they are left out. @throws WadiError WADI_FORMAT_NEWER */
  load(onDamage: (error: WadiError) => void): void {
    const found: { clientId: string; number: number; key: string; stored: StoredMessage }[] = []
    for (const key of storedWills.keysIn(this.#store)) {
      const stored = storedWills.getWhole(this.#store, key, onDamage)
      const rest = storedWills.restOf(key)
      const slash = rest.lastIndexOf('/')
      if (stored) found.push({ clientId: rest.slice(0, slash), number: Number(rest.slice(slash + 1)), key, stored })
    }
    found.sort((one, other) => one.number - other.number)
    for (const { clientId, number, key, stored } of found) {
      const { isRetained: retain, ...fields } = stored
      const will = { ...fields, retain }
      this.#lastNumber = Math.max(this.#lastNumber, number)
      this.sessionEnded(clientId) // of an earlier one, that was on its way
      this.#stored.set(clientId, { will, key })
      this.connectionLost(null, clientId, will, stored.delaySeconds)
    }
  }

  /**
   * Before CONNACK: what the client has from now on, null = none. `delaySecondsMax`: its session ends then. Resolves when it is durable; a will that is no
   * more need not be durably so, it is only taken out. Where the disk is full it is in memory only: who wants to read must be able to connect then.
   * @throws WadiError of Store.commit, GateFault: it is as it was
   */
  async arm(clientId: string, will: WillPacket | null, delaySecondsMax: number): Promise<void> {
    if (will === null) return this.disarm(clientId)
    const before = this.#stored.get(clientId)
    if (!before && this.#stored.size >= this.#countMax) {
      throw new GateFault('will', `more than ${this.#countMax} wills`, { reasonCode: ReasonCode.quotaExceeded })
    }
    const { retain, delaySeconds, ...fields } = will
    const stored = { ...fields, isRetained: retain, delaySeconds: Math.min(delaySeconds, delaySecondsMax), expiresMs: null }
    const key = storedWills.keyAt(`${clientId}/${++this.#lastNumber}`)
    const armed = { will, key }
    this.#stored.set(clientId, armed)
    try {
      await this.#store.commit([], [storedWills.put(key, stored), ...(before ? [storedWills.remove(before.key)] : [])])
    } catch (error) {
      if (this.#stored.get(clientId) === armed) this.#restore(clientId, before)
      if (!isForWantOfRoom(error)) throw error
    }
  }

  /** DISCONNECT, or a CONNECT without one. Refused by storage it stays in the state: it would be sent after the next start, unless the client connects before. */
  disarm(clientId: string): void {
    const before = this.#stored.get(clientId)
    if (!before) return
    this.#stored.delete(clientId)
    this.#store.commit([], [storedWills.remove(before.key)]).catch(() => {
      if (!this.#stored.has(clientId)) this.#stored.set(clientId, before)
    })
  }

  /** As disarm(), of a connection that did not get so far that `will` may be sent. What another connection has armed stays. */
  abandon(clientId: string, will: WillPacket): void {
    if (this.#stored.get(clientId)?.will === will) this.disarm(clientId)
  }

  /** The connection ended without DISCONNECT: its will is sent after the delay. */
  connectionLost(sender: Session | null, clientId: string, will: WillPacket, delaySeconds: number): void {
    this.#due.set(clientId, { sender, clientId, will })
    if (delaySeconds === 0) this.#sendNow(clientId)
    else this.#deadlines.set(clientId, delaySeconds)
  }

  /** The client is there again, in the same session: what still waits is not sent. */
  sessionResumed(clientId: string): void {
    const due = this.#due.get(clientId)
    if (!due) return
    if (this.#overdue.has(due)) this.#droppedCount++
    this.#due.delete(clientId)
    this.#deadlines.delete(clientId)
  }

  /** A delayed one is sent now (MQTT-3.1.2-8). */
  sessionEnded(clientId: string): void {
    if (this.#due.has(clientId)) this.#sendNow(clientId)
  }

  #sendNow(clientId: string): void {
    const due = this.#due.get(clientId)
    if (!due || this.#sending.has(due)) return
    this.#sending.add(due)
    this.#deadlines.delete(clientId)
    const stored = this.#stored.get(clientId)
    const own = stored?.will === due.will ? stored : null
    if (own) this.#stored.delete(clientId)
    this.#send(due, own ? [storedWills.remove(own.key)] : [], (outcome) => this.#onOutcome(due, own, outcome))
  }

  #onOutcome(due: DueWill, own: StoredWill | null, outcome: 'sent' | 'refused' | 'later'): void {
    const { clientId } = due
    this.#sending.delete(due)
    const isCurrent = this.#due.get(clientId) === due
    if (outcome === 'sent') {
      if (isCurrent) this.#due.delete(clientId)
      return
    }
    if (own && !this.#stored.has(clientId)) this.#stored.set(clientId, own)
    if (outcome === 'later' && isCurrent) {
      this.#overdue.add(due)
      return this.#deadlines.set(clientId, RETRY_SECONDS)
    }
    this.#droppedCount++
    if (isCurrent) this.#due.delete(clientId)
    if (this.#stored.get(clientId) === own) this.disarm(clientId)
    else if (own) this.#store.commit([], [storedWills.remove(own.key)]).catch(() => undefined)
  }

  #restore(clientId: string, before: StoredWill | undefined): void {
    if (before) this.#stored.set(clientId, before)
    else this.#stored.delete(clientId)
  }

  close(): void {
    this.#deadlines.close()
  }
}

function isForWantOfRoom(error: unknown): boolean {
  return error instanceof WadiError && (error.code === 'WADI_DISK_FULL' || error.code === 'WADI_QUOTA_EXCEEDED')
}
