// Proves for adapters/mqtt/session-store.ts: what is kept for sessions is counted and keeps no memory besides its own.

import t from 'tap'
import type { Persistence } from '../../adapters/mqtt/aedes-insides.ts'
import { defaultMqttLimits } from '../../adapters/mqtt/limits.ts'
import type { Qos2Memory } from '../../adapters/mqtt/qos2-memory.ts'
import { SessionStore } from '../../adapters/mqtt/session-store.ts'

const READ_BYTES = 64 * 1024

function newStore(limits: Partial<typeof defaultMqttLimits>): {
  store: SessionStore
  persistence: Persistence
  kept: { payload: Uint8Array }[]
} {
  const kept: { payload: Uint8Array }[] = []
  const nothing = async (): Promise<void> => {}
  const persistence: Persistence = {
    storeRetained: async (packet) => kept.push(packet),
    outgoingEnqueueCombi: async (_, packet) => kept.push(packet),
    outgoingClearMessageId: async (_, packet) => packet,
    outgoingUpdate: nothing,
    addSubscriptions: nothing,
    cleanSubscriptions: nothing,
    subscriptionsByTopic: async () => [],
    incomingStorePacket: nothing,
    incomingGetPacket: nothing,
    incomingDelPacket: nothing,
    cleanIncoming: nothing
  }
  const store = new SessionStore({
    limits: { ...defaultMqttLimits, ...limits },
    qos2: {} as Qos2Memory,
    isGranted: () => true,
    isRepeat: () => false
  })
  store.install(persistence)
  return { store, persistence, kept }
}

/** A payload as a socket gives it: a view of all that was read. */
function payloadOf(bytes: number): Uint8Array {
  return new Uint8Array(new ArrayBuffer(READ_BYTES), 100, bytes)
}

const client = { id: 'absent', clean: false, connecting: false, conn: { destroy: () => undefined } }
const subscription = { clientId: 'absent', topic: '#', qos: 1 }

t.test('a small payload that is kept does not keep the read of the socket that it came in', async (t) => {
  const { persistence, kept } = newStore({})
  await persistence.storeRetained({ cmd: 'publish', topic: 'a', payload: payloadOf(5) })
  await persistence.outgoingEnqueueCombi([subscription], { cmd: 'publish', topic: 'a', payload: payloadOf(7) })
  t.same(
    kept.map(({ payload }) => [payload.byteLength, payload.buffer.byteLength]),
    [
      [5, 5],
      [7, 7]
    ]
  )
})

t.test('empty messages count too, and what a client acknowledges is given back', async (t) => {
  const { store, persistence, kept } = newStore({ offlineBytesMax: 2_100 })
  const packet = { cmd: 'publish', topic: 'a', messageId: 1, payload: new Uint8Array(0) }
  const enqueue = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) await persistence.outgoingEnqueueCombi([subscription], packet)
  }
  await enqueue(20)
  t.equal(store.metrics.offlineDropped, 10)
  for (let i = 0; i < 10; i++) await persistence.outgoingClearMessageId(client, { ...packet, cmd: 'pubrel' })
  await enqueue(10)
  t.equal(store.metrics.offlineDropped, 10, 'there is room again')
  t.equal(kept.length, 30)
})

t.test('a place for a persistent session is taken when it is granted, not when its subscriptions are stored', async (t) => {
  const { store, persistence } = newStore({ sessionsMax: 2 })
  const named = (id: string) => ({ ...client, id })
  t.same(
    ['a', 'b', 'c', 'a'].map((id) => store.admit(named(id))),
    [true, true, false, true]
  )
  t.ok(store.admit({ id: 'd', clean: true }), 'a session that ends with its connection takes no place')
  await persistence.cleanSubscriptions(named('a'))
  t.ok(store.admit(named('c')))
})
