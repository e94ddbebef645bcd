// One address of the broker: binds it, counts, refuses above the cap, hands sockets on. Loopback unless told otherwise.
//
// Binding and opening are two steps, so that an address that is taken is known before anything is written, and nothing is read before
// everything is recovered. What connects in between is held unread (within the cap) and handed over by open().
// Not for: bytes (packet-reader.ts), sessions (mqtt-broker.ts). Other transports (TLS, WebSocket) are listeners with the same words that hand
// over a stream of plain bytes.

import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { clientNetworkOf } from './client-network.ts'
import { defaultMqttLimits, type ListenerLimits } from './limits.ts'
import { SocketReads, type Transport } from './socket-input.ts'

export interface ListenerOptions {
  readonly host?: string
  /** 0 = a free one, see address. */
  readonly port: number
  readonly limits?: Partial<ListenerLimits>
}

/** Whoever takes the connections. */
export interface ConnectionHandler {
  onConnection(transport: Transport, limits: ListenerLimits): void
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
  /** Accepted before open(). */
  readonly #held = new Map<Socket, Transport>()
  /** Of #sockets: ended by us, and open until the client closes its side. */
  readonly #lingering = new Set<Socket>()
  /** Of the others, by the network of their address. */
  readonly #countOf = new Map<string, number>()
  #handler: ConnectionHandler | null = null
  #acceptedCount = 0

  constructor({ host = '127.0.0.1', port, limits }: ListenerOptions) {
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
    for (const transport of this.#held.values()) handler.onConnection(transport, this.limits)
    this.#held.clear()
  }

  /** No more connections; those that were handed over stay, those that were held are closed. */
  stopAccepting(): void {
    if (this.#server.listening) this.#server.close()
    if (this.#handler === null) for (const socket of this.#sockets) socket.destroy()
  }

  #accept(accepted: Socket): void {
    const transport = this.#reads.take(accepted)
    const { socket } = transport
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
    if (this.#handler) this.#handler.onConnection(transport, this.limits)
    else this.#held.set(socket, transport)
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
    if (!this.#lingering.delete(socket)) this.#uncount(network)
  }

  #uncount(network: string): void {
    const left = this.#countFrom(network) - 1
    if (left > 0) this.#countOf.set(network, left)
    else this.#countOf.delete(network)
  }
}
