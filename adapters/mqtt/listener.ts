// The TCP side of MQTT: accepts, counts, refuses above the cap, hands sockets on. Loopback unless told otherwise.
// Not for: bytes (gate.ts), sessions (mqtt-broker.ts). TLS will be made here: tls.createServer instead of net.createServer.

import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'

export interface ListenerOptions {
  readonly host: string
  /** 0 = a free one, see address. */
  readonly port: number
  readonly connectionsMax: number
  readonly onConnection: (socket: Socket) => void
  /** Above the cap: the socket is closed already. */
  readonly onRefused: (remoteAddress: string) => void
}

export class Listener {
  readonly #options: ListenerOptions
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #acceptedCount = 0

  constructor(options: ListenerOptions) {
    this.#options = options
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket))
  }

  get sockets(): ReadonlySet<Socket> {
    return this.#sockets
  }

  get acceptedCount(): number {
    return this.#acceptedCount
  }

  /** null while it does not listen. */
  get address(): { host: string; port: number } | null {
    const address = this.#server.address() as AddressInfo | null
    return address && { host: address.address, port: address.port }
  }

  /** Rejects with the error of the operating system (EADDRINUSE, EACCES …). */
  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host: this.#options.host, port: this.#options.port }, () => {
        this.#server.removeListener('error', reject)
        // EMFILE and the like on accept: the kernel keeps the connection waiting, we go on with those we have.
        this.#server.on('error', () => {})
        resolve()
      })
    })
  }

  /** No more connections; those that are there stay. */
  stopAccepting(): void {
    if (this.#server.listening) this.#server.close()
  }

  #accept(socket: Socket): void {
    if (this.#sockets.size >= this.#options.connectionsMax) {
      const remoteAddress = socket.remoteAddress ?? ''
      socket.on('error', () => {})
      socket.destroy()
      return this.#options.onRefused(remoteAddress)
    }
    this.#acceptedCount++
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    this.#options.onConnection(socket)
  }
}
