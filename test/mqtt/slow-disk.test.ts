// Proves that a slow disk disconnects nobody: while a pause of reading or a commit that is under way keeps a connection's bytes unread, its
// keep-alive does not run out, nor does the time to connect; afterwards a client that is really gone is found.

import t from 'tap'
import { connectPacket, pingPacket, publishPacket, type RawClient } from './packets.ts'
import { startGateway, turns } from './rig.ts'

const CLIENTS = 60
/** Ends after half as much again. */
const KEEP_ALIVE_S = 3
const HOLD_MS = 10_000
const wait = (durationMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, durationMs))

t.test('clients with a short keep-alive stay connected while the disk stands still', { timeout: 60_000 }, async (t) => {
  const { raw, store, ingest, broker, events } = await startGateway(t, {
    ingestLimits: { inFlightBytesMax: 90_000 },
    limits: { connectTimeoutMs: 1_000 }
  })
  const alive: RawClient[] = []
  const pings = setInterval(() => {
    for (const client of alive) if (!client.isClosed) client.send(pingPacket())
  }, 300)
  t.teardown(() => clearInterval(pings))
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, (_, index) => raw().connected({ clientId: `c${index}`, keepalive: KEEP_ALIVE_S }))
  )
  alive.push(...clients)
  store.isHeld = true
  const [waiting] = clients
  waiting?.send(publishPacket({ topic: 'd/x', payload: 'waits for the disk', qos: 1, packetId: 9 }))
  await turns(() => store.waitingCount === 1)
  const floods = await Promise.all(['f1', 'f2', 'f3', 'f4'].map((clientId) => raw().connected({ clientId, keepalive: KEEP_ALIVE_S })))
  alive.push(...floods)
  for (const flood of floods) {
    for (let packetId = 1; packetId <= 60; packetId++) {
      flood.send(publishPacket({ topic: 'd/x', payload: Buffer.alloc(1000), qos: 1, packetId }))
    }
  }
  await turns(() => ingest.isOverloaded)
  t.ok(ingest.isOverloaded, 'reading is paused')
  const answered = clients.map(({ received }) => received.length)
  const late = raw().send(connectPacket({ clientId: 'late' }))
  await wait(HOLD_MS)
  t.equal(clients.filter(({ isClosed }) => isClosed).length, 0, 'nobody was disconnected')
  t.notOk(floods.some(({ isClosed }) => isClosed))
  t.notOk(late.isClosed, 'nor one that wants to connect')
  await late.saw('connack 0') // while the disk stands
  const before = broker.metrics.connections
  for (let index = 0; index < 20; index++) (await raw().connected({ clientId: `gone${index}` })).socket.end()
  await turns(() => broker.metrics.connections === before, 10_000)
  t.equal(broker.metrics.connections, before, 'who connects and goes meanwhile is gone')
  const again = raw().send(connectPacket({ clientId: 'f1' }))
  await again.saw('connack 0')
  await turns(() => floods[0]?.isClosed === true, 10_000)
  t.ok(floods[0]?.isClosed, 'who comes again takes the place of its connection that is not read')
  alive.push(again)
  store.release()
  await waiting?.saw('puback 9')
  for (const [index, client] of clients.entries()) await client.until(() => client.received.length > (answered[index] ?? 0))
  for (const flood of floods.slice(1)) await flood.saw('puback 60')
  t.same(
    events.filter((event) => !('clientId' in event && event.clientId === 'f1')),
    []
  )

  clearInterval(pings)
  await turns(() => broker.metrics.connections === 2, 10_000)
  t.equal(broker.metrics.closed.get('keepalive-timeout'), CLIENTS + 3, 'who is silent afterwards is found')
  t.equal(broker.metrics.connections, 2, 'those without keep-alive stay')
})
