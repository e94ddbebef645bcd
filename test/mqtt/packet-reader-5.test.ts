// Proves for adapters/mqtt/packet-reader.ts with MQTT 5: each rule of the standard that binds a server when it reads stops what breaks it, with the word and
// the reason code of the fault, in every split of the bytes; what is just allowed passes, and comes out as it was sent.
// Bytes are written from the standard (packets-5.ts); the statement in front of each case is the one that it breaks.

import t from 'tap'
import { readForwarded } from '../../adapters/mqtt/mqtt-properties.ts'
import type { ClientPacket, ConnectPacket, PublishPacket } from '../../adapters/mqtt/packets.ts'
import { packet, pingPacket, remainingLength, string } from './packets.ts'
import {
  block,
  connect5,
  numbered,
  publish5,
  subscribe5,
  textProperty,
  uint16,
  uint32,
  unsubscribe5,
  userProperty,
  will5
} from './packets-5.ts'
import { everySplit, read, smallLimits, wordsOf } from './reading.ts'

const MALFORMED = 0x81
const PROTOCOL = 0x82
const FILTER_INVALID = 0x8f
const NAME_INVALID = 0x90
const ALIAS_INVALID = 0x94
const TOO_LARGE = 0x95
const QUOTA = 0x97

type Case = [statement: string, what: string, reason: string, reasonCode: number, bytes: Uint8Array]
const cases: Case[] = []

const CONNECT = connect5()
const X = string('x')
const bad = Buffer.from([0x61, 0xff])
const surrogate = Buffer.from([0xed, 0xa0, 0x80])
const nul = 'a\0'
const behind = (...packets: Uint8Array[]): Buffer => Buffer.concat([CONNECT, ...packets])

// --- fixed header

for (const type of [0, 2, 9, 11, 13, 15]) {
  const byte = type << 4
  cases.push(['2.1.2', `type ${type}, which no client sends here`, 'packet-type', PROTOCOL, behind(Buffer.from([byte]))])
}
for (const [type, right] of [
  [4, 0],
  [5, 0],
  [6, 2],
  [7, 0],
  [8, 2],
  [10, 2],
  [12, 0],
  [14, 0]
] as const) {
  for (let flags = 0; flags < 16; flags++) {
    if (flags === right) continue
    cases.push(['MQTT-2.1.3-1', `type ${type} with flags ${flags}`, 'packet-flags', MALFORMED, behind(Buffer.from([(type << 4) | flags]))])
  }
}
cases.push(
  ['MQTT-2.1.3-1', 'CONNECT with flags', 'packet-flags', MALFORMED, Buffer.from([0x11])],
  ['MQTT-3.3.1-4', 'QoS 3', 'packet-flags', MALFORMED, behind(Buffer.from([0x36]))],
  ['MQTT-3.3.1-4', 'QoS 3 with DUP', 'packet-flags', MALFORMED, behind(Buffer.from([0x3f]))],
  ['MQTT-3.3.1-2', 'DUP with QoS 0', 'packet-flags', PROTOCOL, behind(Buffer.from([0x38]))],
  ['MQTT-3.3.1-2', 'DUP and RETAIN with QoS 0', 'packet-flags', PROTOCOL, behind(Buffer.from([0x39]))],
  ['MQTT-3.1.0-1', 'PINGREQ before CONNECT', 'connect-expected', PROTOCOL, pingPacket()],
  ['MQTT-3.1.0-1', 'AUTH before CONNECT', 'packet-type', PROTOCOL, packet(0xf0)],
  ['MQTT-3.1.0-2', 'CONNECT twice', 'second-connect', PROTOCOL, behind(CONNECT)],
  ['1.5.5', 'a remaining length of five bytes', 'packet-length', MALFORMED, behind(Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff]))],
  ['MQTT-1.5.5-1', 'a remaining length in two bytes that fits one', 'packet-length', MALFORMED, behind(Buffer.from([0xc0, 0x80, 0x00]))],
  ['MQTT-1.5.5-1', 'in four bytes', 'packet-length', MALFORMED, behind(Buffer.from([0x30, 0xff, 0x80, 0x80, 0x00]))],
  ['MQTT-1.5.5-1', 'of CONNECT', 'packet-length', MALFORMED, Buffer.from([0x10, 0x80 | (CONNECT.length - 2), 0, ...CONNECT.subarray(2)])],
  ['3.2.2.3.6', 'one byte more than the maximum', 'packet-too-large', TOO_LARGE, behind(Buffer.from([0x30, ...remainingLength(4096 - 2)]))],
  ['3.2.2.3.6', 'a SUBSCRIBE of 256 MiB', 'packet-too-large', TOO_LARGE, behind(Buffer.from([0x82, 0xff, 0xff, 0xff, 0x7f]))],
  ['limits', 'a large CONNECT', 'connect-too-large', TOO_LARGE, Buffer.from([0x10, ...remainingLength(2049 - 3)])],
  ['3.12', 'PINGREQ with a body', 'packet-length', MALFORMED, behind(packet(0xc0, [0]))]
)

// --- CONNECT

const cutConnect = (bytes: number): Buffer => packet(0x10, CONNECT.subarray(2, 2 + bytes))
const fullProperties = block([33, 0, 1])
for (let bytes = 0; bytes < CONNECT.length - 2; bytes++) {
  cases.push(['1.5', `CONNECT that ends after ${bytes} bytes`, 'packet-length', MALFORMED, cutConnect(bytes)])
}
const connectCases: [string, string, string, number, Uint8Array][] = [
  ['MQTT-3.1.2-1', 'another protocol', 'protocol-version', 0x84, packet(0x10, string('mqtt'), [5, 2], [0, 0], [0], X)],
  ['MQTT-3.1.2-2', 'version 6', 'protocol-version', 0x84, packet(0x10, string('MQTT'), [6, 2], [0, 0], [0], X)],
  ['MQTT-3.1.2-2', 'version 0', 'protocol-version', 0x84, packet(0x10, string('MQTT'), [0, 2], [0, 0], [0], X)],
  ['MQTT-3.1.2-2', 'version 5 of MQIsdp', 'protocol-version', 0x84, packet(0x10, string('MQIsdp'), [5, 2], [0, 0], [0], X)],
  ['MQTT-3.1.2-3', 'the reserved flag', 'connect-flags', MALFORMED, connect5({ flags: 3 })],
  ['MQTT-3.1.2-11', 'will QoS 1 without a will', 'connect-flags', MALFORMED, connect5({ flags: 0x0a })],
  ['MQTT-3.1.2-11', 'will QoS 2 without a will', 'connect-flags', MALFORMED, connect5({ flags: 0x12 })],
  ['MQTT-3.1.2-13', 'will retain without a will', 'connect-flags', MALFORMED, connect5({ flags: 0x22 })],
  ['MQTT-3.1.2-12', 'a will of QoS 3', 'will', MALFORMED, will5({ flags: 0x1e })],
  ['MQTT-3.1.3-4', 'a client id that is not UTF-8', 'client-id', MALFORMED, connect5({ clientId: bad })],
  ['MQTT-1.5.4-2', 'a client id with U+0000', 'client-id', MALFORMED, connect5({ clientId: nul })],
  ['MQTT-1.5.4-1', 'a client id with a surrogate', 'client-id', MALFORMED, connect5({ clientId: surrogate })],
  ['MQTT-3.1.3-11', 'a will topic that is not UTF-8', 'will', MALFORMED, will5({ topic: bad })],
  ['MQTT-1.5.4-2', 'a will topic with U+0000', 'will', MALFORMED, will5({ topic: nul })],
  ['MQTT-3.1.3-12', 'a user name that is not UTF-8', 'string-utf8', MALFORMED, connect5({ flags: 0x82, fields: [string(bad)] })],
  [
    'MQTT-3.1.3-12',
    'a user name of one byte that is no text',
    'string-utf8',
    MALFORMED,
    connect5({ flags: 0x82, fields: [string(Buffer.from([0x80]))] })
  ],
  ['MQTT-1.5.4-2', 'a user name with U+0000', 'string-utf8', MALFORMED, connect5({ flags: 0x82, fields: [string(nul)] })],
  ['MQTT-3.1.2-16', 'a user name without its flag', 'packet-length', MALFORMED, connect5({ fields: [X] })],
  ['MQTT-3.1.2-17', 'the flag without a user name', 'packet-length', MALFORMED, connect5({ flags: 0x82 })],
  ['MQTT-3.1.2-19', 'the flag without a password', 'packet-length', MALFORMED, connect5({ flags: 0x42 })],
  ['MQTT-3.1.2-9', 'the flag without a will', 'packet-length', MALFORMED, connect5({ flags: 0x06 })],
  ['2.1.4', 'a byte behind it', 'packet-length', MALFORMED, connect5({ fields: [[0]] })],
  ['3.1.2.11.9', 'a method of authentication', 'authentication-method', 0x8c, connect5({ properties: block(textProperty(21, 'SCRAM')) })],
  ['3.1.2.11.10', 'its data alone', 'properties', PROTOCOL, connect5({ properties: block(textProperty(22, 'x')) })],
  ['3.1.2.11.3', 'receive maximum 0', 'properties', PROTOCOL, connect5({ properties: block([33, 0, 0]) })],
  ['3.1.2.11.4', 'maximum packet size 0', 'properties', PROTOCOL, connect5({ properties: block([39, 0, 0, 0, 0]) })],
  ['3.1.2.11.6', 'request response information 2', 'properties', PROTOCOL, connect5({ properties: block([25, 2]) })],
  ['3.1.2.11.7', 'request problem information 2', 'properties', PROTOCOL, connect5({ properties: block([23, 2]) })],
  ['3.1.3.2.3', 'payload format 2 of a will', 'properties', PROTOCOL, will5({ properties: block([1, 2]) })]
]
cases.push(...connectCases)

// --- properties: where each may stand, once, whole

const ONE_OF_EACH = new Map<number, Uint8Array>([
  [1, Buffer.from([1, 1])],
  [2, Buffer.from([2, ...uint32(60)])],
  [3, textProperty(3, 'text/plain')],
  [8, textProperty(8, 'answers/here')],
  [9, textProperty(9, Buffer.from([0, 0xff]))],
  [11, Buffer.from([11, 7])],
  [17, Buffer.from([17, ...uint32(3600)])],
  [18, textProperty(18, 'assigned')],
  [19, Buffer.from([19, 0, 60])],
  [21, textProperty(21, 'method')],
  [22, textProperty(22, 'data')],
  [23, Buffer.from([23, 1])],
  [24, Buffer.from([24, ...uint32(5)])],
  [25, Buffer.from([25, 1])],
  [26, textProperty(26, 'information')],
  [28, textProperty(28, 'reference')],
  [31, textProperty(31, 'because')],
  [33, Buffer.from([33, 0, 9])],
  [34, Buffer.from([34, 0, 9])],
  [35, Buffer.from([35, 0, 16])],
  [36, Buffer.from([36, 1])],
  [37, Buffer.from([37, 1])],
  [38, userProperty('name', 'value')],
  [39, Buffer.from([39, ...uint32(1000)])],
  [40, Buffer.from([40, 1])],
  [41, Buffer.from([41, 1])],
  [42, Buffer.from([42, 1])]
])
interface Owner {
  readonly allowed: readonly number[]
  readonly with: (properties: Uint8Array) => Buffer
}
const MESSAGE = [1, 2, 3, 8, 9, 38]
const owners: Record<string, Owner> = {
  CONNECT: { allowed: [17, 23, 25, 33, 34, 38, 39], with: (properties) => connect5({ properties }) },
  'a will': { allowed: [...MESSAGE, 24], with: (properties) => will5({ properties }) },
  PUBLISH: { allowed: [...MESSAGE, 35], with: (properties) => behind(publish5({ properties, payload: 'p' })) },
  PUBACK: { allowed: [31, 38], with: (properties) => behind(packet(0x40, [0, 1], [0], properties)) },
  PUBREC: { allowed: [31, 38], with: (properties) => behind(packet(0x50, [0, 1], [0], properties)) },
  PUBREL: { allowed: [31, 38], with: (properties) => behind(packet(0x62, [0, 1], [0], properties)) },
  PUBCOMP: { allowed: [31, 38], with: (properties) => behind(packet(0x70, [0, 1], [0], properties)) },
  SUBSCRIBE: { allowed: [11, 38], with: (properties) => behind(subscribe5(1, properties, ['a', 0])) },
  UNSUBSCRIBE: { allowed: [38], with: (properties) => behind(unsubscribe5(1, properties, 'a')) },
  DISCONNECT: { allowed: [17, 31, 38], with: (properties) => behind(packet(0xe0, [0], properties)) }
}
const AUTHENTICATION = [21, 22]

for (const [name, owner] of Object.entries(owners)) {
  for (const [id, property] of ONE_OF_EACH) {
    if (owner.allowed.includes(id)) {
      if (id !== 38)
        cases.push(['2.2.2.2', `property ${id} twice in ${name}`, 'properties', PROTOCOL, owner.with(block(property, property))])
      const cut = block(property.subarray(0, -1))
      // What follows is taken for its last byte, and then it is longer than its block; or nothing follows.
      cases.push(['2.2.2', `property ${id} of ${name} cut off`, 'packet-length', MALFORMED, owner.with(cut)])
    } else if (name !== 'CONNECT' || !AUTHENTICATION.includes(id)) {
      cases.push(['MQTT-2.2.2-2', `property ${id} in ${name}`, 'properties', MALFORMED, owner.with(block(property))])
    }
  }
  for (const id of [0, 4, 43, 127]) {
    cases.push(['2.2.2.2', `property ${id} in ${name}`, 'properties', MALFORMED, owner.with(block([id, 0, 0]))])
  }
  cases.push(
    ['2.2.2.2', `an id of two bytes in ${name}`, 'properties', MALFORMED, owner.with(block([0x80, 0x01, 0]))],
    [
      'MQTT-1.5.5-1',
      `an id that is not in its shortest form in ${name}`,
      'packet-length',
      MALFORMED,
      owner.with(block([0xa6, 0x00], X, X))
    ],
    [
      'MQTT-1.5.5-1',
      `a property length that is not in its shortest form in ${name}`,
      'packet-length',
      MALFORMED,
      owner.with(Buffer.from([0x80, 0x00]))
    ],
    [
      '1.5.5',
      `a property length of five bytes in ${name}`,
      'packet-length',
      MALFORMED,
      owner.with(Buffer.from([0x80, 0x80, 0x80, 0x80, 0x01]))
    ],
    ['2.2.2', `properties longer than ${name}`, 'packet-length', MALFORMED, owner.with(Buffer.from([0x7f]))],
    ['1.5.7', `a user property without a value in ${name}`, 'packet-length', MALFORMED, owner.with(block([38], string('name')))],
    ['1.5.7', `a user property whose name is no text in ${name}`, 'string-utf8', MALFORMED, owner.with(block(userProperty(bad, 'v')))],
    ['1.5.7', `a user property whose value is no text in ${name}`, 'string-utf8', MALFORMED, owner.with(block(userProperty('n', nul)))],
    ['limits', `65 user properties in ${name}`, 'properties', QUOTA, owner.with(block(...numbered(65)))],
    [
      'limits',
      `more bytes of properties than allowed in ${name}`,
      'properties',
      TOO_LARGE,
      owner.with(block(userProperty('n', 'v'.repeat(995))))
    ]
  )
  for (const id of [3, 8, 31]) {
    if (!owner.allowed.includes(id)) continue
    cases.push(['MQTT-1.5.4-1', `property ${id} of ${name} is no text`, 'string-utf8', MALFORMED, owner.with(block(textProperty(id, bad)))])
    cases.push(['MQTT-1.5.4-2', `property ${id} of ${name} has U+0000`, 'string-utf8', MALFORMED, owner.with(block(textProperty(id, nul)))])
  }
  if (!owner.allowed.includes(8)) continue
  for (const topic of ['', 'a/+', '#']) {
    cases.push([
      'MQTT-3.3.2-14',
      `response topic "${topic}" of ${name}`,
      'properties',
      NAME_INVALID,
      owner.with(block(textProperty(8, topic)))
    ])
  }
}

// --- PUBLISH

const overPublish = publish5({ qos: 1, payload: 'p' })
cases.push(
  ['MQTT-3.3.2-1', 'without a topic', 'packet-length', MALFORMED, behind(packet(0x30))],
  ['1.5.4', 'a topic longer than its packet', 'packet-length', MALFORMED, behind(packet(0x30, [0, 9], [0x61]))],
  ['2.2.1', 'a topic that leaves one byte for the packet id', 'packet-length', MALFORMED, behind(packet(0x32, string('abc'), [1]))],
  ['3.3.2.3', 'without a property length', 'packet-length', MALFORMED, behind(packet(0x30, string('abc')))],
  ['MQTT-2.2.1-3', 'packet id 0', 'packet-id-zero', MALFORMED, behind(publish5({ qos: 1, packetId: 0 }))],
  ['MQTT-2.2.1-3', 'packet id 0 of QoS 2', 'packet-id-zero', MALFORMED, behind(publish5({ qos: 2, packetId: 0 }))],
  ['3.3.2.1', 'an empty topic without an alias', 'topic-empty', PROTOCOL, behind(publish5({ topic: '' }))],
  ['MQTT-3.3.2-2', '+', 'topic-wildcard', NAME_INVALID, behind(publish5({ topic: 'a/+' }))],
  ['MQTT-3.3.2-2', '#', 'topic-wildcard', NAME_INVALID, behind(publish5({ topic: '#' }))],
  ['MQTT-1.5.4-1', 'a topic that is not UTF-8', 'topic-utf8', MALFORMED, behind(publish5({ topic: bad }))],
  ['MQTT-1.5.4-1', 'a topic with a surrogate', 'topic-utf8', MALFORMED, behind(publish5({ topic: surrogate }))],
  ['MQTT-1.5.4-2', 'a topic with U+0000', 'topic-nul', MALFORMED, behind(publish5({ topic: nul }))],
  ['1.5.4', 'a control character', 'topic-control-character', NAME_INVALID, behind(publish5({ topic: 'a\x1f' }))],
  ['1.5.4', 'U+007F', 'topic-control-character', NAME_INVALID, behind(publish5({ topic: '\x7f' }))],
  ['1.5.4', 'U+009F', 'topic-control-character', NAME_INVALID, behind(publish5({ topic: '\u009f' }))],
  ['limits', 'a topic that is too long', 'topic-too-long', NAME_INVALID, behind(publish5({ topic: 'x'.repeat(101) }))],
  ['limits', 'too many levels', 'topic-levels', NAME_INVALID, behind(publish5({ topic: '/'.repeat(10) }))],
  ['MQTT-3.3.2-8', 'alias 0', 'properties', ALIAS_INVALID, behind(publish5({ properties: block([35, 0, 0]) }))],
  ['MQTT-3.3.2-9', 'alias 17 of 16', 'topic-alias', ALIAS_INVALID, behind(publish5({ properties: block([35, 0, 17]) }))],
  ['MQTT-3.3.2-9', 'alias 65,535', 'topic-alias', ALIAS_INVALID, behind(publish5({ topic: '', properties: block([35, 255, 255]) }))],
  ['MQTT-1.5.4-1', 'a topic of one byte that is no text', 'topic-utf8', MALFORMED, behind(publish5({ topic: Buffer.from([0x80]) }))],
  ['3.3.2.3.2', 'payload format 255', 'properties', PROTOCOL, behind(publish5({ properties: block([1, 255]) }))],
  ['3.3.2.3.2', 'payload format 2', 'properties', PROTOCOL, behind(publish5({ properties: block([1, 2]) }))],
  ['MQTT-3.3.4-6', 'a subscription id', 'properties', MALFORMED, behind(publish5({ properties: block([11, 1]) }))]
)
for (let bytes = 0; bytes < overPublish.length - 3; bytes++) {
  cases.push([
    '1.5',
    `PUBLISH that ends after ${bytes} bytes`,
    'packet-length',
    MALFORMED,
    behind(packet(0x32, overPublish.subarray(2, 2 + bytes)))
  ])
}

// --- PUBACK … PUBCOMP

const RECEIVER = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]
const RELEASE = [0x00, 0x92]
const ackCodes: [number, string, number[]][] = [
  [0x40, 'PUBACK', RECEIVER],
  [0x50, 'PUBREC', RECEIVER],
  [0x62, 'PUBREL', RELEASE],
  [0x70, 'PUBCOMP', RELEASE]
]
const statements = new Map([
  ['PUBACK', 'MQTT-3.4.2-1'],
  ['PUBREC', 'MQTT-3.5.2-1'],
  ['PUBREL', 'MQTT-3.6.2-1'],
  ['PUBCOMP', 'MQTT-3.7.2-1']
])
for (const [first, name, codes] of ackCodes) {
  cases.push(
    ['2.2.1', `${name} without a packet id`, 'packet-length', MALFORMED, behind(packet(first))],
    ['2.2.1', `${name} of one byte`, 'packet-length', MALFORMED, behind(packet(first, [0]))],
    ['2.2.1', `${name} of packet id 0`, 'packet-id-zero', MALFORMED, behind(packet(first, [0, 0]))],
    ['2.1.4', `${name} with bytes behind its properties`, 'packet-length', MALFORMED, behind(packet(first, [0, 1], [0], [0], [0]))]
  )
  for (let code = 0; code < 256; code++) {
    if (codes.includes(code)) continue
    const statement = statements.get(name) as string
    cases.push([statement, `${name} with code ${code}`, 'reason-code', PROTOCOL, behind(packet(first, [0, 1], [code]))])
  }
}

// --- SUBSCRIBE, UNSUBSCRIBE

cases.push(
  ['2.2.1', 'SUBSCRIBE of one byte', 'packet-length', MALFORMED, behind(packet(0x82, [0]))],
  ['MQTT-2.2.1-3', 'SUBSCRIBE of packet id 0', 'packet-id-zero', MALFORMED, behind(subscribe5(0, [0], ['a', 0]))],
  ['3.8.2.1', 'SUBSCRIBE without a property length', 'packet-length', MALFORMED, behind(packet(0x82, [0, 1]))],
  ['MQTT-3.8.3-2', 'SUBSCRIBE without a filter', 'packet-length', PROTOCOL, behind(subscribe5(1, [0]))],
  ['3.8.3', 'SUBSCRIBE without options', 'packet-length', MALFORMED, behind(packet(0x82, [0, 1], [0], X))],
  ['MQTT-3.8.3-1', 'a filter that is not UTF-8', 'string-utf8', MALFORMED, behind(subscribe5(1, [0], [bad, 0]))],
  ['MQTT-1.5.4-2', 'a filter with U+0000', 'string-utf8', MALFORMED, behind(subscribe5(1, [0], [nul, 0]))],
  ['3.8.3.1', 'QoS 3', 'packet-flags', PROTOCOL, behind(subscribe5(1, [0], ['a', 3]))],
  ['3.8.3.1', 'retain handling 3', 'packet-flags', PROTOCOL, behind(subscribe5(1, [0], ['a', 0x30]))],
  ['MQTT-3.8.3-5', 'the 7th bit of the options', 'packet-flags', MALFORMED, behind(subscribe5(1, [0], ['a', 0x40]))],
  ['MQTT-3.8.3-5', 'the 8th bit of the options', 'packet-flags', MALFORMED, behind(subscribe5(1, [0], ['a', 0x80]))],
  ['MQTT-3.8.3-4', 'no local on a shared one', 'packet-flags', PROTOCOL, behind(subscribe5(1, [0], ['$share/g/a', 4]))],
  ['3.8.2.1.2', 'subscription id 0', 'properties', PROTOCOL, behind(subscribe5(1, block([11, 0]), ['a', 0]))],
  [
    '1.5.5',
    'a subscription id of five bytes',
    'packet-length',
    MALFORMED,
    behind(subscribe5(1, block([11, 0x80, 0x80, 0x80, 0x80, 1]), ['a', 0]))
  ],
  ['MQTT-1.5.5-1', 'a long subscription id', 'packet-length', MALFORMED, behind(subscribe5(1, block([11, 0x81, 0x00]), ['a', 0]))],
  ['3.8.3', 'a second filter that is wrong', 'filter', FILTER_INVALID, behind(subscribe5(1, [0], ['a', 0], ['a#', 0]))],
  ['limits', 'too many levels', 'filter', FILTER_INVALID, behind(subscribe5(1, [0], ['/'.repeat(10), 0]))],
  ['2.2.1', 'UNSUBSCRIBE of one byte', 'packet-length', MALFORMED, behind(packet(0xa2, [0]))],
  ['MQTT-2.2.1-3', 'UNSUBSCRIBE of packet id 0', 'packet-id-zero', MALFORMED, behind(unsubscribe5(0, [0], 'a'))],
  ['3.10.2.1', 'UNSUBSCRIBE without a property length', 'packet-length', MALFORMED, behind(packet(0xa2, [0, 1]))],
  ['MQTT-3.10.3-2', 'UNSUBSCRIBE without a filter', 'packet-length', PROTOCOL, behind(unsubscribe5(1, [0]))],
  ['MQTT-3.10.3-1', 'UNSUBSCRIBE of what is no text', 'string-utf8', MALFORMED, behind(unsubscribe5(1, [0], bad))],
  ['limits', 'UNSUBSCRIBE of too many levels', 'filter', FILTER_INVALID, behind(unsubscribe5(1, [0], '/'.repeat(10)))]
)
for (const [statement, filter] of [
  ['MQTT-4.7.3-1', ''],
  ['MQTT-4.7.1-1', 'a#'],
  ['MQTT-4.7.1-1', '#/a'],
  ['MQTT-4.7.1-1', 'a/#/b'],
  ['MQTT-4.7.1-1', '##'],
  ['MQTT-4.7.1-2', 'a+'],
  ['MQTT-4.7.1-2', '+a/b'],
  ['MQTT-4.7.1-2', 'a/+b']
] as const) {
  cases.push([statement, `the filter "${filter}"`, 'filter', FILTER_INVALID, behind(subscribe5(1, [0], [filter, 0]))])
  cases.push([statement, `the filter "${filter}" in UNSUBSCRIBE`, 'filter', FILTER_INVALID, behind(unsubscribe5(1, [0], filter))])
}

// --- DISCONNECT

const DISCONNECT_CODES = [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99]
for (let code = 0; code < 256; code++) {
  if (DISCONNECT_CODES.includes(code)) continue
  cases.push(['MQTT-3.14.2-1', `DISCONNECT with code ${code}`, 'reason-code', PROTOCOL, behind(packet(0xe0, [code]))])
}
cases.push(['2.1.4', 'bytes behind the properties', 'packet-length', MALFORMED, behind(packet(0xe0, [0], [0], [0]))])

t.test('what a client may not send is stopped with its name and reason code, in every split', async (t) => {
  t.ok(cases.length > 1_000, `${cases.length} cases`)
  for (const [statement, what, reason, reasonCode, bytes] of cases) {
    const whole = wordsOf(read([bytes]))
    const { fault } = read([bytes])
    const expected = `${reason} 0x${reasonCode.toString(16)}`
    const got = fault ? `${fault.reason} 0x${fault.reasonCode.toString(16)}` : 'passes'
    if (got !== expected) t.equal(got, expected, `[${statement}] ${what}`)
    for (const chunks of everySplit(bytes)) {
      const words = wordsOf(read(chunks))
      if (words !== whole)
        return t.fail(`[${statement}] ${what}: ${words} in pieces of ${chunks.map(({ length }) => length)}, whole: ${whole}`)
    }
  }
})

t.test('a CONNECT that is refused is answered in the form of its version, and none behind it', async (t) => {
  for (const [statement, what, , reasonCode, bytes] of connectCases) {
    const answer = read([bytes]).fault?.answer ?? null
    if (what === 'another protocol') t.equal(answer, null, what)
    else if (reasonCode === 0x84) t.same([...(answer ?? [])], [0x20, 2, 0, 1], what)
    else t.same([...(answer ?? [])], [0x20, 3, 0, reasonCode, 0], `[${statement}] ${what}`)
  }
  t.equal(read([behind(publish5({ topic: '' }))]).fault?.answer, null)
})

// --- what is just allowed

function lastOf(bytes: Uint8Array): ClientPacket {
  const whole = read([bytes])
  if (whole.fault) throw new Error(`${bytes.length} bytes: ${whole.fault.message}`)
  const words = wordsOf(whole)
  for (const chunks of everySplit(bytes))
    if (wordsOf(read(chunks)) !== words) throw new Error(`another reading in pieces of ${chunks.map(({ length }) => length)}`)
  return whole.packets.at(-1) as ClientPacket
}

t.test('each property in each packet that may have it, alone and all together', async (t) => {
  for (const [name, owner] of Object.entries(owners)) {
    const parts = owner.allowed.map((id) => ONE_OF_EACH.get(id) as Uint8Array)
    for (const part of parts) lastOf(owner.with(block(part)))
    lastOf(owner.with(block(...parts)))
    lastOf(owner.with(block(...parts.reverse())))
    lastOf(owner.with(block(...numbered(smallLimits.userPropertiesMax))))
    lastOf(owner.with(block(userProperty('n', 'v'.repeat(994)))))
    t.pass(name)
  }
})

t.test('CONNECT: every field', async (t) => {
  const bare = { flags: 2, properties: [0] }
  t.same(lastOf(connect5(bare)), {
    type: 'connect',
    version: 5,
    isBridge: false,
    isClean: true,
    keepAliveSeconds: 0,
    clientId: 'raw',
    will: null,
    userName: null,
    password: null,
    sessionExpirySeconds: 0,
    receiveMaximum: 65_535,
    packetBytesMax: Number.POSITIVE_INFINITY,
    wantsProblemInformation: true
  })
  const properties = block(
    [17, ...uint32(0xffffffff)],
    [33, 0xff, 0xff],
    [39, ...uint32(0xffffffff)],
    [34, 0, 0],
    [23, 0],
    [25, 0],
    ...numbered(3)
  )
  const willProperties = block([24, ...uint32(0xffffffff)], [2, 0, 0, 0, 9], ...numbered(2), [1, 0])
  const fields = [willProperties, string('w/x'), string(''), string(''), string(Buffer.from([0, 0xff]))]
  const full = lastOf(connect5({ flags: 0xf4, keepAlive: 65_535, properties, clientId: '', fields })) as ConnectPacket
  t.match(full, { isClean: false, keepAliveSeconds: 65_535, clientId: '', sessionExpirySeconds: 0xffffffff, receiveMaximum: 65_535 })
  t.match(full, { packetBytesMax: 0xffffffff, wantsProblemInformation: false, userName: '' })
  t.same([...(full.password as Uint8Array)], [0, 0xff])
  t.match(full.will, { topic: 'w/x', qos: 2, retain: true, delaySeconds: 0xffffffff, properties: { expirySeconds: 9 } })
  t.equal(full.will?.payload.length, 0)
  t.same(
    readForwarded(full.will?.properties?.forwarded ?? Buffer.alloc(0)).userProperties.map(([, value]) => value),
    ['0', '1']
  )
  t.match(lastOf(connect5({ flags: 0x42, fields: [string('secret')] })), { userName: null }, 'MQTT 5 has passwords without user names')
  t.match(lastOf(will5({ flags: 0x0e })), { will: { qos: 1, retain: false, delaySeconds: 0, properties: null } })
  t.match(lastOf(packet(0x10, string('MQTT'), [0x85, 2], [0, 0], [0], X)), { version: 5, isBridge: true })
  t.match(lastOf(connect5({ properties: fullProperties })), { receiveMaximum: 1 })
})

t.test('PUBLISH: every field, properties in their order', async (t) => {
  const properties = block(
    userProperty('b', '1'),
    [35, 0, 16],
    textProperty(3, 'a/b'),
    userProperty('a', '2'),
    [2, ...uint32(0xffffffff)],
    userProperty('b', '1')
  )
  const { properties: read5, ...fields } = lastOf(
    behind(publish5({ topic: 'ä/€', payload: 'p', qos: 2, packetId: 65_535, flags: 9, properties }))
  ) as PublishPacket
  t.same(
    { ...fields, payload: Buffer.from(fields.payload).toString() },
    {
      type: 'publish',
      topic: 'ä/€',
      payload: 'p',
      qos: 2,
      retain: true,
      dup: true,
      packetId: 65_535,
      topicAlias: 16
    }
  )
  t.equal(read5?.expirySeconds, 0xffffffff)
  const expected = Buffer.concat([userProperty('b', '1'), textProperty(3, 'a/b'), userProperty('a', '2'), userProperty('b', '1')])
  t.same(Buffer.from(read5?.forwarded ?? []), expected, 'as they came')
  t.match(lastOf(behind(publish5({ topic: '', properties: block([35, 0, 1]) }))), { topic: '', topicAlias: 1, properties: null })
  t.match(lastOf(behind(publish5({ properties: block([2, 0, 0, 0, 0]) }))), { properties: { expirySeconds: 0 } })
  t.match(lastOf(behind(publish5({ topic: 'x'.repeat(100) }))), { topic: 'x'.repeat(100), packetId: 0, properties: null })
  t.match(lastOf(behind(publish5({ topic: '/'.repeat(9) }))), { topic: '/////////' })
  t.match(lastOf(behind(publish5({ topic: '$SYS/x' }))), { topic: '$SYS/x' }, 'who may publish there is not decided here')
  t.match(lastOf(behind(publish5({ properties: block([1, 1]), payload: Buffer.from([0xff]) }))), { qos: 0 }, 'the payload is not looked at')
  const large = publish5({ payload: Buffer.alloc(4096 - 7, 0xff) })
  t.equal(large.length, 4096)
  t.equal((lastOf(behind(large)) as PublishPacket).payload.length, 4096 - 7)
  const many = lastOf(behind(publish5({ properties: block(...numbered(64)) }))) as PublishPacket
  const { userProperties } = readForwarded(many.properties?.forwarded ?? Buffer.alloc(0))
  t.same(
    userProperties,
    Array.from({ length: 64 }, (_, index) => [`n${index % 3}`, `${index}`])
  )
})

t.test('a topic is text as it came: BOM, U+FFFD, other planes; the same topic again and another of its length', async (t) => {
  const topics = ['\ufeffa', 'a\ufeff', '\ufffd', '𝄞/ÿ', 'abc', 'abd', 'abc', 'bbc', 'ab', '', 'abc', 'aé', 'abc', '\u00a0', ' ']
  const bytes = behind(...topics.map((topic) => publish5({ topic, properties: topic === '' ? block([35, 0, 1]) : [0] })))
  t.same(
    read([bytes])
      .packets.slice(1)
      .map((packet) => packet.type === 'publish' && packet.topic),
    topics
  )
  lastOf(bytes)
  t.match(lastOf(connect5({ clientId: '\ufeffid' })), { clientId: '\ufeffid' })
  t.match(lastOf(behind(subscribe5(1, [0], ['\ufefff', 0]))), { subscriptions: [{ filter: '\ufefff' }] })
})

t.test('answers of clients, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT', async (t) => {
  for (const [first, name, codes] of ackCodes) {
    const type = name.toLowerCase()
    t.same(lastOf(behind(packet(first, [1, 2]))), { type, packetId: 258, reasonCode: 0 })
    for (const code of codes) {
      t.same(lastOf(behind(packet(first, [255, 255], [code]))), { type, packetId: 65_535, reasonCode: code })
      t.same(lastOf(behind(packet(first, [0, 1], [code], [0]))), { type, packetId: 1, reasonCode: code })
    }
  }
  const filters: [string, number][] = [
    ['#', 0],
    ['+/+', 0x2e],
    ['$share/g/#', 0x11],
    ['$SYS/#', 4]
  ]
  t.same(lastOf(behind(subscribe5(65_535, block([11, 0xff, 0xff, 0xff, 0x7f]), ...filters))), {
    type: 'subscribe',
    packetId: 65_535,
    subscriptionId: 268_435_455,
    subscriptions: [
      { filter: '#', qos: 0, noLocal: false, retainAsPublished: false, retainHandling: 0 },
      { filter: '+/+', qos: 2, noLocal: true, retainAsPublished: true, retainHandling: 2 },
      { filter: '$share/g/#', qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 1 },
      { filter: '$SYS/#', qos: 0, noLocal: true, retainAsPublished: false, retainHandling: 0 }
    ]
  })
  t.match(lastOf(behind(subscribe5(1, [0], ['/'.repeat(9), 0]))), { subscriptionId: null, subscriptions: [{ filter: '/////////' }] })
  t.same(lastOf(behind(unsubscribe5(9, [0], 'a', '#'))), { type: 'unsubscribe', packetId: 9, filters: ['a', '#'] })
  t.same(lastOf(behind(packet(0xe0))), { type: 'disconnect', reasonCode: 0, sessionExpirySeconds: null })
  for (const code of DISCONNECT_CODES) t.match(lastOf(behind(packet(0xe0, [code]))), { reasonCode: code, sessionExpirySeconds: null })
  const properties = block([17, ...uint32(7)], textProperty(31, 'bye'))
  t.same(lastOf(behind(packet(0xe0, [4], properties))), { type: 'disconnect', reasonCode: 4, sessionExpirySeconds: 7 })
  t.same(lastOf(behind(pingPacket())), { type: 'pingreq' })
})

t.test('lengths: each in its shortest form is taken, at the edges of one, two and three bytes', async (t) => {
  const limits = { ...smallLimits, packetBytesMax: 3 * 1024 * 1024 }
  for (const payloadBytes of [123, 124, 16_379, 16_380, 2_097_147, 2_097_148]) {
    const bytes = behind(publish5({ payload: Buffer.alloc(payloadBytes) }))
    const { packets, fault } = read([bytes], limits)
    t.equal(fault, null)
    t.equal((packets[1] as PublishPacket).payload.length, payloadBytes)
  }
  t.equal(read([behind(publish5({ payload: Buffer.alloc(16_379) }))]).fault?.reason, 'packet-too-large')
})

t.test('nothing is read after a fault', async (t) => {
  const { packets } = read([behind(publish5({ topic: '' }), publish5()), publish5(), uint16(0) as unknown as Uint8Array].slice(0, 2))
  t.same(
    packets.map(({ type }) => type),
    ['connect']
  )
})
