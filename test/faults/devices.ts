// Devices with real MQTT connections (mqtt.js, QoS 1) that publish as fast as their window allows. When the connection goes, what has no
// answer stays unknown and is never sent again under the same name; the device connects anew.

import mqtt, { type MqttClient } from 'mqtt'
import type { EventLedger } from './event-ledger.ts'

export interface DeviceOptions {
  readonly port: number
  readonly name: string
  readonly ledger: EventLedger
  /** Unanswered publishes at a time. */
  readonly window: number
  readonly padBytes?: number
  /** Stops by itself after that many; for ever without it. */
  readonly eventCount?: number
}

export class Device {
  readonly #options: DeviceOptions
  #client: MqttClient | null = null
  #inFlight = 0
  #createdCount = 0
  #isStopped = false
  #isPaused = false
  #retry: NodeJS.Timeout | null = null
  #onIdle: (() => void)[] = []

  constructor(options: DeviceOptions) {
    this.#options = options
    this.#connect()
  }

  get isDone(): boolean {
    return this.#createdCount >= (this.#options.eventCount ?? Number.POSITIVE_INFINITY) && this.#inFlight === 0
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    if (this.#client?.connected) this.#pump(this.#client)
  }

  /** No more events; resolves when every answer has come or the connection has gone. */
  async stop(): Promise<void> {
    this.#isStopped = true
    if (this.#retry) clearTimeout(this.#retry)
    if (this.#inFlight > 0 && this.#client?.connected) await new Promise<void>((resolve) => this.#onIdle.push(resolve))
    await new Promise<void>((resolve) => (this.#client ? this.#client.end(true, {}, () => resolve()) : resolve()))
  }

  /** Resolves when eventCount events were created and none waits for an answer. */
  async done(withinMs: number): Promise<void> {
    const deadline = performance.now() + withinMs
    while (!this.isDone) {
      if (performance.now() > deadline)
        throw new Error(`${this.#options.name} is not done after ${withinMs} ms: ${this.#createdCount} sent, ${this.#inFlight} unanswered`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  #connect(): void {
    const { port, name } = this.#options
    const client = mqtt.connect({ host: '127.0.0.1', port, clientId: name, reconnectPeriod: 0, connectTimeout: 3_000, clean: true })
    this.#client = client
    this.#inFlight = 0
    client.on('connect', () => this.#pump(client))
    client.on('error', () => undefined)
    client.on('close', () => {
      if (this.#client !== client) return
      this.#client = null
      this.#inFlight = 0
      this.#settle()
      client.end(true)
      if (!this.#isStopped) this.#retry = setTimeout(() => this.#connect(), 50)
    })
  }

  #pump(client: MqttClient): void {
    const { ledger, name, window, padBytes, eventCount = Number.POSITIVE_INFINITY } = this.#options
    while (
      !this.#isStopped &&
      !this.#isPaused &&
      client === this.#client &&
      client.connected &&
      this.#inFlight < window &&
      this.#createdCount < eventCount
    ) {
      const payload = ledger.create(name, padBytes)
      this.#createdCount++
      this.#inFlight++
      client.publish(`plant/a/${name}/reading`, payload, { qos: 1 }, (error) => {
        if (client !== this.#client) return
        this.#inFlight--
        if (!error) {
          ledger.acknowledge(payload)
          this.#pump(client)
        }
        this.#settle()
      })
    }
  }

  #settle(): void {
    if (this.#inFlight > 0) return
    for (const resolve of this.#onIdle.splice(0)) resolve()
  }
}
