// Wills: what is published for a client that goes without saying goodbye. They are durable from before CONNACK until they are sent or dropped; those that a
// start finds belong to clients that lost their gateway.
//
// Invariants:
//   W1  A will is sent once: the commit of its event takes it out of the state.
//   W2  A will of a connection that said DISCONNECT is not sent; nor is a delayed one whose session was resumed in time (MQTT-3.1.3-9).
//   W3  One will for each client id: a later CONNECT takes the place of what an earlier one left.
// Not for: rights and the append (the handlers).

import type { WadiError } from '../../runtime/base/errors.ts'
import type { StateChange, Store } from '../../runtime/log/contract.ts'
import { StateArea } from '../../runtime/log/state-area.ts'
import { Deadlines } from './deadlines.ts'
import { ReasonCode, type WillPacket } from './packets.ts'
import { GateFault } from './reasons.ts'
import type { Session } from './session-layer.ts'
import { readStored, type StoredMessage, storedMessageCodec } from './stored-message.ts'

export const storedWills = new StateArea<StoredMessage>('mqtt.will', storedMessageCodec, {
  keys: '<client>',
  valueBytesMax: 16 * 1024,
  goes: 'with DISCONNECT, the event of the will, or the next CONNECT of the client'
})

/** `sender` is null when only the client id is known: the gateway fell meanwhile. `state` travels with the event. */
export type SendWill = (sender: Session | null, clientId: string, will: WillPacket, state: readonly StateChange[]) => void

interface DelayedWill {
  readonly sender: Session | null
  readonly clientId: string
  readonly will: WillPacket
}

export class Wills {
  readonly #store: Pick<Store, 'commit' | 'listState' | 'getState'>
  readonly #send: SendWill
  /** Client ids that have one in the state, or will have. */
  readonly #stored = new Set<string>()
  readonly #countMax: number
  readonly #delayed = new Map<string, DelayedWill>()
  readonly #deadlines = new Deadlines<string>((clientId) => this.sessionEnded(clientId))

  constructor(store: Pick<Store, 'commit' | 'listState' | 'getState'>, countMax: number, send: SendWill) {
    this.#store = store
    this.#countMax = countMax
    this.#send = send
  }

  /** Durable, and not sent: of connected clients, and delayed ones. */
  get count(): number {
    return this.#stored.size
  }

  /** At the start. `onDamage` hears of those that cannot be read: they are left out. @throws WadiError WADI_FORMAT_NEWER */
  load(onDamage: (error: WadiError) => void): void {
    for (const key of storedWills.keysIn(this.#store)) {
      const stored = readStored(storedWills, this.#store, key, onDamage)
      if (!stored) continue
      const clientId = storedWills.restOf(key)
      const { isRetained: retain, ...will } = stored
      this.#stored.add(clientId)
      this.connectionLost(null, clientId, { ...will, retain }, stored.delaySeconds)
    }
  }

  /** Before CONNACK: what the client has from now on, null = none. Resolves when it is durable. @throws WadiError of Store.commit, GateFault */
  async arm(clientId: string, will: WillPacket | null): Promise<void> {
    if (will === null && !this.#stored.has(clientId)) return
    const key = storedWills.keyAt(clientId)
    if (will === null) {
      await this.#store.commit([], [storedWills.remove(key)])
      this.#stored.delete(clientId)
      return
    }
    if (!this.#stored.has(clientId) && this.#stored.size >= this.#countMax) {
      throw new GateFault('will', `more than ${this.#countMax} wills`, { reasonCode: ReasonCode.quotaExceeded })
    }
    const { retain, ...fields } = will
    this.#stored.add(clientId)
    await this.#store.commit([], [storedWills.put(key, { ...fields, isRetained: retain, expiresMs: null })])
  }

  /** DISCONNECT. Refused by storage it stays in the state: it would be sent after the next start, unless the client connects before. */
  disarm(clientId: string): void {
    this.arm(clientId, null).catch(() => undefined)
  }

  /** The connection ended without DISCONNECT: it is sent after the delay. */
  connectionLost(sender: Session | null, clientId: string, will: WillPacket, delaySeconds: number): void {
    this.#delayed.set(clientId, { sender, clientId, will })
    if (delaySeconds === 0) this.sessionEnded(clientId)
    else this.#deadlines.set(clientId, delaySeconds)
  }

  /** The client is there again, in the same session, before the delay has passed: it is not sent. */
  sessionResumed(clientId: string): void {
    this.#delayed.delete(clientId)
    this.#deadlines.delete(clientId)
  }

  /** A delayed one is sent now (MQTT-3.1.2-8). */
  sessionEnded(clientId: string): void {
    const delayed = this.#delayed.get(clientId)
    if (!delayed) return
    this.sessionResumed(clientId)
    const wasStored = this.#stored.delete(clientId)
    this.#send(delayed.sender, clientId, delayed.will, wasStored ? [storedWills.remove(storedWills.keyAt(clientId))] : [])
  }

  /** What was to be sent was refused: it is tried again at the next start, unless the client connects before. */
  notSent(clientId: string): void {
    this.#stored.add(clientId)
  }

  close(): void {
    this.#deadlines.close()
  }
}
