// Proves for `kafka: listen` with clients that we did not write: while `wadi run` takes events over MQTT and delivers them to a real Kafka,
// Kafka's own console tools, kcat, kafkajs and @platformatic/kafka read on the gateway exactly what MQTT wrote, and in order per key; what a
// kafkajs producer writes to the gateway is at the centre once.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Consumer, stringDeserializers } from '@platformatic/kafka'
import { Kafka, logLevel } from 'kafkajs'
import mqtt from 'mqtt'
import t from 'tap'
import { askControl } from '../../adapters/control/control-client.ts'
import type { StatusReport } from '../../gateway/status-report.ts'
import { freePort, GatewayProcess } from '../faults/gateway-process.ts'
import { type KafkaCluster, startKafkaCluster } from './kafka-cluster.ts'

const run = promisify(execFile)
const KCAT = '/usr/bin/kcat'
const EVENTS = 3_000
const DEVICES = 5
const WRITTEN = 500
const WAIT_MS = 60_000
const PARTITIONS = 3

/** "key|value" of every event, in the order of the partitions' offsets as far as the reader keeps it. */
type Lines = readonly string[]

const sortedOf = (lines: Lines): string => [...lines].sort().join('\n')

/** Per key the values come in the order in which they were sent: numbers that rise. */
function isInOrder(lines: Lines): boolean {
  const last = new Map<string, number>()
  return lines.every((line) => {
    const [key = '', value = ''] = line.split('|')
    const number = Number(value.split('-').at(-1))
    const isNext = number > (last.get(key) ?? -1)
    last.set(key, number)
    return isNext
  })
}

async function publish(port: number): Promise<string[]> {
  const client = await mqtt.connectAsync({ host: '127.0.0.1', port, protocolVersion: 4 })
  const sent: string[] = []
  const acknowledged: Promise<unknown>[] = []
  for (let number = 0; number < EVENTS; number++) {
    const device = `device-${number % DEVICES}`
    const value = `mqtt-${number}`
    sent.push(`${device}|${value}`)
    acknowledged.push(client.publishAsync(`plant/a/${device}/reading`, value, { qos: 1 }))
    if (number % 100 === 0) await Promise.all(acknowledged)
  }
  await Promise.all(acknowledged)
  await client.endAsync()
  return sent
}

async function readByConsole(cluster: KafkaCluster, bootstrap: string, topic: string, count: number): Promise<string[]> {
  const { stdout, stderr, exitCode } = await cluster.runTool('org.apache.kafka.tools.consumer.ConsoleConsumer', [
    ...['--bootstrap-server', bootstrap, '--topic', topic, '--from-beginning', '--isolation-level', 'read_committed'],
    // One more than there are: it ends when nothing came for the time.
    ...['--max-messages', String(count + 1), '--timeout-ms', '8000'],
    ...['--formatter-property', 'print.key=true', '--formatter-property', 'key.separator=|']
  ])
  if (exitCode === null || stdout === '') throw new Error(`the console consumer ended with ${exitCode}: ${stderr}`)
  return stdout.split('\n').filter((line) => line !== '')
}

/** All that comes until `count` are there, and then for a while longer: one too many would be a duplicate. */
async function settled(lines: Lines, count: number): Promise<void> {
  const endMs = performance.now() + WAIT_MS
  while (lines.length < count && performance.now() < endMs) await delay(50)
  await delay(1_500)
}

async function readByKafkajs(brokers: readonly string[], topic: string, count: number): Promise<string[]> {
  const kafka = new Kafka({ clientId: 'reader', brokers: [...brokers], logLevel: logLevel.NOTHING })
  const consumer = kafka.consumer({ groupId: `kafkajs-${topic}`, readUncommitted: false, maxWaitTimeInMs: 200 })
  const lines: string[] = []
  await consumer.connect()
  try {
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({
      eachMessage: async ({ message }) => {
        lines.push(`${message.key}|${message.value}`)
      }
    })
    await settled(lines, count)
  } finally {
    await consumer.disconnect()
  }
  return lines
}

async function readByPlatformatic(bootstrap: string, topic: string, count: number): Promise<string[]> {
  const consumer = new Consumer({
    clientId: 'platformatic',
    groupId: 'platformatic',
    bootstrapBrokers: [bootstrap],
    deserializers: stringDeserializers,
    maxWaitTime: 200
  })
  const lines: string[] = []
  const stream = await consumer.consume({ topics: [topic], mode: 'earliest', autocommit: true })
  stream.on('data', (message: { key: string; value: string }) => lines.push(`${message.key}|${message.value}`))
  await settled(lines, count)
  await stream.close()
  await consumer.close()
  return lines
}

async function readByKcat(bootstrap: string, topic: string): Promise<string[]> {
  const { stdout } = await run(KCAT, ['-b', bootstrap, '-C', '-t', topic, '-o', 'beginning', '-e', '-q', '-f', '%k|%s\\n'], {
    timeout: WAIT_MS,
    maxBuffer: 2 ** 24
  })
  return stdout.split('\n').filter((line) => line !== '')
}

async function write(bootstrap: string, topic: string, prefix: string): Promise<string[]> {
  const kafka = new Kafka({ clientId: 'writer', brokers: [bootstrap], logLevel: logLevel.NOTHING })
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const messages = Array.from({ length: WRITTEN }, (_, number) => ({ key: `client-${number % DEVICES}`, value: `${prefix}-${number}` }))
  for (let at = 0; at < WRITTEN; at += 50) await producer.send({ topic, messages: messages.slice(at, at + 50) })
  await producer.disconnect()
  return messages.map(({ key, value }) => `${key}|${value}`)
}

/** The centre has everything that is stored of the topic. */
async function delivered({ dataDirectory, lastLines }: GatewayProcess, topic: string): Promise<void> {
  for (const endMs = performance.now() + WAIT_MS; ; await delay(100)) {
    const { topics } = (await askControl(dataDirectory, { command: 'status' })) as StatusReport
    if (topics.find(({ name }) => name === topic)?.lagEvents === 0) return
    if (performance.now() > endMs) throw new Error(`${topic} was not delivered within ${WAIT_MS} ms:\n${lastLines.join('\n')}`)
  }
}

t.test('clients of every kind read on the gateway what MQTT wrote while it is delivered', { timeout: 300_000 }, async (t) => {
  const cluster = await startKafkaCluster()
  const kafkaPort = await freePort()
  const bootstrap = `127.0.0.1:${kafkaPort}`
  const gateway = await GatewayProcess.create({
    config: ({ port, data }) => `gateway: { id: local, data: ${data} }
storage: { journal: { file_size: 4MiB }, seal: { bytes: 16KiB, age: 1s } }
mqtt: [{ listen: "127.0.0.1:${port}" }]
kafka: { listen: "${bootstrap}" }
topics: { telemetry: { partitions: ${PARTITIONS} } }
routes: [{ filter: plant/+site/+device/#metric, topic: telemetry, key: "{device}" }]
upstream: { brokers: [${cluster.brokers.join(', ')}] }
`
  })
  try {
    await gateway.start()
    const [sent, early] = await Promise.all([publish(gateway.port), readByKafkajs([bootstrap], 'telemetry', EVENTS)])
    t.equal(sortedOf(early), sortedOf(sent), 'kafkajs, while the events come in')
    t.ok(isInOrder(early), 'in order per key')
    const readers: Record<string, () => Promise<string[]>> = {
      'kafka-console-consumer': () => readByConsole(cluster, bootstrap, 'telemetry', EVENTS),
      '@platformatic/kafka': () => readByPlatformatic(bootstrap, 'telemetry', EVENTS),
      kafkajs: () => readByKafkajs([bootstrap], 'telemetry', EVENTS).then((rest) => [...early, ...rest]),
      ...(existsSync(KCAT) && { kcat: () => readByKcat(bootstrap, 'telemetry') }),
      'kafka-console-consumer at the centre': () => readByConsole(cluster, cluster.bootstrap, 'telemetry', EVENTS)
    }
    if (!readers.kcat) await t.test('kcat', { skip: 'kcat is not installed' }, async () => undefined)
    for (const [name, read] of Object.entries(readers)) {
      const lines = await read()
      t.equal(lines.length, EVENTS, `${name}: every event once`)
      t.equal(sortedOf(lines), sortedOf(sent), `${name}: exactly what MQTT wrote`)
      t.ok(isInOrder(lines), `${name}: in order per key`)
    }

    const written = await write(bootstrap, 'from-a-client', 'kafka')
    await delivered(gateway, 'from-a-client') // before, there is no such topic at the centre
    t.equal(
      sortedOf(await readByKafkajs(cluster.brokers, 'from-a-client', WRITTEN)),
      sortedOf(written),
      'a topic that a client made, at the centre'
    )
    const beside = await write(bootstrap, 'telemetry', 'beside')
    const atCentre = await readByKafkajs(cluster.brokers, 'telemetry', EVENTS + WRITTEN)
    t.equal(sortedOf(atCentre), sortedOf([...sent, ...beside]), 'beside the events of MQTT, at the centre')

    const described = await cluster.runTool('org.apache.kafka.tools.TopicCommand', [
      '--bootstrap-server',
      bootstrap,
      '--describe',
      '--topic',
      'telemetry'
    ])
    t.match(described.stdout, /Topic: telemetry.*PartitionCount: 3.*ReplicationFactor: 1/, 'kafka-topics --describe')
    const offsets = await cluster.runTool('org.apache.kafka.tools.GetOffsetShell', [
      '--bootstrap-server',
      bootstrap,
      '--topic',
      'telemetry'
    ])
    const ends = offsets.stdout.match(/^telemetry:\d+:(\d+)$/gm)?.map((line) => Number(line.split(':')[2])) ?? []
    t.equal(ends.length, PARTITIONS, 'kafka-get-offsets')
    t.equal(
      ends.reduce((sum, end) => sum + end, 0),
      EVENTS + WRITTEN
    )
  } finally {
    await gateway.remove()
    await cluster.stop()
  }
})
