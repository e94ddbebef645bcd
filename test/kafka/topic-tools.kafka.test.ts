// Proves for the topics of a gateway, with Kafka's own tools: kafka-topics makes, grows, describes and deletes them, kafka-configs reads and alters their settings,
// kafka-delete-records, kafka-get-offsets, kafka-log-dirs and kafka-transactions say and do what they do on Kafka, also behind `kill -9`; kafka-acls and
// kafka-leader-election are refused in words.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { freePort, GatewayProcess } from '../faults/gateway-process.ts'
import { type KafkaCluster, kafkaTools } from './kafka-cluster.ts'

const TOOLS = 'org.apache.kafka.tools'

interface Place {
  readonly gateway: GatewayProcess
  /** What the tool printed, on both channels. */
  run(mainClass: string, args: readonly string[], input?: string): Promise<string>
  readonly tools: KafkaCluster
}

async function start(test: Test): Promise<Place> {
  const tools = await kafkaTools()
  test.teardown(() => tools.stop())
  const bootstrap = `127.0.0.1:${await freePort()}`
  const gateway = await GatewayProcess.create({
    config: ({ port, data }) => `gateway: { id: tools, data: ${data} }
storage: { journal: { file_size: 4MiB }, seal: { bytes: 16KiB, age: 1s } }
mqtt: [{ listen: "127.0.0.1:${port}" }]
kafka: { listen: "${bootstrap}", default_partitions: 2 }
topics: { telemetry: {} }
routes: [{ filter: "plant/#", topic: telemetry, key: none }]
`
  })
  test.teardown(() => gateway.remove())
  await gateway.start()
  return {
    gateway,
    tools,
    async run(mainClass, args, input = '') {
      const { stdout, stderr } = await tools.runTool(mainClass, ['--bootstrap-server', bootstrap, ...args], { input })
      return stdout + stderr
    }
  }
}

async function restartByKill({ gateway }: Place): Promise<void> {
  await gateway.kill()
  await gateway.start()
}

t.test('kafka-topics and kafka-configs', { timeout: 300_000 }, async (t) => {
  const place = await start(t)
  const topics = (...args: string[]) => place.run(`${TOOLS}.TopicCommand`, args)
  const configs = (...args: string[]) => place.run('kafka.admin.ConfigCommand', args)
  const ofTopic = ['--entity-type', 'topics', '--entity-name', 'made'] as const
  t.match(
    await topics('--create', '--topic', 'made', '--config', 'cleanup.policy=compact', '--config', 'retention.ms=60000'),
    /Created topic made/
  )
  t.match(
    await topics('--create', '--topic', 'wrong', '--config', 'max.message.bytes=99999999'),
    /no batch here has more than 1000000 bytes/
  )
  t.match(await topics('--describe', '--topic', 'made'), /PartitionCount: 2\s.*cleanup\.policy=compact.*retention\.ms=60000/)
  t.match(await topics('--alter', '--topic', 'made', '--partitions', '2'), /InvalidPartitions/)
  t.notMatch(await topics('--alter', '--topic', 'made', '--partitions', '5'), /Error|Exception/)
  t.match(
    await configs(...ofTopic, '--alter', '--add-config', 'max.message.bytes=50000,cleanup.policy=[delete,compact]'),
    /Completed updating config for topic made/
  )
  t.match(await configs(...ofTopic, '--alter', '--delete-config', 'retention.ms'), /Completed updating/)
  t.match(
    await configs(...ofTopic, '--alter', '--add-config', 'message.timestamp.type=Sometimes'),
    /InvalidConfigurationException.*CreateTime or LogAppendTime/
  )
  await restartByKill(place)
  const described = await configs(...ofTopic, '--describe')
  t.match(described, /cleanup\.policy=delete,compact /)
  t.match(
    described,
    /max\.message\.bytes=50000 .*DYNAMIC_TOPIC_CONFIG:max\.message\.bytes=50000, STATIC_BROKER_CONFIG:message\.max\.bytes=1000000/
  )
  t.notMatch(described, /retention\.ms/, 'it was taken back')
  t.match(await topics('--describe', '--topic', 'made'), /PartitionCount: 5/)
  t.match(await topics('--list'), /^made$/m)
  t.match(await configs('--entity-type', 'brokers', '--entity-name', '1', '--describe', '--all'), /num\.partitions=2 /)
  t.match(
    await configs('--entity-type', 'brokers', '--entity-name', '1', '--alter', '--add-config', 'log.retention.ms=5'),
    /InvalidRequestException.*settings of the broker are in wadi\.yaml/
  )
  t.match(
    await configs('--entity-type', 'topics', '--entity-name', 'telemetry', '--alter', '--add-config', 'retention.ms=5'),
    /PolicyViolationException.*configuration names the topic/
  )
  t.notMatch(await topics('--delete', '--topic', 'made'), /Error|Exception/)
  t.notMatch(await topics('--list'), /^made$/m)
})

t.test('kafka-delete-records, kafka-get-offsets, kafka-log-dirs', { timeout: 300_000 }, async (t) => {
  const place = await start(t)
  await place.run(`${TOOLS}.TopicCommand`, ['--create', '--topic', 'made', '--partitions', '1'])
  const lines = Array.from({ length: 200 }, (_, at) => `event ${at}\n`).join('')
  await place.run(`${TOOLS}.ConsoleProducer`, ['--topic', 'made'], lines)
  const offsets = (time: string) => place.run(`${TOOLS}.GetOffsetShell`, ['--topic', 'made', '--time', time])
  const trim = async (offset: number) => {
    const file = join(place.tools.directory, 'records.json')
    await writeFile(file, JSON.stringify({ version: 1, partitions: [{ topic: 'made', partition: 0, offset }] }))
    return place.run(`${TOOLS}.DeleteRecordsCommand`, ['--offset-json-file', file])
  }
  const sizeOf = async () =>
    Number(
      /"partition":"made-0","size":(\d+)/.exec(await place.run(`${TOOLS}.LogDirsCommand`, ['--describe', '--topic-list', 'made']))?.[1]
    )
  t.match(await offsets('-1'), /^made:0:200$/m)
  const full = await sizeOf()
  t.ok(full > 200, `${full} bytes`)
  t.match(await trim(77), /partition: made-0\s+low_watermark: 77/)
  t.match(await trim(201), /OffsetOutOfRangeException/)
  await restartByKill(place)
  t.match(await offsets('-2'), /^made:0:77$/m)
  const read = await place.run(`${TOOLS}.consumer.ConsoleConsumer`, [
    '--topic',
    'made',
    '--from-beginning',
    '--max-messages',
    '123',
    '--timeout-ms',
    '20000'
  ])
  t.same(
    read.match(/^event \d+$/gm),
    Array.from({ length: 123 }, (_, at) => `event ${at + 77}`)
  )
  t.match(await trim(-1), /low_watermark: 200/)
  t.match(await offsets('-2'), /^made:0:200$/m)
  t.equal(await sizeOf(), 0)
})

t.test('kafka-transactions, kafka-cluster, and what is not there', { timeout: 300_000 }, async (t) => {
  const place = await start(t)
  await place.run(`${TOOLS}.TopicCommand`, ['--create', '--topic', 'made', '--partitions', '1'])
  const transactions = (...args: string[]) => place.run(`${TOOLS}.TransactionsCommand`, args)
  await place.run(`${TOOLS}.ConsoleProducer`, ['--topic', 'made'], 'a\nb\n')
  t.match(await transactions('describe-producers', '--topic', 'made', '--partition', '0'), /^0\s+0\s+-1\s+1\s+\d+\s+None/m)
  t.match(await transactions('list'), /TransactionalId\s+Coordinator\s+ProducerId\s+TransactionState/)
  t.match(await transactions('describe', '--transactional-id', 'nobody'), /the ID could not be found/)
  t.match(await place.run(`${TOOLS}.AclCommand`, ['--list']), /SecurityDisabledException: No Authorizer is configured/)
  t.match(
    await place.run(`${TOOLS}.LeaderElectionCommand`, ['--election-type', 'PREFERRED', '--all-topic-partitions']),
    /does not support ELECT_LEADERS/
  )
  t.match(await place.run(`${TOOLS}.reassign.ReassignPartitionsCommand`, ['--list']), /No partition reassignments found/)
  const versions = await place.run(`${TOOLS}.BrokerApiVersionsCommand`, [])
  for (const api of ['DeleteRecords\\(21\\): 0 to 2', 'CreatePartitions\\(37\\): 0 to 3', 'IncrementalAlterConfigs\\(44\\): 0 to 1'])
    t.match(versions, new RegExp(`${api} \\[usable`))
})
