// MQTT 3.1.1 packets as bytes, right and wrong ones, and a raw client that sends bytes and keeps what comes back.
// Written from the specification, not with the parser under test.

import { connect, type Socket } from 'node:net'
import { Waiting } from './waiting.ts'

const encoder = new TextEncoder()

export function remainingLength(length: number): number[] {
  const bytes: number[] = []
  do {
    const rest = Math.floor(length / 128)
    bytes.push((length % 128) | (rest > 0 ? 0x80 : 0))
    length = rest
  } while (length > 0)
  return bytes
}

export function packet(firstByte: number, ...body: (readonly number[] | Uint8Array)[]): Buffer {
  const joined = Buffer.concat(body.map((part) => Buffer.from(part)))
  return Buffer.concat([Buffer.from([firstByte, ...remainingLength(joined.length)]), joined])
}

const uint16 = (value: number): number[] => [value >> 8, value & 0xff]
export const string = (text: string | Uint8Array): Buffer => {
  const bytes = typeof text === 'string' ? encoder.encode(text) : text
  return Buffer.concat([Buffer.from(uint16(bytes.length)), bytes])
}

export function connectPacket(
  options: {
    clientId?: string
    clean?: boolean
    keepalive?: number
    will?: { topic: string | Uint8Array; payload: Uint8Array }
    willQos?: number
    userName?: string
    password?: Uint8Array
  } = {}
): Buffer {
  const { clientId = 'raw', clean = true, keepalive = 0, will, willQos = 0, userName, password } = options
  const flags = (clean ? 2 : 0) | (will ? 4 | (willQos << 3) : 0) | (userName === undefined ? 0 : 0x80) | (password ? 0x40 : 0)
  const body = [string('MQTT'), [4, flags], uint16(keepalive), string(clientId)]
  if (will) body.push(string(will.topic), string(will.payload))
  if (userName !== undefined) body.push(string(userName))
  if (password) body.push(string(password))
  return packet(0x10, ...body)
}

export interface PublishOptions {
  readonly topic: string | Uint8Array
  readonly payload?: string | Uint8Array
  readonly qos?: number
  readonly packetId?: number
  readonly dup?: boolean
  readonly retain?: boolean
}

export function publishPacket({ topic, payload = '', qos = 0, packetId = 1, dup = false, retain = false }: PublishOptions): Buffer {
  const id = qos > 0 ? uint16(packetId) : []
  return packet(0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0), string(topic), id, Buffer.from(payload))
}

export const pubrelPacket = (packetId: number): Buffer => packet(0x62, uint16(packetId))
export const subscribePacket = (packetId: number, filter: string, qos = 0): Buffer => packet(0x82, uint16(packetId), string(filter), [qos])
export const unsubscribePacket = (packetId: number, filter: string): Buffer => packet(0xa2, uint16(packetId), string(filter))
export const pingPacket = (): Buffer => packet(0xc0)
export const disconnectPacket = (): Buffer => packet(0xe0)

const NAMES = new Map([
  [2, 'connack'],
  [3, 'publish'],
  [4, 'puback'],
  [5, 'pubrec'],
  [6, 'pubrel'],
  [7, 'pubcomp'],
  [9, 'suback'],
  [11, 'unsuback'],
  [13, 'pingresp']
])

/** A client without a library: sees exactly what is on the wire. */
export class RawClient {
  readonly socket: Socket
  /** "puback 7", "connack 0", … in the order they came. */
  readonly received: string[] = []
  /** The first byte of each of them. */
  readonly firstBytes: number[] = []
  isClosed = false
  #rest: Buffer = Buffer.alloc(0)
  readonly #waiting = new Waiting()

  /** @param target a port of this machine, or a socket that connects already */
  constructor(target: number | Socket) {
    this.socket = typeof target === 'number' ? connect({ host: '127.0.0.1', port: target, noDelay: true }) : target
    this.socket.on('error', () => {})
    this.socket.on('data', (chunk) => {
      this.#rest = Buffer.concat([this.#rest, chunk])
      this.#parse()
      this.#waiting.look()
    })
    this.socket.on('close', () => {
      this.isClosed = true
      this.#waiting.look()
    })
  }

  send(...packets: Uint8Array[]): this {
    this.socket.write(Buffer.concat(packets))
    return this
  }

  destroy(): void {
    this.socket.destroy()
  }

  async connected(options: Parameters<typeof connectPacket>[0] = {}): Promise<this> {
    this.send(connectPacket(options))
    await this.until(() => this.received.length > 0 || this.isClosed)
    if (this.received[0] !== 'connack 0') throw new Error(`expected connack 0, got ${this.received[0] ?? 'the end'}`)
    return this
  }

  until(isTrue: () => boolean, what?: string): Promise<void> {
    return this.#waiting.until(isTrue, { what, received: () => this.received.join(', ') })
  }

  closed(): Promise<void> {
    return this.until(() => this.isClosed, 'the end')
  }

  saw(name: string): Promise<void> {
    return this.until(() => this.received.includes(name), name)
  }

  #parse(): void {
    for (;;) {
      let at = 1
      let length = 0
      for (let shift = 0; ; shift += 7) {
        const byte = this.#rest[at++]
        if (byte === undefined) return
        length |= (byte & 0x7f) << shift
        if (byte < 0x80) break
      }
      if (this.#rest.length < at + length) return
      const firstByte = this.#rest[0] as number
      const type = firstByte >> 4
      const body = this.#rest.subarray(at, at + length)
      this.#rest = this.#rest.subarray(at + length)
      this.firstBytes.push(firstByte)
      this.received.push(describe(type, body))
    }
  }
}

function describe(type: number, body: Buffer): string {
  const name = NAMES.get(type) ?? `type-${type}`
  if (name === 'connack') return `connack ${body[1]}`
  if (name === 'publish') {
    const topicBytes = body.readUInt16BE(0)
    return `publish ${body.subarray(2, 2 + topicBytes).toString()}`
  }
  return body.length >= 2 ? `${name} ${body.readUInt16BE(0)}` : name
}
