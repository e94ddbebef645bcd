// Load generator at a given rate, whatever the answers (open loop): raw sockets, QoS 1, and how long each PUBACK took.
// Arguments: port, connections, payload bytes, events a second. Message { warmMs, measureMs } starts a run, answered by { isMeasuring } when it is warm and by
// { p50Ms, p99Ms, answered } at the end: of the events that were sent while it measured.

import { connect, type Socket } from 'node:net'
import { sensorPayload } from './harness.ts'
import { connectPacket, PacketCounter, publishPacket } from './mqtt-packets.ts'
import { tell } from './worker.ts'

const [port = 0, connectionCount = 1, payloadBytes = 100, perSecond = 1_000] = process.argv.slice(2).map(Number)
const IDS = 60_000
const PUBACK = 0x40

let isMeasuring = false
const latencies: number[] = []

class Probe {
  readonly #socket: Socket
  readonly #packet: Buffer
  readonly #idAt: number
  readonly #sentMs = new Float64Array(IDS + 1)
  #nextId = 1

  constructor(socket: Socket, clientId: string) {
    this.#socket = socket
    const topic = `bench/${clientId}/reading`
    this.#packet = publishPacket(topic, { packetId: 1, payload: sensorPayload(0, payloadBytes) })
    this.#idAt = this.#packet.length - payloadBytes - 2
    const answers = new PacketCounter((bytes, at, bodyAt) => {
      if (bytes[at] === PUBACK) this.#onAck(bytes.readUInt16BE(bodyAt))
    })
    socket.on('data', (chunk: Buffer) => answers.push(chunk))
  }

  send(): void {
    const id = this.#nextId
    this.#nextId = (id % IDS) + 1
    const packet = Buffer.from(this.#packet)
    packet.writeUInt16BE(id, this.#idAt)
    this.#sentMs[id] = isMeasuring ? performance.now() : 0
    this.#socket.write(packet)
  }

  #onAck(id: number): void {
    const sentMs = this.#sentMs[id] as number
    if (sentMs > 0) latencies.push(performance.now() - sentMs)
  }
}

function open(index: number): Promise<Probe> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    socket.on('error', reject)
    socket.once('connect', () => socket.write(connectPacket(`probe-${index}`)))
    socket.once('data', () => resolve(new Probe(socket, `probe-${index}`)))
  })
}

const probes = await Promise.all(Array.from({ length: connectionCount }, (_, index) => open(index)))
process.on('message', ({ warmMs, measureMs }: { warmMs: number; measureMs: number }) => {
  const startedMs = performance.now()
  let sent = 0
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - startedMs) / 1_000) * perSecond)
    for (; sent < due; sent++) probes[sent % probes.length]?.send()
  }, 1)
  setTimeout(() => {
    isMeasuring = true
    tell({ isMeasuring })
  }, warmMs)
  setTimeout(() => {
    clearInterval(timer)
    setTimeout(() => {
      latencies.sort((left, right) => left - right)
      const at = (share: number): number => latencies[Math.min(latencies.length - 1, Math.floor(share * latencies.length))] ?? Number.NaN
      tell({ p50Ms: at(0.5), p99Ms: at(0.99), answered: latencies.length })
    }, 500)
  }, warmMs + measureMs)
})
process.on('disconnect', () => process.exit(0))
tell({ ready: true })
