// Proves that the last packet reaches a client that is still sending: what it sends on is taken and thrown away until it closes too, or a second has passed.
// Otherwise the kernel would answer it with a reset, and many a client reports that in place of the reason code that it has not read yet. Its session is
// free meanwhile.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { connect as connectPacket, disconnect, publish, subscribe } from './conformance/encode.ts'
import { startGateway, type TestGateway, turns } from './rig.ts'

const VERSION = 5
const MORE = publish(VERSION, { topic: 'd/x', qos: 0 })

/** Of a client that is being closed, once it has seen the end: what it was sent. It keeps its own side open. */
async function refusedClient(
  t: { teardown(callback: () => unknown): void },
  { port }: TestGateway
): Promise<{ socket: Socket; received: Buffer; errors: Error[] }> {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
  const errors: Error[] = []
  const chunks: Buffer[] = []
  t.teardown(() => socket.destroy())
  socket.on('error', (error) => errors.push(error)).on('data', (chunk) => chunks.push(chunk))
  socket.write(connectPacket(VERSION, { clientId: 'sending' }))
  socket.write(subscribe(VERSION, 1, [])) // no filter: a protocol error
  await once(socket, 'end')
  return { socket, received: Buffer.concat(chunks), errors }
}

/** Time enough for a reset to come back. */
async function sendsOn({ socket, errors }: { socket: Socket; errors: readonly Error[] }): Promise<void> {
  for (let count = 0; count < 10 && errors.length === 0; count++) {
    socket.write(MORE)
    await turns(undefined, 10)
  }
}

t.test('what a client sends behind our DISCONNECT is not answered with a reset', async (t) => {
  const gateway = await startGateway(t)
  const client = await refusedClient(t, gateway)
  t.ok(client.received.includes(Buffer.from([0x82])), 'DISCONNECT with its reason')
  await sendsOn(client)
  t.same(client.errors, [])
  t.equal(gateway.store.recordsOf('events').length, 0, 'and is not carried out')
  client.socket.end(disconnect())
  await turns(() => client.socket.destroyed)
  t.ok(client.socket.destroyed, 'it closes as soon as the client does')
  t.same(client.errors, [])
})

t.test('its place is free meanwhile, and it is the first to go when a hundred others are being closed', async (t) => {
  const gateway = await startGateway(t, { limits: { connectionsMax: 1, connectionsPerAddressMax: 1 } })
  const first = await refusedClient(t, gateway)
  const second = await refusedClient(t, gateway)
  for (let count = 0; count < 99; count++) await refusedClient(t, gateway)
  t.equal(gateway.broker.metrics.connections, 0)
  await sendsOn(second)
  t.same(second.errors, [], 'one of a hundred')
  await sendsOn(first)
  t.equal(first.errors.length, 1, 'a reset')
})

t.test('its session is free meanwhile; one that does not close is closed', async (t) => {
  const gateway = await startGateway(t)
  const client = await refusedClient(t, gateway)
  await turns(() => gateway.broker.metrics.clients === 0)
  t.equal(gateway.broker.metrics.clients, 0)
  await sendsOn(client)
  t.same(client.errors, [], 'it is still taken')
  for (let count = 0; count < 500 && client.errors.length === 0; count++) await sendsOn(client)
  t.equal(client.errors.length, 1, 'a reset')
})

t.test('a connection that is closed leaves no timer behind, which would hold all of it', async (t) => {
  const gateway = await startGateway(t)
  const { setTimeout: set, clearTimeout: clear } = globalThis
  t.teardown(() => Object.assign(globalThis, { setTimeout: set, clearTimeout: clear }))
  const running = new Set<unknown>()
  Object.assign(globalThis, {
    setTimeout: (callback: () => void, ms: number) => {
      const timer = set(callback, ms)
      if (ms >= 500) running.add(timer)
      return timer
    },
    clearTimeout: (timer: NodeJS.Timeout) => {
      running.delete(timer)
      clear(timer)
    }
  })
  for (let count = 0; count < 5; count++) {
    const { socket } = await refusedClient(t, gateway)
    t.ok(running.size > 0, 'it is waited for')
    socket.end(disconnect())
    await once(socket, 'close')
  }
  await turns(() => running.size === 0, 50)
  t.equal(running.size, 0)
})
