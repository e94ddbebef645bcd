// Remembers which QoS 2 packet ids of a client have become an event, from PUBLISH to PUBREL, so that a repeat does not become a
// second one. For persistent sessions the memory is durable and travels in the commit of the event: state `mqtt.qos2/CLIENT/ID`.
// A clean session ends with its connection, and so does its memory: it is not written anywhere.
//
// A repeat is the same packet id with the same topic and payload. The same id with other content comes from a device that lost its
// session (a reboot) and counts from 1 again: it is a new event, and dropping it would lose it. The DUP flag is not asked: devices
// are known to repeat without it.
//
// Invariants: an id is remembered before its event is appended (reserve before await) and forgotten when the append fails; PUBCOMP
// leaves only when forgetting is durable.
// Not for: QoS 2 towards subscribers (the session layer), order of acknowledgements (ack-queue.ts).

import type { Core } from '../../runtime/core/core.ts'
import type { StateChange, Store } from '../../runtime/log/contract.ts'

export interface Qos2Client {
  readonly id: string
  readonly clean: boolean
}

export interface Qos2Publish {
  readonly packetId: number
  readonly mqttTopic: string
  readonly payload: Uint8Array
}

/** A packet id that became, or is becoming, an event. */
interface Remembered {
  readonly digest: number
  isDurable: boolean
  /** Repeats that wait for the first one's commit; null once it is done. */
  waiters: ((error: Error | null) => void)[] | null
}

interface Session {
  readonly clientId: string
  readonly isPersistent: boolean
  readonly ids: Map<number, Remembered>
}

export type Qos2Begin =
  /** Store it with `state`, then call `settle`. */
  | { readonly kind: 'new'; readonly state: readonly StateChange[]; settle(error: Error | null, isDurable: boolean): void }
  /** It is an event already, or will be when the first one's commit is done. */
  | { readonly kind: 'repeat'; whenDone(callback: (error: Error | null) => void): void }
  /** Too many ids without PUBREL. */
  | { readonly kind: 'full' }

export interface Qos2Options {
  readonly store: Pick<Store, 'commit' | 'listState' | 'getState'>
  readonly core: Pick<Core, 'crc32c'>
  readonly perClientMax: number
  readonly totalMax: number
  /** Sessions of connected clients are never given up for room. */
  readonly isConnected: (clientId: string) => boolean
}

const KEY_PREFIX = 'mqtt.qos2/'
const NOTHING: readonly StateChange[] = []
const encoder = new TextEncoder()

export class Qos2Memory {
  readonly #options: Qos2Options
  /** Persistent sessions by client id, least recently begun first. */
  readonly #sessions = new Map<string, Session>()
  readonly #cleanSessions = new WeakMap<Qos2Client, Session>()
  #rememberedCount = 0
  #repeatCount = 0
  #givenUpCount = 0

  constructor(options: Qos2Options) {
    this.#options = options
    for (const key of options.store.listState(KEY_PREFIX)) this.#load(key)
  }

  get rememberedCount(): number {
    return this.#rememberedCount
  }

  get repeatCount(): number {
    return this.#repeatCount
  }

  /** Ids of absent clients forgotten to make room: a repeat of theirs would become a second event. */
  get givenUpCount(): number {
    return this.#givenUpCount
  }

  begin(client: Qos2Client, publish: Qos2Publish): Qos2Begin {
    const session = this.#sessionOf(client)
    const digest = this.#digest(publish)
    const known = session.ids.get(publish.packetId)
    if (known?.digest === digest) {
      this.#repeatCount++
      return { kind: 'repeat', whenDone: (callback) => (known.waiters ? known.waiters.push(callback) : callback(null)) }
    }
    if (known === undefined && !this.#hasRoom(session)) return { kind: 'full' }
    if (known === undefined) this.#rememberedCount++
    const remembered: Remembered = { digest, isDurable: session.isPersistent, waiters: [] }
    session.ids.set(publish.packetId, remembered)
    return {
      kind: 'new',
      state: session.isPersistent ? [{ key: keyOf(session, publish.packetId), value: digestBytes(digest) }] : NOTHING,
      settle: (error, isDurable) => this.#settle(session, publish.packetId, remembered, { error, isDurable })
    }
  }

  isRemembered(client: Qos2Client, packetId: number): boolean {
    return this.#sessionOf(client).ids.has(packetId)
  }

  /** PUBREL. Resolves when PUBCOMP may leave. @throws WadiError of Store.commit: no PUBCOMP then */
  async release(client: Qos2Client, packetId: number): Promise<void> {
    const session = this.#sessionOf(client)
    const remembered = session.ids.get(packetId)
    if (!remembered) return
    session.ids.delete(packetId)
    this.#rememberedCount--
    if (session.isPersistent && session.ids.size === 0) this.#sessions.delete(session.clientId)
    if (session.isPersistent && remembered.isDurable) await this.#options.store.commit([], [{ key: keyOf(session, packetId), value: null }])
  }

  /** CONNECT with a clean session: whatever an earlier persistent session of this id left is forgotten, durably. */
  async forget(clientId: string): Promise<void> {
    const session = this.#sessions.get(clientId)
    if (session) await this.#drop(session)
  }

  /** A connection with a clean session has ended. */
  end(client: Qos2Client): void {
    const session = this.#cleanSessions.get(client)
    if (!session) return
    this.#cleanSessions.delete(client)
    this.#rememberedCount -= session.ids.size
    session.ids.clear()
  }

  #load(key: string): void {
    const slash = key.lastIndexOf('/')
    const clientId = key.slice(KEY_PREFIX.length, slash)
    const packetId = Number(key.slice(slash + 1))
    const value = this.#options.store.getState(key)
    if (slash < KEY_PREFIX.length || !Number.isInteger(packetId) || value?.byteLength !== 4) return
    const digest = new DataView(value.buffer, value.byteOffset, 4).getUint32(0)
    this.#persistentSession(clientId).ids.set(packetId, { digest, isDurable: true, waiters: null })
    this.#rememberedCount++
  }

  #sessionOf(client: Qos2Client): Session {
    if (!client.clean) return this.#persistentSession(client.id)
    const known = this.#cleanSessions.get(client)
    if (known) return known
    const session: Session = { clientId: client.id, isPersistent: false, ids: new Map() }
    this.#cleanSessions.set(client, session)
    return session
  }

  #persistentSession(clientId: string): Session {
    const known = this.#sessions.get(clientId)
    if (known) return known
    const session: Session = { clientId, isPersistent: true, ids: new Map() }
    this.#sessions.set(clientId, session)
    return session
  }

  #hasRoom(session: Session): boolean {
    if (session.ids.size >= this.#options.perClientMax) return false
    if (this.#rememberedCount < this.#options.totalMax) return true
    for (const other of this.#sessions.values()) {
      if (other === session || other.ids.size === 0 || this.#options.isConnected(other.clientId)) continue
      this.#givenUpCount += other.ids.size
      // If it fails the ids come back with the next start, which only makes this less of a loss.
      this.#drop(other).catch(() => {})
      return true
    }
    return false
  }

  async #drop(session: Session): Promise<void> {
    this.#sessions.delete(session.clientId)
    const deletes = [...session.ids]
      .filter(([, { isDurable }]) => isDurable)
      .map(([packetId]) => ({ key: keyOf(session, packetId), value: null }))
    this.#rememberedCount -= session.ids.size
    session.ids.clear()
    if (deletes.length > 0) await this.#options.store.commit([], deletes)
  }

  #settle(
    session: Session,
    packetId: number,
    remembered: Remembered,
    { error, isDurable }: { error: Error | null; isDurable: boolean }
  ): void {
    const waiters = remembered.waiters ?? []
    remembered.waiters = null
    remembered.isDurable = session.isPersistent && isDurable
    if (error && session.ids.get(packetId) === remembered) {
      session.ids.delete(packetId)
      this.#rememberedCount--
    }
    for (const waiter of waiters) waiter(error)
  }

  #digest({ mqttTopic, payload }: Qos2Publish): number {
    const { core } = this.#options
    return core.crc32c(payload, core.crc32c(encoder.encode(`${mqttTopic}\0`))) >>> 0
  }
}

function keyOf(session: Session, packetId: number): string {
  return `${KEY_PREFIX}${session.clientId}/${packetId}`
}

function digestBytes(digest: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, digest)
  return bytes
}
