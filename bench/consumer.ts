// Question: how fast does a local Kafka consumer read what is stored, against Apache Kafka with the same tool and the same load?
// Canonical load: 1.3 M records of 100 bytes in 4 partitions, written by kafka-producer-perf-test: once without a codec, once with gzip, which both servers
// keep as it came; and once as events that the gateway sealed itself (gzip), against Kafka's gzip. Ours is `wadi run`, started anew so that all of it lies in
// segments. Read by kafka-consumer-perf-test with its own defaults, one server in turn after the other. Needs Java 17 and Maven.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
import { type KafkaCluster, startKafkaCluster } from '../test/kafka/kafka-cluster.ts'
import { type Build, ownBuild } from './build.ts'
import { GatewayProcess } from './gateway-process.ts'
import { type Bench, compareBuilds, type Figure, median, sensorPayload } from './harness.ts'
import { BenchWorker } from './worker.ts'

const EVENTS = 1_300_000
const ROUNDS = 3
const PARTITION_COUNT = 4
const PAYLOADS = 10_000
const TOOL_MS_MAX = 300_000
const CLIENT_JVM = ['-Xmx512m', '-XX:+UseSerialGC']

/** Topic of ours → the one of Kafka that it is held against. `readings` is what bench/fill.worker.ts writes. */
const LOADS = [
  { what: 'no codec', topic: 'plain', against: 'plain', codec: 'none', ratioMin: 1 },
  { what: 'gzip of the client', topic: 'gzip', against: 'gzip', codec: 'gzip', ratioMin: 0.9 },
  { what: 'as sealed by the gateway', topic: 'readings', against: 'gzip', codec: null, ratioMin: 0.9 }
] as const

interface Server {
  readonly name: string
  readonly bootstrap: string
  readonly topicOf: (load: (typeof LOADS)[number]) => string
}

/** @throws Error with what the tool said */
async function runTool(cluster: KafkaCluster, tool: string, args: readonly string[]): Promise<string> {
  const result = await cluster.runTool(`org.apache.kafka.tools.${tool}`, args, { timeoutMs: TOOL_MS_MAX, jvm: CLIENT_JVM })
  if (result.exitCode !== 0) throw new Error(`${tool} ${args.join(' ')} failed: ${result.stdout}${result.stderr}`)
  return result.stdout
}

async function createTopics(bootstrap: string, topics: readonly string[]): Promise<void> {
  const admin = new Kafka({ brokers: [bootstrap], logLevel: logLevel.ERROR }).admin()
  await admin.connect()
  await admin.createTopics({ topics: topics.map((topic) => ({ topic, numPartitions: PARTITION_COUNT })), waitForLeaders: true })
  await admin.disconnect()
}

async function produce(cluster: KafkaCluster, bootstrap: string, options: { events: number; payloads: string }): Promise<void> {
  for (const { topic, codec } of LOADS) {
    if (codec === null) continue
    const settings = [`bootstrap.servers=${bootstrap}`, `compression.type=${codec}`, 'batch.size=65536', 'linger.ms=20', 'acks=all']
    const load = ['--num-records', String(options.events), '--payload-file', options.payloads, '--throughput', '-1']
    await runTool(cluster, 'ProducerPerformance', ['--topic', topic, ...load, '--producer-props', ...settings])
  }
}

/** Records per second of the fetches, the rebalance in front of them left out. */
async function consume(cluster: KafkaCluster, { bootstrap, topic }: { bootstrap: string; topic: string }, events: number): Promise<number> {
  const args = ['--bootstrap-server', bootstrap, '--topic', topic, '--num-records', String(events), '--timeout', '30000']
  const out = await runTool(cluster, 'ConsumerPerformance', args)
  const fields = out.trim().split('\n').at(-1)?.split(', ') ?? []
  const [count, fetchMs] = [Number(fields[4]), Number(fields[7])]
  if (!(count >= events && fetchMs > 0)) throw new Error(`${bootstrap}: ${out}`)
  return (count / fetchMs) * 1_000
}

async function startFilled(
  build: Build,
  directory: string,
  fill: (bootstrap: string) => Promise<void>,
  events: number
): Promise<GatewayProcess> {
  const filler = new BenchWorker<unknown>('fill.worker.js', [`${directory}/data`, `${events}e`], { build })
  await filler.next().finally(() => filler.kill())
  const first = await GatewayProcess.start({ directory, build, hasKafka: true })
  try {
    await createTopics(first.kafka, ['plain', 'gzip'])
    await fill(first.kafka)
  } finally {
    await first.stop()
  }
  return GatewayProcess.start({ directory, build, hasKafka: true })
}

/**
 * Records per second of Kafka and of each build, in turn, for each load.
 * @throws Error when Java or Maven is absent, or records do not arrive
 */
export async function measureConsumer(options: { events: number; rounds: number; builds?: readonly Build[] }): Promise<readonly Figure[]> {
  const { events, rounds, builds = [ownBuild] } = options
  const scratch = mkdtempSync(join(tmpdir(), 'wadi-bench-consumer-'))
  const payloads = join(scratch, 'payloads')
  writeFileSync(payloads, Array.from({ length: PAYLOADS }, (_, index) => sensorPayload(index, 100)).join('\n'))
  const cluster = await startKafkaCluster({ brokerCount: 1 })
  const gateways: GatewayProcess[] = []
  try {
    const broker = cluster.brokers[0] ?? ''
    await createTopics(broker, ['plain', 'gzip'])
    await produce(cluster, broker, { events, payloads })
    const servers: Server[] = [{ name: 'kafka', bootstrap: broker, topicOf: ({ against }) => against }]
    for (const build of builds) {
      const directory = mkdtempSync(join(scratch, build.name))
      const gateway = await startFilled(build, directory, (bootstrap) => produce(cluster, bootstrap, { events, payloads }), events)
      gateways.push(gateway)
      servers.push({ name: build.name, bootstrap: gateway.kafka, topicOf: ({ topic }) => topic })
    }
    const figures: Figure[] = []
    for (const load of LOADS) {
      const rates = new Map<string, number[]>(servers.map(({ name }) => [name, []]))
      for (let round = 0; round < rounds; round++) {
        for (const server of servers) {
          const place = { bootstrap: server.bootstrap, topic: server.topicOf(load) }
          rates.get(server.name)?.push(await consume(cluster, place, events))
        }
      }
      figures.push(figureOf(load, { builds, events, rateOf: (name) => median(rates.get(name) ?? []) }))
    }
    return figures
  } finally {
    for (const gateway of gateways) await gateway.kill()
    await cluster.stop()
    rmSync(scratch, { recursive: true, force: true })
  }
}

function figureOf(
  { what, ratioMin }: (typeof LOADS)[number],
  { builds, events, rateOf }: { builds: readonly Build[]; events: number; rateOf: (server: string) => number }
): Figure {
  const ratio = rateOf(ownBuild.name) / rateOf('kafka')
  const target = { text: `>= ${ratioMin} x Kafka`, isMet: ratio >= ratioMin }
  const compared = compareBuilds(builds, (build) => rateOf(build.name), { wanted: 'more', target })
  return {
    what,
    parameters: { events, payloadBytes: 100, partitions: PARTITION_COUNT },
    unit: 'records/s',
    ...compared,
    values: { ...compared.values, kafka: rateOf('kafka') },
    ratios: { 'wadi / kafka': ratio, ...compared.ratios }
  }
}

export const consumerBench: Bench = {
  name: 'consumer',
  question: 'a local Kafka consumer reads what is stored, beside Apache Kafka: records per second',
  async run({ isSmoke, builds, figure, skip }) {
    if (isSmoke) return skip('consumer', 'needs a real Kafka: test/bench/consumer.kafka.test.ts runs it small')
    for (const result of await measureConsumer({ events: EVENTS, rounds: ROUNDS, builds })) figure(result)
  }
}
