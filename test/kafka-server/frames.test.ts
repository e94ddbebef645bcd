// What a peer can send wrong: the connection ends with a named reason, and nobody else notices.

import { connect, type Socket } from 'node:net'
import t from 'tap'
import { api } from '../../adapters/kafka-protocol/apis.ts'
import { FrameSplitter } from '../../adapters/kafka-protocol/frame.ts'
import { joinChunks } from '../../adapters/kafka-protocol/writer.ts'
import type { CloseReason } from '../../adapters/kafka-server/connection.ts'
import { KafkaListener } from '../../adapters/kafka-server/listener.ts'
import { loadTestCore } from '../helpers/core.ts'
import { Prng } from '../sim/prng.ts'
import { type Centre, startCentre, until } from './centre.ts'

const header = { correlationId: 7, clientId: 'test' }
const FRAME_BYTES_MAX = 64 * 1024

class Peer {
  readonly socket: Socket
  readonly frames: Uint8Array[] = []
  isClosed = false

  constructor(port: number) {
    const splitter = new FrameSplitter(2 ** 30)
    this.socket = connect({ host: '127.0.0.1', port, noDelay: true })
    this.socket.on('data', (chunk) => this.frames.push(...splitter.push(chunk as Buffer)))
    this.socket.on('error', () => undefined)
    this.socket.on('close', () => {
      this.isClosed = true
    })
  }

  send(bytes: Uint8Array): void {
    this.socket.write(bytes)
  }
}

async function startWithReasons(t: Parameters<typeof startCentre>[0], options: Parameters<typeof startCentre>[1] = {}) {
  const reasons: CloseReason[] = []
  const centre = await startCentre(t, { limits: { frameBytesMax: FRAME_BYTES_MAX }, onClose: (reason) => reasons.push(reason), ...options })
  return { centre, reasons }
}

/** A well-behaved client gets its answer. */
async function isServed(centre: Centre): Promise<boolean> {
  const peer = new Peer(centre.port)
  peer.send(joinChunks(api.Metadata.encodeRequest(1, { topics: null }, header)))
  await until(() => peer.frames.length === 1 || peer.isClosed, 'an answer')
  peer.socket.destroy()
  return peer.frames.length === 1
}

function lengthOf(value: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

t.test('a length that is negative or too large ends the connection, another client is served', async (t) => {
  const { centre, reasons } = await startWithReasons(t)
  const good = new Peer(centre.port)
  for (const length of [-1, -2147483648, 2147483647, FRAME_BYTES_MAX + 1]) {
    const bad = new Peer(centre.port)
    bad.send(lengthOf(length))
    await until(() => bad.isClosed, `the end of the peer that sent length ${length}`)
    t.equal(reasons.pop(), 'frame')
  }
  good.send(joinChunks(api.Metadata.encodeRequest(1, { topics: null }, header)))
  await until(() => good.frames.length === 1, 'the answer of the other client')
  good.socket.destroy()
})

t.test('every prefix of a valid request, sent as a whole frame, is refused by name', async (t) => {
  const { centre, reasons } = await startWithReasons(t)
  const records = new Uint8Array(100).fill(7)
  const samples = [
    joinChunks(
      api.Produce.encodeRequest(
        9,
        { acks: 1, timeoutMs: 1, topicData: [{ name: 'topic', partitionData: [{ index: 0, records }] }] },
        header
      )
    ),
    joinChunks(
      api.Produce.encodeRequest(
        3,
        { acks: 1, timeoutMs: 1, topicData: [{ name: 'topic', partitionData: [{ index: 0, records }] }] },
        header
      )
    ),
    joinChunks(
      api.JoinGroup.encodeRequest(5, { groupId: 'g', sessionTimeoutMs: 1, protocols: [{ name: 'range', metadata: records }] }, header)
    )
  ]
  for (const sample of samples) {
    for (let bytes = 0; bytes < sample.byteLength - 4; bytes += bytes < 40 ? 1 : 7) {
      const peer = new Peer(centre.port)
      peer.send(Buffer.concat([lengthOf(bytes), sample.subarray(4, 4 + bytes)]))
      await until(() => peer.isClosed, `the end of the peer that sent ${bytes} bytes`)
      t.equal(peer.frames.length, 0, `no answer to ${bytes} bytes`)
      t.equal(reasons.pop(), bytes < 8 ? 'frame' : 'malformed')
    }
  }
  t.ok(await isServed(centre))
})

t.test('names as long as the protocol allows are answered, longer ones are refused as Kafka does', async (t) => {
  const { centre, reasons } = await startWithReasons(t)
  const join = {
    groupId: 'g',
    sessionTimeoutMs: 6_000,
    rebalanceTimeoutMs: 6_000,
    protocolType: 'consumer',
    protocols: [{ name: 'range' }]
  }
  const longest = 'x'.repeat(32_767)
  for (const [groupInstanceId, clientId] of [
    [longest, 'test'],
    [null, longest]
  ] as const) {
    const peer = new Peer(centre.port)
    peer.send(joinChunks(api.JoinGroup.encodeRequest(5, { ...join, groupInstanceId }, { ...header, clientId })))
    await until(() => peer.frames.length === 1 || peer.isClosed, 'an answer')
    t.same(reasons, [])
    t.equal(peer.frames.length, 1)
    peer.socket.destroy()
    await until(() => reasons.pop() === 'peer', 'the end of the peer')
  }
  const peer = new Peer(centre.port)
  peer.send(joinChunks(api.JoinGroup.encodeRequest(6, { ...join, groupId: `${longest}x` }, header)))
  await until(() => peer.frames.length === 1 || peer.isClosed, 'the end of the peer')
  t.same(reasons, ['malformed'])
})

t.test('random bytes and damaged requests end the connection or get an answer, and never stop the listener', async (t) => {
  const seed = Number(process.env.SEED ?? 1)
  t.comment(`SEED=${seed}`)
  const prng = new Prng(seed)
  const { centre, reasons } = await startWithReasons(t)
  const valid = joinChunks(
    api.OffsetCommit.encodeRequest(
      8,
      { groupId: 'g', topics: [{ name: 't', partitions: [{ partitionIndex: 0, committedOffset: 1 }] }] },
      header
    )
  )
  for (let round = 0; round < 150; round++) {
    const peer = new Peer(centre.port)
    if (round % 2 === 0) peer.send(Buffer.concat([lengthOf(64), prng.bytes(64)]))
    else {
      const damaged = Buffer.from(valid)
      damaged[prng.between(4, damaged.byteLength - 1)] = prng.below(256)
      peer.send(damaged)
    }
    await until(() => peer.isClosed || peer.frames.length > 0, `an end or an answer in round ${round}`)
    peer.socket.destroy()
  }
  await until(() => centre.listener.metrics.connectionCount === 0, 'all connections to end')
  t.notOk(reasons.includes('internal'), 'none of it was a fault of ours')
  t.ok(await isServed(centre))
})

t.test('unsupported APIs and versions end the connection; a newer ApiVersions is answered in version 0 with error 35', async (t) => {
  const { centre, reasons } = await startWithReasons(t)
  for (const [key, version] of [
    [0, 2],
    [0, 99],
    [4, 0],
    [71, 0],
    [1, 3]
  ] as const) {
    const frame = Buffer.concat([lengthOf(10), Buffer.alloc(10)])
    frame.writeInt16BE(key, 4)
    frame.writeInt16BE(version, 6)
    const peer = new Peer(centre.port)
    peer.send(frame)
    await until(() => peer.isClosed, `the end of API ${key} version ${version}`)
    t.equal(reasons.pop(), 'unsupported')
  }
  const frame = Buffer.concat([lengthOf(10), Buffer.alloc(10)])
  frame.writeInt16BE(18, 4)
  frame.writeInt16BE(77, 6)
  const peer = new Peer(centre.port)
  peer.send(frame)
  await until(() => peer.frames.length === 1, 'the answer')
  const { response } = api.ApiVersions.decodeResponse(0, peer.frames[0] as Uint8Array)
  t.equal(response.errorCode, 35)
  t.same(response.apiKeys, [{ apiKey: 18, minVersion: 0, maxVersion: 4 }])
  peer.socket.destroy()
})

t.test('requests on one connection are answered in order, a parked fetch holds what follows', async (t) => {
  const { centre } = await startWithReasons(t)
  await centre.store.createTopic('quiet')
  const peer = new Peer(centre.port)
  const fetch = api.Fetch.encodeRequest(
    4,
    { maxWaitMs: 100, minBytes: 1, topics: [{ topic: 'quiet', partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1 }] }] },
    { ...header, correlationId: 1 }
  )
  const metadata = [2, 3, 4].map((correlationId) => joinChunks(api.Metadata.encodeRequest(1, { topics: [] }, { ...header, correlationId })))
  peer.send(Buffer.concat([joinChunks(fetch), ...metadata]))
  await until(() => peer.frames.length === 4, 'four answers')
  t.same(
    peer.frames.map((frame) => Buffer.from(frame).readInt32BE(0)),
    [1, 2, 3, 4]
  )
  peer.socket.destroy()
})

/** Batches of one event each, as a producer sends them that does not wait for answers. */
function produceRequests(count: number, acks: number): Uint8Array {
  const core = loadTestCore()
  const requests = Array.from({ length: count }, (_, at) => {
    const value = new TextEncoder().encode(`${at}`)
    const records = core.buildBatch([{ timestampMs: 1, key: null, value, headers: [] }], { baseOffset: 0 }).slice()
    const topicData = [{ name: 'readings', partitionData: [{ index: 0, records }] }]
    const request = { transactionalId: null, acks, timeoutMs: 1000, topicData }
    return joinChunks(api.Produce.encodeRequest(7, request, { ...header, correlationId: at }))
  })
  return Buffer.concat(requests)
}

for (const acks of [0, 1]) {
  t.test(`what a client has sent whole is carried out though it closes behind it (acks=${acks})`, async (t) => {
    const { centre, reasons } = await startWithReasons(t)
    const topic = await centre.store.createTopic('readings')
    const peer = new Peer(centre.port)
    peer.socket.end(produceRequests(200, acks))
    await until(() => reasons.length === 1, 'the end of the connection')
    t.same(reasons, ['peer'])
    t.equal(topic.partitions[0]?.highWatermark, 200)
    await until(() => peer.isClosed, 'the end for the client')
    t.equal(peer.frames.length, acks * 200, 'who has closed only its own direction gets its answers')
    t.equal(centre.listener.metrics.requestBytes, 0)
  })
}

t.test('a client that closes its own direction behind a Fetch gets what is there', async (t) => {
  const { centre } = await startWithReasons(t)
  await centre.store.createTopic('readings')
  const producer = new Peer(centre.port)
  producer.socket.end(produceRequests(3, 1))
  await until(() => producer.frames.length === 3, 'three events')
  const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 100_000 }]
  const fetch = { maxWaitMs: 60_000, minBytes: 1, topics: [{ topic: 'readings', partitions }] }
  const peer = new Peer(centre.port)
  peer.socket.end(joinChunks(api.Fetch.encodeRequest(4, fetch, header)))
  await until(() => peer.frames.length === 1, 'the answer')
  const { responses } = api.Fetch.decodeResponse(4, peer.frames[0] as Uint8Array).response
  t.ok((responses[0]?.partitions[0]?.records?.byteLength ?? 0) > 100, 'records')
})

t.test('clients that have gone while their Produce waits for the disk take no place of others, up to as many again', async (t) => {
  const { centre } = await startWithReasons(t, { connectionCountMax: 3 })
  await centre.store.createTopic('readings')
  centre.broker.appends.append = () => new Promise(() => undefined)
  for (let at = 1; at <= 3; at++) {
    new Peer(centre.port).socket.end(produceRequests(1, 1))
    await until(() => centre.listener.metrics.requestsByApi.Produce === at, 'its request to be in work')
    if (at < 3) t.ok(await isServed(centre), `behind ${at}`)
    await until(() => centre.listener.metrics.connectionCount === at, 'the other one to be gone')
  }
  t.notOk(await isServed(centre), 'there is a bound')
})

t.test('who closes while it waits for other members, or sends that behind its last request, keeps no connection', async (t) => {
  const { centre, reasons } = await startWithReasons(t)
  const join = (groupId: string): Uint8Array => {
    const protocols = [{ name: 'range', metadata: new Uint8Array(0) }]
    const request = { groupId, sessionTimeoutMs: 60_000, rebalanceTimeoutMs: 60_000, memberId: '', protocolType: 'consumer', protocols }
    return joinChunks(api.JoinGroup.encodeRequest(3, request, header))
  }
  const first = new Peer(centre.port)
  first.send(join('g'))
  await until(() => first.frames.length === 1, 'the first member')
  const [second, third] = [new Peer(centre.port), new Peer(centre.port)]
  second.send(join('g'))
  await until(() => centre.listener.metrics.requests === 2, 'a second member that waits for the first')
  second.socket.end()
  third.socket.end(Buffer.concat([produceRequests(1, 1), join('g'), produceRequests(1, 1)]))
  await until(() => reasons.length === 2, 'the end of both')
  t.same(reasons, ['peer', 'peer'])
  t.equal(centre.listener.metrics.connectionCount, 1)
  first.socket.destroy()
})

t.test('bytes behind a request body are tolerated', async (t) => {
  const { centre } = await startWithReasons(t)
  const valid = joinChunks(api.Metadata.encodeRequest(12, { topics: null }, header))
  const peer = new Peer(centre.port)
  peer.send(Buffer.concat([lengthOf(valid.byteLength - 4 + 3), valid.subarray(4), Buffer.alloc(3)]))
  await until(() => peer.frames.length === 1, 'the answer')
  peer.socket.destroy()
  t.pass('as librdkafka 2.12 needs it')
})

t.test('times and offsets beyond 2^53 are answered as Kafka does: nothing is there', async (t) => {
  const { centre } = await startWithReasons(t)
  await centre.store.createTopic('quiet')
  const forever = Buffer.from('7fffffffffffffff', 'hex')
  const withForever = (request: Uint8Array[]): Buffer => {
    const bytes = Buffer.concat(request)
    const at = bytes.indexOf(Buffer.from('000fedcba9876543', 'hex'))
    t.ok(at > 0)
    forever.copy(bytes, at)
    return bytes
  }
  const placeholder = 0xfedcba9876543
  const peer = new Peer(centre.port)
  const partitions = [{ partitionIndex: 0, timestamp: placeholder }]
  peer.send(withForever(api.ListOffsets.encodeRequest(1, { replicaId: -1, topics: [{ name: 'quiet', partitions }] }, header)))
  const places = [{ partition: 0, fetchOffset: placeholder, partitionMaxBytes: 1 }]
  peer.send(
    withForever(api.Fetch.encodeRequest(4, { maxWaitMs: 0, minBytes: 1, topics: [{ topic: 'quiet', partitions: places }] }, header))
  )
  await until(() => peer.frames.length === 2 || peer.isClosed, 'two answers')
  t.notOk(peer.isClosed)
  const [offsets, fetched] = peer.frames as [Uint8Array, Uint8Array]
  t.match(api.ListOffsets.decodeResponse(1, offsets).response.topics[0]?.partitions[0], { errorCode: 0, timestamp: -1, offset: -1 })
  t.match(api.Fetch.decodeResponse(4, fetched).response.responses[0]?.partitions[0], { errorCode: 1 }, 'OFFSET_OUT_OF_RANGE')
  peer.socket.destroy()
})

t.test('connections above the cap are closed by name, those below it live on', async (t) => {
  const { centre, reasons } = await startWithReasons(t, { connectionCountMax: 2 })
  const peers = [new Peer(centre.port), new Peer(centre.port)]
  await until(() => centre.listener.metrics.connectionCount === 2, 'two connections')
  const third = new Peer(centre.port)
  await until(() => third.isClosed, 'the end of the third')
  t.same(reasons, ['full'])
  for (const peer of peers) peer.socket.destroy()
})

t.test('a client that does not read its answers stops being served and does not fill our memory', async (t) => {
  const { centre, reasons } = await startWithReasons(t, {
    limits: { frameBytesMax: FRAME_BYTES_MAX, idleMsMax: 300, queuedBytesMax: 1024 }
  })
  for (let at = 0; at < 200; at++) await centre.store.createTopic(`topic-with-a-rather-long-name-${at}`)
  const peer = new Peer(centre.port)
  peer.socket.pause()
  const request = joinChunks(api.Metadata.encodeRequest(1, { topics: null }, header))
  const flood = Buffer.concat(Array.from({ length: 2000 }, () => request))
  peer.send(flood)
  await until(() => reasons.length > 0, 'the slow reader to be closed')
  t.same(reasons, ['slow-reader'])
  t.ok(centre.listener.metrics.requests < 2000, 'not everything was carried out')
  peer.socket.destroy()
})

t.test('a silent connection is closed as idle', async (t) => {
  const { reasons, centre } = await startWithReasons(t, { limits: { idleMsMax: 50 } })
  const peer = new Peer(centre.port)
  await until(() => peer.isClosed, 'the end of the silent one')
  t.same(reasons, ['idle'])
})

t.test('closing the listener ends every connection, parked ones too', async (t) => {
  const { centre, reasons } = await startWithReasons(t)
  await centre.store.createTopic('quiet')
  const peer = new Peer(centre.port)
  const fetch = {
    maxWaitMs: 600_000,
    minBytes: 1,
    topics: [{ topic: 'quiet', partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1 }] }]
  }
  peer.send(joinChunks(api.Fetch.encodeRequest(4, fetch, header)))
  await until(() => centre.broker.fetches.waitingCount === 1, 'the fetch to be parked')
  await centre.listener.close()
  await until(() => peer.isClosed, 'the end')
  t.same(reasons, ['shutdown'])
  t.equal(centre.broker.fetches.waitingCount, 0)
})

t.test('who connects before the listener is open is held and then served; above the cap it is refused', async (t) => {
  const centre = await startCentre(t)
  const listener = new KafkaListener({ connectionCountMax: 2 })
  await listener.bind()
  t.teardown(() => listener.close())
  const peers = [new Peer(listener.address.port), new Peer(listener.address.port), new Peer(listener.address.port)]
  for (const peer of peers) peer.send(joinChunks(api.Metadata.encodeRequest(1, { topics: null }, header)))
  await until(() => peers.some(({ isClosed }) => isClosed), 'one to be refused')
  t.same([listener.metrics.requests, listener.metrics.closesByReason], [0, { full: 1 }])
  listener.open({ broker: centre.broker, clusterId: 'c' })
  await until(() => listener.metrics.requests === 2, 'both to be served')
  await listener.close()
  await listener.settled()
  await until(() => peers.every(({ isClosed }) => isClosed), 'the end of all')
})

t.test('a listener that is closed while it binds gives the address back', async (t) => {
  const listener = new KafkaListener({})
  const bound = listener.bind()
  await listener.close()
  await bound
  const next = new KafkaListener({ port: listener.address.port })
  await next.bind()
  t.equal(next.address.port, listener.address.port)
  await next.close()
})

t.test('what a request names again and again is answered once', async (t) => {
  const centre = await startCentre(t)
  await centre.store.createTopic('wide', { partitionCount: 100 })
  const ask = async (request: Uint8Array): Promise<Uint8Array> => {
    const peer = new Peer(centre.port)
    peer.send(request)
    await until(() => peer.frames.length === 1, 'the answer')
    peer.socket.destroy()
    return peer.frames[0] as Uint8Array
  }
  const times = <T>(count: number, what: T): T[] => Array.from({ length: count }, () => what)
  const questions: ((count: number) => Uint8Array[])[] = [
    (count) => api.Metadata.encodeRequest(4, { topics: times(count, { name: 'wide' }) }, header),
    (count) =>
      api.DescribeConfigs.encodeRequest(
        1,
        { resources: times(count, { resourceType: 2, resourceName: 'wide', configurationKeys: null }) },
        header
      ),
    (count) => api.OffsetFetch.encodeRequest(2, { groupId: 'g', topics: [{ name: 'wide', partitionIndexes: times(count, 0) }] }, header)
  ]
  for (const question of questions)
    t.equal((await ask(joinChunks(question(300)))).byteLength, (await ask(joinChunks(question(1)))).byteLength)
})

t.test('large answers wait until those before them are read, and who does not read is closed while others wait', async (t) => {
  const { centre, reasons } = await startWithReasons(t, {
    answerBytesMax: 256 * 1024,
    limits: { frameIdleMsMax: 300, frameBytesPerSecondMin: 2 ** 30 }
  })
  const topic = await centre.store.createTopic('large', { codec: 'none' })
  const value = Buffer.alloc(900_000, 'x')
  for (let at = 0; at < 12; at++)
    await new Promise((resolve) =>
      centre.store.append(topic.partitions[0] as never, { key: null, value, headers: [], timestampMs: 0 } as never, resolve)
    )
  const place = { topic: 'large', partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 2 ** 30 }] }
  const fetch = joinChunks(api.Fetch.encodeRequest(4, { maxWaitMs: 0, minBytes: 1, maxBytes: 2 ** 30, topics: [place] }, header))
  const deaf = new Peer(centre.port)
  deaf.socket.pause()
  deaf.send(Buffer.concat(Array.from({ length: 100 }, () => fetch)))
  let sent = 0
  let looks = 0
  const isStuck = (): boolean => {
    const { answerBytes, sentBytes } = centre.listener.metrics
    looks = answerBytes > 0 && sentBytes === sent ? looks + 1 : 0
    sent = sentBytes
    return looks === 40
  }
  await until(isStuck, 'an answer that the kernel does not take any more')
  const hungry = new Peer(centre.port)
  hungry.send(fetch)
  await until(() => hungry.frames.length === 1, 'the answer of the one that reads')
  t.same(reasons, ['slow-reader'])
  hungry.socket.destroy()
  await until(() => centre.listener.metrics.answerBytes === 0, 'everything given back')
  t.equal(centre.listener.metrics.waitingAnswers, 0)
})
