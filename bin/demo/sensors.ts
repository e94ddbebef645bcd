// Simulated sensors: each has a real MQTT connection of its own, at most WINDOW events without an answer, and connects again when the
// gateway is gone.
//   QoS 2  it keeps its session: what was not answered is sent again with its packet id, and the gateway stores it once
//   QoS 1  it begins anew: what was not answered is "unknown" and is never sent again, because QoS 1 could store it twice

import type { connect, MqttClient } from 'mqtt'
import type { Ledger } from './ledger.ts'

const WINDOW = 50
const RECONNECT_MS = 150
const TICK_MS = 10
const PAUSE_AFTER_CLOSE_MS = 3000

export interface SensorsOptions {
  readonly port: number
  readonly count: number
  readonly eventsPerSecond: number
  readonly qos: 1 | 2
  readonly ledger: Ledger
  readonly connect: typeof connect
}

export class Sensors {
  readonly #options: SensorsOptions
  readonly #sensors: Sensor[]
  #timer: NodeJS.Timeout | null = null
  #owed = 0
  #turn = 0
  #atMs = 0

  constructor(options: SensorsOptions) {
    this.#options = options
    this.#sensors = Array.from({ length: options.count }, (_, index) => new Sensor(`press-${String(index + 1).padStart(2, '0')}`, options))
  }

  start(): void {
    for (const sensor of this.#sensors) sensor.connect()
    this.#atMs = performance.now()
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
  }

  get connectedCount(): number {
    return this.#sensors.filter((sensor) => sensor.isConnected).length
  }

  /** No more events; resolves when every answer has come, or its connection has ended. */
  async stop(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer)
    this.#timer = null
    await Promise.all(this.#sensors.map((sensor) => sensor.stop()))
  }

  /** At once, without waiting for answers. */
  abandon(): void {
    if (this.#timer) clearInterval(this.#timer)
    this.#timer = null
    for (const sensor of this.#sensors) sensor.abandon()
  }

  #tick(): void {
    const nowMs = performance.now()
    this.#owed = Math.min(this.#owed + ((nowMs - this.#atMs) * this.#options.eventsPerSecond) / 1000, this.#options.eventsPerSecond / 10)
    this.#atMs = nowMs
    for (let idle = 0; this.#owed >= 1 && idle < this.#sensors.length; this.#turn++) {
      if (this.#sensors[this.#turn % this.#sensors.length]?.publish()) {
        this.#owed--
        idle = 0
      } else idle++
    }
  }
}

class Sensor {
  readonly #name: string
  readonly #options: SensorsOptions
  readonly #inFlight = new Set<string>()
  #client: MqttClient | null = null
  #sequence = 0
  #isStopped = false
  #retry: NodeJS.Timeout | null = null
  #onIdle: (() => void) | null = null

  constructor(name: string, options: SensorsOptions) {
    this.#name = name
    this.#options = options
  }

  get isConnected(): boolean {
    return this.#client?.connected === true
  }

  connect(): void {
    const client = this.#options.connect({
      host: '127.0.0.1',
      port: this.#options.port,
      clientId: this.#name,
      protocolVersion: 4,
      clean: this.#options.qos === 1,
      reconnectPeriod: this.#options.qos === 1 ? 0 : RECONNECT_MS,
      connectTimeout: 5000
    })
    this.#client = client
    client.on('error', () => undefined) // a close follows
    if (this.#options.qos === 2) return
    client.once('close', () => {
      client.end(true) // a new client each time: nothing is sent twice behind the ledger's back
      this.#forget()
      if (!this.#isStopped) this.#retry = setTimeout(() => this.connect(), RECONNECT_MS)
    })
  }

  /** False when this sensor cannot send now. */
  publish(): boolean {
    const client = this.#client
    if (!client?.connected || this.#inFlight.size >= WINDOW) return false
    const sequence = this.#sequence++
    const id = `${this.#name}/${sequence}`
    const value = 80 + 10 * Math.sin(sequence / 50) + (sequence % 7) / 10
    const payload = JSON.stringify({ id, v: Number(value.toFixed(2)), unit: 'C', line: 'a', ts: Date.now() })
    this.#inFlight.add(id)
    this.#options.ledger.sent(id)
    client.publish(`plant/a/${this.#name}/temperature`, payload, { qos: this.#options.qos }, (error) => {
      if (error || !this.#inFlight.delete(id)) return // settled by the close
      this.#options.ledger.acknowledged(id)
      if (this.#inFlight.size === 0) this.#onIdle?.()
    })
    return true
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    if (this.#retry) clearTimeout(this.#retry)
    if (this.#inFlight.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, PAUSE_AFTER_CLOSE_MS)
        this.#onIdle = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    const client = this.#client
    if (!client) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => client.end(true, {}, () => resolve()), 1000)
      client.end(false, {}, () => {
        clearTimeout(timer)
        resolve()
      })
    })
    this.#forget()
  }

  abandon(): void {
    this.#isStopped = true
    if (this.#retry) clearTimeout(this.#retry)
    this.#client?.end(true)
    this.#forget()
  }

  #forget(): void {
    for (const id of this.#inFlight) this.#options.ledger.unknown(id)
    this.#inFlight.clear()
    this.#onIdle?.()
  }
}

/** Sensor and sequence of an event, from its payload; null when it is none of ours. */
export function readEventId(value: Uint8Array | null): { id: string; sensor: string; sequence: number } | null {
  try {
    const { id } = JSON.parse(Buffer.from(value ?? []).toString('utf8')) as { id?: unknown }
    const match = typeof id === 'string' ? /^([^/]+)\/(\d+)$/.exec(id) : null
    return match ? { id: match[0], sensor: match[1] ?? '', sequence: Number(match[2]) } : null
  } catch {
    return null
  }
}
