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
function startSmall(t: Parameters<typeof startCentre>[0]): Promise<Centre> {
  return startCentre(t, { requestBytesMax: 250 * KIB })
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

t.test('a large request behind a Fetch that waits is not read before the Fetch is answered, and costs nobody else anything', async (t) => {
  const centre = await startSmall(t)
  await centre.store.createTopic('quiet')
  const peers = Array.from({ length: PEERS }, () => new Peer(centre.port, [fetchOf(['quiet']), largeProduce()]))
  await until(() => centre.broker.fetches.waitingCount === PEERS, 'the fetches to wait')
  await isServedLarge(centre)
  t.equal(centre.listener.metrics.requestBytes, 0)
  const topic = [...centre.store.topics.values()].find(({ name }) => name === 'quiet')
  const value = Buffer.from('x')
  centre.store.append(topic?.partitions[0] as never, { key: null, value, headers: [], timestampMs: 0 } as never, () => undefined)
  await until(() => centre.listener.metrics.requestsByApi.Produce === PEERS + 1, 'what was sent behind them')
  await until(() => centre.listener.metrics.requestBytes === 0, 'everything to be given back')
  for (const peer of peers) peer.close()
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
