// Proves for the Kafka listener: requests of all connections together hold a bounded number of bytes; who finds no room is not read
// until there is some, and then served in turn; small requests are answered meanwhile; who stands still in the middle of a request that
// holds bytes is closed; nothing is held when everybody is gone.
// How: raw peers against the real listener, its counters; and the queue by itself.

import { connect, type Socket } from 'node:net'
import t from 'tap'
import { api } from '../../adapters/kafka-protocol/apis.ts'
import { FrameSplitter } from '../../adapters/kafka-protocol/frame.ts'
import { joinChunks } from '../../adapters/kafka-protocol/writer.ts'
import { FrameBudget } from '../../adapters/kafka-server/frame-budget.ts'
import { startCentre, until } from './centre.ts'

const MIB = 1024 * 1024
/** Counted for each request beside its bytes. */
const OVERHEAD_BYTES = 512
const header = { correlationId: 7, clientId: 'test' }
/** What the kernel and node may have read before a socket is paused. */
const READ_AHEAD_BYTES = 256 * 1024

interface Peer {
  readonly socket: Socket
  readonly answers: Uint8Array[]
  isClosed: boolean
}

function peerOf(port: number): Peer {
  const splitter = new FrameSplitter(2 ** 30)
  const peer: Peer = { socket: connect({ host: '127.0.0.1', port, noDelay: true }), answers: [], isClosed: false }
  peer.socket.on('data', (chunk) => peer.answers.push(...splitter.push(chunk as Buffer)))
  peer.socket.on('error', () => undefined)
  peer.socket.on('close', () => {
    peer.isClosed = true
  })
  return peer
}

/** A request that is answered, made long by bytes behind its body. */
function requestOf(bytes: number): Buffer {
  const request = joinChunks(api.Metadata.encodeRequest(1, { topics: null }, header))
  const padded = Buffer.alloc(4 + bytes)
  padded.set(request)
  padded.writeInt32BE(bytes)
  return padded
}

t.test('what is announced is read only when it has room; the others wait their turn, and small requests do not', async (t) => {
  const centre = await startCentre(t, { requestBytesMax: 2 * (MIB + OVERHEAD_BYTES) })
  const metrics = () => centre.listener.metrics
  const request = requestOf(MIB)
  const peers = Array.from({ length: 8 }, () => peerOf(centre.port))
  for (const { socket } of peers) socket.write(request.subarray(0, -1))
  await until(() => metrics().waitingRequests === 6, 'six that wait')
  const small = peerOf(centre.port)
  small.socket.write(requestOf(100))
  await until(() => small.answers.length === 1, 'the answer to a small request')
  t.equal(metrics().requestBytes, 2 * (MIB + OVERHEAD_BYTES))
  const readMax = 2 * MIB + peers.length * READ_AHEAD_BYTES
  t.ok(metrics().receivedBytes <= readMax, `${metrics().receivedBytes} bytes were read`)
  for (const { socket } of peers) socket.write(request.subarray(-1))
  await until(() => peers.every(({ answers }) => answers.length === 1), 'every answer')
  t.match(metrics(), { requestBytes: 0, waitingRequests: 0, requestWaits: 6 })
  for (const { socket } of [...peers, small]) socket.destroy()
})

t.test('a request larger than the whole budget is read alone', async (t) => {
  const centre = await startCentre(t, { requestBytesMax: MIB })
  const peers = [peerOf(centre.port), peerOf(centre.port), peerOf(centre.port)]
  for (const { socket } of peers) socket.write(requestOf(3 * MIB))
  await until(() => peers.every(({ answers }) => answers.length === 1), 'every answer')
  t.equal(centre.listener.metrics.requestBytes, 0)
  for (const { socket } of peers) socket.destroy()
})

t.test('who stands still in the middle of a request, or goes away, or sends nonsense, holds nothing', async (t) => {
  const details: string[] = []
  const centre = await startCentre(t, {
    requestBytesMax: 2 * MIB,
    limits: { frameIdleMsMax: 300, frameBytesMax: 2 * MIB },
    onClose: (reason, detail) => details.push(`${reason}: ${detail}`)
  })
  const stalled = peerOf(centre.port)
  stalled.socket.write(requestOf(2 * MIB).subarray(0, 50_000))
  await until(() => centre.listener.metrics.requestBytes === 2 * MIB + OVERHEAD_BYTES, 'its bytes to be taken')
  const waiting = peerOf(centre.port)
  const leaving = peerOf(centre.port)
  for (const { socket } of [waiting, leaving]) socket.write(requestOf(MIB))
  await until(() => centre.listener.metrics.waitingRequests === 2, 'two that wait')
  leaving.socket.destroy()
  await until(() => waiting.answers.length === 1, 'the answer of the one that waited')
  t.ok(stalled.isClosed)
  t.ok(details.includes('idle: a request stood still for 300 ms'), details.join('; '))
  const nonsense = peerOf(centre.port)
  nonsense.socket.write(Buffer.concat([requestOf(MIB), Buffer.from([0x7f, 0, 0, 0])]))
  await until(() => nonsense.isClosed, 'the end of nonsense')
  await until(() => centre.listener.metrics.requestBytes === 0, 'everything given back')
  t.equal(centre.listener.metrics.waitingRequests, 0)
  waiting.socket.destroy()
})

t.test('who sends a byte now and then holds up nobody for ever: a request that holds common bytes has a time to be whole', async (t) => {
  const details: string[] = []
  const centre = await startCentre(t, {
    requestBytesMax: MIB,
    limits: { frameIdleMsMax: 400, frameBytesPerSecondMin: MIB },
    onClose: (reason, detail) => details.push(`${reason}: ${detail}`)
  })
  const slow = peerOf(centre.port)
  slow.socket.write(requestOf(MIB).subarray(0, 1000))
  const drip = setInterval(() => slow.isClosed || slow.socket.write(Buffer.of(0)), 50)
  t.teardown(() => clearInterval(drip))
  await until(() => centre.listener.metrics.requestBytes > 0, 'its bytes to be taken')
  const waiting = peerOf(centre.port)
  waiting.socket.write(requestOf(MIB / 2))
  await until(() => waiting.answers.length === 1, 'the answer of the one that waited')
  t.ok(slow.isClosed)
  t.match(details.join(), /was not whole after/)
  waiting.socket.destroy()
})

t.test('requests shorter than a header end their connection, and short ones are counted with what they take', async (t) => {
  const centre = await startCentre(t, { requestBytesMax: MIB })
  const zeros = peerOf(centre.port)
  zeros.socket.write(Buffer.alloc(64 * 1024))
  await until(() => zeros.isClosed, 'the end of zeros')
  const parked = peerOf(centre.port)
  const wait = joinChunks(api.Fetch.encodeRequest(4, { maxWaitMs: 3_000, minBytes: 1, maxBytes: 1, isolationLevel: 0, topics: [] }, header))
  parked.socket.write(Buffer.concat([wait, ...Array.from({ length: 4_000 }, () => requestOf(20))]))
  await until(() => centre.listener.metrics.requestBytes > 0 || parked.answers.length > 0, 'the requests')
  t.ok(centre.listener.metrics.requestBytes <= MIB, `${centre.listener.metrics.requestBytes} bytes`)
  parked.socket.destroy()
  await until(() => centre.listener.metrics.requestBytes === 0, 'everything given back')
})

t.test('the queue: in the order of asking, no overtaking, leaving lets the next one in', async (t) => {
  const budget = new FrameBudget(100)
  const granted: string[] = []
  const ask = (name: string, bytes: number): (() => void) => budget.wait(bytes, () => granted.push(name))
  t.ok(budget.take(60))
  t.notOk(budget.take(41))
  const leaveA = ask('a', 90)
  ask('b', 10)
  t.notOk(budget.take(1), 'somebody waits')
  budget.giveBack(1)
  t.same(granted, [])
  leaveA()
  t.same(granted, ['b'])
  ask('c', 500)
  budget.giveBack(59)
  t.same(granted, ['b'])
  budget.giveBack(10)
  t.same([granted, budget.usedBytes, budget.waitCount], [['b', 'c'], 500, 3])
})
