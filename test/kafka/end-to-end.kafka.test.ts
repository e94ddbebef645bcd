// Proves the promise against a real Apache Kafka: 200,000 events from MQTT clients, three brokers, the link cut in every way, the gateway and
// the brokers killed at random; then a Java console consumer (read_committed) and kafkajs read exactly the ledger: each acknowledged event
// once, in order per key. And Kafka's own DumpLogSegments accepts every segment that the gateway wrote.
// Unknown events (no PUBACK when the gateway was killed) may be there once or not at all: MQTT allows no more to be said.

import { spawn } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Kafka, logLevel } from 'kafkajs'
import t, { type Test } from 'tap'
import { askControl } from '../../adapters/control/control-client.ts'
import type { StatusReport } from '../../gateway/status-report.ts'
import { Device } from '../faults/devices.ts'
import { EventLedger, type ObservedEvent } from '../faults/event-ledger.ts'
import { GatewayProcess } from '../faults/gateway-process.ts'
import { Prng, seeds } from '../sim/prng.ts'
import { type KafkaCluster, startKafkaCluster } from './kafka-cluster.ts'
import { createProxies, type TcpProxy } from './tcp-proxy.ts'

const EVENTS = Number(process.env.EVENTS ?? 200_000)
const DEVICES = 6
const MOSQUITTO_EVENTS = 2_000
const CATCH_UP_WITHIN_MS = 240_000
const TOPIC = 'telemetry'
const END_TXN = 26
const PRODUCE = 0
const TXN_OFFSET_COMMIT = 28

for (const seed of seeds({ count: 1 })) {
  t.test(`every acknowledged event is at the centre once, in order per key (SEED=${seed})`, { timeout: 900_000 }, async (t) => {
    const prng = new Prng(seed)
    const ledger = new EventLedger()
    const { proxies, advertise } = createProxies()
    const cluster = await startKafkaCluster({ brokerCount: 3, advertise })
    const gateway = await GatewayProcess.create({ upstreamBrokers: cluster.brokers, partitions: 6 })
    const devices: Device[] = []
    try {
      await gateway.start()
      const perDevice = Math.ceil((EVENTS - MOSQUITTO_EVENTS) / DEVICES)
      for (let i = 0; i < DEVICES; i++)
        devices.push(new Device({ port: gateway.port, name: `device-${i}`, ledger, window: 100, padBytes: 40, eventCount: perDevice }))
      await publishWithMosquitto(gateway.port, ledger)
      const did = await disturb({ prng, cluster, proxies, gateway, devices })
      t.comment(JSON.stringify(did))
      await Promise.all(devices.map((device) => device.done(240_000)))
      await caughtUp(gateway)
      await gateway.stop()

      const byJava = ledger.judge(await readByJava(cluster))
      t.comment(`Java console consumer: ${JSON.stringify(byJava)}`)
      t.ok(byJava.sent >= EVENTS, `${byJava.sent} events were sent`)
      t.match(byJava, { lost: 0, phantom: 0, altered: 0, reordered: 0, duplicated: 0 }, 'Java, read_committed')
      const byKafkajs = ledger.judge(await readByKafkajs(cluster, byJava.read))
      t.comment(`kafkajs: ${JSON.stringify(byKafkajs)}`)
      t.match(byKafkajs, { lost: 0, phantom: 0, altered: 0, reordered: 0, duplicated: 0, read: byJava.read }, 'kafkajs, read_committed')
      await checkSegments(t, cluster, gateway)
    } finally {
      await Promise.all(devices.map((device) => device.stop()))
      await gateway.remove()
      await cluster.stop()
      await Promise.all(proxies.map((proxy) => proxy.close()))
    }
  })
}

t.test('a gateway that forgets its position is caught (canary of the rig)', { timeout: 300_000 }, async (t) => {
  const ledger = new EventLedger()
  const cluster = await startKafkaCluster({ brokerCount: 1 })
  const gateway = await GatewayProcess.create({ upstreamBrokers: cluster.brokers, mutation: 'position-forgotten' })
  const devices: Device[] = []
  try {
    await gateway.start()
    devices.push(new Device({ port: gateway.port, name: 'device-0', ledger, window: 20, padBytes: 40, eventCount: 500 }))
    await devices[0]?.done(60_000)
    await caughtUp(gateway)
    await gateway.kill()
    await gateway.start()
    await caughtUp(gateway)
    const { duplicated, lost } = ledger.judge(await readByKafkajs(cluster, 501))
    t.ok(duplicated > 0, `${duplicated} of 500 events are there twice`)
    t.equal(lost, 0)
  } finally {
    await Promise.all(devices.map((device) => device.stop()))
    await gateway.remove()
    await cluster.stop()
  }
})

/** A client that we did not write. Before the faults begin: mosquitto_pub sends again by itself, which would blur the ledger. */
async function publishWithMosquitto(port: number, ledger: EventLedger): Promise<void> {
  const payloads = Array.from({ length: MOSQUITTO_EVENTS }, () => ledger.create('mosquitto'))
  const child = spawn(
    'mosquitto_pub',
    ['-h', '127.0.0.1', '-p', String(port), '-q', '1', '-i', 'mosquitto', '-t', 'plant/a/mosquitto/reading', '-l'],
    { stdio: ['pipe', 'ignore', 'inherit'] }
  )
  child.stdin.end(`${payloads.join('\n')}\n`)
  const code = await new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve))
  if (code !== 0) throw new Error(`mosquitto_pub ended with ${code}`)
  for (const payload of payloads) ledger.acknowledge(payload)
}

interface Scene {
  readonly prng: Prng
  readonly cluster: KafkaCluster
  readonly proxies: readonly TcpProxy[]
  readonly gateway: GatewayProcess
  readonly devices: readonly Device[]
}

/** Faults at random until the devices have sent everything; each kind at least once. Counts what it did. */
async function disturb(scene: Scene): Promise<Record<string, number>> {
  const { prng, cluster, proxies, gateway, devices } = scene
  const did: Record<string, number> = {}
  const all = (mode: TcpProxy['mode']): void => {
    for (const proxy of proxies) proxy.mode = mode
  }
  const cut = async (mode: TcpProxy['mode'], ms: number): Promise<void> => {
    all(mode)
    await delay(ms)
    all('pass')
    for (const proxy of proxies) proxy.reset()
  }
  const faults: Record<string, () => Promise<void>> = {
    reset: async () => {
      for (const proxy of proxies) proxy.reset()
    },
    'black hole': () => cut('black-hole', prng.between(500, 4_000)),
    'answers swallowed': () => cut('swallow-answers', prng.between(500, 3_000)),
    refused: () => cut('refuse', prng.between(500, 2_000)),
    'answer of EndTxn lost': async () =>
      void (await Promise.race([...proxies.map((proxy) => proxy.arm({ apiKey: END_TXN, action: 'reset-after' })), delay(4_000)])),
    'answer of Produce lost': async () =>
      void (await Promise.race([...proxies.map((proxy) => proxy.arm({ apiKey: PRODUCE, action: 'reset-after' })), delay(4_000)])),
    'TxnOffsetCommit swallowed': async () =>
      void (await Promise.race([...proxies.map((proxy) => proxy.arm({ apiKey: TXN_OFFSET_COMMIT, action: 'swallow' })), delay(4_000)])),
    'gateway killed': async () => {
      await gateway.kill()
      await delay(prng.between(0, 300))
      await gateway.start()
    },
    'broker killed': async () => {
      const index = prng.below(3)
      await cluster.kill(index)
      await delay(prng.between(2_000, 5_000))
      await cluster.restart(index)
    }
  }
  const names = Object.keys(faults)
  for (let round = 0; round < names.length || !devices.every((device) => device.isDone); round++) {
    const name = round < names.length ? (names[round] as string) : prng.pick(names)
    await faults[name]?.()
    for (const proxy of proxies) proxy.disarm()
    did[name] = (did[name] ?? 0) + 1
    await delay(prng.between(100, 1_500))
    if (round > 400) throw new Error('the devices never finish')
  }
  return did
}

async function caughtUp(gateway: GatewayProcess): Promise<void> {
  const deadline = performance.now() + CATCH_UP_WITHIN_MS
  let last: unknown = null
  while (performance.now() < deadline) {
    const report = (await askControl(gateway.dataDirectory, { command: 'status' })) as StatusReport
    last = { uplink: report.uplink, topics: report.topics }
    if (report.topics.find(({ name }) => name === TOPIC)?.lagEvents === 0) return
    await delay(250)
  }
  throw new Error(`not caught up after ${CATCH_UP_WITHIN_MS} ms: ${JSON.stringify(last)}\n${gateway.lastLines.join('\n')}`)
}

async function readByJava(cluster: KafkaCluster): Promise<ObservedEvent[]> {
  const { stdout, stderr } = await cluster.runTool(
    'org.apache.kafka.tools.consumer.ConsoleConsumer',
    [
      '--bootstrap-server',
      cluster.directBootstrap,
      '--topic',
      TOPIC,
      '--from-beginning',
      '--isolation-level',
      'read_committed',
      '--timeout-ms',
      '20000',
      '--formatter-property',
      'print.key=true',
      '--formatter-property',
      'key.separator=|'
    ],
    { timeoutMs: 180_000 }
  )
  const events = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => ({ key: line.slice(0, line.indexOf('|')), value: line.slice(line.indexOf('|') + 1) }))
  if (events.length === 0) throw new Error(`the console consumer read nothing: ${stderr}`)
  return events
}

async function readByKafkajs(cluster: KafkaCluster, expected: number): Promise<ObservedEvent[]> {
  const kafka = new Kafka({ clientId: 'reader', brokers: [...cluster.directBrokers], logLevel: logLevel.NOTHING })
  const consumer = kafka.consumer({ groupId: `reader-${process.pid}`, readUncommitted: false, maxWaitTimeInMs: 200 })
  const events: ObservedEvent[] = []
  let lastMs = performance.now()
  await consumer.connect()
  try {
    await consumer.subscribe({ topic: TOPIC, fromBeginning: true })
    await consumer.run({
      eachBatchAutoResolve: true,
      eachBatch: async ({ batch }) => {
        for (const { key, value } of batch.messages) events.push({ key: String(key), value: String(value) })
        lastMs = performance.now()
      }
    })
    // All that is expected, and then a while longer: one too many would be a duplicate.
    while (performance.now() - lastMs < (events.length >= expected ? 3_000 : 30_000)) await delay(100)
  } finally {
    await consumer.disconnect()
  }
  return events
}

async function checkSegments(t: Test, cluster: KafkaCluster, gateway: GatewayProcess): Promise<void> {
  const topics = join(gateway.dataDirectory, 'topics')
  const files: string[] = []
  for (const partition of await readdir(topics))
    for (const name of await readdir(join(topics, partition))) files.push(join(topics, partition, name))
  const logs = files.filter((file) => file.endsWith('.log'))
  const indexes = files.filter((file) => /\.(time)?index$/.test(file))
  t.ok(logs.length > 0 && indexes.length >= logs.length, `${logs.length} segments, ${indexes.length} indexes`)
  const dump = await cluster.runTool('org.apache.kafka.tools.DumpLogSegments', ['--deep-iteration', '--files', logs.join(',')], {
    timeoutMs: 120_000
  })
  const said = dump.stdout + dump.stderr
  t.equal(dump.exitCode, 0, 'DumpLogSegments --deep-iteration accepts every segment')
  t.notMatch(said, /isvalid: false|corrupt|Exception|Found invalid|trailing bytes/i, 'and finds nothing wrong')
  t.ok(said.split('isvalid: true').length > logs.length, 'having read every batch')
  for (const options of [[], ['--index-sanity-check']]) {
    const checked = await cluster.runTool('org.apache.kafka.tools.DumpLogSegments', [...options, '--files', indexes.join(',')], {
      timeoutMs: 120_000
    })
    t.equal(checked.exitCode, 0, `DumpLogSegments ${options.join(' ')} accepts every index`)
    t.notMatch(checked.stdout + checked.stderr, /mismatch|out of order|Exception|should be rebuilt|failed/i, 'and finds nothing wrong')
  }
}
