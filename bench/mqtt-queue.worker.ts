// Fills the queues of the sessions that mqtt-idle.worker.ts leaves behind: so many messages of QoS 1 for each, over a few connections, all acknowledged.
// Arguments: port, sessions, messages for each. Says { acknowledged }.

import { connect } from 'node:net'
import { connectPacket, PacketCounter, publishPacket } from './mqtt-packets.ts'
import { tell } from './worker.ts'

const CONNECTIONS = 4
const WINDOW = 200
const PAYLOAD = Buffer.alloc(100, 0x61)
const [portText = '0', sessionsText = '1', eachText = '1'] = process.argv.slice(2)
const sessions = Number(sessionsText)
const total = sessions * Number(eachText)

/** Every CONNECTIONS-th message, from `first` on. */
function fill(first: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: Number(portText), host: '127.0.0.1', noDelay: true })
    const count = Math.ceil((total - first) / CONNECTIONS)
    let sent = 0
    let acknowledged = 0
    const more = (): void => {
      const packets: Buffer[] = []
      for (; sent < count && sent - acknowledged < WINDOW; sent++) {
        const session = (first + sent * CONNECTIONS) % sessions
        packets.push(
          publishPacket(`bench/device-${String(session).padStart(5, '0')}/set`, { packetId: 1 + (sent % 65_535), payload: PAYLOAD })
        )
      }
      if (packets.length > 0) socket.write(Buffer.concat(packets))
    }
    const counter = new PacketCounter((bytes, at) => {
      if (bytes[at] === 0x20) return more()
      if (bytes[at] === 0x40 && ++acknowledged === count) {
        resolve(count)
        socket.destroy()
      }
    })
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`the broker closed a connection after ${acknowledged} of ${count}`)))
    socket.once('connect', () => socket.write(connectPacket(`fill-${first}`)))
    socket.on('data', (chunk) => {
      counter.push(chunk)
      if (sent - acknowledged < WINDOW / 2) more()
    })
  })
}

const counts = await Promise.all(Array.from({ length: CONNECTIONS }, (_, index) => fill(index)))
tell({ acknowledged: counts.reduce((sum, count) => sum + count, 0) })
