// Proves for adapters/mqtt/wire-write.ts: known bytes of each packet in each version; what it writes a foreign parser (mqtt-packet) reads to the same fields,
// and what that library writes our reader reads to the same fields; publishBytes() is the length of publishPacket().

import t from 'tap'
import { readForwarded } from '../../adapters/mqtt/mqtt-properties.ts'
import type { ClientPacket, DeliveryOptions, MessageProperties, ProtocolVersion, Qos } from '../../adapters/mqtt/packets.ts'
import {
  ackPacket,
  connackPacket,
  disconnectPacket,
  packetBytes,
  pingrespPacket,
  publishBodyBytes,
  subackPacket,
  unsubackPacket,
  writePublishHead
} from '../../adapters/mqtt/wire-write.ts'
import { Prng, seeds } from '../sim/prng.ts'
import { type ForeignPacket, foreignBytes, foreignParse } from './mqtt-packet.ts'
import { textProperty, userProperty } from './packets-5.ts'
import { read, smallLimits } from './reading.ts'

/** As a connection writes it: the head, then the payload. */
function publishPacket(version: ProtocolVersion, options: DeliveryOptions): Buffer {
  const bodyBytes = publishBodyBytes(version, options)
  const bytes = Buffer.alloc(packetBytes(bodyBytes))
  bytes.set(options.payload, writePublishHead(bytes, 0, version, options, bodyBytes))
  return bytes
}

const publishBytes = (version: ProtocolVersion, options: DeliveryOptions): number => packetBytes(publishBodyBytes(version, options))

const VERSIONS: readonly ProtocolVersion[] = [3, 4, 5]
const bytesOf = (bytes: Uint8Array | null): number[] | null => (bytes ? [...bytes] : null)

function delivery(options: Partial<DeliveryOptions> = {}): DeliveryOptions {
  return {
    topic: 'a',
    payload: Buffer.from('p'),
    qos: 0,
    retain: false,
    dup: false,
    packetId: 0,
    properties: null,
    expirySeconds: null,
    subscriptionIds: [],
    ...options
  }
}

// --- known bytes

t.test('CONNACK: return codes of MQTT 3, reason codes and properties of MQTT 5', async (t) => {
  const ok = { isSessionPresent: true, reasonCode: 0 }
  t.same(bytesOf(connackPacket(3, ok)), [0x20, 2, 0, 0], 'MQTT 3.1 has no session present')
  t.same(bytesOf(connackPacket(4, ok)), [0x20, 2, 1, 0])
  t.same(bytesOf(connackPacket(5, ok)), [0x20, 5, 1, 0, 2, 42, 0])
  t.same(bytesOf(connackPacket(5, { ...ok, isSessionPresent: false })), [0x20, 5, 0, 0, 2, 42, 0])
  const codes: [number, number | null][] = [
    [0x80, null],
    [0x81, null],
    [0x82, null],
    [0x84, 1],
    [0x85, 2],
    [0x86, 4],
    [0x87, 5],
    [0x88, 3],
    [0x89, 3],
    [0x8c, null],
    [0x90, null],
    [0x95, null],
    [0x97, 3]
  ]
  for (const [reasonCode, returnCode] of codes) {
    const options = { isSessionPresent: false, reasonCode, assignedClientId: 'not said' }
    for (const version of [3, 4] as const)
      t.same(bytesOf(connackPacket(version, options)), returnCode === null ? null : [0x20, 2, 0, returnCode])
    t.same(bytesOf(connackPacket(5, options)), [0x20, 3, 0, reasonCode, 0])
  }
  const full = {
    ...ok,
    sessionExpirySeconds: 0xffffffff,
    receiveMaximum: 258,
    packetBytesMax: 0x01020304,
    assignedClientId: 'é',
    topicAliasMaximum: 16,
    serverKeepAliveSeconds: 65_535
  }
  const properties = [17, 255, 255, 255, 255, 33, 1, 2, 39, 1, 2, 3, 4, 18, 0, 2, 0xc3, 0xa9, 34, 0, 16, 19, 255, 255, 42, 0]
  t.same(bytesOf(connackPacket(5, full)), [0x20, 3 + properties.length, 1, 0, properties.length, ...properties])
  t.same(bytesOf(connackPacket(4, full)), [0x20, 2, 1, 0])
})

t.test('acknowledgements, PINGRESP, DISCONNECT', async (t) => {
  const firsts = { puback: 0x40, pubrec: 0x50, pubrel: 0x62, pubcomp: 0x70 } as const
  for (const [type, first] of Object.entries(firsts) as [keyof typeof firsts, number][]) {
    for (const version of VERSIONS) t.same(bytesOf(ackPacket(version, type, 258, 0)), [first, 2, 1, 2])
    t.same(bytesOf(ackPacket(5, type, 0xffff, 0x92)), [first, 3, 255, 255, 0x92])
    t.same(bytesOf(ackPacket(4, type, 0xffff, 0x92)), [first, 2, 255, 255])
  }
  const codes = [0, 1, 2, 0x80, 0x87, 0x97, 0x9e]
  t.same(bytesOf(subackPacket(5, 258, codes)), [0x90, 10, 1, 2, 0, ...codes])
  for (const version of [3, 4] as const)
    t.same(bytesOf(subackPacket(version, 258, codes)), [0x90, 9, 1, 2, 0, 1, 2, 0x80, 0x80, 0x80, 0x80])
  t.same(bytesOf(unsubackPacket(5, 258, [0, 0x11])), [0xb0, 5, 1, 2, 0, 0, 0x11])
  for (const version of [3, 4] as const) t.same(bytesOf(unsubackPacket(version, 258, [0, 0x11])), [0xb0, 2, 1, 2])
  t.equal(
    subackPacket(
      5,
      1,
      Array.from({ length: 200 }, () => 0)
    ).readUInt8(1),
    0x80 | (203 & 0x7f),
    'a length of two bytes'
  )
  t.same(bytesOf(pingrespPacket()), [0xd0, 0])
  t.same(bytesOf(disconnectPacket(0x8e)), [0xe0, 1, 0x8e])
})

t.test('PUBLISH: known bytes', async (t) => {
  const properties: MessageProperties = { forwarded: userProperty('n', 'v'), expirySeconds: 99 }
  const full = delivery({ qos: 2, retain: true, dup: true, packetId: 258, properties, expirySeconds: 7, subscriptionIds: [1, 128] })
  for (const version of [3, 4] as const) t.same(bytesOf(publishPacket(version, full)), [0x3d, 6, 0, 1, 0x61, 1, 2, 0x70])
  const block = [38, 0, 1, 0x6e, 0, 1, 0x76, 2, 0, 0, 0, 7, 11, 1, 11, 0x80, 0x01]
  t.same(bytesOf(publishPacket(5, full)), [0x3d, 7 + block.length, 0, 1, 0x61, 1, 2, block.length, ...block, 0x70])
  t.same(bytesOf(publishPacket(5, delivery({ topic: 'é' }))), [0x30, 6, 0, 2, 0xc3, 0xa9, 0, 0x70])
  t.same(
    bytesOf(publishPacket(5, delivery({ properties, payload: Buffer.alloc(0) }))),
    [0x30, 11, 0, 1, 0x61, 7, 38, 0, 1, 0x6e, 0, 1, 0x76]
  )
})

// --- with a foreign parser and writer

/** None is empty: mqtt-packet loses an empty value of a user property. */
const texts = ['x', 'käse', '\ufeffbom', '𝄞', 'x'.repeat(200), 'y'.repeat(20_000)]
const topics = ['d/x', '/', 'ä/€', '\ufeff', '𝄞/a', 'a'.repeat(300), '\u00ff']
const qosOf = (prng: Prng): Qos => prng.below(3) as Qos

function randomMessage(prng: Prng): MessageProperties | null {
  const parts: Uint8Array[] = []
  const own: (() => Uint8Array)[] = [
    () => Buffer.from([1, prng.below(2)]),
    () => textProperty(3, prng.pick(texts)),
    () => textProperty(8, prng.pick(topics)),
    () => textProperty(9, prng.bytes(prng.below(20)))
  ]
  for (const make of own) if (prng.chance(40)) parts.push(make())
  for (let count = prng.below(4); count > 0; count--) parts.push(userProperty(prng.pick(['a', 'b']), prng.pick(texts)))
  return parts.length === 0 ? null : { forwarded: Buffer.concat(parts), expirySeconds: null }
}

function randomDelivery(prng: Prng): DeliveryOptions {
  const qos = qosOf(prng)
  return delivery({
    topic: prng.pick(topics),
    payload: prng.bytes(prng.pick([0, 1, 100, 127, 128, 16_383, 16_384])),
    qos,
    retain: prng.chance(50),
    dup: qos > 0 && prng.chance(50),
    packetId: qos > 0 ? prng.between(1, 65_535) : 0,
    properties: randomMessage(prng),
    expirySeconds: prng.chance(30) ? prng.uint32() : null,
    subscriptionIds: Array.from({ length: prng.below(4) }, () => prng.pick([1, 127, 128, 16_384, 2_097_152, 268_435_455]))
  })
}

/** What it must be in the words of mqtt-packet, which groups user properties by name. */
function foreignProperties({ properties, expirySeconds, subscriptionIds }: DeliveryOptions): Record<string, unknown> {
  const words: Record<string, unknown> = {}
  const { contentType, responseTopic, correlationData, isText, userProperties } = readForwarded(properties?.forwarded ?? Buffer.alloc(0))
  if (isText) words.payloadFormatIndicator = true
  if (contentType !== null) words.contentType = contentType
  if (responseTopic !== null) words.responseTopic = responseTopic
  if (correlationData !== null) words.correlationData = Buffer.from(correlationData)
  if (expirySeconds !== null) words.messageExpiryInterval = expirySeconds
  if (subscriptionIds.length > 0) words.subscriptionIdentifier = subscriptionIds.length === 1 ? subscriptionIds[0] : subscriptionIds
  const byName: Record<string, string | string[]> = {}
  for (const [name, value] of userProperties) {
    const before = byName[name]
    byName[name] = before === undefined ? value : [before, value].flat()
  }
  if (userProperties.length > 0) words.userProperties = byName
  return words
}

const ROUNDS = 400

for (const seed of seeds({ count: 3 })) {
  t.test(`what we write a foreign parser reads (SEED=${seed})`, async (t) => {
    const prng = new Prng(seed)
    for (let round = 0; round < ROUNDS; round++) {
      const version = prng.pick(VERSIONS)
      const options = randomDelivery(prng)
      const bytes = publishPacket(version, options)
      if (bytes.byteLength !== publishBytes(version, options))
        return t.fail(`publishBytes ${publishBytes(version, options)}, written ${bytes.byteLength}`)
      const [packet] = foreignParse(bytes, version) as [ForeignPacket]
      const { cmd, topic, payload, qos, retain, dup, messageId, properties = {} } = packet
      const got = { cmd, topic, payload, qos, retain, dup, messageId, properties: { ...properties } }
      if (got.properties.payloadFormatIndicator === false) delete got.properties.payloadFormatIndicator
      const expected = {
        cmd: 'publish',
        topic: options.topic,
        payload: Buffer.from(options.payload),
        qos: options.qos,
        retain: options.retain,
        dup: options.dup,
        messageId: options.qos > 0 ? options.packetId : undefined,
        properties: version === 5 ? foreignProperties(options) : {}
      }
      if (!t.same(got, expected)) return
    }
  })
}

t.test('the other packets as well', async (t) => {
  const full = {
    sessionExpirySeconds: 9,
    receiveMaximum: 8,
    packetBytesMax: 7,
    assignedClientId: 'é',
    topicAliasMaximum: 6,
    serverKeepAliveSeconds: 5
  }
  const connack = connackPacket(5, { isSessionPresent: true, reasonCode: 0, ...full })
  t.match(foreignParse(connack ?? Buffer.alloc(0), 5), [
    {
      cmd: 'connack',
      sessionPresent: true,
      reasonCode: 0,
      properties: {
        sessionExpiryInterval: 9,
        receiveMaximum: 8,
        maximumPacketSize: 7,
        assignedClientIdentifier: 'é',
        topicAliasMaximum: 6,
        serverKeepAlive: 5,
        sharedSubscriptionAvailable: false
      }
    }
  ])
  for (const version of [4, 5] as const) {
    t.match(foreignParse(connackPacket(version, { isSessionPresent: false, reasonCode: 0x87 }) as Buffer, version), [
      { cmd: 'connack', sessionPresent: false, ...(version === 5 ? { reasonCode: 0x87 } : { returnCode: 5 }) }
    ])
    t.match(foreignParse(subackPacket(version, 300, [0, 1, 2, 0x87]), version), [
      { cmd: 'suback', messageId: 300, granted: [0, 1, 2, version === 5 ? 0x87 : 0x80] }
    ])
    t.match(foreignParse(unsubackPacket(version, 300, [0, 0x11]), version), [
      { cmd: 'unsuback', messageId: 300, ...(version === 5 && { granted: [0, 0x11] }) }
    ])
    for (const type of ['puback', 'pubrec', 'pubrel', 'pubcomp'] as const) {
      const reasonCode = type === 'puback' || type === 'pubrec' ? 0x97 : 0x92
      t.match(foreignParse(ackPacket(version, type, 300, reasonCode), version), [
        { cmd: type, messageId: 300, ...(version === 5 && { reasonCode }) }
      ])
      t.match(foreignParse(ackPacket(version, type, 300, 0), version), [{ cmd: type, messageId: 300 }])
    }
    t.match(foreignParse(pingrespPacket(), version), [{ cmd: 'pingresp' }])
  }
  t.match(foreignParse(disconnectPacket(0x8e), 5), [{ cmd: 'disconnect', reasonCode: 0x8e }])
})

/** A packet of a client in the words of mqtt-packet, and what we must make of it. */
function randomClientPacket(prng: Prng, version: ProtocolVersion): [foreign: object, ours: object] {
  const messageId = prng.between(1, 65_535)
  const kind = prng.pick(['publish', 'puback', 'pubrec', 'pubrel', 'pubcomp', 'subscribe', 'unsubscribe', 'pingreq', 'disconnect'] as const)
  const isFive = version === 5
  switch (kind) {
    case 'publish':
      return randomPublish(prng, isFive)
    case 'subscribe': {
      const subscriptionId = isFive && prng.chance(50) ? prng.pick([1, 127, 128, 268_435_455]) : null
      const subscriptions = Array.from({ length: prng.between(1, 5) }, () => ({
        topic: prng.pick(['#', '+/a', 'd/#', '/', 'ä']),
        qos: qosOf(prng),
        nl: isFive && prng.chance(50),
        rap: isFive && prng.chance(50),
        rh: isFive ? prng.below(3) : 0
      }))
      return [
        { cmd: kind, messageId, subscriptions, ...(subscriptionId !== null && { properties: { subscriptionIdentifier: subscriptionId } }) },
        {
          type: kind,
          packetId: messageId,
          subscriptionId,
          subscriptions: subscriptions.map(({ topic, qos, nl, rap, rh }) => ({
            filter: topic,
            qos,
            noLocal: nl,
            retainAsPublished: rap,
            retainHandling: rh
          }))
        }
      ]
    }
    case 'unsubscribe':
      return [
        { cmd: kind, messageId, unsubscriptions: ['a', '#'] },
        { type: kind, packetId: messageId, filters: ['a', '#'] }
      ]
    case 'pingreq':
      return [{ cmd: kind }, { type: kind }]
    case 'disconnect': {
      const reasonCode = isFive ? prng.pick([0, 4, 0x81, 0x99]) : 0
      const expiry = isFive && prng.chance(50) ? prng.uint32() : null
      return [
        { cmd: kind, reasonCode, ...(expiry !== null && { properties: { sessionExpiryInterval: expiry } }) },
        { type: kind, reasonCode, sessionExpirySeconds: expiry }
      ]
    }
    default: {
      const reasonCode = isFive ? (kind === 'puback' || kind === 'pubrec' ? prng.pick([0, 0x10, 0x97]) : prng.pick([0, 0x92])) : 0
      const reason = isFive && prng.chance(30) ? { properties: { reasonString: 'because', userProperties: { a: ['1', '2'] } } } : {}
      return [
        { cmd: kind, messageId, reasonCode, ...reason },
        { type: kind, packetId: messageId, reasonCode }
      ]
    }
  }
}

function randomPublish(prng: Prng, isFive: boolean): [object, object] {
  const options = randomDelivery(prng)
  const { topic, qos, retain, dup, packetId, expirySeconds } = options
  const payload = Buffer.from(options.payload.subarray(0, 1_000))
  const topicAlias = isFive && prng.chance(30) ? prng.between(1, 16) : null
  const { subscriptionIdentifier: _, ...words } = foreignProperties(options)
  const properties = { ...words, ...(topicAlias !== null && { topicAlias }) }
  const message = { ...readForwarded(options.properties?.forwarded ?? Buffer.alloc(0)), expirySeconds }
  return [
    { cmd: 'publish', topic, payload, qos, retain, dup, ...(qos > 0 && { messageId: packetId }), ...(isFive && { properties }) },
    { type: 'publish', topic, payload, qos, retain, dup, packetId, topicAlias, message: isFive ? message : null }
  ]
}

/** Ours, with properties in a form that does not depend on their order, which mqtt-packet does not keep. */
function comparable(packet: ClientPacket, isFive: boolean): object {
  if (packet.type !== 'publish') return packet
  const { properties, payload, ...fields } = packet
  const message = { ...readForwarded(properties?.forwarded ?? Buffer.alloc(0)), expirySeconds: properties?.expirySeconds ?? null }
  return { ...fields, payload: Buffer.from(payload), message: isFive ? sorted(message) : null }
}

function sorted(message: object): object {
  const { userProperties = [] } = message as { userProperties?: readonly (readonly [string, string])[] }
  const byName = (one: readonly [string, string], other: readonly [string, string]): number =>
    one[0] < other[0] ? -1 : one[0] > other[0] ? 1 : 0
  return { ...message, userProperties: [...userProperties].sort(byName) }
}

function randomConnect(prng: Prng, version: ProtocolVersion): [foreign: object, ours: object] {
  const isFive = version === 5
  const shared = {
    version,
    isBridge: !isFive && prng.chance(30),
    isClean: prng.chance(50),
    clientId: 'käse',
    keepAliveSeconds: prng.below(65_536)
  }
  const user = prng.chance(50) ? { username: prng.pick(['u', 'ä']), password: Buffer.from(prng.bytes(4)) } : null
  const expiry = prng.uint32()
  const [foreignWill, ourWill] = prng.chance(50) ? randomWill(prng, isFive) : [null, null]
  const properties = { sessionExpiryInterval: expiry, receiveMaximum: 7, maximumPacketSize: 99, requestProblemInformation: false }
  const foreign = {
    cmd: 'connect',
    protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
    protocolVersion: version,
    bridgeMode: shared.isBridge,
    clean: shared.isClean,
    clientId: shared.clientId,
    keepalive: shared.keepAliveSeconds,
    ...user,
    ...(foreignWill && { will: foreignWill }),
    ...(isFive && { properties })
  }
  const ofVersion = isFive
    ? { sessionExpirySeconds: expiry, receiveMaximum: 7, packetBytesMax: 99, wantsProblemInformation: false }
    : {
        sessionExpirySeconds: shared.isClean ? 0 : 0xffffffff,
        receiveMaximum: 65_535,
        packetBytesMax: Number.POSITIVE_INFINITY,
        wantsProblemInformation: true
      }
  const userName = user?.username ?? null
  return [foreign, { type: 'connect', ...shared, ...ofVersion, will: ourWill, userName, password: user && new Uint8Array(user.password) }]
}

function randomWill(prng: Prng, isFive: boolean): [foreign: object, ours: object] {
  const will = { topic: prng.pick(topics), payload: Buffer.from(prng.bytes(5)), qos: qosOf(prng), retain: prng.chance(50) }
  const delay = prng.uint32()
  const ours = { ...will, payload: new Uint8Array(will.payload) }
  if (!isFive) return [will, { ...ours, delaySeconds: 0, properties: null }]
  const properties = { willDelayInterval: delay, messageExpiryInterval: 5, contentType: 'c' }
  const forwarded = new Uint8Array(textProperty(3, 'c'))
  return [
    { ...will, properties },
    { ...ours, delaySeconds: delay, properties: { forwarded, expirySeconds: 5 } }
  ]
}

for (const seed of seeds({ count: 3 })) {
  t.test(`what a foreign writer writes we read (SEED=${seed})`, async (t) => {
    const prng = new Prng(seed)
    const limits = { ...smallLimits, packetBytesMax: 1 << 20, propertyBytesMax: 1 << 20, mqttTopicBytesMax: 1_000 }
    for (let round = 0; round < ROUNDS; round++) {
      const version = prng.pick(VERSIONS)
      const isFive = version === 5
      const connect = {
        cmd: 'connect',
        clientId: 'x',
        protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
        protocolVersion: version,
        clean: true,
        keepalive: 0
      }
      const [foreign, ours] = randomClientPacket(prng, version)
      const { packets, fault } = read([Buffer.concat([foreignBytes(connect, version), foreignBytes(foreign, version)])], limits)
      if (fault) return t.fail(`${fault.message}: ${JSON.stringify(foreign)}`)
      const expected = 'message' in ours && ours.message ? { ...ours, message: sorted(ours.message as object) } : ours
      if (!t.same(comparable(packets[1] as ClientPacket, isFive), expected)) return
    }
  })

  t.test(`CONNECT of a foreign writer (SEED=${seed})`, async (t) => {
    const prng = new Prng(seed)
    for (let round = 0; round < ROUNDS; round++) {
      const version = prng.pick(VERSIONS)
      const [foreign, ours] = randomConnect(prng, version)
      const { packets, fault } = read([foreignBytes(foreign, version)])
      if (fault) return t.fail(`${fault.message}: ${JSON.stringify(foreign)}`)
      if (!t.same(packets, [ours])) return
    }
  })
}
