// KafkaUpstream and three brokers of which one dies under it: after any fault the client begins again from the committed position, and
// a read_committed consumer still sees every number once and in order.

import t from 'tap'
import { KafkaUpstream } from '../../adapters/kafka-upstream/kafka-upstream.ts'
import { nodeClock } from '../../runtime/io/node-clock.ts'
import { UpstreamFault } from '../../runtime/uplink/upstream.ts'
import { loadTestCore } from '../helpers/core.ts'
import { startKafkaCluster } from './kafka-cluster.ts'

const TRANSACTIONS = 150
const KILL_AT = 40
const RESTART_AT = 90
const PARTITIONS = 3
const FAULTS_MAX = 200
const TOPIC = 'numbers'

t.setTimeout(300_000)
const core = loadTestCore()
const cluster = await startKafkaCluster({ brokerCount: 3 })
t.teardown(() => cluster.stop())

t.test('every transaction is there once although a broker was killed and came back', async (t) => {
  const upstream = new KafkaUpstream({
    brokers: cluster.brokers,
    transactionalId: 'edge.test.three',
    groupId: 'edge.test.three',
    clientId: 'wadi-test',
    transactionTimeoutMs: 60_000,
    requestTimeoutMs: 10_000,
    dialTimeoutMs: 2_000,
    callTimeoutMs: 5_000,
    clock: nodeClock
  })
  t.teardown(() => upstream.close())
  t.match(await upstream.describeTopics([TOPIC], { createPartitionCount: PARTITIONS }), [{ partitionCount: PARTITIONS }])
  const faults: string[] = []
  let producer: { producerId: bigint; producerEpoch: number } | null = null
  let next = 0
  let sequence = 0
  let disturbance: Promise<void> = Promise.resolve()
  let scene: 'before' | 'killed' | 'restarted' = 'before'
  while (next < TRANSACTIONS && faults.length < FAULTS_MAX) {
    try {
      if (!producer) {
        producer = await upstream.initProducer()
        sequence = 0
        next = (await upstream.fetchPosition(new Map([[TOPIC, 1]]))).get(TOPIC)?.committedOffset ?? 0
        continue
      }
      if (next >= KILL_AT && scene === 'before') {
        scene = 'killed'
        disturbance = cluster.kill(1) // not awaited: it dies while this transaction is under way
      }
      if (next >= RESTART_AT && scene === 'killed') {
        scene = 'restarted'
        await disturbance
        disturbance = cluster.restart(1)
      }
      const targets = Array.from({ length: PARTITIONS }, (_, partitionIndex) => {
        const record = { timestampMs: Date.now(), key: null, value: Buffer.from(`${partitionIndex}:${next}`), headers: [] }
        const batch = core.buildBatch([record], { baseOffset: 0 })
        core.patchProducer(batch, { ...producer!, baseSequence: sequence, isTransactional: true })
        return { topicName: TOPIC, partitionIndex, batch }
      })
      await upstream.addPartitions(targets)
      await upstream.produce(targets)
      await upstream.commitPosition(new Map([[TOPIC, { committedOffset: next + 1, pieces: [''] }]]))
      await upstream.endTransaction('commit')
      next++
      sequence++
    } catch (error) {
      if (!(error instanceof UpstreamFault)) throw error
      faults.push(`${error.kind}: ${error.message}`)
      producer = null
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
  await disturbance
  t.comment(faults.join('\n'))
  t.equal(next, TRANSACTIONS, `${faults.length} faults on the way`)
  const { stdout } = await cluster.runTool('org.apache.kafka.tools.consumer.ConsoleConsumer', [
    ...['--bootstrap-server', cluster.directBootstrap, '--topic', TOPIC, '--from-beginning', '--timeout-ms', '6000'],
    ...['--command-property', 'isolation.level=read_committed']
  ])
  const values = stdout.split('\n').filter((line) => line !== '')
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const seen = values.filter((value) => value.startsWith(`${partition}:`)).map((value) => Number(value.slice(2)))
    t.same(
      seen,
      Array.from({ length: TRANSACTIONS }, (_, index) => index),
      `partition ${partition}`
    )
  }
})
