// A plain kafkajs producer: what a gateway would do without Wadi. Sends the events of fill.worker.ts, 1,000 to a send, acks = all.
// Arguments: broker host:port, topic, events, codec ('none' | 'gzip'). Says { elapsedMs, wireBytes }.

import { connect, type Socket } from 'node:net'
import { CompressionTypes, Kafka, logLevel } from 'kafkajs'
import { sensorPayload } from './harness.ts'
import { tell } from './worker.ts'

const EVENTS_PER_SEND = 1_000
const [broker = '', topic = '', events = '0', codec = 'none'] = process.argv.slice(2)

const sockets: Socket[] = []
const kafka = new Kafka({
  brokers: [broker],
  logLevel: logLevel.ERROR,
  socketFactory: ({ host, port, onConnect }) => {
    const socket = connect({ host, port }, onConnect)
    sockets.push(socket)
    return socket
  }
})
const producer = kafka.producer({ allowAutoTopicCreation: false })
await producer.connect()
const startMs = performance.now()
for (let sent = 0; sent < Number(events); sent += EVENTS_PER_SEND) {
  const count = Math.min(EVENTS_PER_SEND, Number(events) - sent)
  const messages = Array.from({ length: count }, (_, offset) => ({
    key: `dev-${(sent + offset) % 200}`,
    value: sensorPayload(sent + offset, 100)
  }))
  const compression = codec === 'gzip' ? CompressionTypes.GZIP : CompressionTypes.None
  await producer.send({ topic, acks: -1, compression, messages })
}
const elapsedMs = performance.now() - startMs
tell({ elapsedMs, wireBytes: sockets.reduce((sum, socket) => sum + socket.bytesWritten + socket.bytesRead, 0) })
await producer.disconnect()
