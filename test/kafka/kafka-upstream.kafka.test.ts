// KafkaUpstream against a real Apache Kafka broker, seen by Kafka's own consumer and by kafkajs.

import { writeFile } from 'node:fs/promises'
import { Kafka, logLevel } from 'kafkajs'
import t, { type Test } from 'tap'
import { api } from '../../adapters/kafka-protocol/apis.ts'
import { KafkaUpstream, type KafkaUpstreamOptions } from '../../adapters/kafka-upstream/kafka-upstream.ts'
import { nodeClock } from '../../runtime/io/node-clock.ts'
import { UpstreamFault } from '../../runtime/uplink/upstream.ts'
import { loadTestCore } from '../helpers/core.ts'
import { type KafkaCluster, startKafkaCluster } from './kafka-cluster.ts'
import { createProxies } from './tcp-proxy.ts'

const CONSUME_TIMEOUT_MS = 30_000
t.setTimeout(300_000)
const core = loadTestCore()
const { proxies, advertise } = createProxies()
const cluster: KafkaCluster = await startKafkaCluster({ advertise })
t.teardown(async () => {
  await cluster.stop()
  await Promise.all(proxies.map((proxy) => proxy.close()))
})
const proxy = proxies[0]!

function createUpstream(t: Test, name: string, options: Partial<KafkaUpstreamOptions> = {}): KafkaUpstream {
  const upstream = new KafkaUpstream({
    brokers: cluster.brokers,
    transactionalId: `edge.test.${name}`,
    groupId: `edge.test.${name}`,
    clientId: 'wadi-test',
    transactionTimeoutMs: 60_000,
    requestTimeoutMs: 5_000,
    clock: nodeClock,
    ...options
  })
  t.teardown(() => upstream.close())
  return upstream
}

function buildBatch(values: readonly string[], producer: { producerId: bigint; producerEpoch: number; baseSequence: number }): Uint8Array {
  const records = values.map((value) => ({ timestampMs: Date.now(), key: null, value: Buffer.from(value), headers: [] }))
  const batch = core.buildBatch(records, { baseOffset: 0 })
  core.patchProducer(batch, { ...producer, isTransactional: true })
  return batch
}

/** Values a read_committed kafkajs consumer sees until `count` have come and the last one is `until`. */
async function consume(topicName: string, until: string): Promise<string[]> {
  const kafka = new Kafka({ brokers: [...cluster.directBrokers], logLevel: logLevel.NOTHING })
  const consumer = kafka.consumer({ groupId: `reader-${topicName}-${until}`, readUncommitted: false })
  const values: string[] = []
  try {
    await consumer.connect()
    await consumer.subscribe({ topic: topicName, fromBeginning: true })
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`kafkajs saw only ${values.join(' ')}`)), CONSUME_TIMEOUT_MS)
      void consumer.run({
        eachMessage: async ({ message }) => {
          const value = String(message.value)
          values.push(value)
          if (value !== until) return
          clearTimeout(timer)
          resolve()
        }
      })
    })
    return values
  } finally {
    await consumer.disconnect()
  }
}

async function consumeJava(topicName: string, isolation: 'read_committed' | 'read_uncommitted'): Promise<string[]> {
  const { stdout } = await cluster.runTool('org.apache.kafka.tools.consumer.ConsoleConsumer', [
    ...['--bootstrap-server', cluster.directBootstrap, '--topic', topicName, '--from-beginning', '--timeout-ms', '4000'],
    ...['--command-property', `isolation.level=${isolation}`]
  ])
  return stdout.split('\n').filter((line) => line !== '')
}

async function faultOf(work: Promise<unknown>): Promise<UpstreamFault> {
  try {
    await work
  } catch (error) {
    if (error instanceof UpstreamFault) return error
    throw error
  }
  throw new Error('no fault')
}

async function transact(
  upstream: KafkaUpstream,
  topicName: string,
  values: readonly string[],
  outcome: 'commit' | 'abort',
  position: number
) {
  const producer = await upstream.initProducer()
  const targets = [{ topicName, partitionIndex: 0 }]
  await upstream.addPartitions(targets)
  const batch = buildBatch(values, { ...producer, baseSequence: 0 })
  const [result] = await upstream.produce([{ topicName, partitionIndex: 0, batch }])
  await upstream.commitPosition(new Map([[topicName, { committedOffset: position, pieces: [`{"at":${position}}`] }]]))
  await upstream.endTransaction(outcome)
  return { ...producer, baseOffset: result!.baseOffset, batch }
}

t.test('topics are created as asked and described with their limits', async (t) => {
  const upstream = createUpstream(t, 'topics')
  const refused = await faultOf(upstream.describeTopics(['absent'], { createPartitionCount: null }))
  t.equal(refused.kind, 'refused')
  t.match(refused.message, /absent.*create the topic/)
  const [made] = await upstream.describeTopics(['made'], { createPartitionCount: 3 })
  t.match(made, { name: 'made', partitionCount: 3, batchBytesMax: 1_048_588 })
  t.match(made!.topicId, /^(?!0{32})[0-9a-f]{32}$/)
  t.same(await upstream.describeTopics(['made'], { createPartitionCount: 7 }), [made], 'what exists stays as it is')
  t.ok(upstream.wireBytes.sent > 100 && upstream.wireBytes.received > 100)
})

t.test('what was committed is seen once, what was aborted never, and the position goes with it', async (t) => {
  const upstream = createUpstream(t, 'commit')
  await upstream.describeTopics(['events'], { createPartitionCount: 1 })
  t.same([...(await upstream.fetchPosition(new Map([['events', 1]])))], [], 'no position yet')
  await transact(upstream, 'events', ['a1', 'a2'], 'commit', 2)
  t.same(await upstream.fetchPosition(new Map([['events', 1]])), new Map([['events', { committedOffset: 2, pieces: ['{"at":2}'] }]]))
  await transact(upstream, 'events', ['b1', 'b2'], 'abort', 4)
  t.same(
    await upstream.fetchPosition(new Map([['events', 1]])),
    new Map([['events', { committedOffset: 2, pieces: ['{"at":2}'] }]]),
    'taken back'
  )
  await transact(upstream, 'events', ['c1'], 'commit', 5)
  t.same(await consume('events', 'c1'), ['a1', 'a2', 'c1'], 'kafkajs')
  t.same(await consumeJava('events', 'read_committed'), ['a1', 'a2', 'c1'], 'Java')
  t.same(await consumeJava('events', 'read_uncommitted'), ['a1', 'a2', 'b1', 'b2', 'c1'], 'Java, uncommitted too')
})

t.test('one producer goes on through many transactions without a new epoch', async (t) => {
  const upstream = createUpstream(t, 'many')
  await upstream.describeTopics(['many'], { createPartitionCount: 4 })
  const producer = await upstream.initProducer()
  for (let round = 0; round < 5; round++) {
    const targets = [0, 1, 2, 3].map((partitionIndex) => ({
      topicName: 'many',
      partitionIndex,
      batch: buildBatch([`${round}-${partitionIndex}`], { ...producer, baseSequence: round })
    }))
    await upstream.addPartitions(targets)
    t.equal((await upstream.produce(targets)).length, 4)
    await upstream.commitPosition(new Map([['many', { committedOffset: round, pieces: [''] }]]))
    await upstream.endTransaction('commit')
  }
  t.equal((await consumeJava('many', 'read_committed')).length, 20)
})

t.test('a batch that is sent again is in the log once', async (t) => {
  const upstream = createUpstream(t, 'again')
  await upstream.describeTopics(['again'], { createPartitionCount: 1 })
  const producer = await upstream.initProducer()
  await upstream.addPartitions([{ topicName: 'again', partitionIndex: 0 }])
  const target = { topicName: 'again', partitionIndex: 0, batch: buildBatch(['x', 'y'], { ...producer, baseSequence: 0 }) }
  const lost = proxy.arm({ apiKey: api.Produce.key, action: 'reset-after' })
  t.equal((await faultOf(upstream.produce([target]))).kind, 'in-doubt', 'the answer was lost')
  await lost
  t.same(await upstream.produce([target]), [{ baseOffset: 0 }])
  t.same(await upstream.produce([target]), [{ baseOffset: 0 }])
  await upstream.endTransaction('commit')
  t.same(await consumeJava('again', 'read_committed'), ['x', 'y'])
})

t.test('a lost answer to EndTxn is in doubt, asking again settles it', async (t) => {
  const upstream = createUpstream(t, 'end')
  await upstream.describeTopics(['end'], { createPartitionCount: 1 })
  const producer = await upstream.initProducer()
  for (const action of ['reset-before', 'reset-after'] as const) {
    const baseSequence = action === 'reset-before' ? 0 : 1
    await upstream.addPartitions([{ topicName: 'end', partitionIndex: 0 }])
    await upstream.produce([{ topicName: 'end', partitionIndex: 0, batch: buildBatch([action], { ...producer, baseSequence }) }])
    const sprung = proxy.arm({ apiKey: api.EndTxn.key, action })
    t.equal((await faultOf(upstream.endTransaction('commit'))).kind, 'in-doubt')
    await sprung
    await upstream.endTransaction('commit')
  }
  t.same(await consumeJava('end', 'read_committed'), ['reset-before', 'reset-after'])
})

t.test('a second client with the same id fences the first one', async (t) => {
  const first = createUpstream(t, 'fence')
  const second = createUpstream(t, 'fence')
  await first.describeTopics(['fence'], { createPartitionCount: 1 })
  const producer = await first.initProducer()
  await first.addPartitions([{ topicName: 'fence', partitionIndex: 0 }])
  await first.produce([{ topicName: 'fence', partitionIndex: 0, batch: buildBatch(['old'], { ...producer, baseSequence: 0 }) }])
  const newer = await second.initProducer()
  t.equal(newer.producerId, producer.producerId)
  t.ok(newer.producerEpoch > producer.producerEpoch)
  t.equal((await faultOf(first.endTransaction('commit'))).kind, 'fenced')
  t.equal((await faultOf(first.addPartitions([{ topicName: 'fence', partitionIndex: 0 }]))).kind, 'fenced')
  const late = { topicName: 'fence', partitionIndex: 0, batch: buildBatch(['late'], { ...producer, baseSequence: 1 }) }
  t.match((await faultOf(first.produce([late]))).kind, /fenced|aborted/)
  t.same(await consumeJava('fence', 'read_committed'), [])
})

t.test('reading back shows what is committed, in order, and says what is deleted and where the end is', async (t) => {
  const upstream = createUpstream(t, 'back')
  const place = { topicName: 'back', partitionIndex: 0, bytesMax: 1_000_000 }
  await upstream.describeTopics(['back'], { createPartitionCount: 1 })
  const first = await transact(upstream, 'back', ['1', '2'], 'commit', 2)
  await transact(upstream, 'back', ['3'], 'abort', 3)
  await transact(upstream, 'back', ['4'], 'commit', 4)
  const valuesFrom = async (fromOffset: number): Promise<string[]> => {
    const values: string[] = []
    for (let offset = fromOffset; ; ) {
      const read = await upstream.readCommitted({ ...place, fromOffset: offset })
      for (const batch of read.batches) for (const { value } of core.readRecords(batch)) values.push(Buffer.from(value ?? []).toString())
      if (read.isEnd) return values
      offset = read.nextOffset
    }
  }
  t.same(await valuesFrom(first.baseOffset), ['1', '2', '4'], 'the aborted one is not there')
  t.same(await valuesFrom(first.baseOffset + 2), ['4'])
  t.match(
    await upstream.readCommitted({ ...place, fromOffset: 1_000_000 }),
    { batches: [], isEnd: true, isDeleted: true },
    'beyond the end'
  )
  const offsetJson = JSON.stringify({ version: 1, partitions: [{ topic: 'back', partition: 0, offset: first.baseOffset + 2 }] })
  await writeFile(`${cluster.directory}/delete.json`, offsetJson)
  await cluster.runTool('org.apache.kafka.tools.DeleteRecordsCommand', [
    ...['--bootstrap-server', cluster.directBootstrap, '--offset-json-file', `${cluster.directory}/delete.json`]
  ])
  const deleted = await upstream.readCommitted({ ...place, fromOffset: first.baseOffset })
  t.match(deleted, { batches: [], nextOffset: first.baseOffset + 2, isEnd: false, isDeleted: true })
})

t.test('a position in several pieces is kept and read back, also when one of its pieces is as long as Kafka takes', async (t) => {
  const upstream = createUpstream(t, 'pieces')
  const place = { topicName: 'pieces', partitionIndex: 0 }
  await upstream.describeTopics(['pieces'], { createPartitionCount: 1 })
  const producer = await upstream.initProducer()
  await upstream.addPartitions([place])
  await upstream.produce([{ ...place, batch: buildBatch(['x'], { ...producer, baseSequence: 0 }) }])
  const pieces = ['a'.repeat(4096), 'b'.repeat(4096), 'c']
  await upstream.commitPosition(new Map([['pieces', { committedOffset: 7, pieces }]]))
  await upstream.endTransaction('commit')
  t.same(await upstream.fetchPosition(new Map([['pieces', 3]])), new Map([['pieces', { committedOffset: 7, pieces }]]))
  t.same((await upstream.fetchPosition(new Map([['pieces', 1]]))).get('pieces')?.pieces, pieces.slice(0, 1))
})

t.test('what the cluster refuses has the right name', async (t) => {
  const upstream = createUpstream(t, 'refuse')
  await upstream.describeTopics(['refuse'], { createPartitionCount: 1 })
  const producer = await upstream.initProducer()
  const place = { topicName: 'refuse', partitionIndex: 0 }
  await upstream.addPartitions([place])
  const future = core.buildBatch([{ timestampMs: Date.now() + 10 * 3_600_000, key: null, value: Buffer.from('x'), headers: [] }], {
    baseOffset: 0
  })
  core.patchProducer(future, { ...producer, baseSequence: 0, isTransactional: true })
  const badRecord = await faultOf(upstream.produce([{ ...place, batch: future }]))
  t.match(badRecord, { kind: 'bad-record', target: place })
  const large = buildBatch(['z'.repeat(1_100_000)], { ...producer, baseSequence: 0 })
  t.match(await faultOf(upstream.produce([{ ...place, batch: large }])), { kind: 'too-large', target: place })
  const gap = buildBatch(['first'], { ...producer, baseSequence: 0 })
  await upstream.produce([{ ...place, batch: gap }])
  const skipped = buildBatch(['skipped'], { ...producer, baseSequence: 5 })
  t.match(await faultOf(upstream.produce([{ ...place, batch: skipped }])), { kind: 'aborted' })
  await upstream.endTransaction('abort')
  t.match(await faultOf(upstream.endTransaction('commit')), { kind: 'aborted' }, 'the opposite verdict')
  const strange = createUpstream(t, 'timeout', { transactionTimeoutMs: 3_600_000 })
  t.match(await faultOf(strange.initProducer()), { kind: 'refused', message: /transaction timeout/ })
})

t.test('a network that fails is unreachable or in doubt, and the client recovers', async (t) => {
  const upstream = createUpstream(t, 'network', { requestTimeoutMs: 500, dialTimeoutMs: 500 })
  await upstream.describeTopics(['network'], { createPartitionCount: 1 })
  await upstream.initProducer()
  proxy.mode = 'black-hole'
  t.equal((await faultOf(upstream.addPartitions([{ topicName: 'network', partitionIndex: 0 }]))).kind, 'in-doubt', 'on an open connection')
  t.equal((await faultOf(upstream.addPartitions([{ topicName: 'network', partitionIndex: 0 }]))).kind, 'unreachable', 'on a new one')
  t.equal((await faultOf(upstream.fetchPosition(new Map([['network', 1]])))).kind, 'unreachable')
  proxy.mode = 'pass'
  await upstream.addPartitions([{ topicName: 'network', partitionIndex: 0 }])
  proxy.mode = 'swallow-answers'
  t.equal((await faultOf(upstream.endTransaction('abort'))).kind, 'in-doubt')
  proxy.mode = 'refuse'
  t.equal((await faultOf(upstream.endTransaction('abort'))).kind, 'unreachable')
  proxy.mode = 'pass'
  await upstream.endTransaction('abort')
})

t.test('a broker that is killed and comes back loses nothing that was committed', async (t) => {
  const upstream = createUpstream(t, 'kill', { dialTimeoutMs: 1_000 })
  await upstream.describeTopics(['kill'], { createPartitionCount: 1 })
  await transact(upstream, 'kill', ['before'], 'commit', 1)
  // The markers are written now. Killed before that, a lone Kafka broker may skip them when it is back ("couldn't find leader
  // endpoint") and leaves the transaction hanging: there is no other replica that could have taken over.
  t.equal((await upstream.fetchPosition(new Map([['kill', 1]]))).get('kill')?.committedOffset, 1)
  await cluster.kill(0)
  t.match((await faultOf(upstream.fetchPosition(new Map([['kill', 1]])))).kind, /unreachable|retry/)
  await cluster.restart(0)
  t.equal((await upstream.fetchPosition(new Map([['kill', 1]]))).get('kill')?.committedOffset, 1)
  await transact(upstream, 'kill', ['after'], 'commit', 2)
  t.same(await consumeJava('kill', 'read_committed'), ['before', 'after'])
})

t.test('closing ends what is under way at once', async (t) => {
  const upstream = createUpstream(t, 'close')
  await upstream.initProducer()
  proxy.mode = 'swallow-answers'
  const pending = faultOf(upstream.endTransaction('commit'))
  await upstream.close()
  t.match((await pending).kind, /unreachable|in-doubt/)
  proxy.mode = 'pass'
  t.equal((await faultOf(upstream.initProducer())).kind, 'unreachable', 'and stays closed')
})
