// Clients that do nothing: each connects, subscribes to a filter of its own, and stays, or leaves a persistent session behind.
// Arguments: port, clients, MQTT version (4, 5), 'connected' or 'offline'. Says { ready } when all are where they should be.

import { connect, type Socket } from 'node:net'
import { connectPacket, DISCONNECT, PacketCounter, subscribePacket } from './mqtt-packets.ts'
import { tell } from './worker.ts'

const AT_ONCE = 50
const KEEP_ALIVE_SECONDS = 600
const [portText = '0', countText = '1', versionText = '4', kind = 'connected'] = process.argv.slice(2)
const port = Number(portText)
const count = Number(countText)
const version = versionText === '5' ? 5 : 4
const isOffline = kind === 'offline'

function arrive(clientId: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true })
    let isSubscribed = false
    const counter = new PacketCounter((bytes, at) => {
      if (bytes[at] !== 0x90) return
      isSubscribed = true
      if (isOffline) socket.end(DISCONNECT)
      else resolve()
    })
    socket.on('error', reject)
    socket.on('close', () => (isSubscribed && isOffline ? resolve() : reject(new Error('the broker closed a connection'))))
    socket.once('connect', () => {
      const options = { version, isClean: !isOffline, keepAliveSeconds: KEEP_ALIVE_SECONDS } as const
      socket.write(Buffer.concat([connectPacket(clientId, options), subscribePacket(`bench/${clientId}/set`, { version, qos: 1 })]))
    })
    socket.on('data', (chunk) => counter.push(chunk))
  })
}

let next = 0
async function arriveInTurn(): Promise<void> {
  while (next < count) await arrive(`device-${String(next++).padStart(5, '0')}`)
}

await Promise.all(Array.from({ length: AT_ONCE }, arriveInTurn))
process.on('disconnect', () => process.exit(0))
tell({ ready: true })
