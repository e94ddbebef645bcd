// What one connection may send without credentials, and what of it has killed or bent brokers: names of Object.prototype, properties twice
// or cut off, wills and retained messages that poison others, ids that nobody knows, floods. hostile.test.ts runs them.

import {
  ack,
  auth,
  connect,
  disconnect,
  frame,
  join,
  NO_LOCAL,
  prop,
  publish,
  subscribe,
  text,
  u16,
  u32,
  unsubscribe,
  type Version
} from './encode.ts'
import { durable, type Rig } from './gateway.ts'
import { type RawClient, sleep } from './raw-client.ts'

export interface HostileCase {
  readonly name: string
  readonly versions: readonly Version[]
  readonly run: (rig: Rig, version: Version) => Promise<void>
}

const cases: HostileCase[] = []
const BOTH: readonly Version[] = [4, 5]

function hostile(name: string, run: HostileCase['run'], versions = BOTH): void {
  cases.push({ name, run, versions })
}

/** Answered or closed, whichever: what counts is the neighbours. */
async function settled(client: RawClient, ms = 40): Promise<void> {
  const endMs = Date.now() + ms
  while (!client.isClosed && Date.now() < endMs) await sleep(5)
  client.drop()
}

async function afterConnect(rig: Rig, version: Version, ...packets: readonly Uint8Array[]): Promise<void> {
  const client = await rig.connect(version)
  client.send(Buffer.concat(packets))
  await settled(client)
}

async function instead(rig: Rig, version: Version, ...packets: readonly Uint8Array[]): Promise<void> {
  const client = rig.open(version)
  client.send(Buffer.concat(packets))
  await settled(client)
}

const NAMES = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf', 'prototype']

for (const name of NAMES) {
  hostile(`client id ${name}, with a session and a takeover`, async (rig, version) => {
    for (let round = 0; round < 3; round++) {
      const client = rig.open(version)
      client.send(
        connect(version, durable(version, name)),
        subscribe(version, 1, [[name, 1]]),
        publish(version, { topic: name, qos: 2, packetId: 2 })
      )
      await settled(client, 30)
    }
  })
}

hostile('filters that are names of Object.prototype, subscribed and unsubscribed', async (rig, version) => {
  const client = await rig.connect(version)
  for (const name of NAMES) {
    await client.subscribe(name, 1)
    await client.subscribe(`${name}/+`, 1)
    await client.publish({ topic: name, payload: name, qos: 1, retain: true })
    await client.receive(({ text }) => text === name)
    await client.unsubscribe(name, `${name}/+`, `${name}/#`)
    await client.publish({ topic: name, retain: true, qos: 1 })
  }
})

hostile('two such filters in one packet', (rig, version) => {
  const filters = NAMES.map((name) => [name, 2] as const)
  return afterConnect(rig, version, subscribe(version, 1, filters), unsubscribe(version, 2, NAMES))
})

hostile('one filter twice in one packet, then unsubscribed twice', async (rig, version) => {
  const client = await rig.connect(version)
  await client.subscribe([
    ['h/twice', 1],
    ['h/twice', 0]
  ])
  await client.unsubscribe('h/twice', 'h/twice')
})

hostile('a will with QoS 3 for everybody with a wildcard', async (rig, version) => {
  const client = rig.open(version)
  client.send(connect(version, { clientId: rig.clientId(), will: { topic: 'h/will', payload: 'bad', qos: 3, retain: true } }))
  await settled(client, 40)
})

hostile('a will with nothing in it, retained', async (rig, version) => {
  await (await rig.connect(version, { will: { topic: 'h/__proto__', qos: 2, retain: true } })).vanish()
})

hostile('a will topic that is empty, with wildcards, under $', async (rig, version) => {
  for (const topic of ['', 'h/#', '$SYS/will', 'h/\0']) await instead(rig, version, connect(version, { will: { topic } }))
})

hostile('two PUBRELs of one id in one chunk', async (rig, version) => {
  const client = await rig.connect(version)
  client.send(publish(version, { topic: 'h/rel', qos: 2, packetId: 7 }))
  await client.next('pubrec')
  client.send(Buffer.concat([ack('pubrel', 7), ack('pubrel', 7), ack('pubrel', 7)]))
  await settled(client)
})

hostile('PUBRELs of a thousand ids that nobody knows', async (rig, version) => {
  await afterConnect(rig, version, ...Array.from({ length: 1_000 }, (_, index) => ack('pubrel', index + 1)))
})

hostile('PUBACK, PUBREC and PUBCOMP of ids that nobody knows', async (rig, version) => {
  const ids = Array.from({ length: 200 }, (_, index) => index + 1)
  await afterConnect(rig, version, ...ids.flatMap((id) => [ack('puback', id), ack('pubrec', id), ack('pubcomp', id)]))
})

hostile('the wrong acknowledgement for a delivery', async (rig, version) => {
  const client = await rig.subscriber(version, 'h/wrong', 2)
  await client.publish({ topic: 'h/wrong', qos: 1 })
  await client.publish({ topic: 'h/wrong', qos: 2 })
  for (const qos of [1, 2]) {
    const { packetId } = await client.next('publish', (packet) => packet.qos === qos)
    client.send(ack(qos === 1 ? 'pubrec' : 'puback', packetId), ack('pubcomp', packetId))
  }
  await settled(client)
})

hostile('one QoS 2 id ten times in one chunk, with QoS 1 between', async (rig, version) => {
  const packets = Array.from({ length: 10 }, (_, index) =>
    publish(version, { topic: 'h/same', qos: index % 3 === 0 ? 1 : 2, packetId: 4, dup: index > 0 })
  )
  await afterConnect(rig, version, ...packets, ack('pubrel', 4), ...packets)
})

hostile('topics and filters of ten thousand levels', async (rig, version) => {
  const deep = 'a/'.repeat(10_000)
  await afterConnect(rig, version, publish(version, { topic: deep, qos: 1, retain: true }))
  await afterConnect(rig, version, subscribe(version, 1, [[`${deep}#`, 0]]))
  await afterConnect(rig, version, subscribe(version, 1, [['+/'.repeat(5_000), 0]]))
})

hostile('names with control characters and the end of Unicode', async (rig, version) => {
  for (const topic of ['h/\u0001', 'h/\u007f', 'h/\u{10ffff}', 'h/\ufffe', '\ufeff', ' ']) {
    await afterConnect(rig, version, publish(version, { topic, qos: 1 }), subscribe(version, 2, [[topic, 0]]))
  }
})

hostile('a thousand filters in one SUBSCRIBE, and none', async (rig, version) => {
  const filters = Array.from({ length: 1_000 }, (_, index) => [`h/many/${index}`, 1] as const)
  await afterConnect(rig, version, subscribe(version, 1, filters))
  await afterConnect(rig, version, subscribe(version, 1, []))
})

hostile('filters of which every pair overlaps', async (rig, version) => {
  const client = await rig.connect(version)
  const filters = Array.from({ length: 64 }, (_, bits) => [...'abcdef'].map((name, level) => (bits & (1 << level) ? '+' : name)).join('/'))
  await client.subscribe(filters.map((filter) => [`h/${filter}`, 1]))
  await client.publish({ topic: 'h/a/b/c/d/e/f', qos: 1 })
  await settled(client)
})

hostile('lengths of five bytes, of 256 MiB, and one that never comes', async (rig, version) => {
  for (const first of [0x30, 0x82, 0xe0]) {
    await afterConnect(rig, version, Buffer.from([first, 0xff, 0xff, 0xff, 0xff, 0x7f]))
    await afterConnect(rig, version, Buffer.from([first, 0xff, 0xff, 0xff, 0x7f]))
    await afterConnect(rig, version, Buffer.from([first, 0x80]))
  }
})

hostile('server packets and types that do not exist', async (rig, version) => {
  for (const first of [0x00, 0x20, 0x90, 0xb0, 0xd0, 0xf1]) await afterConnect(rig, version, frame(first, u16(1), [0]))
})

hostile('nothing, half a CONNECT, and a reset in the middle', async (rig, version) => {
  for (const bytes of [Buffer.alloc(0), connect(version).subarray(0, 7), connect(version).subarray(0, 1)]) {
    const client = rig.open(version)
    client.send(bytes)
    await sleep(10)
    client.socket.resetAndDestroy()
  }
})

hostile('fifty connections that say nothing', async (rig, version) => {
  const silent = Array.from({ length: 50 }, () => rig.open(version))
  await sleep(30)
  for (const client of silent) client.drop()
})

hostile('CONNECT, everything and DISCONNECT in one chunk', async (rig, version) => {
  const packets = [
    subscribe(version, 1, [['h/one', 2]]),
    publish(version, { topic: 'h/one', qos: 2, packetId: 2 }),
    ack('pubrel', 2),
    disconnect()
  ]
  await instead(rig, version, connect(version, { clientId: rig.clientId() }), ...packets)
})

hostile('a half-closed socket', async (rig, version) => {
  const client = await rig.connect(version)
  client.send(publish(version, { topic: 'h/half', qos: 1 }))
  client.socket.end()
  await settled(client, 100)
})

hostile('a client that never reads while it is sent a lot', async (rig, version) => {
  const frozen = await rig.subscriber(version, 'h/frozen', 0)
  frozen.socket.pause()
  const publisher = await rig.connect(version)
  for (let index = 0; index < 40; index++) publisher.send(publish(version, { topic: 'h/frozen', payload: Buffer.alloc(50_000) }))
  await publisher.ping()
  frozen.drop()
})

hostile('a client id of 60,000 bytes, a password of 60,000, a user name of 60,000', async (rig, version) => {
  const long = 'x'.repeat(60_000)
  await instead(rig, version, connect(version, { clientId: long }))
  await instead(rig, version, connect(version, { user: long, password: long }))
})

hostile('ten thousand PINGREQs', async (rig, version) => {
  await afterConnect(rig, version, ...Array.from({ length: 10_000 }, () => frame(0xc0)))
})

hostile('thirty takeovers of one id in a row, with a will each', async (rig, version) => {
  const clientId = rig.clientId()
  const clients: RawClient[] = []
  for (let index = 0; index < 30; index++) {
    const client = rig.open(version)
    client.send(connect(version, durable(version, clientId, { will: { topic: 'h/fight', payload: `${index}`, qos: 1 } })))
    clients.push(client)
  }
  await sleep(150)
  for (const client of clients) client.drop()
})

hostile('topics under $ in PUBLISH, SUBSCRIBE and UNSUBSCRIBE', async (rig, version) => {
  for (const name of ['$SYS', '$SYS/#', '$share/g/#', '$share', '$', '$queue/x', '$share/g/+/x']) {
    await afterConnect(rig, version, subscribe(version, 1, [[name, 1]]), unsubscribe(version, 2, [name]))
    await afterConnect(rig, version, publish(version, { topic: name.replace(/[#+]/g, 'x'), qos: 1, retain: true }))
  }
})

hostile('a retained message to every name, and away again', async (rig, version) => {
  const client = await rig.connect(version)
  for (let index = 0; index < 50; index++) await client.publish({ topic: `h/keep/${index}`, payload: 'x', qos: 1, retain: true })
  for (let index = 0; index < 50; index++) await client.publish({ topic: `h/keep/${index}`, qos: 1, retain: true })
})

hostile('bytes by chance', async (rig, version) => {
  let state = 12_345
  const next = (): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) >>> 16
  for (let round = 0; round < 10; round++) await afterConnect(rig, version, Buffer.from(Array.from({ length: 200 }, () => next() & 0xff)))
})

// --- MQTT 5 alone

const only5 = (name: string, run: HostileCase['run']): void => hostile(name, run, [5])
const inPublish = (rig: Rig, ...props: readonly Uint8Array[]): Promise<void> =>
  afterConnect(rig, 5, publish(5, { topic: 'h/props', payload: 'x', qos: 1, props }))

only5('session expiry twice in CONNECT', (rig) => instead(rig, 5, connect(5, { props: [prop(17, 1), prop(17, 1)] })))
only5('session expiry twice in DISCONNECT', (rig) => afterConnect(rig, 5, disconnect(0, [prop(17, 1), prop(17, 2)])))
only5('every property of CONNECT twice', async (rig) => {
  for (const one of [prop(33, 9), prop(34, 9), prop(39, 99), prop(23, 1), prop(25, 1), prop(21, 'x'), prop(22, 'x')]) {
    await instead(rig, 5, connect(5, { props: [one, one] }))
  }
})
only5('a response topic that is longer than its packet', (rig) => inPublish(rig, join(8, u16(60_000), Buffer.from('x'))))
only5('strings of properties that are cut off', async (rig) => {
  for (const id of [3, 8, 9, 38]) await inPublish(rig, join(id, u16(9), Buffer.from('x')))
  for (const bytes of [[38], [38, 0], [38, 0, 1, 0x61], [38, 0, 1, 0x61, 0, 5], [3, 0]]) await inPublish(rig, Buffer.from(bytes))
})
only5('numbers of properties that are cut off', async (rig) => {
  for (const bytes of [[1], [2, 0, 0, 0], [35, 0], [2]]) await inPublish(rig, Buffer.from(bytes))
})
only5('a retained message with broken properties', async (rig) => {
  const bytes = publish(5, { topic: 'h/poison', payload: 'x', qos: 1, retain: true, props: [join(3, u16(100), Buffer.from('x'))] })
  await afterConnect(rig, 5, bytes)
  const later = await rig.subscriber(5, 'h/poison')
  await later.quiet('publish', 20)
})
only5('a queued message with broken properties', async (rig) => {
  const clientId = rig.clientId()
  await (await rig.subscriber(5, 'h/queued', 1, durable(5, clientId))).leave()
  await afterConnect(rig, 5, publish(5, { topic: 'h/queued', qos: 1, props: [join(38, text('k'))] }))
  const back = await rig.connect(5, durable(5, clientId))
  await back.quiet('publish', 20)
})
only5('properties that PUBLISH may not have', async (rig) => {
  for (const one of [
    prop(17, 1),
    prop(33, 1),
    prop(39, 1),
    prop(31, 'x'),
    prop(18, 'x'),
    prop(11, 1),
    prop(24, 1),
    Buffer.from([0x55, 1])
  ]) {
    await inPublish(rig, one)
  }
})
only5('a length of properties that reaches beyond the packet', async (rig) => {
  await afterConnect(rig, 5, frame(0x30, text('h/x'), [0x7f], Buffer.from('x')))
  await afterConnect(rig, 5, frame(0x82, u16(1), [0x7f], text('h/x'), [0]))
  await afterConnect(rig, 5, frame(0xe0, [0, 0x7f]))
})
only5('aliases beyond the maximum, zero, twice, and of no topic', async (rig) => {
  await inPublish(rig, prop(35, 17))
  await inPublish(rig, prop(35, 0))
  await inPublish(rig, prop(35, 1), prop(35, 2))
  await afterConnect(rig, 5, publish(5, { topic: '', props: [prop(35, 3)] }))
})
only5('all aliases given anew a thousand times', async (rig) => {
  const packets = Array.from({ length: 1_000 }, (_, index) =>
    publish(5, { topic: `h/alias/${index % 40}`, props: [prop(35, (index % 16) + 1)] })
  )
  await afterConnect(rig, 5, ...packets)
})
only5('ten thousand user properties, and a pair of 60,000 bytes', async (rig) => {
  await inPublish(rig, ...Array.from({ length: 10_000 }, () => prop(38, ['k', 'v'])))
  await inPublish(rig, prop(38, ['k'.repeat(60_000), 'v'.repeat(60_000)]))
})
only5('user properties that are names of Object.prototype', async (rig) => {
  await inPublish(rig, ...NAMES.map((name) => prop(38, [name, name])))
})
only5('message expiry of zero and of a hundred years', async (rig) => {
  await inPublish(rig, prop(2, 0))
  await inPublish(rig, prop(2, 0xffff_ffff))
})
only5('will delay and session expiry of a hundred years', async (rig) => {
  const will = { topic: 'h/delay', props: [prop(24, 0xffff_ffff), prop(2, 0)] }
  await (await rig.connect(5, { clientId: rig.clientId(), will, props: [prop(17, 0xffff_ffff)] })).vanish()
})
only5('will properties that are cut off or may not be there', async (rig) => {
  for (const one of [join(8, u16(99)), prop(17, 1), prop(35, 1), join(38, text('k')), join(24, [0])]) {
    await instead(rig, 5, connect(5, { will: { topic: 'h/will', props: [one] } }))
  }
})
only5('a largest packet of one byte', async (rig) => {
  await instead(rig, 5, connect(5, { clientId: rig.clientId(), props: [prop(39, 1)] }), subscribe(5, 1, [['#', 1]]))
})
only5('receive maximum 1 and no acknowledgement', async (rig) => {
  const slow = await rig.subscriber(5, 'h/slow', 2, { props: [prop(33, 1)] })
  const publisher = await rig.connect(5)
  for (let index = 0; index < 100; index++) await publisher.publish({ topic: 'h/slow', qos: 1 })
  await slow.ping()
  slow.drop()
})
only5('more open QoS 2 messages than the server takes', async (rig) => {
  await afterConnect(rig, 5, ...Array.from({ length: 2_000 }, (_, index) => publish(5, { topic: 'h/flood', qos: 2, packetId: index + 1 })))
})
only5('subscription ids of zero, of five bytes, twice', async (rig) => {
  const filters = [['h/x', 0]] as const
  for (const one of [prop(11, 0), join(11, [0xff, 0xff, 0xff, 0xff, 1]), join(11, [0x80])])
    await afterConnect(rig, 5, subscribe(5, 1, filters, [one]))
  await afterConnect(rig, 5, subscribe(5, 1, filters, [prop(11, 1), prop(11, 1)]))
})
only5('one filter twice in one packet with different options and an id', async (rig) => {
  const filters = [
    ['h/opt', 1 | NO_LOCAL],
    ['h/opt', 0x20]
  ] as const
  await afterConnect(rig, 5, subscribe(5, 1, filters, [prop(11, 3)]), publish(5, { topic: 'h/opt', qos: 1, packetId: 2 }))
})
only5('shared subscriptions, well and badly named', async (rig) => {
  for (const filter of ['$share/g/h/x', '$share//h', '$share/g', '$share/+/x', '$share/__proto__/#']) {
    await afterConnect(rig, 5, subscribe(5, 1, [[filter, 1]]))
    await afterConnect(rig, 5, subscribe(5, 1, [[filter, 1 | NO_LOCAL]]))
  }
})
only5('AUTH at every time', async (rig) => {
  await instead(rig, 5, auth(0x18, [prop(21, 'x')]))
  await instead(rig, 5, connect(5, { props: [prop(21, '__proto__')] }), auth(0x18, [prop(21, '__proto__')]))
  await instead(rig, 5, connect(5, { props: [prop(22, 'x')] }))
  await afterConnect(rig, 5, frame(0xf0))
  await afterConnect(rig, 5, auth(0x19, []))
})
only5('reason codes that do not exist', async (rig) => {
  for (const kind of ['puback', 'pubrec', 'pubrel', 'pubcomp'] as const) await afterConnect(rig, 5, ack(kind, 1, 0x42))
  await afterConnect(rig, 5, disconnect(0x42))
})
only5('reason strings and user properties where they may be, and cut off', async (rig) => {
  const long = prop(31, 'x'.repeat(2_000))
  await afterConnect(rig, 5, ack('puback', 1, 0, [long, prop(38, ['a', 'b'])]))
  await afterConnect(rig, 5, frame(0x40, u16(1), [0], [5], [31], u16(99), Buffer.from('x')))
  await afterConnect(rig, 5, disconnect(0, [long, long]))
})
only5('integers that are longer than they need be', async (rig) => {
  await afterConnect(rig, 5, Buffer.from([0xc0, 0x80, 0x80, 0x80, 0x00]))
  await afterConnect(rig, 5, frame(0x30, text('h/x'), [0x80, 0x80, 0x00]))
})
only5('binary data that says it is UTF-8', (rig) =>
  afterConnect(rig, 5, publish(5, { topic: 'h/utf8', payload: Buffer.from([0xff, 0xfe]), props: [prop(1, 1)] }))
)
only5('a session expiry raised in DISCONNECT', (rig) => afterConnect(rig, 5, disconnect(0, [join(17, u32(0xffff_ffff))])))
only5('protocol versions that do not exist', async (rig) => {
  for (const level of [0, 1, 2, 6, 0x84, 0xff]) {
    const client = rig.open(4)
    client.socket.removeAllListeners('data')
    client.send(connect(5, { level }))
    await settled(client)
  }
})

export const hostileCases: readonly HostileCase[] = cases
