// A request that waits for something that may never happen (Fetch, JoinGroup, SyncGroup) keeps no bytes from other clients: neither its own
// nor those of what was sent behind it.

import { connect, type Socket } from 'node:net'
import t from 'tap'
import { api } from '../../adapters/kafka-protocol/apis.ts'
import { joinChunks } from '../../adapters/kafka-protocol/writer.ts'
import { type Centre, startCentre, until } from './centre.ts'

const header = { correlationId: 7, clientId: 'test' }
const KIB = 1024
const NEVER_MS = 2 ** 31 - 1
const LARGE_BYTES = 100 * KIB
const PEERS = 4

class Peer {
  readonly #socket: Socket
  receivedBytes = 0

  constructor(port: number, parts: readonly Uint8Array[]) {
    this.#socket = connect({ host: '127.0.0.1', port, noDelay: true })
    this.#socket.on('data', (chunk) => {
      this.receivedBytes += chunk.length
    })
    this.#socket.on('error', () => undefined)
    this.#socket.write(Buffer.concat(parts))
  }

  close(): void {
    this.#socket.destroy()
  }
}

/** All clients together have room for two large requests. */
function startSmall(t: Parameters<typeof startCentre>[0], options: Parameters<typeof startCentre>[1] = {}): Promise<Centre> {
  return startCentre(t, { requestBytesMax: 250 * KIB, ...options })
}

function fetchOf(topics: readonly string[]): Uint8Array {
  const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1 }]
  const request = { maxWaitMs: NEVER_MS, minBytes: 1, topics: topics.map((topic) => ({ topic, partitions })) }
  return joinChunks(api.Fetch.encodeRequest(4, request, header))
}

/** Is refused and answered: what counts is that it is read. */
function largeProduce(): Uint8Array {
  const records = new Uint8Array(LARGE_BYTES)
  const topicData = [{ name: 'nowhere', partitionData: [{ index: 0, records }] }]
  return joinChunks(api.Produce.encodeRequest(3, { acks: 1, timeoutMs: 1, topicData }, header))
}

async function isServedLarge(centre: Centre): Promise<void> {
  const peer = new Peer(centre.port, [largeProduce()])
  await until(() => peer.receivedBytes > 0, 'the answer to a large request of another client')
  peer.close()
}

t.test('a large request behind a Fetch that waits ends the wait, and costs nobody else anything', async (t) => {
  const centre = await startSmall(t)
  await centre.store.createTopic('quiet')
  const peers = Array.from({ length: PEERS }, () => new Peer(centre.port, [fetchOf(['quiet']), largeProduce()]))
  await isServedLarge(centre)
  await until(() => centre.listener.metrics.requestsByApi.Produce === PEERS + 1, 'what was sent behind them')
  await until(() => centre.listener.metrics.requestBytes === 0, 'everything to be given back')
  for (const peer of peers) peer.close()
})

t.test('who goes while a large request of his is not read gives his place back', async (t) => {
  const centre = await startSmall(t, { limits: { idleMsMax: 300 } })
  await centre.store.createTopic('quiet')
  const join = { groupId: 'g', memberId: '', sessionTimeoutMs: 30_000, rebalanceTimeoutMs: NEVER_MS, protocolType: 'consumer' }
  const protocols = [{ name: 'range', metadata: new Uint8Array(0) }]
  const joining = joinChunks(api.JoinGroup.encodeRequest(3, { ...join, protocols }, header))
  const member = new Peer(centre.port, [joining])
  await until(() => member.receivedBytes > 0, 'a member that the others wait for')
  const length = largeProduce().subarray(0, 4)
  const waiting = [fetchOf(['quiet']), joining].map((request) => new Peer(centre.port, [request, length]))
  await until(() => centre.listener.metrics.requests === 3, 'both to be in work')
  for (const peer of waiting) peer.close()
  await until(() => centre.listener.metrics.connectionCount <= 1, 'their places')
  member.close()
})

t.test('a Fetch that is large itself gives up its wait', async (t) => {
  const centre = await startSmall(t)
  const names = Array.from({ length: 400 }, (_, at) => `${at}-${'quiet'.repeat(40)}`)
  for (const name of names) await centre.store.createTopic(name)
  const request = fetchOf(names)
  t.ok(request.byteLength > 80 * KIB)
  const peers = Array.from({ length: PEERS }, () => new Peer(centre.port, [request]))
  await until(() => centre.broker.fetches.waitingCount > 0, 'one to wait')
  await isServedLarge(centre)
  for (const peer of peers) peer.close()
})

t.test('a JoinGroup that waits for other members has given its bytes back, after its client has gone too', async (t) => {
  const centre = await startSmall(t)
  const join = (memberId: string, bytes: number) =>
    ({
      groupId: 'g',
      memberId,
      sessionTimeoutMs: 30_000,
      rebalanceTimeoutMs: NEVER_MS,
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: new Uint8Array(bytes) }]
    }) as const
  const first = new Peer(centre.port, [joinChunks(api.JoinGroup.encodeRequest(3, join('', 10), header))])
  await until(() => first.receivedBytes > 0, 'the first member to be in')
  const peers = Array.from(
    { length: PEERS },
    () => new Peer(centre.port, [joinChunks(api.JoinGroup.encodeRequest(3, join('', LARGE_BYTES), header))])
  )
  await until(() => centre.broker.groups.memberCount === PEERS + 1, 'the others to wait for the first')
  for (const peer of peers) peer.close()
  await isServedLarge(centre)
  t.equal(centre.listener.metrics.requestBytes, 0)
  first.close()
})
