// Load generator: raw sockets, PUBLISH packets (QoS 1) encoded beforehand, a window of unacknowledged packets per connection.
// Cheap on purpose: the process under test must be the one that is busy.
// Arguments: port, connections, payload bytes, window. Message { warmMs, measureMs } starts a run, answered by { isMeasuring } when it is warm and by
// { acked, elapsedMs } at the end.

import { connect, type Socket } from 'node:net'
import { sensorPayload } from './harness.ts'
import { connectPacket, publishPacket } from './mqtt-packets.ts'
import { tell } from './worker.ts'

const PUBACK_BYTES = 4
const [port = 0, connectionCount = 1, payloadBytes = 100, windowSize = 100] = process.argv.slice(2).map(Number)

let ackedTotal = 0

/** A ring of packets with ids 1 … window; packet n is sent again when its acknowledgement is back. */
class Publisher {
  readonly #socket: Socket
  readonly #ring: Buffer
  readonly #starts: readonly number[]
  #nextPacket = 0
  #carry = 0

  constructor(socket: Socket, clientId: string) {
    this.#socket = socket
    const packets = Array.from({ length: windowSize }, (_, index) =>
      publishPacket(`bench/${clientId}/reading`, index + 1, sensorPayload(index, payloadBytes))
    )
    this.#ring = Buffer.concat(packets)
    let at = 0
    this.#starts = [...packets.map((packet) => (at += packet.length) - packet.length), this.#ring.length]
    socket.on('data', (chunk) => this.#onAcks(chunk))
  }

  send(count: number): void {
    const first = this.#nextPacket
    const last = first + count
    const until = Math.min(last, windowSize)
    this.#socket.write(this.#ring.subarray(this.#starts[first], this.#starts[until]))
    if (last > windowSize) this.#socket.write(this.#ring.subarray(0, this.#starts[last - windowSize]))
    this.#nextPacket = last % windowSize
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

function openPublisher(clientId: string): Promise<Publisher> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('the broker closed a connection')))
    socket.once('connect', () => socket.write(connectPacket(clientId)))
    socket.once('data', (connack) => {
      if (connack.length !== 4 || connack[0] !== 0x20 || connack[3] !== 0) return reject(new Error(`CONNACK ${connack.toString('hex')}`))
      resolve(new Publisher(socket, clientId))
    })
  })
}

const publishers = await Promise.all(Array.from({ length: connectionCount }, (_, index) => openPublisher(`load-${index}`)))
process.on('message', ({ warmMs, measureMs }: { warmMs: number; measureMs: number }) => {
  for (const publisher of publishers) publisher.send(windowSize)
  setTimeout(() => {
    const startMs = performance.now()
    const before = ackedTotal
    tell({ isMeasuring: true })
    setTimeout(() => tell({ acked: ackedTotal - before, elapsedMs: performance.now() - startMs }), measureMs)
  }, warmMs)
})
process.on('disconnect', () => process.exit(0))
tell({ ready: true })
