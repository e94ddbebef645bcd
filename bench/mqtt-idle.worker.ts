// Clients that do nothing: each connects, subscribes to a filter of its own, and stays, or leaves a persistent session behind. They come from several
// addresses (Linux has all of 127/8): one may have 500 connections of a listener at most.
// Arguments: port, clients, MQTT version (4, 5), 'connected' or 'offline', and if need be a file with the CA of the gateway (then it is TLS). Says { ready } when all are where they should be.

import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { connectPacket, DISCONNECT, PacketCounter, subscribePacket } from './mqtt-packets.ts'
import { tell } from './worker.ts'

const AT_ONCE = 50
const KEEP_ALIVE_SECONDS = 600
const CLIENTS_PER_ADDRESS = 400
const [portText = '0', countText = '1', versionText = '4', kind = 'connected', caFile = ''] = process.argv.slice(2)
const port = Number(portText)
const ca = caFile === '' ? '' : readFileSync(caFile)
const count = Number(countText)
const version = versionText === '5' ? 5 : 4
const isOffline = kind === 'offline'

function arrive(index: number): Promise<void> {
  const clientId = `device-${String(index).padStart(5, '0')}`
  const localAddress = `127.0.0.${1 + Math.floor(index / CLIENTS_PER_ADDRESS)}`
  return new Promise((resolve, reject) => {
    const target = { port, host: '127.0.0.1', localAddress, noDelay: true }
    const socket: Socket = caFile === '' ? connect(target) : connectTls({ ...target, ca })
    let isSubscribed = false
    const counter = new PacketCounter((bytes, at) => {
      if (bytes[at] !== 0x90) return
      isSubscribed = true
      if (isOffline) socket.end(DISCONNECT)
      else resolve()
    })
    socket.on('error', reject)
    socket.on('close', () => (isSubscribed && isOffline ? resolve() : reject(new Error('the broker closed a connection'))))
    socket.once(caFile === '' ? 'connect' : 'secureConnect', () => {
      const options = { version, isClean: !isOffline, keepAliveSeconds: KEEP_ALIVE_SECONDS } as const
      socket.write(Buffer.concat([connectPacket(clientId, options), subscribePacket(`bench/${clientId}/set`, { version, qos: 1 })]))
    })
    socket.on('data', (chunk) => counter.push(chunk))
  })
}

let next = 0
async function arriveInTurn(): Promise<void> {
  while (next < count) await arrive(next++)
}

await Promise.all(Array.from({ length: AT_ONCE }, arriveInTurn))
process.on('disconnect', () => process.exit(0))
tell({ ready: true })
