// Proves that no bytes of one client reach another unchecked: mutated sessions and packets of MQTT 3.1.1 and 5 over real sockets, on both listeners, are
// answered or closed, nothing is thrown, and well-behaved neighbours of both versions, publisher and subscribers of everything, notice nothing.

import type { IClientOptions, MqttClient } from 'mqtt'
import t, { type Test } from 'tap'
import { Prng, seeds } from '../sim/prng.ts'
import { textOf } from './controlled-store.ts'
import { connectPacket, packet, publishPacket, subscribePacket } from './packets.ts'
import { startGateway, type TestGateway, turns } from './rig.ts'
import { CONNECT_BYTES, mutate, mutatedWill, mutatePacket, validSession } from './session.ts'
import { CONNECT5_BYTES, mutatedWill5, mutatePacket5, validSession5 } from './session-5.ts'

const ROUNDS = 60
const MUTATED_PACKETS = 20_000
const PACKETS_PER_CONNECTION = 5
const CONNECTIONS_AT_A_TIME = 25

t.setTimeout(240_000)

interface Neighbours {
  readonly publisher: MqttClient
  readonly got: ReadonlyMap<string, string[]>
  readonly closed: readonly string[]
}

/** Who sends what no client may send, and the version of the publisher beside. */
const OFFENDERS = [
  { version: 4, session: validSession, connectBytes: CONNECT_BYTES, will: mutatedWill, packet: mutatePacket },
  { version: 5, session: validSession5, connectBytes: CONNECT5_BYTES, will: mutatedWill5, packet: mutatePacket5 }
] as const

/** Clients of a library that did not write the broker: they also close when they are sent what they may not be sent. */
async function neighbours(gateway: TestGateway, publisherVersion: 4 | 5 = 4): Promise<Neighbours> {
  const got = new Map<string, string[]>()
  const closed: string[] = []
  const join = async (clientId: string, options: IClientOptions = {}): Promise<MqttClient> => {
    const client = await gateway.client({ clientId, ...options })
    client.on('close', () => closed.push(clientId))
    return client
  }
  const subscriptions: [string, string, 0 | 1 | 2, boolean, 4 | 5][] = [
    ['all-0', '#', 0, true, 4],
    ['all-1', '#', 1, true, 4],
    ['all-2', '+/#', 2, true, 4],
    ['kept', '#', 2, false, 4],
    ['all-1-5', '#', 1, true, 5],
    ['kept-5', '+/#', 2, false, 5]
  ]
  for (const [clientId, filter, qos, clean, protocolVersion] of subscriptions) {
    const properties = clean || protocolVersion === 4 ? {} : { properties: { sessionExpiryInterval: 60 } }
    const subscriber = await join(clientId, { clean, port: clean ? gateway.port : gateway.otherPort, protocolVersion, ...properties })
    const values: string[] = []
    got.set(clientId, values)
    subscriber.on('message', (topic, payload) => topic === 'd/good' && values.push(payload.toString()))
    await subscriber.subscribeAsync(filter, { qos })
  }
  return { publisher: await join('publisher', { protocolVersion: publisherVersion }), got, closed }
}

async function judge(t: Test, gateway: TestGateway, { got, closed }: Neighbours, count: number): Promise<void> {
  t.same(closed, [], 'no connection of a neighbour was closed')
  const expected = Array.from({ length: count }, (_, index) => `${index}`)
  await turns(() => [...got.values()].every(({ length }) => length === count))
  for (const [clientId, values] of got) t.same(values, expected, `${clientId} got everything, in order`)
  const good = gateway.store.recordsOf('events').filter(({ headers }) => textOf(headers[1]?.value) === 'publisher')
  t.same(
    good.map(({ value }) => textOf(value)),
    expected
  )
  await turns(() => gateway.broker.metrics.connections === got.size + 1)
  t.equal(gateway.broker.metrics.connections, got.size + 1, 'nothing of the offenders is left')
}

for (const { version, session, connectBytes } of OFFENDERS) {
  for (const seed of seeds({ count: 4 })) {
    t.test(`neighbours notice nothing of mutated sessions of version ${version} (SEED=${seed})`, async (t) => {
      const prng = new Prng(seed)
      const gateway = await startGateway(t, { unmatched: { action: 'drop' }, limits: { packetBytesMax: 4096 } })
      const around = await neighbours(gateway, version)
      for (let round = 0; round < ROUNDS; round++) {
        const offender = gateway.raw(prng.pick([gateway.port, gateway.otherPort]))
        const bytes = mutate(prng, session(), connectBytes)
        const cut = prng.below(bytes.length)
        offender.send(bytes.subarray(0, cut))
        if (prng.chance(50)) await turns(undefined, 2)
        offender.send(bytes.subarray(cut))
        await around.publisher.publishAsync('d/good', `${round}`, { qos: 1 })
        if (prng.chance(50)) await turns(undefined, 3)
        offender.destroy()
      }
      await judge(t, gateway, around, ROUNDS)
    })
  }
}

for (const { version, will, packet: mutated } of OFFENDERS) {
  for (const seed of seeds({ count: 1 })) {
    t.test(`neighbours notice nothing of ${MUTATED_PACKETS} mutated packets of version ${version} (SEED=${seed})`, async (t) => {
      const prng = new Prng(seed)
      const limits = { packetBytesMax: 4096, outboundBytesMax: 64 * 1024 * 1024 }
      const gateway = await startGateway(t, { unmatched: { action: 'drop' }, limits })
      const around = await neighbours(gateway, version)
      let rounds = 0
      for (let sent = 0; sent < MUTATED_PACKETS; rounds++) {
        const offenders = Array.from({ length: CONNECTIONS_AT_A_TIME }, (_, index) => {
          const packets = Array.from({ length: PACKETS_PER_CONNECTION - 1 }, () => mutated(prng))
          sent += PACKETS_PER_CONNECTION
          return gateway.raw(prng.pick([gateway.port, gateway.otherPort])).send(will(prng, `offender${index}`), ...packets)
        })
        await around.publisher.publishAsync('d/good', `${rounds}`, { qos: 1 })
        await turns(() => offenders.every(({ isClosed, received }) => isClosed || received.length > 0), 200)
        for (const offender of offenders) offender.destroy()
      }
      await judge(t, gateway, around, rounds)
    })
  }
}

t.test('what the serializer does not know is refused at its sender', async (t) => {
  const gateway = await startGateway(t, { unmatched: { action: 'drop' } })
  const around = await neighbours(gateway)
  const will = { topic: 'd/will', payload: Buffer.from('x') }
  const refused = [
    connectPacket({ clientId: 'qos3', will, willQos: 3 }),
    connectPacket({ clientId: 'utf8', will: { ...will, topic: Buffer.from([0x64, 0xff]) } }),
    connectPacket({ clientId: 'nul', will: { ...will, topic: 'd/\0' } })
  ]
  for (const bytes of refused) {
    const offender = gateway.raw().send(bytes)
    await offender.closed()
    t.same(offender.received, [], 'no CONNACK')
    t.equal(gateway.events.at(-1)?.reason, 'will')
  }
  const repeated = await gateway.raw().connected({ clientId: 'dup' })
  repeated.send(publishPacket({ topic: 'd/dup', qos: 1, dup: true }))
  await repeated.saw('puback 1')
  const raw = await gateway.raw().connected({ clientId: 'raw-sub' })
  raw.send(subscribePacket(1, 'd/dup', 0))
  await raw.saw('suback 1')
  repeated.send(publishPacket({ topic: 'd/dup', qos: 1, packetId: 2, dup: true }), packet(0xc0))
  await raw.saw('publish d/dup')
  t.equal(raw.firstBytes.at(-1), 0x30, 'a repeat for us is not a repeat for a subscriber')
  await around.publisher.publishAsync('d/good', '0', { qos: 1 })
  repeated.destroy()
  raw.destroy()
  await judge(t, gateway, around, 1)
})
