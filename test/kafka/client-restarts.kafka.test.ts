// Proves what Kafka clients that we did not write are promised while the gateway is killed (SIGKILL) and started again, many times: what a producer with
// acks=all was told is stored is there, of an idempotent one once and in order; a consumer in a group sees every record; what is copied in transactions,
// some of them aborted, is there once for readers of what is committed, and its group stands at the end.
// Clients: Kafka's VerifiableProducer, VerifiableConsumer and TransactionalMessageCopier (Java), kcat (librdkafka), kafkajs.
// Canary: a gateway that acknowledges before it has stored (mutations/produce-acked-early). Not for: power cuts (test/sim, test/prove).

import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Kafka, logLevel } from 'kafkajs'
import t, { type Test } from 'tap'
import { inParts } from '../../runtime/base/in-parts.ts'
import { freePort, type GatewayOptions, GatewayProcess } from '../faults/gateway-process.ts'
import { Prng } from '../sim/prng.ts'
import { ClientProcess } from './client-process.ts'
import { kafkaTools } from './kafka-cluster.ts'

const KCAT = '/usr/bin/kcat'
const PARTITIONS = 2
const RECORDS = 3_000
const PER_SECOND = 250
const WAIT_MS = 120_000
const UP_MS = { min: 1_500, max: 4_000 }
/** librdkafka waits up to ten seconds otherwise, longer than the gateway is up here. */
const RECONNECT = ['-X', 'reconnect.backoff.max.ms=300']

interface Site {
  readonly gateway: GatewayProcess
  readonly bootstrap: string
  readonly kills: () => number
  /** Does not wait for its time; nothing while it is down. */
  readonly killNow: () => void
  /** From now on it is left alone. */
  calm(): Promise<void>
}

/** A gateway that is killed again and again until calm(). */
async function killedSite(t: Test, mutation?: GatewayOptions['mutation']): Promise<Site> {
  const bootstrap = `127.0.0.1:${await freePort()}`
  const gateway = await GatewayProcess.create({
    ...(mutation && { mutation }),
    config: ({ port, data }) => `gateway: { id: killed, data: ${data} }
storage: { journal: { file_size: 4MiB }, seal: { bytes: 16KiB, age: 1s }, segment_bytes: 1MiB }
mqtt: [{ listen: "127.0.0.1:${port}" }]
kafka: { listen: "${bootstrap}" }
topics: { source: { partitions: ${PARTITIONS} }, copy: { partitions: ${PARTITIONS} } }
routes: [{ filter: plant/#, topic: source, key: none }]
`
  })
  await gateway.start()
  const prng = new Prng(bootstrap.length + PARTITIONS)
  const state = { kills: 0, isCalm: false, killNow: (): void => undefined }
  const loop = (async () => {
    while (!state.isCalm) {
      const asked = new Promise<void>((resolve) => {
        state.killNow = resolve
      })
      await Promise.race([delay(prng.between(UP_MS.min, UP_MS.max)), asked])
      if (state.isCalm) return
      await gateway.kill()
      state.kills++
      await delay(prng.between(10, 300))
      await gateway.start()
    }
  })()
  t.teardown(async () => {
    state.isCalm = true
    await loop
    await gateway.remove()
  })
  return {
    gateway,
    bootstrap,
    kills: () => state.kills,
    killNow: () => state.killNow(),
    calm: () => {
      state.isCalm = true
      return loop
    }
  }
}

async function until(condition: () => boolean, what: () => string): Promise<void> {
  for (const giveUpMs = Date.now() + WAIT_MS; !condition(); await delay(100)) {
    if (Date.now() > giveUpMs) throw new Error(`did not come: ${what()}`)
  }
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index))
const textOf = (value: Uint8Array | null): string => Buffer.from(value ?? []).toString()

/** "value" of each record by partition, in the order of offsets; only what is committed. */
async function readCommitted(bootstrap: string, topic: string): Promise<string[][]> {
  const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  const ends = (await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => ({ partition, high: Number(high) }))
  await admin.disconnect()
  const values = ends.map((): string[] => [])
  const behind = new Set(ends.filter(({ high }) => high > 0).map(({ partition }) => partition))
  const consumer = kafka.consumer({ groupId: `reader-${topic}-${Date.now()}`, readUncommitted: false })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    eachBatch: async ({ batch, resolveOffset }) => {
      for (const { value, offset } of batch.messages) {
        values[batch.partition]?.push(textOf(value))
        resolveOffset(offset)
      }
      // The last offset may be that of a marker: the batch says how far it goes.
      if (Number(batch.lastOffset()) + 1 >= (ends.find(({ partition }) => partition === batch.partition)?.high ?? 0))
        behind.delete(batch.partition)
    }
  })
  await until(
    () => behind.size === 0,
    () => `the end of partitions ${[...behind]} of ${topic}`
  )
  await consumer.disconnect()
  return values
}

/** All records as lines, at the rate of the others, and the end. */
async function writeSlowly(producer: ClientProcess): Promise<void> {
  for (const part of inParts(numbers(RECORDS), PER_SECOND / 10)) {
    producer.write(part.map((value) => `${value}\n`).join(''))
    await delay(100)
  }
  producer.endInput()
}

function isRising(values: readonly string[]): boolean {
  return values.every((value, index) => index === 0 || Number(value) > Number(values[index - 1]))
}

t.test('Java: an idempotent producer, a group, and copies in transactions', { timeout: 420_000 }, async (t) => {
  const tools = await kafkaTools()
  t.teardown(() => tools.stop())
  const site = await killedSite(t)
  const { bootstrap, gateway } = site
  const config = join(gateway.directory, 'producer.properties')
  // The tool itself never retries.
  await writeFile(config, 'retries=2147483647\nenable.idempotence=true\ndelivery.timeout.ms=120000\nretry.backoff.ms=50\nlinger.ms=5\n')
  const tool = (name: string, args: readonly string[]): ClientProcess => {
    const client = tools.startTool(`org.apache.kafka.tools.${name}`, args)
    t.teardown(() => client.stop('SIGKILL'))
    return client
  }
  const server = ['--bootstrap-server', bootstrap]
  const consumer = tool('VerifiableConsumer', [
    ...server,
    '--topic',
    'source',
    '--group-id',
    'readers',
    '--verbose',
    '--reset-policy',
    'earliest'
  ])
  const limits = ['--max-messages', String(RECORDS), '--throughput', String(PER_SECOND)]
  const producer = tool('VerifiableProducer', [...server, '--topic', 'source', ...limits, '--acks', '-1', '--command-config', config])
  t.equal(await producer.ended, 0, 'the producer ends well')
  const acknowledged = producer.lines
    .filter((line) => line.includes('"producer_send_success"'))
    .map((line) => String(JSON.parse(line).value))
  t.equal(acknowledged.length, RECORDS, `all acknowledged; ${producer.lastErrors.slice(-500)}`)
  const seen = (): Set<string> =>
    new Set(consumer.lines.filter((line) => line.includes('"record_data"')).map((line) => String(JSON.parse(line).value)))
  await until(
    () => seen().size >= RECORDS,
    () => `records at the consumer: ${seen().size}; ${consumer.lastErrors}`
  )
  await consumer.stop()
  const killsOfProducer = site.kills()
  t.ok(killsOfProducer >= 3, `${killsOfProducer} kills`)

  const copiers = Array.from({ length: PARTITIONS }, (_, partition) =>
    tool('TransactionalMessageCopier', [
      ...['--broker-list', bootstrap, '--input-topic', 'source', '--input-partition', String(partition), '--output-topic', 'copy'],
      ...['--consumer-group', `copier-${partition}`, '--transactional-id', `copier-${partition}`, '--transaction-size', '8'],
      ...['--transaction-timeout', '10000', '--enable-random-aborts']
    ])
  )
  // A fast machine copies all of it between two kills.
  await until(
    () => copiers.every(({ lines }) => lines.length > 1),
    () => 'the first copies'
  )
  site.killNow()
  const codes = await Promise.all(copiers.map((copier) => copier.ended))
  t.same(codes, [0, 0], copiers.map(({ lastErrors }) => lastErrors.slice(-800)).join('\n'))
  await site.calm()
  t.ok(site.kills() > killsOfProducer, `${site.kills() - killsOfProducer} kills while copying`)

  const [source, copy] = [await readCommitted(bootstrap, 'source'), await readCommitted(bootstrap, 'copy')]
  const sorted = (values: readonly string[][]): string[] => values.flat().sort((a, b) => Number(a) - Number(b))
  t.same(sorted(source), numbers(RECORDS), 'each record once')
  t.ok(source.every(isRising), 'in order')
  t.same(sorted(copy), numbers(RECORDS), 'each copy once')
})

t.test('librdkafka and kafkajs', { timeout: 300_000, skip: existsSync(KCAT) ? false : 'kcat is not installed' }, async (t) => {
  const site = await killedSite(t)
  const { bootstrap } = site
  const settings = ['-X', 'enable.idempotence=true', '-X', 'message.timeout.ms=120000', '-X', 'linger.ms=5', '-X', 'retry.backoff.ms=50']
  const producer = ClientProcess.run(KCAT, ['-P', '-E', '-b', bootstrap, '-t', 'source', ...RECONNECT, ...settings])
  const group = ['-X', 'auto.offset.reset=earliest', '-X', 'session.timeout.ms=6000', '-X', 'auto.commit.interval.ms=200']
  const consumer = ClientProcess.run(KCAT, ['-E', '-b', bootstrap, '-u', '-q', ...RECONNECT, ...group, '-G', 'readers', 'source'])
  t.teardown(() => Promise.all([producer.stop('SIGKILL'), consumer.stop('SIGKILL')]))
  const plain = copyByKafkajs(bootstrap)
  t.teardown(() => plain.end())
  await writeSlowly(producer)
  t.equal(await producer.ended, 0, producer.lastErrors)
  await site.calm()
  await until(
    () => new Set(consumer.lines).size >= RECORDS,
    () => `records at kcat: ${new Set(consumer.lines).size}; ${consumer.lastErrors}`
  )
  const copied = await plain.stop(RECORDS)
  t.ok(site.kills() >= 3, `${site.kills()} kills`)
  const source = await readCommitted(bootstrap, 'source')
  t.same(
    [...source.flat()].sort((a, b) => Number(a) - Number(b)),
    numbers(RECORDS),
    'librdkafka: each record once'
  )
  t.ok(source.every(isRising), 'in order')
  t.same(
    [...new Set(consumer.lines)].sort((a, b) => Number(a) - Number(b)),
    numbers(RECORDS),
    'its group has seen every record'
  )
  const copy = new Set((await readCommitted(bootstrap, 'copy')).flat())
  t.equal(copied.size, RECORDS, 'kafkajs has copied every record')
  t.ok(
    [...copied].every((value) => copy.has(value)),
    'and what it was told is stored is there'
  )
})

t.test(
  'canary: a gateway that answers before it has stored',
  { timeout: 300_000, skip: existsSync(KCAT) ? false : 'kcat is not installed' },
  async (t) => {
    const site = await killedSite(t, 'produce-acked-early')
    const { bootstrap } = site
    const producer = ClientProcess.run(KCAT, [
      '-P',
      '-E',
      '-b',
      bootstrap,
      '-t',
      'source',
      ...RECONNECT,
      '-X',
      'acks=all',
      '-X',
      'linger.ms=5'
    ])
    t.teardown(() => producer.stop('SIGKILL'))
    await writeSlowly(producer)
    await producer.ended
    await site.calm()
    t.ok(site.kills() >= 2, `${site.kills()} kills`)
    const there = new Set((await readCommitted(bootstrap, 'source')).flat())
    t.ok(there.size < RECORDS, `${RECORDS - there.size} records are missing`)
  }
)

/** A group of one that writes what it reads, and counts what was acknowledged. */
function copyByKafkajs(bootstrap: string): { stop(count: number): Promise<ReadonlySet<string>>; end(): Promise<unknown> } {
  const kafka = new Kafka({
    brokers: [bootstrap],
    logLevel: logLevel.NOTHING,
    retry: { retries: 60, initialRetryTime: 100, maxRetryTime: 1_000 }
  })
  const [consumer, producer] = [kafka.consumer({ groupId: 'copier', sessionTimeout: 10_000 }), kafka.producer()]
  const copied = new Set<string>()
  const started = (async () => {
    await Promise.all([consumer.connect(), producer.connect()])
    await consumer.subscribe({ topic: 'source', fromBeginning: true })
    await consumer.run({
      eachBatch: async ({ batch }) => {
        const messages = batch.messages.map(({ value }) => ({ value }))
        await producer.send({ topic: 'copy', acks: -1, messages })
        for (const { value } of messages) copied.add(textOf(value))
      }
    })
  })()
  return {
    stop: async (count) => {
      await started
      await until(
        () => copied.size >= count,
        () => `records at kafkajs: ${copied.size}`
      )
      return copied
    },
    end: () => Promise.all([consumer.disconnect(), producer.disconnect()])
  }
}
