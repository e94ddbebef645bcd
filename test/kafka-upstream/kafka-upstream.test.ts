// KafkaUpstream against a broker that answers as the test wants: what each answer, and each silence, is called.

import t, { type Test } from 'tap'
import { api } from '../../adapters/kafka-protocol/apis.ts'
import { parseAddress } from '../../adapters/kafka-upstream/address.ts'
import { KafkaUpstream, type KafkaUpstreamOptions } from '../../adapters/kafka-upstream/kafka-upstream.ts'
import { nodeClock } from '../../runtime/io/node-clock.ts'
import { UpstreamFault, type UpstreamFaultKind } from '../../runtime/uplink/upstream.ts'
import { FakeBroker, type FakeHandler } from './fake-broker.ts'

const PLACE = { topicName: 'events', partitionIndex: 0 }
const TIMEOUT_MS = 150
/** Takes several times the request timeout when it is held up most of the time. */
const UPLOAD_BYTES = 60 * 1024 * 1024

async function createPair(t: Test, options: Partial<KafkaUpstreamOptions> = {}): Promise<{ broker: FakeBroker; upstream: KafkaUpstream }> {
  const broker = await FakeBroker.start()
  const upstream = new KafkaUpstream({
    brokers: [broker.address],
    transactionalId: 'k',
    groupId: 'k',
    clientId: 'test',
    transactionTimeoutMs: 60_000,
    requestTimeoutMs: TIMEOUT_MS,
    dialTimeoutMs: TIMEOUT_MS * 10,
    callTimeoutMs: 400,
    clock: nodeClock,
    ...options
  })
  t.teardown(async () => {
    await upstream.close()
    await broker.close()
  })
  broker.leads(PLACE.topicName, 2)
  broker.script(api.InitProducerId.key, (header) =>
    api.InitProducerId.encodeResponse(header.apiVersion, { producerId: 7n, producerEpoch: 3 }, header)
  )
  return { broker, upstream }
}

function endTxn(errorCode: number, throttleTimeMs = 0): FakeHandler {
  return (header) => api.EndTxn.encodeResponse(header.apiVersion, { errorCode, throttleTimeMs }, header)
}

function produced(errorCode: number, baseOffset = 40): FakeHandler {
  return (header, frame) => {
    const { topicData } = api.Produce.decodeRequest(header.apiVersion, frame, header.bodyAt)
    const responses = topicData.map(({ name, partitionData }) => ({
      name,
      partitionResponses: partitionData.map(({ index }) => ({ index, errorCode, baseOffset: baseOffset + index }))
    }))
    return api.Produce.encodeResponse(header.apiVersion, { responses }, header)
  }
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

t.test('every error code has the kind the uplink expects', async (t) => {
  const kinds: [number, UpstreamFaultKind][] = [
    ...([45, 47, 48, 49, 59, 120] as const).map((code): [number, UpstreamFaultKind] => [code, 'aborted']),
    [90, 'fenced'],
    [10, 'too-large'],
    [2, 'bad-record'],
    [32, 'bad-record'],
    [87, 'bad-record'],
    [29, 'refused'],
    [53, 'refused'],
    [9999, 'refused'],
    [-1, 'in-doubt']
  ]
  const { broker, upstream } = await createPair(t)
  await upstream.initProducer()
  for (const [code, kind] of kinds) {
    broker.script(api.Produce.key, produced(code))
    const fault = await faultOf(upstream.produce([{ ...PLACE, batch: new Uint8Array(61) }]))
    t.equal(fault.kind, kind, `${code} is ${kind}`)
    t.match(fault.target, PLACE)
  }
})

t.test('an error that may be about the content of a batch is told from one of the cluster, and from no answer', async (t) => {
  const { broker, upstream } = await createPair(t)
  await upstream.initProducer()
  const produce = (): Promise<unknown> => upstream.produce([{ ...PLACE, batch: new Uint8Array(61) }])
  for (const [code, mayBeContent] of [
    [-1, true],
    [76, true],
    [9999, true],
    [7, false],
    [20, false],
    [29, false],
    [47, false]
  ] as const) {
    broker.script(api.Produce.key, produced(code))
    t.equal((await faultOf(produce())).mayBeContent, mayBeContent, `${code}`)
  }
  for (const nothing of ['silence', 'reset'] as const) {
    broker.script(api.Produce.key, () => nothing)
    t.equal((await faultOf(produce())).mayBeContent, false, nothing)
  }
  broker.script(api.EndTxn.key, endTxn(-1))
  t.equal((await faultOf(upstream.endTransaction('commit'))).mayBeContent, false, 'an answer that names no batch')
})

t.test('"not now" is tried again within the call, then handed on', async (t) => {
  const { broker, upstream } = await createPair(t)
  await upstream.initProducer()
  broker.script(api.EndTxn.key, endTxn(51), endTxn(51), endTxn(0))
  await upstream.endTransaction('commit')
  t.equal(broker.asked.filter((name) => name === 'EndTxn').length, 3)
  broker.script(api.EndTxn.key, endTxn(51))
  t.equal((await faultOf(upstream.endTransaction('commit'))).kind, 'retry')
  broker.script(api.Produce.key, produced(19))
  t.equal((await faultOf(upstream.produce([{ ...PLACE, batch: new Uint8Array(61) }]))).kind, 'retry', 'too few replicas before the append')
  broker.script(api.Produce.key, produced(20))
  t.equal((await faultOf(upstream.produce([{ ...PLACE, batch: new Uint8Array(61) }]))).kind, 'in-doubt', 'too few replicas after it')
})

t.test('a coordinator that moved is looked for again', async (t) => {
  const { broker, upstream } = await createPair(t)
  const other = await FakeBroker.start()
  t.teardown(() => other.close())
  await upstream.initProducer()
  other.script(api.EndTxn.key, endTxn(0))
  broker.script(api.EndTxn.key, endTxn(16))
  broker.script(api.FindCoordinator.key, (header) =>
    api.FindCoordinator.encodeResponse(
      header.apiVersion,
      { coordinators: [{ key: 'k', nodeId: 2, host: '127.0.0.1', port: other.port }] },
      header
    )
  )
  await upstream.endTransaction('commit')
  t.same(other.asked, ['EndTxn'])
})

t.test('a leader that moved is looked for again, and only what is missing is sent', async (t) => {
  const { broker, upstream } = await createPair(t)
  await upstream.initProducer()
  const sent: number[][] = []
  const seen =
    (errors: Record<number, number>): FakeHandler =>
    (header, frame) => {
      const { topicData } = api.Produce.decodeRequest(header.apiVersion, frame, header.bodyAt)
      sent.push(topicData.flatMap(({ partitionData }) => partitionData.map(({ index }) => index)))
      const partitionResponses = sent.at(-1)!.map((index) => ({ index, errorCode: errors[index] ?? 0, baseOffset: 100 + index }))
      return api.Produce.encodeResponse(header.apiVersion, { responses: [{ name: 'events', partitionResponses }] }, header)
    }
  broker.script(api.Produce.key, seen({ 1: 6 }), seen({}))
  const targets = [0, 1].map((partitionIndex) => ({ topicName: 'events', partitionIndex, batch: new Uint8Array(61) }))
  t.same(await upstream.produce(targets), [{ baseOffset: 100 }, { baseOffset: 101 }])
  t.same(sent, [[0, 1], [1]])
  t.equal(broker.asked.filter((name) => name === 'Metadata').length, 2)
})

t.test('silence is in doubt, for reading it is unreachable', async (t) => {
  const { broker, upstream } = await createPair(t)
  await upstream.initProducer()
  broker.script(api.EndTxn.key, () => 'silence')
  t.equal((await faultOf(upstream.endTransaction('commit'))).kind, 'in-doubt')
  broker.script(api.OffsetFetch.key, () => 'silence')
  t.equal((await faultOf(upstream.fetchPosition(new Map([['events', 1]])))).kind, 'unreachable')
})

t.test('a connection that dies before the last byte left is unreachable, whatever it carried', async (t) => {
  const { broker, upstream } = await createPair(t)
  await upstream.initProducer()
  broker.script(api.Metadata.key, (header, _frame, socket) => {
    socket.pause() // from now on nothing is read: a large request cannot leave completely
    return api.Metadata.encodeResponse(
      header.apiVersion,
      {
        brokers: [{ nodeId: 1, host: '127.0.0.1', port: broker.port }],
        topics: [{ name: 'events', partitions: [{ partitionIndex: 0, leaderId: 1 }] }]
      },
      header
    )
  })
  const fault = await faultOf(upstream.produce([{ ...PLACE, batch: new Uint8Array(48 * 1024 * 1024) }]))
  t.equal(fault.kind, 'unreachable')
  t.notOk(broker.asked.includes('Produce'))
})

t.test('a slow upload is not a timeout while it makes progress', async (t) => {
  const { broker, upstream } = await createPair(t, { requestTimeoutMs: TIMEOUT_MS * 2 })
  await upstream.initProducer()
  let socketOf: { pause(): unknown; resume(): unknown } | null = null
  const describe = broker.handlers.get(api.Metadata.key)!
  broker.script(api.Metadata.key, (header, frame, socket) => {
    socketOf = socket
    return describe(header, frame, socket)
  })
  broker.script(api.Produce.key, produced(0))
  let ticks = 0
  const pauses = setInterval(() => {
    if (ticks++ % 6 === 5) socketOf?.resume()
    else socketOf?.pause()
  }, TIMEOUT_MS / 10)
  t.teardown(() => clearInterval(pauses))
  const before = upstream.wireBytes.sent
  t.same(await upstream.produce([{ ...PLACE, batch: new Uint8Array(UPLOAD_BYTES) }]), [{ baseOffset: 40 }])
  t.ok(upstream.wireBytes.sent - before > UPLOAD_BYTES)
})

t.test('nobody there is unreachable', async (t) => {
  const { broker, upstream } = await createPair(t)
  await broker.close()
  t.equal((await faultOf(upstream.describeTopics(['events'], { createPartitionCount: null }))).kind, 'unreachable')
})

t.test('the next bootstrap address is tried when the first one is dead', async (t) => {
  const dead = await FakeBroker.start()
  const { address } = dead
  await dead.close()
  const alive = await FakeBroker.start()
  t.teardown(() => alive.close())
  const { upstream } = await createPair(t, { brokers: [address, alive.address] })
  alive.leads('events', 3)
  alive.script(api.DescribeConfigs.key, (header) =>
    api.DescribeConfigs.encodeResponse(header.apiVersion, { results: [{ errorCode: 29, resourceName: 'events' }] }, header)
  )
  t.match(
    await upstream.describeTopics(['events'], { createPartitionCount: null }),
    [{ partitionCount: 3, batchBytesMax: 1_048_588 }],
    'limit not readable'
  )
})

t.test('answers that are not Kafka end the connection and are in doubt', async (t) => {
  const { broker, upstream } = await createPair(t)
  await upstream.initProducer()
  const garbage: FakeHandler[] = [
    () => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
    () => Buffer.from([0, 0, 0, 4, 0x55, 0x55, 0x55, 0x55]),
    () => Buffer.from([0xff, 0xff, 0xff, 0xff]),
    (header) =>
      api.EndTxn.encodeResponse(header.apiVersion, {}, header).map((chunk, index) =>
        index === 0 ? Buffer.from([0, 0, 0, 6]) : chunk.subarray(0, 6)
      )
  ]
  for (const handler of garbage) {
    broker.script(api.EndTxn.key, handler)
    t.equal((await faultOf(upstream.endTransaction('commit'))).kind, 'in-doubt')
  }
  broker.script(api.EndTxn.key, endTxn(0))
  await upstream.endTransaction('commit')
})

t.test('an old broker is asked in its own version, one without what we need is refused', async (t) => {
  const { broker, upstream } = await createPair(t)
  broker.script(api.ApiVersions.key, (header) => {
    if (header.apiVersion > 0)
      return api.ApiVersions.encodeResponse(0, { errorCode: 35, apiKeys: [{ apiKey: 18, minVersion: 0, maxVersion: 2 }] }, header)
    return api.ApiVersions.encodeResponse(
      0,
      {
        apiKeys: [
          { apiKey: api.FindCoordinator.key, minVersion: 0, maxVersion: 1 },
          { apiKey: api.InitProducerId.key, minVersion: 0, maxVersion: 0 }
        ]
      },
      header
    )
  })
  broker.script(api.FindCoordinator.key, (header) =>
    api.FindCoordinator.encodeResponse(1, { host: '127.0.0.1', port: broker.port }, header)
  )
  t.match(await upstream.initProducer(), { producerId: 7n, producerEpoch: 3 })
  t.match(await faultOf(upstream.endTransaction('commit')), { kind: 'refused', message: /EndTxn/ })
})

t.test('a throttled connection waits as long as it was told', async (t) => {
  const { broker, upstream } = await createPair(t)
  await upstream.initProducer()
  broker.script(api.EndTxn.key, endTxn(0, 100), endTxn(0))
  await upstream.endTransaction('commit')
  const before = nodeClock.monotonicMs()
  await upstream.endTransaction('commit')
  t.ok(nodeClock.monotonicMs() - before >= 95, 'never earlier')
  broker.script(api.EndTxn.key, endTxn(0, 3_600_000), endTxn(0))
  await upstream.endTransaction('commit')
  t.equal((await faultOf(upstream.endTransaction('commit'))).kind, 'retry', 'an hour is longer than a call')
})

t.test('addresses', async (t) => {
  t.same(parseAddress('kafka.example:9093'), { host: 'kafka.example', port: 9093 })
  t.same(parseAddress('kafka'), { host: 'kafka', port: 9092 })
  t.same(parseAddress('[::1]:9'), { host: '::1', port: 9 })
  for (const text of ['', ':9092', 'a:b', 'a:0', 'a:70000', '::1', 'http://a']) t.equal(parseAddress(text), null, text)
})
