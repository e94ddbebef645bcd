// Subscribers that count what they get, and acknowledge it in one write for each read: raw sockets, nothing is decoded.
// Arguments: port, subscribers, QoS of their subscription to everything. Message { warmMs, measureMs } answered by { received, elapsedMs }.

import { connect, type Socket } from 'node:net'
import { connectPacket, PacketCounter, subscribePacket } from './mqtt-packets.ts'
import { tell } from './worker.ts'

const FILTER = 'bench/#'
const [port = 0, subscriberCount = 1, qos = 1] = process.argv.slice(2).map(Number)

let receivedTotal = 0

function onData(socket: Socket, onSubscribed: () => void): (chunk: Buffer) => void {
  let acks = Buffer.alloc(4_096)
  let ackBytes = 0
  const counter = new PacketCounter((bytes, at, bodyAt) => {
    const firstByte = bytes[at] as number
    if (firstByte === 0x90) return onSubscribed()
    if (firstByte >> 4 !== 3) return
    receivedTotal++
    if ((firstByte & 6) === 0) return
    const idAt = bodyAt + 2 + (((bytes[bodyAt] as number) << 8) | (bytes[bodyAt + 1] as number))
    if (ackBytes === acks.length) acks = Buffer.concat([acks, Buffer.alloc(acks.length)])
    acks[ackBytes++] = 0x40
    acks[ackBytes++] = 2
    acks[ackBytes++] = bytes[idAt] as number
    acks[ackBytes++] = bytes[idAt + 1] as number
  })
  return (chunk) => {
    counter.push(chunk)
    if (ackBytes === 0) return
    socket.write(Buffer.from(acks.subarray(0, ackBytes)))
    ackBytes = 0
  }
}

function subscribe(clientId: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    socket.on('error', reject)
    socket.on('close', () => {
      throw new Error('the broker closed the connection of a subscriber')
    })
    socket.once('connect', () => socket.write(Buffer.concat([connectPacket(clientId), subscribePacket(FILTER, { qos })])))
    socket.on('data', onData(socket, resolve))
  })
}

await Promise.all(Array.from({ length: subscriberCount }, (_, index) => subscribe(`subscriber-${index}`)))
process.on('message', ({ warmMs, measureMs }: { warmMs: number; measureMs: number }) => {
  setTimeout(() => {
    const startMs = performance.now()
    const before = receivedTotal
    setTimeout(() => tell({ received: receivedTotal - before, elapsedMs: performance.now() - startMs }), measureMs)
  }, warmMs)
})
process.on('disconnect', () => process.exit(0))
tell({ ready: true })
