// A bad network between a client and one broker: passes, delays, resets, swallows, on command. Requests are looked at frame by
// frame, so that a fault can be placed exactly before or behind a certain request. Use one proxy per broker.

import { connect, createServer, type Server, type Socket } from 'node:net'
import { FrameSplitter } from '../../adapters/kafka-protocol/frame.ts'

/**
 * pass             as if it was not there
 * refuse           new connections are reset at once (those that exist go on)
 * black-hole       nothing passes in either direction; connections are accepted and never answered
 * swallow-answers  requests reach the broker, answers do not come back
 */
export type ProxyMode = 'pass' | 'refuse' | 'black-hole' | 'swallow-answers'

/** One-shot: what happens at the next request with this API key. */
export interface Trap {
  readonly apiKey: number
  /**
   * reset-before  the request does not reach the broker, the connection is reset
   * reset-after   the broker gets the request and answers; the answer is dropped and the connection reset
   * swallow       the broker gets it; from then on this connection hears nothing more
   */
  readonly action: 'reset-before' | 'reset-after' | 'swallow'
}

interface Link {
  readonly client: Socket
  readonly broker: Socket
  isMuted: boolean
  resetsAtAnswer: boolean
}

const FRAME_BYTES_MAX = 2 ** 31 - 1
const LENGTH_BYTES = 4

export class TcpProxy {
  readonly targetPort: number
  mode: ProxyMode = 'pass'
  /** Added to every piece in each direction. */
  delayMs = 0
  /** API keys of the requests that came by, in order. */
  readonly requests: number[] = []
  #trap: { readonly trap: Trap; readonly sprung: () => void } | null = null
  readonly #server: Server
  readonly #links = new Set<Link>()
  readonly #timers = new Set<NodeJS.Timeout>()

  static async start(targetPort: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort)
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject)
      proxy.#server.listen(0, '127.0.0.1', resolve)
    })
    return proxy
  }

  constructor(targetPort: number) {
    this.targetPort = targetPort
    this.#server = createServer((client) => this.#accept(client))
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port
  }

  get connectionCount(): number {
    return this.#links.size
  }

  /** Resets every connection that exists. */
  reset(): void {
    for (const link of [...this.#links]) this.#reset(link)
  }

  /** Resolves when the trap has sprung. A new trap replaces one that has not. */
  arm(trap: Trap): Promise<void> {
    return new Promise((resolve) => {
      this.#trap = { trap, sprung: resolve }
    })
  }

  disarm(): void {
    this.#trap = null
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer)
    this.reset()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #accept(client: Socket): void {
    if (this.mode === 'refuse') {
      client.on('error', () => undefined)
      client.resetAndDestroy()
      return
    }
    const broker = connect({ host: '127.0.0.1', port: this.targetPort, noDelay: true })
    client.setNoDelay(true)
    const link: Link = { client, broker, isMuted: false, resetsAtAnswer: false }
    this.#links.add(link)
    const splitter = new FrameSplitter(FRAME_BYTES_MAX)
    client.on('data', (chunk) => {
      if (this.mode === 'black-hole') return
      for (const frame of splitter.push(chunk)) this.#request(link, frame)
    })
    broker.on('data', (chunk) => this.#answer(link, chunk))
    for (const socket of [client, broker]) {
      socket.on('error', () => undefined)
      socket.on('close', () => this.#drop(link))
    }
  }

  #request(link: Link, frame: Uint8Array): void {
    const apiKey = Buffer.from(frame.buffer, frame.byteOffset, 2).readInt16BE(0)
    this.requests.push(apiKey)
    const armed = this.#trap
    if (armed?.trap.apiKey === apiKey) {
      this.#trap = null
      if (armed.trap.action === 'reset-before') {
        this.#reset(link)
        armed.sprung()
        return
      }
      if (armed.trap.action === 'reset-after') link.resetsAtAnswer = true
      else link.isMuted = true
      armed.sprung()
    }
    const length = Buffer.alloc(LENGTH_BYTES)
    length.writeInt32BE(frame.byteLength)
    this.#forward(link.broker, Buffer.concat([length, frame]))
  }

  #answer(link: Link, chunk: Buffer): void {
    if (link.resetsAtAnswer) {
      this.#reset(link)
      return
    }
    if (link.isMuted || this.mode === 'black-hole' || this.mode === 'swallow-answers') return
    this.#forward(link.client, chunk)
  }

  #forward(to: Socket, bytes: Uint8Array): void {
    if (this.delayMs === 0) {
      if (!to.destroyed) to.write(bytes)
      return
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      if (!to.destroyed) to.write(bytes)
    }, this.delayMs)
    this.#timers.add(timer)
  }

  #reset(link: Link): void {
    link.client.resetAndDestroy()
    link.broker.destroy()
    this.#links.delete(link)
  }

  /** One side closed: in a black hole the other one does not hear of it. */
  #drop(link: Link): void {
    if (this.mode === 'black-hole' && !link.client.destroyed) return
    link.client.destroy()
    link.broker.destroy()
    this.#links.delete(link)
  }
}

/** One proxy per broker; hand `advertise` to startKafkaCluster. */
export function createProxies(): { readonly proxies: TcpProxy[]; readonly advertise: (ports: readonly number[]) => Promise<number[]> } {
  const proxies: TcpProxy[] = []
  return {
    proxies,
    async advertise(ports) {
      for (const port of ports) proxies.push(await TcpProxy.start(port))
      return proxies.map((proxy) => proxy.port)
    }
  }
}
