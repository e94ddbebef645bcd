// The Kafka listener: one address for Kafka clients, what they may cost, and what they did. The broker behind it knows no wire.
//
// Binding and opening are two steps, so that an address that is taken is known before anything is written, and nothing is read before
// everything is recovered. What connects in between is held unread (within the cap) and handed over by open().
// Not for: the broker's life (whoever opened it closes it, after the listener).

import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { clientNetworkOf } from '../../runtime/base/client-network.ts'
import type { Broker } from '../../runtime/broker/broker.ts'
import type { Handshakes } from '../tls/handshakes.ts'
import { type CloseReason, Connection, type ConnectionLimits } from './connection.ts'
import type { ConnectionContext, ServerContext } from './context.ts'
import { FrameBudget } from './frame-budget.ts'
import { FrameMemory } from './frame-memory.ts'

export interface KafkaListenerOptions {
  /** Default 127.0.0.1. */
  readonly host?: string
  /** 0 (default) = any free port. */
  readonly port?: number
  /** Where clients reach us when that is not the bound address. A port of 0 means the bound one. */
  readonly advertised?: { readonly host: string; readonly port: number }
  /** Default 1. */
  readonly nodeId?: number
  /** Default true: asking for a topic that is not there makes it, unless the client says that it should not. */
  readonly autoCreateTopics?: boolean
  /** Default true: what clients are told of delete.topic.enable. */
  readonly deleteTopics?: boolean
  readonly connectionCountMax?: number
  /** Requests in work of all connections together; each connection has 16 KiB of its own besides. */
  readonly requestBytesMax?: number
  /** The same for answers above 4 KiB: from before they are made until the kernel has them. */
  readonly answerBytesMax?: number
  readonly fetchBytesMax?: number
  readonly limits?: Partial<ConnectionLimits>
  /** Without them it is not TLS. */
  readonly handshakes?: Handshakes | undefined
  /** A connection ended, with its reason. */
  readonly onClose?: (reason: CloseReason, detail: string, client: string) => void
  /** A fault of ours, or of the address (no file descriptor for one more connection). Without it the error is thrown where nobody catches it. */
  readonly onError?: (error: unknown) => void
}

export interface KafkaListenerMetrics {
  readonly connectionCount: number
  readonly acceptedConnections: number
  readonly requests: number
  readonly requestsByApi: Readonly<Record<string, number>>
  readonly closesByReason: Readonly<Partial<Record<CloseReason, number>>>
  readonly receivedBytes: number
  readonly sentBytes: number
  /** Bytes of the common budget that requests in work hold now. */
  readonly requestBytes: number
  /** Requests that wait for them now, and that ever had to. */
  readonly waitingRequests: number
  readonly requestWaits: number
  /** The same for answers. */
  readonly answerBytes: number
  readonly waitingAnswers: number
}

/** Whom the clients talk to. */
export interface KafkaServed {
  readonly broker: Broker
  /** The same at every start: clients that meet another one refuse to go on. */
  readonly clusterId: string
  /** Gives back the memory of a request that was answered. Default: it is left to the collector. */
  readonly release?: (block: Uint8Array) => void
}

const MIB = 1024 * 1024

const defaultLimits: ConnectionLimits = {
  frameBytesMax: 16 * MIB,
  queuedBytesMax: MIB,
  idleMsMax: 600_000,
  frameIdleMsMax: 30_000,
  frameBytesPerSecondMin: 64 * 1024
}
const CONNECTION_COUNT_MAX = 1000
const REQUEST_BYTES_MAX = 8 * MIB
const ANSWER_BYTES_MAX = 8 * MIB
/** A megabyte of each of four partitions, which a consumer asks for by default. When others need room it is less (handlers/fetch.ts). */
const FETCH_BYTES_MAX = 4 * MIB

export class KafkaListener {
  readonly #options: KafkaListenerOptions
  readonly #server: Server
  readonly #limits: ConnectionLimits
  readonly #connectionCountMax: number
  readonly #onError: (error: unknown) => void
  readonly #meter = createMeter()
  readonly #budget: FrameBudget
  readonly #answerBudget: FrameBudget
  #release: (block: Uint8Array) => void = () => undefined
  readonly #memory = new FrameMemory((block) => this.#release(block))
  readonly #connections = new Set<Connection>()
  /** Requests in work of connections that are closed. */
  readonly #ending = new Set<Promise<void>>()
  /** Connected before open(), or TLS is not agreed on: by their networks, the oldest first. Who has not agreed on TLS takes no place of who has. */
  readonly #held = new Map<Socket, string>()
  #context: ServerContext | null = null
  #address = { host: '', port: 0 }
  #binding: Promise<void> | null = null

  constructor(options: KafkaListenerOptions) {
    this.#options = options
    this.#limits = { ...defaultLimits, ...options.limits }
    this.#connectionCountMax = options.connectionCountMax ?? CONNECTION_COUNT_MAX
    this.#onError = options.onError ?? throwLater
    this.#budget = new FrameBudget(options.requestBytesMax ?? REQUEST_BYTES_MAX)
    this.#answerBudget = new FrameBudget(options.answerBytesMax ?? ANSWER_BYTES_MAX)
    this.#server = createServer({ noDelay: true, keepAlive: true, pauseOnConnect: true, allowHalfOpen: true }, (socket) =>
      this.#accept(socket)
    )
  }

  /** The address is ours when it resolves. Rejects with the error of the operating system (EADDRINUSE, EACCES …). */
  bind(): Promise<void> {
    const { host = '127.0.0.1', port = 0 } = this.#options
    this.#binding = new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', reject)
        this.#server.on('error', this.#onError)
        const { address, port: boundPort } = this.#server.address() as AddressInfo
        this.#address = { host: address, port: boundPort }
        resolve()
      })
    })
    return this.#binding
  }

  /** Serves what connected meanwhile, and from now on everything that comes. After bind(), once. */
  open({ broker, clusterId, release }: KafkaServed): void {
    if (release) this.#release = release
    const { advertised, nodeId = 1, autoCreateTopics = true, deleteTopics = true, fetchBytesMax = FETCH_BYTES_MAX } = this.#options
    const { host, port } = this.address
    this.#context = {
      broker,
      node: { nodeId, host: advertised?.host ?? host, port: advertised?.port || port },
      clusterId,
      autoCreateTopics,
      deleteTopics,
      fetchBytesMax
    }
    for (const socket of this.#held.keys()) this.#begin(socket, this.#context)
  }

  /** The bound address, also after close(). */
  get address(): { readonly host: string; readonly port: number } {
    return this.#address
  }

  get metrics(): KafkaListenerMetrics {
    const meter = this.#meter
    return {
      ...meter,
      connectionCount: this.#connections.size,
      requestBytes: this.#budget.usedBytes,
      waitingRequests: this.#budget.waitingCount,
      requestWaits: this.#budget.waitCount,
      answerBytes: this.#answerBudget.usedBytes,
      waitingAnswers: this.#answerBudget.waitingCount,
      requestsByApi: { ...meter.requestsByApi },
      closesByReason: { ...meter.closesByReason }
    }
  }

  /** Ends every connection; the requests they had in work go on, see settled(). Fine to call twice, and while the address is being bound. */
  async close(): Promise<void> {
    await this.#binding?.catch(() => undefined)
    const closed = this.#server.listening ? new Promise<void>((resolve) => this.#server.close(() => resolve())) : null
    for (const socket of this.#held.keys()) socket.destroy()
    for (const connection of [...this.#connections]) connection.close('shutdown', 'the listener closes')
    await closed
  }

  /** Resolves when no request of a closed connection is being carried out. Some of them end only when the broker closes. */
  async settled(): Promise<void> {
    await Promise.all(this.#ending)
  }

  #accept(socket: Socket): void {
    socket.on('error', () => undefined)
    if (!this.#options.handshakes && !this.#hasPlace()) return this.#refuse(socket)
    if (this.#held.size >= this.#connectionCountMax) this.#refuseOldest()
    this.#held.set(socket, clientNetworkOf(socket.remoteAddress ?? ''))
    socket.once('close', () => this.#held.delete(socket))
    if (this.#context) this.#begin(socket, this.#context)
  }

  #begin(accepted: Socket, context: ServerContext): void {
    const serve = (socket: Socket, certificateSubject: string | null): void => {
      this.#held.delete(accepted)
      if (!this.#hasPlace()) return this.#refuse(socket)
      this.#serve(socket, { ...context, certificateSubject })
    }
    const { handshakes } = this.#options
    if (handshakes) handshakes.begin(accepted, ({ socket, certificateSubject }) => serve(socket, certificateSubject))
    else serve(accepted, null)
  }

  /** Those that have gone take no place of others, though their last requests may wait for the disk; but there are not more of them than that. */
  #hasPlace(): boolean {
    let gone = 0
    for (const { hasPeerEnded } of this.#connections) if (hasPeerEnded) gone++
    const held = this.#options.handshakes ? 0 : this.#held.size
    const open = held + this.#connections.size - gone
    return open < this.#connectionCountMax && gone < this.#connectionCountMax
  }

  /** Of those who have not agreed on TLS, for one more of them: the network that has most loses its oldest. */
  #refuseOldest(): void {
    const counts = new Map<string, number>()
    for (const network of this.#held.values()) counts.set(network, (counts.get(network) ?? 0) + 1)
    const most = Math.max(...counts.values())
    for (const [socket, network] of this.#held) {
      if (counts.get(network) !== most) continue
      this.#held.delete(socket)
      return this.#refuse(socket)
    }
  }

  #refuse(socket: Socket): void {
    const client = clientOf(socket)
    socket.destroy()
    this.#count('full')
    this.#options.onClose?.('full', `${this.#connectionCountMax} connections are open already`, client)
  }

  #count(reason: CloseReason): void {
    this.#meter.closesByReason[reason] = (this.#meter.closesByReason[reason] ?? 0) + 1
  }

  #end(work: Promise<void> | null): void {
    if (work === null) return
    this.#ending.add(work)
    void work.then(() => this.#ending.delete(work))
  }

  #serve(socket: Socket, context: ConnectionContext): void {
    const client = clientOf(socket)
    const meter = this.#meter
    meter.acceptedConnections++
    const connection: Connection = new Connection(
      socket,
      context,
      { limits: this.#limits, budget: this.#budget, answerBudget: this.#answerBudget, memory: this.#memory, release: this.#release },
      {
        onRequest: (name) => {
          meter.requests++
          meter.requestsByApi[name] = (meter.requestsByApi[name] ?? 0) + 1
        },
        onBytes: (direction, bytes) => {
          if (direction === 'received') meter.receivedBytes += bytes
          else meter.sentBytes += bytes
        },
        onClose: (reason, detail) => {
          this.#connections.delete(connection)
          this.#end(connection.work)
          this.#count(reason)
          this.#options.onClose?.(reason, detail, client)
        },
        onError: this.#onError
      }
    )
    this.#connections.add(connection)
  }
}

/** A listener that is bound and open. @throws Error of node:net when the address cannot be bound */
export async function createKafkaListener(options: KafkaListenerOptions & KafkaServed): Promise<KafkaListener> {
  const listener = new KafkaListener(options)
  await listener.bind()
  listener.open(options)
  return listener
}

function clientOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`
}

interface Meter {
  acceptedConnections: number
  requests: number
  requestsByApi: Record<string, number>
  closesByReason: Partial<Record<CloseReason, number>>
  receivedBytes: number
  sentBytes: number
}

function createMeter(): Meter {
  return { acceptedConnections: 0, requests: 0, requestsByApi: {}, closesByReason: {}, receivedBytes: 0, sentBytes: 0 }
}

function throwLater(error: unknown): void {
  setImmediate(() => {
    throw error
  })
}
