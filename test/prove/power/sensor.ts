// A sensor that publishes as fast as its window allows, QoS 1 or 2, over bytes of its own making, and knows what of it has no answer.
// It tells the ledger of an event when the gateway took responsibility: PUBACK, or PUBREC. With QoS 2 the session is persistent and
// what was in flight is sent again after a connect, as MQTT wants; a QoS 1 event without an answer stays unknown and is not repeated.

import { connect, type Socket } from 'node:net'
import type { EventLedger } from '../../faults/event-ledger.ts'
import { connectPacket, publishPacket, pubrelPacket } from '../../mqtt/packets.ts'

const RECONNECT_MS = 50
const PACKET_ID_MAX = 65_535
const ACK_BYTES = 4
const ANSWER = { connack: 2, puback: 4, pubrec: 5, pubcomp: 7 } as const

export interface InFlight {
  readonly payload: string
  readonly phase: 'published' | 'released'
}

export interface SensorOptions {
  readonly port: number
  readonly name: string
  /** MQTT topic. */
  readonly topic: string
  readonly qos: 1 | 2
  readonly ledger: EventLedger
  readonly window: number
  readonly padBytes: number
  /** By packet id: what an earlier life of this sensor had in flight, in the order it was sent. */
  readonly inFlight?: ReadonlyMap<number, InFlight>
}

export class Sensor {
  readonly #options: SensorOptions
  readonly #inFlight: Map<number, InFlight>
  #socket: Socket | null = null
  #isConnected = false
  #input: Buffer = Buffer.alloc(0)
  #lastPacketId: number
  #isPaused = true
  #isEnded = false
  #retry: NodeJS.Timeout | null = null

  constructor(options: SensorOptions) {
    this.#options = options
    this.#inFlight = new Map(options.inFlight)
    this.#lastPacketId = Math.max(0, ...this.#inFlight.keys())
    this.#connect()
  }

  get name(): string {
    return this.#options.name
  }

  get isIdle(): boolean {
    return this.#isConnected && this.#inFlight.size === 0
  }

  /** What has no last answer yet, by packet id. */
  inFlight(): ReadonlyMap<number, InFlight> {
    return new Map(this.#inFlight)
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    this.#pump()
  }

  end(): void {
    this.#isEnded = true
    if (this.#retry) clearTimeout(this.#retry)
    this.#socket?.destroy()
  }

  #connect(): void {
    const { port, name, qos } = this.#options
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    this.#socket = socket
    this.#input = Buffer.alloc(0)
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.#isConnected = false
      if (qos === 1) this.#inFlight.clear()
      if (!this.#isEnded) this.#retry = setTimeout(() => this.#connect(), RECONNECT_MS)
    })
    socket.on('data', (chunk) => {
      this.#input = Buffer.concat([this.#input, chunk])
      while (this.#input.byteLength >= ACK_BYTES) {
        this.#answer((this.#input[0] as number) >> 4, this.#input.readUInt16BE(2))
        this.#input = this.#input.subarray(ACK_BYTES)
      }
      this.#pump()
    })
    socket.write(connectPacket({ clientId: name, clean: qos === 1 }))
  }

  #answer(type: number, packetId: number): void {
    const { ledger, qos } = this.#options
    const waiting = this.#inFlight.get(packetId)
    if (type === ANSWER.connack) {
      this.#isConnected = true
      for (const [id, { payload, phase }] of this.#inFlight) {
        if (phase === 'published') this.#publish(id, payload, true)
        else this.#socket?.write(pubrelPacket(id))
      }
    } else if (type === ANSWER.puback && qos === 1 && waiting) {
      ledger.acknowledge(waiting.payload)
      this.#inFlight.delete(packetId)
    } else if (type === ANSWER.pubrec && waiting) {
      ledger.acknowledge(waiting.payload)
      this.#inFlight.set(packetId, { ...waiting, phase: 'released' })
      this.#socket?.write(pubrelPacket(packetId))
    } else if (type === ANSWER.pubcomp) this.#inFlight.delete(packetId)
  }

  #pump(): void {
    const { ledger, name, window, padBytes } = this.#options
    while (this.#isConnected && !this.#isPaused && !this.#isEnded && this.#inFlight.size < window) {
      const payload = ledger.create(name, padBytes)
      const packetId = this.#nextPacketId()
      this.#inFlight.set(packetId, { payload, phase: 'published' })
      this.#publish(packetId, payload, false)
    }
  }

  #publish(packetId: number, payload: string, isRepeat: boolean): void {
    const { topic, qos } = this.#options
    this.#socket?.write(publishPacket({ topic, payload, qos, packetId, dup: isRepeat }))
  }

  #nextPacketId(): number {
    do this.#lastPacketId = (this.#lastPacketId % PACKET_ID_MAX) + 1
    while (this.#inFlight.has(this.#lastPacketId))
    return this.#lastPacketId
  }
}
