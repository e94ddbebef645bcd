// Question: how fast, and in how many bytes on the wire, does a backlog reach a real Kafka, against the same events by a plain producer?
// Canonical load: 1 M stored sensor events of 100 bytes in 4 partitions. Ours is `wadi run` from the moment it answers until its status
// says that nothing waits: transactions, position, ids in headers and all. Theirs is kafkajs sending the same events, without a codec
// (plain) and with gzip, without exactly-once. One broker, all on this machine. Needs Java 17 and Maven.

import { Kafka, logLevel } from 'kafkajs'
import { askControl } from '../adapters/control/control-client.ts'
import type { StatusReport } from '../gateway/status-report.ts'
import { startKafkaCluster } from '../test/kafka/kafka-cluster.ts'
import { type Build, ownBuild } from './build.ts'
import { GatewayProcess } from './gateway-process.ts'
import { type Bench, compareBuilds, type Figure } from './harness.ts'
import { withDirectory } from './open-store.ts'
import { BenchWorker } from './worker.ts'

const EVENTS = 1_000_000
const PARTITION_COUNT = 4
const ROUNDS = 3
const POLL_MS = 50
const CATCH_UP_MS_MAX = 300_000
const SPEED_MIN = 2
const BYTES_MAX = 0.5
const RESIDENT_MIB_MAX = 96

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

async function deliverByWadi(broker: string, events: number, { build, round }: { build: Build; round: number }): Promise<Delivery> {
  return withDirectory(async (directory) => {
    const filler = new BenchWorker<unknown>('fill.worker.js', [`${directory}/data`, `${events}e`], { build })
    await filler.next().finally(() => filler.kill())
    const gateway = await GatewayProcess.start({ directory, id: `bench-${build.name}-${round}`, upstream: broker, build })
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

/**
 * Events per second and bytes per event of kafkajs and of each build, in turn.
 * @throws Error when Java or Maven is absent, or events do not arrive
 */
export async function measureCatchUp(options: { events: number; rounds: number; builds?: readonly Build[] }): Promise<readonly Figure[]> {
  const { events, rounds, builds = [ownBuild] } = options
  const ours = new Map<Build, Delivery[]>(builds.map((build) => [build, []]))
  const theirs: Record<'plain' | 'gzip', Delivery[]> = { plain: [], gzip: [] }
  const cluster = await startKafkaCluster({ brokerCount: 1 })
  try {
    const broker = cluster.brokers[0] ?? ''
    for (const topic of ['readings', 'plain-none', 'plain-gzip']) await createTopic(broker, topic)
    for (let round = 0; round < rounds; round++) {
      theirs.plain.push(await deliverByKafkajs(broker, events, 'none'))
      for (const build of builds) ours.get(build)?.push(await deliverByWadi(broker, events, { build, round }))
      theirs.gzip.push(await deliverByKafkajs(broker, events, 'gzip'))
    }
  } finally {
    await cluster.stop()
  }
  return figuresOf(events, {
    builds,
    deliveryOf: (build) => medianDelivery(ours.get(build) ?? []),
    plain: medianDelivery(theirs.plain),
    gzip: medianDelivery(theirs.gzip)
  })
}

interface Deliveries {
  readonly builds: readonly Build[]
  readonly deliveryOf: (build: Build) => Delivery
  readonly plain: Delivery
  readonly gzip: Delivery
}

function figuresOf(events: number, { builds, deliveryOf, plain, gzip }: Deliveries): readonly Figure[] {
  const perSecond = ({ elapsedMs }: Delivery): number => (events / elapsedMs) * 1_000
  const perEvent = ({ wireBytes }: Delivery): number => wireBytes / events
  const mibOf = (build: Build): number => (deliveryOf(build).residentBytes ?? Number.NaN) / 2 ** 20
  const parameters = { events, payloadBytes: 100, partitions: PARTITION_COUNT }
  const speed = perSecond(deliveryOf(ownBuild)) / perSecond(plain)
  const bytes = perEvent(deliveryOf(ownBuild)) / perEvent(plain)
  const speeds = compareBuilds(builds, (build) => perSecond(deliveryOf(build)), {
    wanted: 'more',
    target: { text: `>= ${SPEED_MIN} x kafkajs`, isMet: speed >= SPEED_MIN }
  })
  const wire = compareBuilds(builds, (build) => perEvent(deliveryOf(build)), {
    wanted: 'less',
    target: { text: `<= ${BYTES_MAX} x kafkajs`, isMet: bytes <= BYTES_MAX }
  })
  return [
    {
      what: 'speed',
      parameters,
      unit: 'events/s',
      ...speeds,
      values: { ...speeds.values, kafkajs: perSecond(plain), 'kafkajs gzip': perSecond(gzip) },
      ratios: { 'wadi / kafkajs': speed, 'wadi / kafkajs gzip': perSecond(deliveryOf(ownBuild)) / perSecond(gzip), ...speeds.ratios }
    },
    {
      what: 'wire',
      parameters,
      unit: 'bytes/event',
      ...wire,
      values: { ...wire.values, kafkajs: perEvent(plain), 'kafkajs gzip': perEvent(gzip) },
      ratios: { 'wadi / kafkajs': bytes, 'wadi / kafkajs gzip': perEvent(deliveryOf(ownBuild)) / perEvent(gzip), ...wire.ratios }
    },
    {
      what: 'memory of the gateway meanwhile',
      parameters,
      unit: 'MiB',
      ...compareBuilds(builds, mibOf, {
        wanted: 'less',
        target: { text: `<= ${RESIDENT_MIB_MAX} MiB`, isMet: mibOf(ownBuild) <= RESIDENT_MIB_MAX }
      })
    }
  ]
}

export const catchUpBench: Bench = {
  name: 'catch-up',
  question: 'a backlog to a real Kafka against a plain kafkajs producer: events per second, bytes on the wire per event, memory',
  async run({ isSmoke, builds, figure, skip }) {
    if (isSmoke) return skip('catch-up', 'needs a real Kafka: test/bench/catch-up.kafka.test.ts runs it small')
    for (const result of await measureCatchUp({ events: EVENTS, rounds: ROUNDS, builds })) figure(result)
  }
}
