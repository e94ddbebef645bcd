// A subscriber for tests of sessions: acknowledges what and when the test says, and keeps the books of a client that does all right: a QoS 2 packet id is one
// message until PUBREL, also over connections of one session.

import { connect, type Socket } from 'node:net'
import { generate, type IConnackPacket, type IConnectPacket, type IPublishPacket, type Packet, parser } from 'mqtt-packet'
import { Waiting } from './waiting.ts'

export interface ReadingOptions {
  readonly clientId: string
  readonly version?: 4 | 5
  readonly clean?: boolean
  readonly properties?: IConnectPacket['properties']
}

/** What a client remembers between its connections. */
export class Receiver {
  /** Payloads in the order in which they were taken; of QoS 2 each once. */
  readonly taken: string[] = []
  readonly openIds = new Set<number>()
}

export class ReadingClient {
  readonly socket: Socket
  readonly packets: Packet[] = []
  /** While false nothing is acknowledged. */
  acknowledges = true
  /** Answers PUBREC, and nothing to PUBREL. */
  stopsAtPubrel = false
  isClosed = false
  readonly #receiver: Receiver
  readonly #version: 4 | 5
  readonly #clientId: string
  readonly #waiting = new Waiting()

  constructor(port: number, { clientId, version = 4, clean = false, properties }: ReadingOptions, receiver = new Receiver()) {
    this.#receiver = receiver
    this.#version = version
    this.#clientId = clientId
    this.socket = connect({ host: '127.0.0.1', port, noDelay: true })
    const parse = parser({ protocolVersion: version })
    parse.on('packet', (packet) => this.#onPacket(packet))
    this.socket.on('data', (chunk) => parse.parse(chunk))
    this.socket.on('error', () => {})
    this.socket.on('close', () => {
      this.isClosed = true
      this.#waiting.look()
    })
    const base = { cmd: 'connect' as const, protocolId: 'MQTT' as const, protocolVersion: version, clientId, clean, keepalive: 0 }
    this.send(properties ? { ...base, properties } : base)
  }

  get clientId(): string {
    return this.#clientId
  }

  get connack(): IConnackPacket | undefined {
    return this.packets.find((packet): packet is IConnackPacket => packet.cmd === 'connack')
  }

  get publishes(): IPublishPacket[] {
    return this.packets.filter((packet): packet is IPublishPacket => packet.cmd === 'publish')
  }

  get payloads(): string[] {
    return this.publishes.map(({ payload }) => String(payload))
  }

  send(packet: Packet): void {
    if (!this.socket.destroyed) this.socket.write(generate(packet, { protocolVersion: this.#version }))
  }

  subscribe(topic: string, qos: 0 | 1 | 2, more: { nl?: boolean; rap?: boolean; id?: number } = {}): Promise<void> {
    const { id, ...options } = more
    const messageId = 1 + this.packets.length
    this.send({
      cmd: 'subscribe',
      messageId,
      subscriptions: [{ topic, qos, ...options }],
      ...(id && { properties: { subscriptionIdentifier: id } })
    })
    return this.until(() => this.packets.some((packet) => packet.cmd === 'suback' && packet.messageId === messageId), 'SUBACK')
  }

  unsubscribe(topic: string): Promise<void> {
    const messageId = 1 + this.packets.length
    this.send({ cmd: 'unsubscribe', messageId, unsubscriptions: [topic] })
    return this.until(() => this.packets.some((packet) => packet.cmd === 'unsuback' && packet.messageId === messageId), 'UNSUBACK')
  }

  connected(): Promise<void> {
    return this.until(() => this.connack !== undefined || this.isClosed, 'CONNACK')
  }

  async closed(): Promise<void> {
    this.socket.destroy()
    await this.until(() => this.isClosed, 'the end')
  }

  until(isTrue: () => boolean, what?: string): Promise<void> {
    return this.#waiting.until(isTrue, { what, received: () => JSON.stringify(this.packets.slice(-5)) })
  }

  #onPacket(packet: Packet): void {
    this.packets.push(packet)
    if (packet.cmd === 'connack' && !packet.sessionPresent) this.#receiver.openIds.clear()
    if (packet.cmd === 'publish') this.#onPublish(packet)
    if (packet.cmd === 'pubrel' && !this.stopsAtPubrel) {
      this.#receiver.openIds.delete(packet.messageId as number)
      this.send({ cmd: 'pubcomp', messageId: packet.messageId as number })
    }
    this.#waiting.look()
  }

  #onPublish({ qos, messageId = 0, payload }: IPublishPacket): void {
    if (qos < 2 || !this.#receiver.openIds.has(messageId)) this.#receiver.taken.push(String(payload))
    if (qos === 2) this.#receiver.openIds.add(messageId)
    if (!this.acknowledges || qos === 0) return
    this.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId })
  }
}
