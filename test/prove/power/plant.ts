// The gateway under load that the power is taken from: which topics it has and why, its sensors, and what they know at one moment.
//
//   telemetry  QoS 1, several partitions, stored as it comes (segments roll), delivered to a centre
//   orders     QoS 2 with persistent sessions, compressed, delivered to a centre
//   spool      QoS 1, a small quota that drops the oldest: segments are deleted while events come in

import { EventLedger } from '../../faults/event-ledger.ts'
import { type InFlight, Sensor } from './sensor.ts'

export const TOPICS = ['telemetry', 'orders', 'spool'] as const
export type TopicName = (typeof TOPICS)[number]

const WINDOW = 20
const LOAD: readonly { readonly topic: TopicName; readonly qos: 1 | 2; readonly sensors: number; readonly padBytes: number }[] = [
  { topic: 'telemetry', qos: 1, sensors: 3, padBytes: 500 },
  { topic: 'orders', qos: 2, sensors: 2, padBytes: 100 },
  { topic: 'spool', qos: 1, sensors: 1, padBytes: 900 }
]

/** Journals of that size: small ones are used in turn, large ones are still being filled with zeros while events come in. */
export const JOURNAL_SIZES = ['4MiB', '24MiB'] as const
export type JournalSize = (typeof JOURNAL_SIZES)[number]

export function plantConfig(
  centre: string | null,
  journalSize: JournalSize
): (place: { readonly port: number; readonly data: string }) => string {
  return ({ port, data }) => `gateway: { id: plant, data: ${data} }
storage: { journal: { files: 2, file_size: ${journalSize} }, seal: { bytes: 32KiB, age: 300ms }, segment_bytes: 1MiB }
mqtt: [{ listen: "127.0.0.1:${port}" }]
topics:
  telemetry: { partitions: 3, codec: none }
  orders: { partitions: 2, codec: gzip }
  spool: { codec: none, quota: 3MiB, when_full: drop_oldest, drop_undelivered: true }
routes:
${TOPICS.map((topic) => `  - { name: ${topic}, filter: ${topic}/+device, topic: ${topic}, key: "{device}" }`).join('\n')}
${centre === null ? '' : `upstream:\n  brokers: [${centre}]\n  topics: { telemetry: {}, orders: {} }\n`}`
}

/** What the sensors of one topic know at one moment. */
interface TopicKnowledge {
  readonly ledger: EventLedger
  /** By sensor. */
  readonly inFlight: ReadonlyMap<string, ReadonlyMap<number, InFlight>>
}

export type PlantKnowledge = ReadonlyMap<TopicName, TopicKnowledge>

export class Plant {
  readonly #ledgers = new Map<TopicName, EventLedger>()
  readonly #sensors = new Map<TopicName, Sensor[]>()

  /** Everything new, or from what was known at an earlier moment. Paused until resume(). */
  constructor(port: number, known?: PlantKnowledge) {
    for (const { topic, qos, sensors, padBytes } of LOAD) {
      const ledger = known?.get(topic)?.ledger.copy() ?? new EventLedger()
      this.#ledgers.set(topic, ledger)
      this.#sensors.set(
        topic,
        Array.from({ length: sensors }, (_, index) => {
          const name = `${topic}-${index}`
          const inFlight = (qos === 2 && known?.get(topic)?.inFlight.get(name)) || new Map<number, InFlight>()
          return new Sensor({ port, name, topic: `${topic}/${name}`, qos, ledger, window: WINDOW, padBytes, inFlight })
        })
      )
    }
  }

  get sensors(): readonly Sensor[] {
    return [...this.#sensors.values()].flat()
  }

  get ackedCount(): number {
    return [...this.#ledgers.values()].reduce((sum, { ackedCount }) => sum + ackedCount, 0)
  }

  get sentCount(): number {
    return [...this.#ledgers.values()].reduce((sum, { sentCount }) => sum + sentCount, 0)
  }

  ledgerOf(topic: TopicName): EventLedger {
    return this.#ledgers.get(topic) as EventLedger
  }

  /** A copy, made at once. */
  know(): PlantKnowledge {
    return new Map(
      TOPICS.map((topic) => {
        const inFlight = new Map((this.#sensors.get(topic) ?? []).map((sensor) => [sensor.name, sensor.inFlight()]))
        return [topic, { ledger: this.ledgerOf(topic).copy(), inFlight }]
      })
    )
  }

  /** True when every sensor got all its answers. @throws nothing: false after `withinMs` */
  async settles(withinMs: number): Promise<boolean> {
    const giveUpMs = performance.now() + withinMs
    while (!this.sensors.every((sensor) => sensor.isIdle)) {
      if (performance.now() > giveUpMs) return false
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    return true
  }

  /** A few new events of every sensor, all answered. @throws nothing: false after `withinMs` */
  async sendsMore(withinMs: number): Promise<boolean> {
    this.resume()
    this.pause()
    return this.settles(withinMs)
  }

  pause(): void {
    for (const sensor of this.sensors) sensor.pause()
  }

  resume(): void {
    for (const sensor of this.sensors) sensor.resume()
  }

  end(): void {
    for (const sensor of this.sensors) sensor.end()
  }
}
