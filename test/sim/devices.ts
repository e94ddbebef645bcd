// The devices of the simulated world: each sends one event after another, and the same again until it is acknowledged, as MQTT clients do.

import type { Core } from '../../runtime/core/core.ts'
import type { AppendDone } from '../../runtime/log/contract.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { appendByLane } from './lane-append.ts'
import type { Ledger, SimEvent } from './ledger.ts'
import type { Mapping } from './mappings.ts'
import type { Prng } from './prng.ts'
import type { SimClock } from './sim-clock.ts'

const FILLER = 'x'.repeat(4096)

interface Device {
  readonly name: string
  readonly topicName: string
  readonly partitionIndex: number
  readonly pauseMs: number
  readonly valueBytesMax: number
  /** Its events go by the fast lane, where that takes them. */
  readonly isByLane: boolean
  next: number
  waiting: SimEvent | null
  /** Handed to the process that runs now. */
  isSent: boolean
}

export interface DevicesOptions {
  readonly edge: Mapping['edge']
  /** Of the process that runs now; null while none serves. */
  readonly store: () => LogStore | null
  readonly core: () => Core | null
  /** No new events any more. */
  readonly isCalm: () => boolean
  /** A mutation: acknowledges what is not durable. */
  readonly ackEarly: boolean
  readonly count: (what: string) => void
}

export class Devices {
  readonly #clock: SimClock
  readonly #prng: Prng
  readonly #ledger: Ledger
  readonly #options: DevicesOptions
  readonly #devices: Device[] = []

  constructor(world: { clock: SimClock; prng: Prng; ledger: Ledger }, options: DevicesOptions) {
    this.#clock = world.clock
    this.#prng = world.prng
    this.#ledger = world.ledger
    this.#options = options
    const { prng } = world
    const deviceCount = prng.between(2, 6)
    for (let index = 0; index < deviceCount; index++) {
      const [topicName, partitionCount] = prng.pick(options.edge)
      this.#devices.push({
        name: `d${index}`,
        topicName,
        partitionIndex: prng.below(partitionCount),
        pauseMs: prng.pick([60, 200, 1_000]),
        valueBytesMax: prng.pick([30, 200, 1_500]),
        isByLane: index % 2 === 0,
        next: 0,
        waiting: null,
        isSent: false
      })
    }
  }

  /** Those whose event is not acknowledged yet. */
  get waiting(): readonly Device[] {
    return this.#devices.filter((device) => device.waiting !== null)
  }

  run(): void {
    for (const device of this.#devices) this.#loop(device)
  }

  /** What was handed to the process is sent again to the next one. */
  onCrash(): void {
    for (const device of this.#devices) device.isSent = false
  }

  #loop(device: Device): void {
    const pauseMs = device.pauseMs * (0.2 + this.#prng.fraction() * 1.6)
    this.#clock.after(pauseMs, () => {
      this.#send(device)
      if (!this.#options.isCalm() || device.waiting) this.#loop(device)
    })
  }

  #send(device: Device): void {
    const { store: storeOf, isCalm, ackEarly, count } = this.#options
    const store = storeOf()
    if (!store || device.isSent) return
    if (!device.waiting) {
      if (isCalm()) return
      device.waiting = this.#newEvent(device)
    }
    const event = device.waiting
    const topic = store.topics.get(device.topicName)
    const partition = topic?.partitions[device.partitionIndex]
    if (!topic || !partition) return
    device.isSent = true
    this.#ledger.onSent(event)
    const encoder = new TextEncoder()
    const record = { timestampMs: this.#clock.wallMs(), key: encoder.encode(device.name), value: encoder.encode(event.value), headers: [] }
    const done: AppendDone = (error, offset) => {
      if (storeOf() !== store) return
      device.isSent = false
      if (error) {
        this.#ledger.counts.refused++
        count(`refused:${error.code}`)
        return
      }
      if (!ackEarly) {
        this.#ledger.onAcked(event, offset)
        device.waiting = null
      }
    }
    const core = device.isByLane ? this.#options.core() : null
    const laneEvent = { topic, partition, deviceName: device.name, value: event.value, timestampMs: record.timestampMs }
    if (core && appendByLane(core, store.lane, laneEvent, done)) count('by the fast lane')
    else store.append(partition, record, done)
    if (ackEarly && device.isSent) {
      this.#ledger.onAckedEarly(event)
      device.waiting = null
    }
  }

  #newEvent(device: Device): SimEvent {
    const number = device.next++
    const id = `${device.name}:${number}`
    const value = `${id} ${FILLER.slice(0, this.#prng.below(device.valueBytesMax))}`
    return {
      id,
      device: device.name,
      number,
      value,
      partitionKey: `${device.topicName}/${device.partitionIndex}`,
      attempts: 0,
      isAcked: false
    }
  }
}
