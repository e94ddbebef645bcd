// Puts bounds and our QoS 2 memory into aedes' own persistence, which keeps sessions, retained messages and offline queues in
// memory without any limit. What it keeps is lost with the process: a client that comes back after a restart finds no session
// (session present = 0) and subscribes again; what it published is safe, and so is its QoS 2 memory (qos2-memory.ts).
//
// Not for: what is durable.

import { NO_SUBSCRIPTIONS, type Persistence, type PersistenceClient } from './aedes-insides.ts'
import type { BrokerLimits } from './limits.ts'
import type { Qos2Memory } from './qos2-memory.ts'

export interface SessionStoreMetrics {
  offlineDropped: number
  retainedRefused: number
}

export interface SessionStoreOptions {
  readonly limits: BrokerLimits
  readonly qos2: Qos2Memory
  /** Has this connection been granted this filter? */
  readonly isGranted: (client: object, filter: string) => boolean
  /** Was this PUBLISH found to be a repeat when it was accepted? */
  readonly isRepeat: (packet: object) => boolean
}

/** Of one message in one queue: the packet object, its place, its ids. Measured: about 140 bytes. */
const QUEUED_OVERHEAD_BYTES = 200

export class SessionStore {
  readonly metrics: SessionStoreMetrics = { offlineDropped: 0, retainedRefused: 0 }
  readonly #options: SessionStoreOptions
  /** By client: what waits for it. */
  readonly #offline = new Map<string, { count: number; bytes: number }>()
  #offlineBytes = 0
  readonly #retainedBytes = new Map<string, number>()
  #retainedTotalBytes = 0
  /** Clients whose subscriptions outlive their connection. */
  readonly #subscribers = new Set<string>()

  constructor(options: SessionStoreOptions) {
    this.#options = options
  }

  /** Changes `persistence` in place. */
  install(persistence: Persistence): void {
    this.#boundSubscriptions(persistence)
    this.#boundOffline(persistence)
    this.#boundRetained(persistence)
    this.#rememberIncoming(persistence)
  }

  /**
   * A subscription of this client is granted. False when one more client with a persistent session would be too many. Its place is taken at
   * once: between the grants of one SUBSCRIBE and their storing, other clients are asked for.
   */
  admit(client: Pick<PersistenceClient, 'id' | 'clean'>): boolean {
    if (client.clean || this.#subscribers.has(client.id)) return true
    if (this.#subscribers.size >= this.#options.limits.sessionsMax) return false
    this.#subscribers.add(client.id)
    return true
  }

  /** False when no session, connected or not, waits for messages. */
  get hasSubscribers(): boolean {
    return this.#subscribers.size > 0
  }

  #boundSubscriptions(persistence: Persistence): void {
    const addSubscriptions = persistence.addSubscriptions.bind(persistence)
    const cleanSubscriptions = persistence.cleanSubscriptions.bind(persistence)
    const subscriptionsByTopic = persistence.subscriptionsByTopic.bind(persistence)
    persistence.addSubscriptions = (client, subscriptions) => {
      this.#subscribers.add(client.id)
      // It is handed the whole SUBSCRIBE packet each time, filters that are refused or not decided yet included.
      return addSubscriptions(
        client,
        subscriptions.filter(({ topic }) => this.#options.isGranted(client, topic))
      )
    }
    persistence.cleanSubscriptions = (client) => {
      this.#subscribers.delete(client.id)
      return cleanSubscriptions(client)
    }
    persistence.subscriptionsByTopic = (topic) => (this.#subscribers.size === 0 ? NO_SUBSCRIPTIONS : subscriptionsByTopic(topic))
  }

  #boundOffline(persistence: Persistence): void {
    const { offlinePerClientMax, offlineBytesMax } = this.#options.limits
    const enqueue = persistence.outgoingEnqueueCombi.bind(persistence)
    const clear = persistence.outgoingClearMessageId.bind(persistence)
    const update = persistence.outgoingUpdate.bind(persistence)
    persistence.outgoingEnqueueCombi = (subscriptions, packet) => {
      if (subscriptions.length === 0) return NO_SUBSCRIPTIONS
      const packetBytes = packet.payload.length + packet.topic.length + QUEUED_OVERHEAD_BYTES
      const taken = subscriptions.filter(({ clientId }) => {
        const queue = this.#offline.get(clientId) ?? { count: 0, bytes: 0 }
        if (queue.count >= offlinePerClientMax || this.#offlineBytes + packetBytes > offlineBytesMax) {
          this.metrics.offlineDropped++
          return false
        }
        this.#offline.set(clientId, { count: queue.count + 1, bytes: queue.bytes + packetBytes })
        this.#offlineBytes += packetBytes
        return true
      })
      ownPayload(packet)
      return enqueue(taken, packet)
    }
    // A message that found no room is delivered all the same to whoever is connected; aedes would close that connection if this rejected.
    persistence.outgoingUpdate = async (client, packet) => {
      await Promise.resolve(update(client, packet)).catch(() => {})
    }
    persistence.outgoingClearMessageId = async (client, packet) => {
      const cleared = await clear(client, packet)
      if (cleared) this.#release(client.id)
      return cleared
    }
  }

  /**
   * One of the messages that wait for a client is gone. Which bytes were its own is not known any more (a PUBREL takes the place of its PUBLISH):
   * its share of what the client's queue holds is given back, and all of it with the last one.
   */
  #release(clientId: string): void {
    const queue = this.#offline.get(clientId)
    if (!queue) return
    const bytes = queue.bytes / queue.count
    this.#offlineBytes -= bytes
    if (queue.count > 1) this.#offline.set(clientId, { count: queue.count - 1, bytes: queue.bytes - bytes })
    else this.#offline.delete(clientId)
  }

  #boundRetained(persistence: Persistence): void {
    const { retainedCountMax, retainedBytesMax } = this.#options.limits
    const storeRetained = persistence.storeRetained.bind(persistence)
    persistence.storeRetained = async (packet) => {
      const before = this.#retainedBytes.get(packet.topic)
      const isDelete = packet.payload.length === 0
      const bytes = isDelete ? 0 : packet.payload.length + packet.topic.length + QUEUED_OVERHEAD_BYTES
      const totalBytes = this.#retainedTotalBytes - (before ?? 0) + bytes
      if (!isDelete && (totalBytes > retainedBytesMax || (before === undefined && this.#retainedBytes.size >= retainedCountMax))) {
        this.metrics.retainedRefused++
        return
      }
      if (isDelete) this.#retainedBytes.delete(packet.topic)
      else this.#retainedBytes.set(packet.topic, bytes)
      this.#retainedTotalBytes = totalBytes
      ownPayload(packet)
      await storeRetained(packet)
    }
  }

  #rememberIncoming(persistence: Persistence): void {
    const { qos2, isRepeat } = this.#options
    const unknown = new Error('no such packet')
    // The event and its id were made durable before the PUBLISH came this far.
    persistence.incomingStorePacket = async () => {}
    persistence.incomingGetPacket = (client, packet) => {
      const isKnown = packet.cmd === 'publish' ? isRepeat(packet) : qos2.isRemembered(client, packet.messageId ?? 0)
      return isKnown ? Promise.resolve(packet) : Promise.reject(unknown)
    }
    persistence.incomingDelPacket = async (client, packet) => {
      try {
        await qos2.release(client, packet.messageId ?? 0)
      } catch (error) {
        // aedes would answer PUBCOMP all the same, and the client could then use the id for another message that we would take
        // for a repeat after a restart.
        client.conn.destroy(error as Error)
        throw error
      }
    }
    persistence.cleanIncoming = async (client) => {
      if (client.connecting) await qos2.forget(client.id)
      else qos2.end(client)
    }
  }
}

/** Gives the packet its payload in memory of its own: what is kept must not keep the whole read of the socket that it came in. */
function ownPayload(packet: { readonly payload: Uint8Array | string }): void {
  const { payload } = packet
  if (typeof payload === 'string' || payload.buffer.byteLength <= payload.byteLength * 2) return
  const own = Buffer.allocUnsafeSlow(payload.byteLength)
  own.set(payload)
  Object.assign(packet, { payload: own })
}
