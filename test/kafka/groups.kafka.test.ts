// Proves for consumer groups with Kafka's own tools: members of a group of Java consumers do not rebalance when the gateway is stopped or killed and started
// again, a static member that is killed and comes back keeps its place, and kafka-consumer-groups lists, describes, resets and deletes as it does on Kafka.

import { setTimeout as delay } from 'node:timers/promises'
import { Kafka, logLevel } from 'kafkajs'
import t from 'tap'
import { askControl } from '../../adapters/control/control-client.ts'
import { freePort, GatewayProcess } from '../faults/gateway-process.ts'
import type { ClientProcess } from './client-process.ts'
import { type KafkaCluster, kafkaTools } from './kafka-cluster.ts'

const WAIT_MS = 60_000
const TOPIC = 'plant'
const GROUP = 'readers'

async function until(isSo: () => boolean | Promise<boolean>, what: () => string): Promise<void> {
  for (const endMs = performance.now() + WAIT_MS; !(await isSo()); await delay(100))
    if (performance.now() > endMs) throw new Error(`not within ${WAIT_MS} ms: ${what()}`)
}

class Bench {
  readonly tools: KafkaCluster
  readonly gateway: GatewayProcess
  readonly bootstrap: string
  #sent = 0

  constructor(tools: KafkaCluster, gateway: GatewayProcess, bootstrap: string) {
    this.tools = tools
    this.gateway = gateway
    this.bootstrap = bootstrap
  }

  /** Says what it prints: rows of words, without its empty lines. */
  async groups(...args: readonly string[]): Promise<{ rows: string[][]; text: string }> {
    const { stdout, stderr } = await this.tools.runTool('org.apache.kafka.tools.consumer.group.ConsumerGroupCommand', [
      ...['--bootstrap-server', this.bootstrap],
      ...args
    ])
    const rows = stdout.split('\n').flatMap((line) => (line.trim() === '' ? [] : [line.trim().split(/\s+/)]))
    return { rows, text: stdout + stderr }
  }

  consumer(instance: string): ClientProcess {
    const properties = [
      `group.instance.id=${instance}`,
      'session.timeout.ms=12000',
      'heartbeat.interval.ms=500',
      'auto.commit.interval.ms=200'
    ]
    return this.tools.startTool('org.apache.kafka.tools.consumer.ConsoleConsumer', [
      ...['--bootstrap-server', this.bootstrap, '--topic', TOPIC, '--group', GROUP, '--from-beginning'],
      ...properties.flatMap((property) => ['--command-property', property])
    ])
  }

  /** So many events, evenly over two partitions. */
  async send(count: number): Promise<void> {
    const kafka = new Kafka({ clientId: 'writer', brokers: [this.bootstrap], logLevel: logLevel.NOTHING })
    const producer = kafka.producer()
    await producer.connect()
    const messages = Array.from({ length: count }, () => ({ partition: this.#sent % 2, value: `event ${this.#sent++}` }))
    await producer.send({ topic: TOPIC, messages })
    await producer.disconnect()
  }

  async requests(api: string): Promise<number> {
    const text = (await askControl(this.gateway.dataDirectory, { command: 'metrics' })) as string | { text: string }
    const found = JSON.stringify(text).match(new RegExp(`wadi_kafka_requests_total\\{api=\\\\?"${api}\\\\?"\\} (\\d+)`))
    return Number(found?.[1] ?? 0)
  }
}

async function startBench(): Promise<Bench> {
  const tools = await kafkaTools()
  const bootstrap = `127.0.0.1:${await freePort()}`
  const gateway = await GatewayProcess.create({
    config: ({ port, data }) => `gateway: { id: local, data: ${data} }
storage: { journal: { file_size: 4MiB } }
mqtt: [{ listen: "127.0.0.1:${port}" }]
kafka: { listen: "${bootstrap}" }
topics: { ${TOPIC}: { partitions: 2 }, other: { partitions: 1 } }
routes: [{ filter: "a/#rest", topic: ${TOPIC}, key: none }, { filter: "b/#rest", topic: other, key: none }]
`
  })
  await gateway.start()
  return new Bench(tools, gateway, bootstrap)
}

const linesOf = (consumers: readonly ClientProcess[]): string[] => consumers.flatMap(({ lines }) => lines.filter((line) => line !== ''))

t.test('a group of Java consumers over restarts, and what kafka-consumer-groups does with it', { timeout: 400_000 }, async (t) => {
  const bench = await startBench()
  const consumers: ClientProcess[] = []
  try {
    await bench.send(10)
    consumers.push(bench.consumer('one'), bench.consumer('two'))
    const members = async (): Promise<string[][]> => (await bench.groups('--describe', '--group', GROUP, '--members')).rows.slice(1)
    const idsOf = (rows: string[][]): string[] => rows.map((row) => `${row[1]} ${row[5]}`).sort()
    await until(
      async () => linesOf(consumers).length === 10 && idsOf(await members()).filter((id) => id.endsWith(' 1')).length === 2,
      () => consumers.map(({ lastErrors }) => lastErrors.slice(-1_000)).join('\n')
    )
    const before = idsOf(await members())

    for (const [at, end] of (['stop', 'kill'] as const).entries()) {
      await bench.gateway[end]()
      await bench.gateway.start()
      await bench.send(10)
      await until(
        () => linesOf(consumers).length >= 20 + 10 * at,
        () => `20 events behind ${end}`
      )
      const beats = await bench.requests('Heartbeat')
      await until(
        async () => (await bench.requests('Heartbeat')) >= beats + 4,
        () => 'heartbeats of both'
      )
      t.equal(await bench.requests('JoinGroup'), 0, `${end}: nobody joined again`)
      t.same(idsOf(await members()), before, `${end}: the same members with the same partitions`)
    }
    t.equal(new Set(linesOf(consumers)).size, 30, 'every event once')

    await consumers[1]?.stop('SIGKILL')
    consumers.push(bench.consumer('two'))
    await until(
      async () => (await members()).filter((row) => row[2] === 'two' && !before.includes(`${row[1]} ${row[5]}`)).length === 1,
      () => `the static member is back: ${consumers[2]?.lastErrors.slice(-1_000)}`
    )
    t.same(
      (await members()).map((row) => [row[2], row[5]]).sort(),
      [
        ['one', '1'],
        ['two', '1']
      ],
      'it has its partition again'
    )
    t.equal(await bench.requests('JoinGroup'), 1, 'and nobody else joined for it')

    const listed = await bench.groups('--list', '--state')
    t.same(listed.rows.at(-1), [GROUP, 'Stable'])
    const lag = await bench.groups('--describe', '--group', GROUP)
    t.equal(lag.rows.length, 3, lag.text)
    const verbose = await bench.groups('--describe', '--group', GROUP, '--members', '--verbose')
    t.match(verbose.text, /one-\S+ +one +\/127\.0\.0\.1 +\S+ +1 .*plant:[01]/)
    t.match((await bench.groups('--describe', '--group', GROUP, '--state')).text, /range +Stable +2/)
    const resetArgs = ['--reset-offsets', '--group', GROUP, '--topic', TOPIC, '--to-earliest', '--execute']
    t.match((await bench.groups(...resetArgs)).text, /can only be reset if the group .* is inactive/)
    t.match((await bench.groups('--delete', '--group', GROUP)).text, /GroupNotEmptyException/)
    t.match(
      (await bench.groups('--delete-offsets', '--group', GROUP, '--topic', TOPIC)).text,
      /GroupSubscribedToTopicException|subscribed/i
    )

    for (const consumer of consumers) await consumer.stop('SIGTERM')
    await until(
      async () => (await bench.groups('--list', '--state')).rows.at(-1)?.[1] === 'Empty',
      () => 'the sessions of static members are over'
    )
    const offsets = async (...mode: readonly string[]): Promise<string[]> => {
      const { rows, text } = await bench.groups('--reset-offsets', '--group', GROUP, '--topic', TOPIC, '--execute', ...mode)
      const found = rows.filter((row) => row[0] === GROUP).map((row) => `${row[2]}:${row[3]}`)
      return found.length > 0 ? found.sort() : [text]
    }
    t.same(await offsets('--to-earliest'), ['0:0', '1:0'])
    t.same(await offsets('--to-latest'), ['0:15', '1:15'])
    t.same(await offsets('--shift-by', '-5'), ['0:10', '1:10'])
    t.same(await offsets('--to-current'), ['0:10', '1:10'])
    t.same(await offsets('--to-offset', '3'), ['0:3', '1:3'])
    t.same(await offsets('--to-datetime', '2020-01-01T00:00:00.000'), ['0:0', '1:0'])
    t.same(await offsets('--by-duration', 'PT0S'), ['0:15', '1:15'], 'nothing is newer than now')
    const exported = await bench.groups(
      '--reset-offsets',
      '--group',
      GROUP,
      '--topic',
      `${TOPIC}:1`,
      '--to-offset',
      '2',
      '--export',
      '--dry-run'
    )
    t.match(exported.text, /"?plant"?,1,2/)
    await bench.gateway.stop()
    await bench.gateway.start()
    t.same(
      (await bench.groups('--describe', '--group', GROUP, '--offsets')).rows.slice(1).map((row) => row.slice(1, 6).join(' ')),
      [`${TOPIC} 0 15 15 0`, `${TOPIC} 1 15 15 0`],
      'what was reset is durable'
    )
    t.match((await bench.groups('--delete-offsets', '--group', GROUP, '--topic', `${TOPIC}:1`)).text, /Successful/)
    t.same(
      (await bench.groups('--describe', '--group', GROUP, '--offsets')).rows.slice(1).map((row) => row[2]),
      ['0']
    )
    t.match((await bench.groups('--delete', '--group', GROUP)).text, /successful/)
    t.same((await bench.groups('--list')).rows, [])
    t.match((await bench.groups('--describe', '--group', GROUP)).text, /does not exist|GroupIdNotFoundException/)
  } finally {
    for (const consumer of consumers) await consumer.stop('SIGKILL')
    await bench.gateway.remove()
    await bench.tools.stop()
  }
})
