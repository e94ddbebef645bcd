// Remembers which QoS 2 packet ids of a client have become an event, from PUBLISH to PUBREL, so that a repeat does not become a
// second one. For persistent sessions the memory is durable and travels in the commit of the event: state `mqtt.qos2/CLIENT/ID`.
// A clean session ends with its connection, and so does its memory: it is not written anywhere.
//
// A repeat is the same packet id with the same topic and payload. The same id with other content comes from a device that lost its
// session (a reboot) and counts from 1 again: it is a new event, and dropping it would lose it. The DUP flag is not asked: devices
// are known to repeat without it.
//
// Invariants:
//   Q1  At most one commit at a time concerns an id; whatever else comes for that id waits for it and looks again. So the memory and
//       the disk never tell different stories, whoever asks: two connections of one client id, a repeat, a takeover.
//   Q2  An id is remembered before its event is appended, and is what it was before when the append is refused.
//   Q3  An id is forgotten when forgetting is durable, not earlier. A refused deletion leaves it remembered; PUBCOMP does not leave.
//   Q4  One memory per store: it is the store's `mqtt.qos2/` area in memory, shared by all listeners.
// Not for: QoS 2 towards subscribers (the session layer), order of acknowledgements (ack-queue.ts).

import type { Core } from '../../runtime/core/core.ts'
import type { StateChange, Store } from '../../runtime/log/contract.ts'
import { StateArea } from '../../runtime/log/state-area.ts'

export interface Qos2Client {
  readonly id: string
  readonly clean: boolean
}

export interface Qos2Publish {
  readonly packetId: number
  readonly mqttTopic: string
  readonly payload: Uint8Array
}

/** What is known of one packet id. It stays in its session while anything of it is remembered, durable or under way. */
interface PacketId {
  /** Content of the event it became; null = none. */
  digest: number | null
  /** A value for it is in the store. */
  isDurable: boolean
  /** Content of the event that is being committed; null = none is. */
  arriving: number | null
  /** A commit concerns it: those that wait for its end. null = nothing is under way. */
  waiters: ((error: Error | null) => void)[] | null
  /** Given up for room: it does not count any more, and is gone when that is durable. */
  isGivenUp: boolean
}

interface Session {
  readonly clientId: string
  readonly isPersistent: boolean
  readonly ids: Map<number, PacketId>
}

export type Qos2Begin =
  /** Store it with `state`, then call `settle`. */
  | { readonly kind: 'new'; readonly state: readonly StateChange[]; settle(error: Error | null, isStored: boolean): void }
  /** It is an event already, or will be when the first one's commit is done. */
  | { readonly kind: 'repeat'; whenDone(callback: (error: Error | null) => void): void }
  /** Another commit of this id is under way: begin again afterwards. */
  | { readonly kind: 'later'; whenSettled(callback: () => void): void }
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

/** CRC-32C of topic and payload. A client id stands in the key as it is: the last "/" separates. */
export const rememberedQos2 = new StateArea<number>(
  'mqtt.qos2',
  {
    encode(digest) {
      const bytes = new Uint8Array(4)
      new DataView(bytes.buffer).setUint32(0, digest)
      return bytes
    },
    decode: (value) => (value.byteLength === 4 ? new DataView(value.buffer, value.byteOffset, 4).getUint32(0) : Number.NaN)
  },
  {
    keys: '<client>/<packet id>',
    valueBytesMax: 4,
    entries: '50,000; 500 of a client',
    goes: 'with PUBREL; of absent clients, the oldest first, when there are too many'
  }
)
const NOTHING: readonly StateChange[] = []
const encoder = new TextEncoder()

export class Qos2Memory {
  readonly #options: Qos2Options
  /** Persistent sessions by client id, in the order in which they came to have ids. */
  readonly #sessions = new Map<string, Session>()
  readonly #cleanSessions = new WeakMap<Qos2Client, Session>()
  #rememberedCount = 0
  #repeatCount = 0
  #givenUpCount = 0

  constructor(options: Qos2Options) {
    this.#options = options
    for (const key of rememberedQos2.keysIn(options.store)) this.#load(key)
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
    if (known?.waiters && known.arriving !== digest) return { kind: 'later', whenSettled: (callback) => void known.waiters?.push(callback) }
    if (known && (known.arriving ?? known.digest) === digest) {
      this.#repeatCount++
      return { kind: 'repeat', whenDone: (callback) => (known.waiters ? known.waiters.push(callback) : callback(null)) }
    }
    if (known === undefined && !this.#hasRoom(session)) return { kind: 'full' }
    const packetId = known ?? this.#add(session, publish.packetId)
    packetId.arriving = digest
    packetId.waiters = []
    return {
      kind: 'new',
      state: session.isPersistent ? [rememberedQos2.put(keyOf(session, publish.packetId), digest)] : NOTHING,
      settle: (error, isStored) => {
        if (error === null) {
          packetId.digest = digest
          packetId.isDurable ||= session.isPersistent && isStored
        }
        this.#settle(session, publish.packetId, packetId, error)
      }
    }
  }

  isRemembered(client: Qos2Client, packetId: number): boolean {
    return this.#existing(client)?.ids.has(packetId) === true
  }

  /** PUBREL. Resolves when PUBCOMP may leave. @throws WadiError of Store.commit: no PUBCOMP then */
  async release(client: Qos2Client, packetId: number): Promise<void> {
    const session = this.#existing(client)
    const known = session?.ids.get(packetId)
    if (!session || !known) return
    const released = known.arriving ?? known.digest
    while (known.waiters) {
      const isDeletion = known.arriving === null
      const error = await new Promise<Error | null>((resolve) => known.waiters?.push(resolve))
      if (isDeletion && error) throw error
      if (isDeletion) return // of this message: another may have the id by now
    }
    if (session.ids.get(packetId) === known && known.digest === released) await this.#delete(session, [packetId])
  }

  /**
   * CONNECT with a clean session: what an earlier persistent session of this id left is forgotten, durably. What another connection
   * of the id remembers in the meantime stays: the clean one may be gone by then.
   */
  async forget(clientId: string): Promise<void> {
    const session = this.#sessions.get(clientId)
    if (!session) return
    const before = [...session.ids].map(([id, packetId]) => ({ id, packetId, digests: [packetId.arriving, packetId.digest] }))
    for (;;) {
      const left = before.filter(
        ({ id, packetId, digests }) => session.ids.get(id) === packetId && digests.includes(packetId.arriving ?? packetId.digest)
      )
      const busy = left.find(({ packetId }) => packetId.waiters)
      if (busy) await new Promise<void>((resolve) => busy.packetId.waiters?.push(() => resolve()))
      else if (left.length === 0) return
      else
        return this.#delete(
          session,
          left.map(({ id }) => id)
        )
    }
  }

  /** A connection with a clean session has ended. */
  end(client: Qos2Client): void {
    const session = this.#cleanSessions.get(client)
    if (!session) return
    this.#cleanSessions.delete(client)
    for (const id of [...session.ids.keys()]) this.#remove(session, id)
  }

  #load(key: string): void {
    const rest = rememberedQos2.restOf(key)
    const slash = rest.lastIndexOf('/')
    const id = Number(rest.slice(slash + 1))
    const digest = rememberedQos2.get(this.#options.store, key)
    if (slash < 0 || !Number.isInteger(id) || digest === undefined || Number.isNaN(digest)) return
    const packetId = this.#add(this.#persistentSession(rest.slice(0, slash)), id)
    packetId.digest = digest
    packetId.isDurable = true
  }

  #existing(client: Qos2Client): Session | undefined {
    return client.clean ? this.#cleanSessions.get(client) : this.#sessions.get(client.id)
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

  #add(session: Session, id: number): PacketId {
    const packetId: PacketId = { digest: null, isDurable: false, arriving: null, waiters: null, isGivenUp: false }
    session.ids.set(id, packetId)
    this.#rememberedCount++
    return packetId
  }

  #remove(session: Session, id: number): void {
    const packetId = session.ids.get(id)
    if (!packetId) return
    session.ids.delete(id)
    if (!packetId.isGivenUp) this.#rememberedCount--
    if (session.isPersistent && session.ids.size === 0) this.#sessions.delete(session.clientId)
  }

  /** The commit that concerned it has ended, and what it changed has been noted. A clean session may have ended meanwhile. */
  #settle(session: Session, id: number, packetId: PacketId, error: Error | null): void {
    const waiters = packetId.waiters ?? []
    packetId.waiters = null
    packetId.arriving = null
    const isForgotten = packetId.digest === null && !packetId.isDurable
    if (isForgotten && session.ids.get(id) === packetId) this.#remove(session, id)
    for (const waiter of waiters) waiter(error)
  }

  /** None of `ids` is busy. */
  async #delete(session: Session, ids: readonly number[]): Promise<void> {
    const packetIds = ids.map((id) => session.ids.get(id) as PacketId)
    const deletes = ids.filter((id) => session.ids.get(id)?.isDurable).map((id) => rememberedQos2.remove(keyOf(session, id)))
    if (deletes.length === 0) {
      for (const id of ids) this.#remove(session, id)
      return
    }
    for (const packetId of packetIds) packetId.waiters = []
    let failure: Error | null = null
    try {
      await this.#options.store.commit([], deletes)
      for (const packetId of packetIds) Object.assign(packetId, { digest: null, isDurable: false })
    } catch (error) {
      failure = error as Error
    }
    for (const [index, id] of ids.entries()) this.#settle(session, id, packetIds[index] as PacketId, failure)
    if (failure) throw failure
  }

  #hasRoom(session: Session): boolean {
    if (session.ids.size >= this.#options.perClientMax) return false
    if (this.#rememberedCount < this.#options.totalMax) return true
    for (const other of this.#sessions.values()) {
      if (other === session || this.#options.isConnected(other.clientId)) continue
      const ids = [...other.ids].filter(([, { waiters }]) => waiters === null).map(([id]) => id)
      if (ids.length === 0) continue
      this.#giveUp(other, ids)
      return true
    }
    return false
  }

  /** Makes room at once; the ids stay known until that is durable, and for good when it is refused. */
  #giveUp(session: Session, ids: readonly number[]): void {
    const packetIds = ids.map((id) => session.ids.get(id) as PacketId)
    for (const packetId of packetIds) packetId.isGivenUp = true
    this.#rememberedCount -= ids.length
    this.#givenUpCount += ids.length
    this.#delete(session, ids).catch(() => {
      for (const packetId of packetIds) packetId.isGivenUp = false
      this.#rememberedCount += ids.length
      this.#givenUpCount -= ids.length
    })
  }

  #digest({ mqttTopic, payload }: Qos2Publish): number {
    const { core } = this.#options
    return core.crc32c(payload, core.crc32c(encoder.encode(`${mqttTopic}\0`))) >>> 0
  }
}

function keyOf(session: Session, packetId: number): string {
  return rememberedQos2.keyAt(`${session.clientId}/${packetId}`)
}
