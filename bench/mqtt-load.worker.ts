// Load generator: raw sockets, PUBLISH packets encoded beforehand, a window of unacknowledged packets per connection; of QoS 0 as much as the sockets take.
// Cheap on purpose: the process under test must be the one that is busy.
// Arguments: port, connections, payload bytes, window, and if need be QoS (1), topics of each connection (1) and a file with
// the CA of the server (then it is TLS). Message { warmMs, measureMs } starts a run, answered by { isMeasuring } when it is warm and by
// { acked, elapsedMs } at the end: of QoS 0 what the sockets took.

import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { sensorPayload } from './harness.ts'
import { connectPacket, publishPacket } from './mqtt-packets.ts'
import { tell } from './worker.ts'

const PUBACK_BYTES = 4
/** From one address a gateway takes 500 connections. */
const CONNECTIONS_PER_ADDRESS = 400
const [port = 0, connectionCount = 1, payloadBytes = 100, windowSize = 100, qos = 1, topicCount = 1] = process.argv.slice(2, 8).map(Number)
const caFile = process.argv[8] ?? ''

const ca = caFile === '' ? '' : readFileSync(caFile)

let ackedTotal = 0

/** A ring of packets with ids 1 … window; packet n is sent again when its acknowledgement is back. */
class Publisher {
  readonly #socket: Socket
  readonly #ring: Buffer
  readonly #starts: readonly number[]
  readonly #count: number
  #nextPacket = 0
  #carry = 0

  constructor(socket: Socket, clientId: string) {
    this.#socket = socket
    const packets = Array.from({ length: Math.max(windowSize, topicCount) }, (_, index) =>
      publishPacket(topicOf(clientId, index), { packetId: index + 1, qos, payload: sensorPayload(index, payloadBytes) })
    )
    this.#count = packets.length
    this.#ring = Buffer.concat(packets)
    let at = 0
    this.#starts = [...packets.map((packet) => (at += packet.length) - packet.length), this.#ring.length]
    socket.on('data', (chunk) => this.#onAcks(chunk))
  }

  send(count: number): void {
    const first = this.#nextPacket
    const last = first + count
    const until = Math.min(last, this.#count)
    this.#socket.write(this.#ring.subarray(this.#starts[first], this.#starts[until]))
    if (last > this.#count) this.#socket.write(this.#ring.subarray(0, this.#starts[last - this.#count]))
    this.#nextPacket = last % this.#count
  }

  /** QoS 0: whatever the socket takes. */
  flood(): void {
    this.#socket.write(this.#ring, () => {
      ackedTotal += this.#count
      setImmediate(() => this.flood()) // or timers would never have their turn
    })
  }

  #onAcks(chunk: Buffer): void {
    const firstHeaderAt = (PUBACK_BYTES - this.#carry) % PUBACK_BYTES
    if (chunk.length > firstHeaderAt && chunk[firstHeaderAt] !== 0x40) throw new Error(`not a PUBACK: ${chunk[firstHeaderAt]}`)
    const bytes = this.#carry + chunk.length
    this.#carry = bytes % PUBACK_BYTES
    const acked = (bytes - this.#carry) / PUBACK_BYTES
    ackedTotal += acked
    if (acked > 0) this.send(acked)
  }
}

const topicOf = (clientId: string, index: number): string =>
  topicCount === 1 ? `bench/${clientId}/reading` : `bench/${clientId}/reading/${index % topicCount}`

function dial(localAddress: string): Socket {
  const target = { port, host: '127.0.0.1', localAddress, noDelay: true }
  return caFile === '' ? connect(target) : connectTls({ ...target, ca })
}

function openPublisher(index: number): Promise<Publisher> {
  const clientId = `load-${index}`
  const localAddress = `127.0.0.${2 + Math.floor(index / CONNECTIONS_PER_ADDRESS)}`
  return new Promise((resolve, reject) => {
    const socket = dial(localAddress)
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('the broker closed a connection')))
    socket.once(caFile === '' ? 'connect' : 'secureConnect', () => socket.write(connectPacket(clientId)))
    socket.once('data', (connack) => {
      if (connack.length !== 4 || connack[0] !== 0x20 || connack[3] !== 0) return reject(new Error(`CONNACK ${connack.toString('hex')}`))
      resolve(new Publisher(socket, clientId))
    })
  })
}

const publishers = await Promise.all(Array.from({ length: connectionCount }, (_, index) => openPublisher(index)))
process.on('message', ({ warmMs, measureMs }: { warmMs: number; measureMs: number }) => {
  for (const publisher of publishers) {
    if (qos === 0) publisher.flood()
    else publisher.send(windowSize)
  }
  setTimeout(() => {
    const startMs = performance.now()
    const before = ackedTotal
    tell({ isMeasuring: true })
    setTimeout(() => tell({ acked: ackedTotal - before, elapsedMs: performance.now() - startMs }), measureMs)
  }, warmMs)
})
process.on('disconnect', () => process.exit(0))
tell({ ready: true })
