// Proves that the broker knows no particular session layer: another one is handed sockets and stores through it.

import type { Socket } from 'node:net'
import t from 'tap'
import { Listener } from '../../adapters/mqtt/listener.ts'
import { createMqttBroker } from '../../adapters/mqtt/mqtt-broker.ts'
import type { Connection, Session, SessionLayer, SessionLayerOptions } from '../../adapters/mqtt/session-layer.ts'
import { Ingest } from '../../runtime/broker/ingest.ts'
import { compileRoutes } from '../../runtime/broker/routes.ts'
import { nodeClock } from '../../runtime/io/node-clock.ts'
import { createNodeCodec } from '../../runtime/io/node-codec.ts'
import { loadTestCore } from '../helpers/core.ts'
import { ControlledStore, diskFull, textOf } from './controlled-store.ts'
import { connectPacket, publishPacket, RawClient } from './packets.ts'
import { turns } from './rig.ts'

/** Takes each chunk behind the first for a message, and answers with a line. */
class LineSessions implements SessionLayer {
  readonly qos2 = { begin: () => ({ kind: 'full' }) as const }
  readonly metrics = {
    ...{
      clients: 0,
      sessions: 0,
      subscriptions: 0,
      retained: 0,
      retainedBytes: 0,
      wills: 0,
      willsDropped: 0,
      queuedBytes: 0,
      queuedPlaces: 0,
      deliveries: 0
    },
    ...{ qos2Remembered: 0, qos2Repeats: 0, qos2GivenUp: 0, deliveriesDropped: 0, offlineDropped: 0, retainedRefused: 0, damaged: 0 }
  }
  readonly answers: string[] = []
  readonly #sockets: Socket[] = []
  isStarted = false
  isClosed = false
  readonly #handlers: SessionLayerOptions['handlers']

  constructor({ handlers }: SessionLayerOptions) {
    this.#handlers = handlers
  }

  start(): Promise<void> {
    this.isStarted = true
    return Promise.resolve()
  }

  accept(connection: Connection): void {
    const { socket, input } = connection
    this.#sockets.push(socket)
    const session: Session = { id: 'line', clean: true, closed: false, closesOnRefusal: true }
    this.#handlers.authenticate(session, connection, { userName: null, password: null }, (refusal) => this.answers.push(`${refusal}`))
    input.start(() => this.#read(session, connection))
  }

  #read(session: Session, connection: Connection): void {
    const chunk = connection.input.read(Number.POSITIVE_INFINITY)
    if (chunk === null) return
    const packet = {
      topic: 'd/line',
      payload: Buffer.from(chunk.subarray(-1)),
      qos: 1 as const,
      packetId: 1,
      isRetained: false,
      properties: null
    }
    this.#handlers.publish(session, packet, (error) => {
      this.answers.push(error ? error.message : 'stored')
      if (!error) return
      this.#handlers.failed(connection, session.id, 'storage', 'refused')
      connection.socket.destroy()
    })
  }

  async *list(): AsyncGenerator<never, void, void> {}

  find(): null {
    return null
  }

  end(): Promise<null> {
    return Promise.resolve(null)
  }

  endConnections(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  stored(): void {}

  close(): Promise<void> {
    this.isClosed = true
    return Promise.resolve()
  }
}

t.test('another session layer stands behind the same listeners, intake and counters', async (t) => {
  const core = loadTestCore()
  const store = new ControlledStore()
  await store.createTopic('events')
  const { table } = compileRoutes(
    { routes: [{ name: null, filter: 'd/#rest', topic: 'events', key: null }], unmatched: { action: 'reject' }, deadLetter: 'events' },
    { json: () => null, cbor: () => null }
  )
  const ingest = new Ingest({ store: store.asStore(), core, clock: nodeClock, table })
  const listener = new Listener({ port: 0 })
  await listener.bind()
  let sessions: LineSessions | undefined
  const createSessions = (options: SessionLayerOptions): LineSessions => (sessions = new LineSessions(options))
  const broker = createMqttBroker({ ingest, store: store.asStore(), core, codec: createNodeCodec(), createSessions })
  await broker.start()
  broker.addListener(listener)
  const client = new RawClient(broker.addresses[0]?.port ?? 0)
  t.teardown(() => client.destroy())
  client.send(connectPacket())
  await turns(() => store.recordsOf('events').length === 1)
  client.send(publishPacket({ topic: 'd/x', payload: '1' }))
  await turns(() => store.recordsOf('events').length === 2)
  t.equal(textOf(store.recordsOf('events')[1]?.value), '1')
  store.refusal = diskFull()
  client.send(publishPacket({ topic: 'd/x', payload: '2' }))
  await client.closed()
  t.same(sessions?.answers.slice(0, 3), ['null', 'stored', 'stored'])
  t.equal(broker.metrics.closed.get('storage'), 1)
  await broker.close()
  t.same([sessions?.isStarted, sessions?.isClosed], [true, true])
})
