// Proves for adapters/mqtt/packet-reader.ts what is particular to MQTT 3.1 and 3.1.1: repeats with DUP, bridges, limits; and for all versions that nothing
// which is kept for long keeps a read of the socket.

import t from 'tap'
import { willFault } from '../../adapters/mqtt/name-rules.ts'
import { PacketReader } from '../../adapters/mqtt/packet-reader.ts'
import type { ConnectPacket, PublishPacket, WillPacket } from '../../adapters/mqtt/packets.ts'
import { collector } from '../helpers/collector.ts'
import { connectPacket, packet, publishPacket, remainingLength, string, subscribePacket, unsubscribePacket } from './packets.ts'
import { block, connect5, publish5, userProperty, will5 } from './packets-5.ts'
import { bytewise, everySplit, read, smallLimits, TOPIC_ALIAS_MAX, wordsOf } from './reading.ts'
import { startGateway, turns } from './rig.ts'

const X = string('x')
const connectOf = (name: string, level: number, flags = 2, ...fields: Buffer[]): Buffer =>
  packet(0x10, string(name), [level, flags], [0, 9], ...fields)
const CONNECT_31 = connectOf('MQIsdp', 3, 2, X)
const CONNECT_311 = connectPacket()

function verdict(...packets: Uint8Array[]): string {
  const bytes = Buffer.concat(packets)
  const words = new Set([...everySplit(bytes)].map((chunks) => wordsOf(read(chunks))))
  if (words.size > 1) throw new Error(`another reading in pieces: ${[...words].join(' / ')}`)
  return read([bytes]).fault?.reason ?? 'passes'
}

t.test('MQTT 3.1 repeats PUBREL, SUBSCRIBE and UNSUBSCRIBE with DUP; later versions have no such flag', async (t) => {
  const repeats = [packet(0x6a, [0, 1]), packet(0x8a, [0, 1], X, [0]), packet(0xaa, [0, 1], X)]
  for (const repeat of repeats) {
    t.equal(verdict(CONNECT_31, repeat), 'passes')
    t.equal(verdict(CONNECT_311, repeat), 'packet-flags')
    t.equal(verdict(connect5(), repeat), 'packet-flags')
  }
  for (const first of [0x4a, 0x5a, 0x7a, 0xca, 0xea, 0x60, 0x68, 0x6b, 0x80, 0xa3, 0x48, 0x58, 0x78, 0xc8, 0xe8])
    t.equal(verdict(CONNECT_31, Buffer.from([first])), 'packet-flags')
})

t.test('MQTT 3.1: every field of CONNECT', async (t) => {
  const full = connectOf('MQIsdp', 3, 0xf4, X, string('w'), string('bye'), string('user'), string('secret'))
  t.equal(verdict(full), 'passes')
  const [connect] = read([full]).packets
  t.match(connect, {
    version: 3,
    isBridge: false,
    isClean: false,
    keepAliveSeconds: 9,
    clientId: 'x',
    userName: 'user',
    sessionExpirySeconds: 0xffffffff
  })
  t.match(connect, { will: { topic: 'w', qos: 2, retain: true, delaySeconds: 0, properties: null }, receiveMaximum: 65_535 })
  t.match(read([CONNECT_31]).packets, [{ isClean: true, sessionExpirySeconds: 0 }])
})

t.test('MQTT 3: a client id that is no text is answered with 2, other faults of CONNECT not at all', async (t) => {
  const bad = string(Buffer.from([0xff]))
  for (const [name, level] of [['MQTT', 4] as const, ['MQIsdp', 3] as const]) {
    const answerTo = (bytes: Uint8Array): Uint8Array | null | undefined => read([bytes]).fault?.answer
    t.same([...(answerTo(connectOf(name, level, 2, bad)) ?? [])], [0x20, 2, 0, 2])
    for (const fault of [connectOf(name, level, 3, X), connectOf(name, level, 0x82, X, bad), connectOf(name, level, 6, X, bad, X)])
      t.equal(answerTo(fault), null)
  }
})

t.test('MQTT 3: fixed lengths are known before anything is kept; the form of the remaining length is free', async (t) => {
  for (const connect of [CONNECT_31, CONNECT_311]) {
    for (const first of [0x40, 0x50, 0x62, 0x70]) {
      for (const length of [0, 1, 3, 100]) t.equal(verdict(connect, Buffer.from([first, length])), 'packet-length')
      t.equal(verdict(connect, Buffer.from([first, 2, 0, 1])), 'passes')
    }
    t.equal(verdict(connect, Buffer.from([0xe0, 1])), 'packet-length', 'DISCONNECT')
    t.equal(verdict(connect, Buffer.from([0xe0, 0x80, 0x00])), 'passes')
    t.equal(verdict(Buffer.from([0x10, 0x80 | (connect.length - 2), 0]), connect.subarray(2)), 'passes')
    t.equal(verdict(connect, Buffer.from([0x30, 0x84, 0x80, 0x80, 0x00, 0, 1, 0x61, 0x62])), 'passes')
  }
})

t.test('a bridge of Mosquitto gets no message of its own back, and the retain flag as it was published', async (t) => {
  for (const [name, level, isBridge] of [
    ['MQTT', 0x84, true],
    ['MQIsdp', 0x83, true],
    ['MQTT', 4, false],
    ['MQIsdp', 3, false]
  ] as const) {
    const [connect, subscribe] = read([connectOf(name, level, 2, X), subscribePacket(1, '#', 1)]).packets
    t.match(connect, { isBridge })
    t.match(subscribe, { subscriptions: [{ filter: '#', qos: 1, noLocal: isBridge, retainAsPublished: isBridge, retainHandling: 0 }] })
  }
  const { raw, store } = await startGateway(t)
  const bridge = raw().send(connectOf('MQTT', 0x84, 2, string('bridge')))
  const other = await raw().connected({ clientId: 'other' })
  await bridge.saw('connack 0')
  bridge.send(subscribePacket(1, '#'))
  await bridge.saw('suback 1')
  bridge.send(publishPacket({ topic: 'd/own', qos: 1 }))
  await bridge.saw('puback 1')
  other.send(publishPacket({ topic: 'd/other', qos: 1, retain: true }))
  await bridge.saw('publish d/other')
  t.equal(bridge.firstBytes.at(-1), 0x31)
  t.notOk(bridge.received.includes('publish d/own'))
  t.equal(store.recordsOf('events').length, 2)
})

t.test('limits of names are those of topics everywhere, and can be reached', async (t) => {
  const { topicLevelsMax, mqttTopicBytesMax } = smallLimits
  const deepest = '/'.repeat(topicLevelsMax - 1)
  t.equal(verdict(CONNECT_311, publishPacket({ topic: deepest }), subscribePacket(1, deepest), unsubscribePacket(1, deepest)), 'passes')
  for (const deeper of [publishPacket({ topic: `${deepest}/` }), publishPacket({ topic: `ä${deepest}/` })])
    t.equal(verdict(CONNECT_311, deeper), 'topic-levels')
  t.equal(verdict(CONNECT_311, subscribePacket(1, `${deepest}/`)), 'filter')
  t.equal(verdict(CONNECT_311, publishPacket({ topic: 'ä'.repeat(mqttTopicBytesMax / 2) })), 'passes')
  t.equal(verdict(CONNECT_311, publishPacket({ topic: 'ä'.repeat(mqttTopicBytesMax / 2) + 'a' })), 'topic-too-long')
  const will = (topic: string, payload = Buffer.alloc(0)): WillPacket => ({
    topic,
    payload,
    qos: 0,
    retain: false,
    delaySeconds: 0,
    properties: null
  })
  for (const topic of [deepest, 'x'.repeat(mqttTopicBytesMax), '\ufffd', 'a$', ' '])
    t.equal(willFault(will(topic), smallLimits), null, topic)
  for (const topic of ['', `${deepest}/`, 'x'.repeat(mqttTopicBytesMax + 1), '$a', 'a/+', '#', 'a\u0085']) {
    t.match(willFault(will(topic), smallLimits), { reason: 'will', reasonCode: 0x90 }, topic)
  }
  t.equal(willFault(will('w', Buffer.alloc(smallLimits.willBytesMax)), smallLimits), null)
  t.match(willFault(will('w', Buffer.alloc(smallLimits.willBytesMax + 1)), smallLimits), { reason: 'will', reasonCode: 0x95 })
})

t.test('what is kept for long is in memory of its own; the payload of a PUBLISH is a view', async (t) => {
  const big = Buffer.alloc(64 * 1024)
  const place = (bytes: Uint8Array): Buffer => {
    big.fill(0)
    big.set(bytes, 1_000)
    return big.subarray(1_000, 1_000 + bytes.length)
  }
  const properties = block(userProperty('n', 'v'))
  const sent = place(will5({ flags: 0xc6, properties, payload: 'bye' }).subarray(0))
  t.equal(read([sent]).fault?.reason, 'packet-length', 'without its user name and password')
  const full = connect5({ flags: 0xc6, fields: [properties, X, string('bye'), string('user'), string('secret')] })
  const { will, password, userName } = read([place(full)]).packets[0] as ConnectPacket
  const [, publish] = read([Buffer.from(connect5()), place(publish5({ properties, payload: 'p' }))]).packets as [unknown, PublishPacket]
  t.equal(publish.payload.buffer, big.buffer)
  big.fill(0xee)
  t.equal(Buffer.from(will?.payload ?? []).toString(), 'bye')
  t.equal(Buffer.from(password ?? []).toString(), 'secret')
  t.equal(userName, 'user')
  const kept = [will?.payload, password, will?.properties?.forwarded, publish.properties?.forwarded]
  for (const bytes of kept) t.equal(bytes?.buffer.byteLength, bytes?.byteLength, 'no page of others')
  t.same(Buffer.from(publish.properties?.forwarded ?? []), userProperty('n', 'v'))
})

t.test('a read that ends inside a packet is let go; what is kept of the packet grows with what has come', async (t) => {
  const collect = collector()
  const held: PacketReader[] = []
  /** Array buffers per reader, when the collector has done its work; it works beside us, so it is waited for. */
  const settlesBelow = async (pieceBytes: number, bytesMax: number): Promise<boolean> => {
    collect()
    const before = process.memoryUsage().arrayBuffers
    for (let count = 0; count < READERS; count++) held.push(readerInside(pieceBytes))
    const isBelow = await turns(() => {
      collect()
      return process.memoryUsage().arrayBuffers - before < READERS * bytesMax
    }, 50)
    t.ok(held.every(({ fault }) => fault === null))
    return isBelow
  }
  t.ok(await settlesBelow(100, 2_000), '100 of 150,000, in a read of 60,000')
  t.ok(await settlesBelow(40_000, 45_000), '40,000 of 150,000')
})

const READERS = 100

/** It has been given a read of 60,000 bytes that ends `pieceBytes` behind the header of a PUBLISH of 150,000. */
function readerInside(pieceBytes: number): PacketReader {
  const reader = new PacketReader({ ...smallLimits, packetBytesMax: 200_000 }, { topicAliasMaximum: TOPIC_ALIAS_MAX })
  const header = Buffer.from([0x30, ...remainingLength(150_000)])
  const whole = publishPacket({ topic: 'a', payload: Buffer.alloc(60_000 - CONNECT_311.length - 7 - header.length - pieceBytes) })
  reader.push(Buffer.concat([CONNECT_311, whole, header, Buffer.alloc(pieceBytes, 0x61)]))
  while (reader.next() !== null);
  return reader
}

t.test('the reader is given bytes before it has taken those before', async (t) => {
  const reader = new PacketReader(smallLimits, { topicAliasMaximum: TOPIC_ALIAS_MAX })
  for (const piece of bytewise(Buffer.concat([CONNECT_311, publishPacket({ topic: 'a', payload: 'p' })]))) reader.push(piece)
  t.equal(reader.next()?.type, 'connect')
  reader.push(new Uint8Array(Buffer.concat([Buffer.from([0xc0, 0]), publishPacket({ topic: 'ä' })])))
  t.equal(reader.next()?.type, 'publish')
  t.equal(reader.next()?.type, 'pingreq')
  t.match(reader.next(), { topic: 'ä' })
  reader.push(new Uint8Array(publishPacket({ topic: 'ö' })))
  t.match(reader.next(), { topic: 'ö' }, 'of bytes that are no Buffer')
  t.equal(reader.next(), null)
  t.equal(reader.next(), null)
})
