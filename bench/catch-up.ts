// Question: how fast, and in how many bytes on the wire, does a backlog reach a real Kafka, against the same events by a plain producer?
// Canonical load: 1 M stored sensor events of 100 bytes in 4 partitions. Ours is `wadi run` from the moment it answers until its status
// says that nothing waits: transactions, position, ids in headers and all. Theirs is kafkajs sending the same events, without a codec
// (plain) and with gzip, without exactly-once. One broker, all on this machine. Needs Java 17 and Maven.

import { Kafka, logLevel } from 'kafkajs'
import { askControl } from '../adapters/control/control-client.ts'
import type { StatusReport } from '../bin/status-report.ts'
import { startKafkaCluster } from '../test/kafka/kafka-cluster.ts'
import { GatewayProcess } from './gateway-process.ts'
import type { Bench, Figure } from './harness.ts'
import { withDirectory } from './open-store.ts'
import { BenchWorker } from './worker.ts'

const EVENTS = 1_000_000
const PARTITION_COUNT = 4
const ROUNDS = 3
const POLL_MS = 50
const CATCH_UP_MS_MAX = 300_000
const SPEED_MIN = 2
const BYTES_MAX = 0.5

interface Delivery {
  readonly elapsedMs: number
  readonly wireBytes: number
  /** Largest resident size of the gateway meanwhile; NaN where /proc does not tell, and for the others. */
  readonly residentBytes?: number
}

async function createTopic(broker: string, topic: string): Promise<void> {
  const admin = new Kafka({ brokers: [broker], logLevel: logLevel.ERROR }).admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions: PARTITION_COUNT }], waitForLeaders: true })
  await admin.disconnect()
}

/** null while the gateway does not answer yet: its control socket opens last. */
async function statusOf(directory: string): Promise<StatusReport | null> {
  return (await askControl(directory, { command: 'status' }).catch(() => null)) as StatusReport | null
}

async function deliverByWadi(broker: string, events: number, round: number): Promise<Delivery> {
  return withDirectory(async (directory) => {
    const filler = new BenchWorker<unknown>('fill.worker.js', [`${directory}/data`, `${events}e`])
    await filler.next().finally(() => filler.kill())
    const gateway = await GatewayProcess.start({ directory, id: `bench-${round}`, upstream: broker })
    try {
      const startMs = performance.now()
      let residentBytes = 0
      for (;;) {
        residentBytes = Math.max(residentBytes, gateway.residentBytes())
        const elapsedMs = performance.now() - startMs
        const status = await statusOf(`${directory}/data`)
        const wireBytes = status?.uplink?.wireBytes ?? Number.NaN
        if (status?.topics.find(({ name }) => name === 'readings')?.lagEvents === 0) return { elapsedMs, wireBytes, residentBytes }
        if (elapsedMs > CATCH_UP_MS_MAX) throw new Error(`catch-up: not done after ${elapsedMs} ms: ${JSON.stringify(status?.uplink)}`)
        await new Promise((resolve) => setTimeout(resolve, POLL_MS))
      }
    } finally {
      await gateway.kill()
    }
  })
}

async function deliverByKafkajs(broker: string, events: number, codec: 'none' | 'gzip'): Promise<Delivery> {
  const topic = `plain-${codec}`
  const producer = new BenchWorker<Delivery>('kafkajs.worker.js', [broker, topic, String(events), codec])
  return producer.next().finally(() => producer.kill())
}

/** The round with the median time: its bytes belong to it. */
function medianDelivery(deliveries: readonly Delivery[]): Delivery {
  const sorted = deliveries.toSorted((a, b) => a.elapsedMs - b.elapsedMs)
  return sorted[Math.floor(sorted.length / 2)] ?? { elapsedMs: Number.NaN, wireBytes: Number.NaN }
}

/** Events per second and bytes per event of the three, in turn. @throws Error when Java or Maven is absent, or events do not arrive */
export async function measureCatchUp(options: { events: number; rounds: number }): Promise<readonly Figure[]> {
  const { events, rounds } = options
  const deliveries: Record<'wadi' | 'plain' | 'gzip', Delivery[]> = { wadi: [], plain: [], gzip: [] }
  const cluster = await startKafkaCluster({ brokerCount: 1 })
  try {
    const broker = cluster.brokers[0] ?? ''
    for (const topic of ['readings', 'plain-none', 'plain-gzip']) await createTopic(broker, topic)
    for (let round = 0; round < rounds; round++) {
      deliveries.plain.push(await deliverByKafkajs(broker, events, 'none'))
      deliveries.wadi.push(await deliverByWadi(broker, events, round))
      deliveries.gzip.push(await deliverByKafkajs(broker, events, 'gzip'))
    }
  } finally {
    await cluster.stop()
  }
  return figuresOf(events, {
    wadi: medianDelivery(deliveries.wadi),
    plain: medianDelivery(deliveries.plain),
    gzip: medianDelivery(deliveries.gzip)
  })
}

function figuresOf(events: number, { wadi, plain, gzip }: Record<'wadi' | 'plain' | 'gzip', Delivery>): readonly Figure[] {
  const perSecond = ({ elapsedMs }: Delivery): number => (events / elapsedMs) * 1_000
  const perEvent = ({ wireBytes }: Delivery): number => wireBytes / events
  const parameters = { events, payloadBytes: 100, partitions: PARTITION_COUNT }
  const speed = perSecond(wadi) / perSecond(plain)
  const bytes = perEvent(wadi) / perEvent(plain)
  return [
    {
      what: 'speed',
      parameters,
      unit: 'events/s',
      values: { wadi: perSecond(wadi), kafkajs: perSecond(plain), 'kafkajs gzip': perSecond(gzip) },
      ratios: { 'wadi / kafkajs': speed, 'wadi / kafkajs gzip': perSecond(wadi) / perSecond(gzip) },
      target: { text: `>= ${SPEED_MIN} x kafkajs`, isMet: speed >= SPEED_MIN }
    },
    {
      what: 'wire',
      parameters,
      unit: 'bytes/event',
      values: { wadi: perEvent(wadi), kafkajs: perEvent(plain), 'kafkajs gzip': perEvent(gzip) },
      ratios: { 'wadi / kafkajs': bytes, 'wadi / kafkajs gzip': perEvent(wadi) / perEvent(gzip) },
      target: { text: `<= ${BYTES_MAX} x kafkajs`, isMet: bytes <= BYTES_MAX }
    },
    { what: 'memory of the gateway meanwhile', parameters, unit: 'MiB', values: { wadi: (wadi.residentBytes ?? Number.NaN) / 2 ** 20 } }
  ]
}

export const catchUpBench: Bench = {
  name: 'catch-up',
  question: 'a backlog to a real Kafka against a plain kafkajs producer: events per second, bytes on the wire per event',
  async run({ isSmoke, figure, skip }) {
    if (isSmoke) return skip('catch-up', 'needs a real Kafka: test/bench/catch-up.kafka.test.ts runs it small')
    for (const result of await measureCatchUp({ events: EVENTS, rounds: ROUNDS })) figure(result)
  }
}
