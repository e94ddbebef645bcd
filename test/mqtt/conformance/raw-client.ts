// A client that sees the bytes: sends what it is told, right or wrong, and takes apart strictly what comes back. Not built on a library
// nor on our code. Waits end at once when the connection closes or the server broke a rule; nothing waits longer than WAIT_MS.

import assert from 'node:assert/strict'
import { connect as connectSocket, type Socket } from 'node:net'
import { decode, type Kind, type Packet, WireFault } from './decode.ts'
import {
  ack,
  type ConnectOptions,
  connect,
  disconnect,
  type FilterAndOptions,
  type PublishOptions,
  pingreq,
  publish,
  subscribe,
  unsubscribe,
  type Version
} from './encode.ts'

const WAIT_MS = 5_000
/** How long what may not come is waited for. */
const QUIET_MS = 100

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const hex = (bytes: Uint8Array): string => {
  const text = Buffer.from(bytes).toString('hex')
  return text.length > 200 ? `${text.slice(0, 200)}… (${bytes.length} bytes)` : text
}

export class RawClient {
  readonly socket: Socket
  readonly version: Version
  /** Everything that came, in order. */
  readonly received: Packet[] = []
  /** What nobody has taken yet. */
  readonly inbox: Packet[] = []
  fault: Error | null = null
  isClosed = false
  clientId = ''
  #rest: Buffer = Buffer.alloc(0)
  #sent = ''
  #packetId = 0
  readonly #watchers = new Set<() => void>()

  constructor(port: number, version: Version) {
    this.version = version
    this.socket = connectSocket({ host: '127.0.0.1', port, noDelay: true })
    this.socket.on('error', () => {})
    this.socket.on('data', (chunk) => this.#read(chunk))
    this.socket.on('close', () => {
      this.isClosed = true
      this.#changed()
    })
  }

  #read(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk])
    try {
      for (;;) {
        const packet = decode(this.#rest, this.version)
        if (!packet) break
        this.#rest = this.#rest.subarray(packet.bytes.length)
        this.#checkPlace(packet)
        this.received.push(packet)
        this.inbox.push(packet)
      }
    } catch (error) {
      this.fault ??= new Error(`${(error as Error).message}; sent ${this.#sent}; rest ${hex(this.#rest)}`)
      this.socket.destroy()
    }
    this.#changed()
  }

  #checkPlace({ kind }: Packet): void {
    const isFirst = this.received.length === 0
    if (isFirst && !['connack', 'auth'].includes(kind)) throw new WireFault(`[MQTT-3.2.0-1] ${kind} before CONNACK`)
    if (!isFirst && kind === 'connack') throw new WireFault('[MQTT-3.2.0-2] a second CONNACK')
    if (this.received.at(-1)?.kind === 'disconnect') throw new WireFault(`[MQTT-3.14.4-1] ${kind} behind DISCONNECT`)
  }

  #changed(): void {
    for (const watcher of this.#watchers) watcher()
  }

  /** What was sent and received, for a message. */
  get story(): string {
    return `version ${this.version}; sent ${this.#sent}; received ${this.received.map(({ kind, bytes }) => `${kind} ${hex(bytes)}`).join(', ')}`
  }

  send(...packets: readonly Uint8Array[]): this {
    for (const packet of packets) if (this.#sent.length < 4_000) this.#sent += ` ${hex(packet)}`
    if (!this.isClosed) this.socket.write(Buffer.concat(packets))
    return this
  }

  drop(): void {
    this.socket.destroy()
  }

  async until(isTrue: () => boolean, what: string, { endsWithConnection = true, waitMs = WAIT_MS } = {}): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const end = (error?: Error): void => {
        clearTimeout(timer)
        this.#watchers.delete(watch)
        if (error) reject(error)
        else resolve()
      }
      const watch = (): void => {
        if (this.fault) end(this.fault)
        else if (isTrue()) end()
        else if (endsWithConnection && this.isClosed) end(new Error(`closed before ${what}; ${this.story}`))
      }
      const timer = setTimeout(() => end(new Error(`${what} did not come in ${waitMs} ms; ${this.story}`)), waitMs)
      this.#watchers.add(watch)
      watch()
    })
  }

  /** Takes the first packet of its kind, those of other kinds stay. */
  async next(kind: Kind, isIt: (packet: Packet) => boolean = () => true): Promise<Packet> {
    const find = (): number => this.inbox.findIndex((packet) => packet.kind === kind && isIt(packet))
    await this.until(() => find() >= 0, kind)
    return this.inbox.splice(find(), 1)[0] as Packet
  }

  async closed(what = 'the end of the connection', waitMs = WAIT_MS): Promise<void> {
    await this.until(() => this.isClosed, what, { endsWithConnection: false, waitMs })
  }

  /** Nothing of this kind comes. */
  async quiet(kind: Kind = 'publish', ms = QUIET_MS): Promise<void> {
    await sleep(ms)
    if (this.fault) throw this.fault
    const found = this.inbox.find((packet) => packet.kind === kind)
    assert.equal(found, undefined, `${kind} came: ${found && hex(found.bytes)}; ${this.story}`)
  }

  nextId(): number {
    return ++this.#packetId
  }

  async connect(options: ConnectOptions = {}): Promise<Packet> {
    this.clientId = typeof options.clientId === 'string' ? options.clientId : ''
    this.send(connect(this.version, options))
    return await this.next('connack')
  }

  /** The server closes; MQTT 5 servers may say why first: then with one of `codes`. */
  async refused(...codes: readonly number[]): Promise<void> {
    await this.closed('that the server closes')
    const end = this.received.find(({ kind }) => kind === 'disconnect')
    if (end && codes.length > 0) assert.ok(codes.includes(end.code), `DISCONNECT 0x${end.code.toString(16)}; ${this.story}`)
    if (end) assert.ok(end.code >= 0x80, `DISCONNECT 0x${end.code.toString(16)} for a refusal; ${this.story}`)
  }

  /** The server closes without accepting; it may say why in CONNACK: then with one of `codes`. */
  async connectRefused(bytes: Uint8Array, ...codes: readonly number[]): Promise<Packet | undefined> {
    this.send(bytes)
    await this.closed('that the server closes')
    const [connack, ...others] = this.received
    assert.equal(others.length, 0, this.story)
    if (connack) {
      assert.ok(connack.kind === 'connack' && connack.code !== 0, `accepted; ${this.story}`)
      if (codes.length > 0) assert.ok(codes.includes(connack.code), `CONNACK 0x${connack.code.toString(16)}; ${this.story}`)
    }
    return connack
  }

  async subscribe(filters: string | readonly FilterAndOptions[], options = 0, props: readonly Uint8Array[] = []): Promise<Packet> {
    const packetId = this.nextId()
    this.send(subscribe(this.version, packetId, typeof filters === 'string' ? [[filters, options]] : filters, props))
    return await this.next('suback', (packet) => packet.packetId === packetId)
  }

  async unsubscribe(...filters: readonly string[]): Promise<Packet> {
    const packetId = this.nextId()
    this.send(unsubscribe(this.version, packetId, filters))
    return await this.next('unsuback', (packet) => packet.packetId === packetId)
  }

  /** The whole exchange; the packet that ended it. */
  async publish(options: PublishOptions): Promise<Packet | null> {
    const { qos = 0, packetId = this.nextId() } = options
    this.send(publish(this.version, { ...options, packetId }))
    const ofThis = (packet: Packet): boolean => packet.packetId === packetId
    if (qos === 0) return null
    if (qos === 1) return await this.next('puback', ofThis)
    const received = await this.next('pubrec', ofThis)
    if (received.code >= 0x80) return received
    this.send(ack('pubrel', packetId))
    return await this.next('pubcomp', ofThis)
  }

  /** The next message, acknowledged to the end. */
  async receive(isIt?: (packet: Packet) => boolean): Promise<Packet> {
    const packet = await this.next('publish', isIt)
    await this.acknowledge(packet)
    return packet
  }

  async acknowledge({ qos, packetId }: Packet): Promise<void> {
    if (qos === 1) this.send(ack('puback', packetId))
    if (qos < 2) return
    this.send(ack('pubrec', packetId))
    await this.next('pubrel', (packet) => packet.packetId === packetId)
    this.send(ack('pubcomp', packetId))
  }

  async ping(): Promise<void> {
    this.send(pingreq())
    await this.next('pingresp')
  }

  /** DISCONNECT, and the server has closed. */
  async leave(reasonCode?: number, props?: readonly Uint8Array[]): Promise<void> {
    this.send(disconnect(reasonCode, props))
    await this.closed()
  }

  /** Gone without DISCONNECT. */
  async vanish(): Promise<void> {
    this.drop()
    await this.closed()
  }
}
