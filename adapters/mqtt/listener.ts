// One address of the broker: binds it, counts, refuses above the cap, hands sockets on. Loopback unless told otherwise.
//
// Binding and opening are two steps, so that an address that is taken is known before anything is written, and nothing is read before
// everything is recovered. What connects in between is held unread (within the cap) and handed over by open().
// With TLS a connection is handed on when that is agreed on (adapters/tls); it is counted, and has its place, from accept on.
// Not for: bytes (packet-reader.ts), sessions (mqtt-broker.ts). Other transports (WebSocket) are listeners with the same words that hand
// over a stream of plain bytes.

import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { clientNetworkOf } from '../../runtime/base/client-network.ts'
import type { Handshakes } from '../tls/handshakes.ts'
import { defaultMqttLimits, type ListenerLimits } from './limits.ts'
import { readAsStream, SocketReads, type Transport } from './socket-input.ts'

export interface ListenerOptions {
  readonly host?: string
  /** 0 = a free one, see address. */
  readonly port: number
  readonly limits?: Partial<ListenerLimits>
  /** Without them it is not TLS. */
  readonly handshakes?: Handshakes | undefined
}

/** Whoever takes the connections. */
export interface ConnectionHandler {
  /** @param certificateSubject of the client's certificate (TLS), which was verified; null = it has shown none */
  onConnection(transport: Transport, limits: ListenerLimits, certificateSubject: string | null): void
  /** Above a cap: the socket is closed already. `why` says which. */
  onRefused(remoteAddress: string, why: string): void
}

/** Connections that we have ended, and whose clients have not: they take no place of others. Above it the oldest is closed. */
const LINGERING_MAX = 100

export class Listener {
  readonly limits: ListenerLimits
  readonly #host: string
  readonly #port: number
  readonly #server: Server
  readonly #reads = new SocketReads()
  readonly #sockets = new Set<Socket>()
  readonly #handshakes: Handshakes | null
  /** Accepted before open(); no transport = TLS is not begun. */
  readonly #held = new Map<Socket, { readonly transport: Transport | null; readonly network: string }>()
  /** TLS is not agreed on. */
  readonly #securing = new Set<Socket>()
  /** Of #sockets: ended by us, and open until the client closes its side. */
  readonly #lingering = new Set<Socket>()
  /** Of the others, by the network of their address. */
  readonly #countOf = new Map<string, number>()
  #handler: ConnectionHandler | null = null
  #acceptedCount = 0

  constructor({ host = '127.0.0.1', port, limits, handshakes = undefined }: ListenerOptions) {
    this.#handshakes = handshakes ?? null
    this.#host = host
    this.#port = port
    this.limits = { ...defaultMqttLimits, ...limits }
    this.#server = createServer({ noDelay: true, pauseOnConnect: true }, (socket) => this.#accept(socket))
  }

  /** Also those that we have ended, until they are closed. */
  get sockets(): ReadonlySet<Socket> {
    return this.#sockets
  }

  /** Without those that we have ended. */
  get openCount(): number {
    return this.#sockets.size - this.#lingering.size
  }

  get acceptedCount(): number {
    return this.#acceptedCount
  }

  /** null while it does not listen. */
  get address(): { host: string; port: number } | null {
    const address = this.#server.address() as AddressInfo | null
    return address && { host: address.address, port: address.port }
  }

  /** The address is ours when it resolves. Rejects with the error of the operating system (EADDRINUSE, EACCES …). */
  bind(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host: this.#host, port: this.#port }, () => {
        this.#server.removeListener('error', reject)
        // ENOBUFS and the like on accept: we go on with those we have. Of EMFILE nobody is told: libuv accepts and closes (gateway/open-files.ts looks).
        this.#server.on('error', () => {})
        resolve()
      })
    })
  }

  /** Hands over what came meanwhile, and from now on everything that comes. */
  open(handler: ConnectionHandler): void {
    this.#handler = handler
    for (const [socket, { transport, network }] of this.#held) this.#serve(socket, transport, network, handler)
    this.#held.clear()
  }

  /** No more connections; those that were handed over stay, those that were held, or have not agreed on TLS, are closed. */
  stopAccepting(): void {
    if (this.#server.listening) this.#server.close()
    for (const socket of this.#handler === null ? this.#sockets : this.#securing) socket.destroy()
  }

  #accept(accepted: Socket): void {
    const transport = this.#handshakes ? null : this.#reads.take(accepted)
    const socket = transport?.socket ?? accepted
    const remoteAddress = socket.remoteAddress ?? ''
    const network = clientNetworkOf(remoteAddress)
    const refusal = this.#refusalOf(network)
    socket.on('error', () => {})
    if (refusal !== null) {
      socket.destroy()
      this.#handler?.onRefused(remoteAddress, refusal)
      return
    }
    this.#acceptedCount++
    this.#sockets.add(socket)
    this.#countOf.set(network, this.#countFrom(network) + 1)
    socket.once('finish', () => this.#linger(socket, network))
    socket.once('close', () => this.#forget(socket, network))
    if (this.#handler) this.#serve(socket, transport, network, this.#handler)
    else this.#held.set(socket, { transport, network })
  }

  /** @param transport null = behind TLS @param network of accept: a client that has reset has no address any more */
  #serve(socket: Socket, transport: Transport | null, network: string, handler: ConnectionHandler): void {
    if (transport) return handler.onConnection(transport, this.limits, null)
    this.#securing.add(socket)
    this.#handshakes?.begin(socket, ({ socket: secured, certificateSubject }) => {
      this.#securing.delete(socket)
      secured.on('error', () => {})
      // What we end is the socket of plain bytes; the one below it closes with it.
      secured.once('finish', () => this.#linger(socket, network))
      handler.onConnection(readAsStream(secured), this.limits, certificateSubject)
    })
  }

  #countFrom(network: string): number {
    return this.#countOf.get(network) ?? 0
  }

  /** null = there is room. */
  #refusalOf(network: string): string | null {
    const { connectionsMax, connectionsPerAddressMax } = this.limits
    if (this.openCount >= connectionsMax) return `more than ${connectionsMax}`
    if (this.#countFrom(network) < connectionsPerAddressMax) return null
    const one = network.includes(':') ? '/64 of IPv6' : 'address'
    return `more than ${connectionsPerAddressMax} from one ${one} (limits.connections_per_address)`
  }

  #linger(socket: Socket, network: string): void {
    this.#lingering.add(socket)
    this.#uncount(network)
    const [oldest] = this.#lingering
    if (this.#lingering.size > LINGERING_MAX) oldest?.destroy()
  }

  #forget(socket: Socket, network: string): void {
    this.#sockets.delete(socket)
    this.#held.delete(socket)
    this.#securing.delete(socket)
    if (!this.#lingering.delete(socket)) this.#uncount(network)
  }

  #uncount(network: string): void {
    const left = this.#countFrom(network) - 1
    if (left > 0) this.#countOf.set(network, left)
    else this.#countOf.delete(network)
  }
}
