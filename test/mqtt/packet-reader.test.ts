// Proves for adapters/mqtt/packet-reader.ts with MQTT 3.1 and 3.1.1: valid sessions pass in any split; what a client may not send is stopped with its
// name, in any split; mutated sessions never throw and never let pass what the reader promises to stop. MQTT 5: packet-reader-5.test.ts.

import { createRequire } from 'node:module'
import t from 'tap'
import { defaultMqttLimits } from '../../adapters/mqtt/limits.ts'
import { PacketReader } from '../../adapters/mqtt/packet-reader.ts'
import { Prng, seeds } from '../sim/prng.ts'
import {
  connectPacket,
  packet,
  pingPacket,
  publishPacket,
  pubrelPacket,
  remainingLength,
  string,
  subscribePacket,
  unsubscribePacket
} from './packets.ts'
import { mutate, validSession } from './session.ts'

const session = validSession()

interface Parser {
  on(event: 'packet', broker: (packet: { cmd: string; topic?: string; length: number; qos?: number; messageId?: number }) => void): void
  on(event: 'error', broker: (error: Error) => void): void
  parse(chunk: Buffer): void
}
const mqttPacket = createRequire(import.meta.url)('mqtt-packet') as { parser(): Parser }

const limits = { ...defaultMqttLimits, packetBytesMax: 4096, connectBytesMax: 512, willBytesMax: 512, mqttTopicBytesMax: 100 }

function read(chunks: readonly Uint8Array[]): PacketReader {
  const reader = new PacketReader(limits, { topicAliasMaximum: 16 })
  for (const chunk of chunks) {
    reader.push(chunk)
    while (reader.next() !== null);
  }
  return reader
}

const verdict = (chunks: readonly Uint8Array[]): string => read(chunks).fault?.reason ?? 'passes'

const splitAt = (bytes: Uint8Array, at: number): Uint8Array[] => [bytes.subarray(0, at), bytes.subarray(at)]
const bytewise = (bytes: Uint8Array): Uint8Array[] => Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))

t.test('a valid session passes in every split', async (t) => {
  t.equal(verdict([session]), 'passes')
  t.equal(verdict(bytewise(session)), 'passes')
  const stopped: number[] = []
  for (let first = 0; first <= session.length; first++) {
    if (verdict(splitAt(session, first)) !== 'passes') stopped.push(first)
    const rest = session.subarray(first)
    if (verdict([session.subarray(0, first), ...splitAt(rest, first % (rest.length + 1))]) !== 'passes') stopped.push(first)
  }
  t.same(stopped, [])
})

const CONNECT = connectPacket()
const faults: [string, string, Uint8Array][] = [
  ['anything before CONNECT', 'connect-expected', pingPacket()],
  ['PUBLISH before CONNECT', 'connect-expected', publishPacket({ topic: 'a' })],
  ['HTTP', 'connect-expected', Buffer.from('GET / HTTP/1.1\r\n')],
  ['CONNECT with flags', 'packet-flags', Buffer.from([0x1a])],
  ['a large CONNECT', 'connect-too-large', Buffer.from([0x10, ...remainingLength(1025)])],
  ['a CONNECT of 256 MiB', 'connect-too-large', Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f])],
  ['a second CONNECT', 'second-connect', Buffer.concat([CONNECT, CONNECT])],
  ['type 0', 'packet-type', Buffer.concat([CONNECT, Buffer.from([0x00])])],
  ['type 15', 'packet-type', Buffer.concat([CONNECT, Buffer.from([0xf0])])],
  ['CONNACK from a client', 'packet-type', Buffer.concat([CONNECT, Buffer.from([0x20])])],
  ['SUBACK from a client', 'packet-type', Buffer.concat([CONNECT, Buffer.from([0x90])])],
  ['PINGRESP from a client', 'packet-type', Buffer.concat([CONNECT, Buffer.from([0xd0])])],
  ['QoS 3', 'packet-flags', Buffer.concat([CONNECT, Buffer.from([0x36])])],
  ['SUBSCRIBE with flags 0', 'packet-flags', Buffer.concat([CONNECT, Buffer.from([0x80])])],
  ['PUBREL with flags 0', 'packet-flags', Buffer.concat([CONNECT, Buffer.from([0x60])])],
  ['PINGREQ with flags', 'packet-flags', Buffer.concat([CONNECT, Buffer.from([0xc1])])],
  ['a remaining length of five bytes', 'packet-length', Buffer.concat([CONNECT, Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80])])],
  ['one byte more than the limit', 'packet-too-large', Buffer.concat([CONNECT, Buffer.from([0x30, ...remainingLength(4096 - 2)])])],
  ['a PUBLISH of 256 MiB', 'packet-too-large', Buffer.concat([CONNECT, Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f])])],
  ['a SUBSCRIBE of 2 MiB', 'packet-too-large', Buffer.concat([CONNECT, Buffer.from([0x82, 0x80, 0x80, 0x80, 0x01])])],
  ['a PUBLISH of one byte', 'packet-length', Buffer.concat([CONNECT, packet(0x30, [0])])],
  ['a topic longer than its packet', 'packet-length', Buffer.concat([CONNECT, packet(0x30, [0, 9], [0x61])])],
  ['a topic that leaves no room for the packet id', 'packet-length', Buffer.concat([CONNECT, packet(0x32, string('abc'), [1])])],
  ['PUBACK of three bytes', 'packet-length', Buffer.concat([CONNECT, packet(0x40, [0, 1, 2])])],
  ['PINGREQ with a body', 'packet-length', Buffer.concat([CONNECT, packet(0xc0, [0])])],
  ['an empty SUBSCRIBE', 'packet-length', Buffer.concat([CONNECT, packet(0x82)])],
  ['an empty topic', 'topic-empty', Buffer.concat([CONNECT, publishPacket({ topic: '' })])],
  ['a topic that is too long', 'topic-too-long', Buffer.concat([CONNECT, publishPacket({ topic: 'x'.repeat(101) })])],
  ['U+0000 in a topic', 'topic-nul', Buffer.concat([CONNECT, publishPacket({ topic: 'a\0b' })])],
  ['a control character', 'topic-control-character', Buffer.concat([CONNECT, publishPacket({ topic: 'a\nb' })])],
  ['U+007F', 'topic-control-character', Buffer.concat([CONNECT, publishPacket({ topic: 'a\x7fb' })])],
  ['U+0085', 'topic-control-character', Buffer.concat([CONNECT, publishPacket({ topic: 'a\u0085b' })])],
  ['+ in a topic', 'topic-wildcard', Buffer.concat([CONNECT, publishPacket({ topic: 'a/+' })])],
  ['# in a topic', 'topic-wildcard', Buffer.concat([CONNECT, publishPacket({ topic: '#' })])],
  ['packet id 0', 'packet-id-zero', Buffer.concat([CONNECT, publishPacket({ topic: 'a', qos: 1, packetId: 0 })])],
  ['PUBREL of packet id 0', 'packet-id-zero', Buffer.concat([CONNECT, pubrelPacket(0)])]
]
/** limits of this file: 512 bytes, and 512 of a will. */
const large = (userNameBytes: number, willBytes: number | null): Buffer =>
  connectPacket({
    clientId: 'a',
    userName: 'u'.repeat(userNameBytes),
    ...(willBytes !== null && { will: { topic: 'w', payload: Buffer.alloc(willBytes) } })
  })
const AROUND_BYTES = large(400, null).length - 400
faults.push(
  ['a large CONNECT without a will', 'connect-too-large', large(513 - AROUND_BYTES, null)],
  ['a large CONNECT beside its will', 'connect-too-large', large(513 - AROUND_BYTES, 100)]
)
t.test('a CONNECT of the largest size is taken, and its will comes on top of that', async (t) => {
  for (const will of [null, 0, 490]) {
    const reader = read([large(512 - AROUND_BYTES, will)])
    t.equal(reader.fault, null)
    t.ok(reader.isPastConnect)
  }
})
const connectWith = (flags: number, ...fields: Buffer[]): Buffer => packet(0x10, string('MQTT'), [4, flags], [0, 0], ...fields)
const bad = Buffer.from([0x61, 0xff])
const nul = 'a\0'
const X = string('x')
faults.push(
  ['the reserved flag', 'connect-flags', connectWith(3, X)],
  ['will QoS without a will', 'connect-flags', connectWith(0x0a, X)],
  ['will retain without a will', 'connect-flags', connectWith(0x22, X)],
  ['a will of QoS 3', 'will', connectWith(0x1e, X, X, X)],
  ['a password without a user name', 'connect-flags', connectWith(0x42, X, X)],
  ['a client id that is not UTF-8', 'client-id', connectWith(2, string(bad))],
  ['a client id with U+0000', 'client-id', connectWith(2, string(nul))],
  ['a user name that is not UTF-8', 'string-utf8', connectWith(0x82, X, string(bad))],
  ['a user name with U+0000', 'string-utf8', connectWith(0x82, X, string(nul))],
  ['a will topic that is not UTF-8', 'will', connectWith(6, X, string(bad), X)],
  ['a byte behind CONNECT', 'packet-length', packet(0x10, CONNECT.subarray(2), [0])],
  ['a CONNECT cut off', 'packet-length', packet(0x10, CONNECT.subarray(2, -1))],
  ['another protocol name', 'protocol-version', packet(0x10, string('MQTX'), [4, 2], [0, 0], X)],
  ['protocol level 6', 'protocol-version', packet(0x10, string('MQTT'), [6, 2], [0, 0], X)],
  ['DUP with QoS 0', 'packet-flags', Buffer.concat([CONNECT, publishPacket({ topic: 'a', dup: true })])],
  ['SUBSCRIBE of packet id 0', 'packet-id-zero', Buffer.concat([CONNECT, subscribePacket(0, 'a')])],
  ['UNSUBSCRIBE of packet id 0', 'packet-id-zero', Buffer.concat([CONNECT, unsubscribePacket(0, 'a')])],
  ['SUBSCRIBE without a filter', 'packet-length', Buffer.concat([CONNECT, packet(0x82, [0, 1])])],
  ['UNSUBSCRIBE without a filter', 'packet-length', Buffer.concat([CONNECT, packet(0xa2, [0, 1])])],
  ['SUBSCRIBE of QoS 3', 'packet-flags', Buffer.concat([CONNECT, subscribePacket(1, 'a', 3)])],
  ['SUBSCRIBE with reserved bits', 'packet-flags', Buffer.concat([CONNECT, subscribePacket(1, 'a', 4)])],
  ['SUBSCRIBE without its QoS', 'packet-length', Buffer.concat([CONNECT, packet(0x82, [0, 1], X)])],
  ['a filter longer than its packet', 'packet-length', Buffer.concat([CONNECT, packet(0xa2, [0, 1], [0, 9], [0x61])])]
)
for (const filter of ['a#', '#/a', 'a/#/b', 'a+', '+a/b', 'a/+b', '##', '']) {
  faults.push([`the filter "${filter}"`, 'filter', Buffer.concat([CONNECT, subscribePacket(1, filter)])])
  faults.push([`the filter "${filter}" in UNSUBSCRIBE`, 'filter', Buffer.concat([CONNECT, unsubscribePacket(1, filter)])])
}
for (const filter of [bad, Buffer.from(nul)]) {
  faults.push(['a filter that is no text', 'string-utf8', Buffer.concat([CONNECT, packet(0x82, [0, 1], string(filter), [0])])])
  faults.push(['the same in UNSUBSCRIBE', 'string-utf8', Buffer.concat([CONNECT, packet(0xa2, [0, 1], string(filter))])])
}
const badUtf8: [string, number[]][] = [
  ['a lone continuation', [0x80]],
  ['an overlong slash', [0xc0, 0xaf]],
  ['an overlong NUL', [0xc0, 0x80]],
  ['an overlong of three', [0xe0, 0x80, 0xaf]],
  ['a surrogate', [0xed, 0xa0, 0x80]],
  ['beyond U+10FFFF', [0xf4, 0x90, 0x80, 0x80]],
  ['five bytes', [0xf8, 0x88, 0x80, 0x80, 0x80]],
  ['cut off', [0xe2, 0x82]],
  ['0xff', [0xff]]
]
for (const [name, bytes] of badUtf8) {
  faults.push([
    `invalid UTF-8: ${name}`,
    'topic-utf8',
    Buffer.concat([CONNECT, publishPacket({ topic: Buffer.from([0x61, ...bytes]), qos: 1 })])
  ])
}

t.test('what a client may not send is stopped with its name, in every split', async (t) => {
  for (const [name, reason, bytes] of faults) {
    const answers = new Set([verdict([bytes]), verdict(bytewise(bytes))])
    for (let at = 0; at <= bytes.length; at++) answers.add(verdict(splitAt(bytes, at)))
    t.same([...answers], [reason], name)
  }
})

t.test('a CONNECT of another version is answered, one that is not MQTT is not answered', async (t) => {
  const answerTo = (name: string, level: number): number[] | null => {
    const answer = read([packet(0x10, string(name), [level, 2], [0, 0], [0], X)]).fault?.answer
    return answer ? [...answer] : null
  }
  t.same(answerTo('MQTT', 6), [0x20, 2, 0, 1])
  t.same(answerTo('MQTT', 3), [0x20, 2, 0, 1])
  t.same(answerTo('MQIsdp', 4), [0x20, 2, 0, 1])
  t.equal(answerTo('MQTX', 4), null)
})

t.test('the largest packets still pass, and after a fault nothing does', async (t) => {
  t.equal(verdict([CONNECT, packet(0x30, string('a'), Buffer.alloc(4096 - 6))]), 'passes')
  const large = connectPacket({
    will: { topic: 'w', payload: Buffer.alloc(1024 - connectPacket({ will: { topic: 'w', payload: Buffer.alloc(0) } }).length - 1) }
  })
  t.equal(large.length, 1024)
  t.equal(verdict([large]), 'passes')
  t.equal(verdict(bytewise(large)), 'passes', 'put together from pieces')
  t.equal(
    verdict([connectPacket({ userName: '', password: Buffer.from([0xff, 0]), clientId: '' })]),
    'passes',
    'a password may be any bytes'
  )
  t.equal(verdict([packet(0x10, string('MQIsdp'), [3, 2], [0, 0], X)]), 'passes', 'MQTT 3.1')
  t.equal(verdict([packet(0x10, string('MQTT'), [0x84, 2], [0, 0], X)]), 'passes', 'a bridge of Mosquitto')
  for (const filter of ['#', '+', '/', '+/+', 'a/#', '/#', 'a//b', ' ', '$SYS/#']) {
    t.equal(verdict([CONNECT, subscribePacket(1, filter, 2), unsubscribePacket(1, filter)]), 'passes', filter)
  }
  t.equal(verdict([CONNECT, publishPacket({ topic: 'x'.repeat(100) })]), 'passes')
  t.equal(verdict([pingPacket(), CONNECT]), 'connect-expected')
})

t.test('UTF-8 is judged as the platform judges it', async (t) => {
  const prng = new Prng(11)
  const strict = new TextDecoder('utf-8', { fatal: true })
  for (let round = 0; round < 20_000; round++) {
    const bytes = Buffer.from(
      prng.chance(50) ? [prng.between(0xc0, 0xf8), prng.between(0x70, 0xc8), prng.between(0x70, 0xc8)] : prng.bytes(prng.between(1, 5))
    )
    let text: string | null = null
    try {
      text = strict.decode(bytes)
    } catch {}
    // A BOM is swallowed by the decoder and may stand in a topic.
    const isGood = text !== null && !/[\u0000-\u001f\u007f-\u009f+#]/.test(text)
    const passes = verdict([CONNECT, publishPacket({ topic: bytes })]) === 'passes'
    if (passes !== isGood) return t.fail(`${bytes.toString('hex')}: passes ${passes}, expected ${isGood}`)
  }
  t.pass('20,000 strings')
})

for (const seed of seeds({ count: 10 })) {
  t.test(`mutated sessions: what passes is small, named right and the same in every split (SEED=${seed})`, async (t) => {
    const prng = new Prng(seed)
    let stopped = 0
    for (let round = 0; round < 400; round++) {
      const bytes = mutate(prng, session)
      const whole = verdict([bytes])
      const cut = prng.below(bytes.length)
      const answers = new Set([whole, verdict(bytewise(bytes)), verdict(splitAt(bytes, cut))])
      if (answers.size > 1) return t.fail(`${[...answers].join(' / ')} for ${bytes.toString('hex')}`)
      if (whole !== 'passes') {
        stopped++
        continue
      }
      const parser = mqttPacket.parser()
      let problem = ''
      let isBroken = false
      parser.on('error', () => (isBroken = true))
      parser.on('packet', ({ cmd, topic, length, qos, messageId }) => {
        if (length > limits.packetBytesMax) problem = `${cmd} of ${length} bytes`
        if (cmd === 'publish' && (!topic || /[\u0000-\u001f\u007f-\u009f+#\ufffd]/.test(topic))) problem = `topic ${JSON.stringify(topic)}`
        if (cmd === 'publish' && (qos ?? 0) > 0 && messageId === 0) problem = 'packet id 0'
      })
      parser.parse(bytes)
      if (problem && !isBroken) return t.fail(`passed ${problem}: ${bytes.toString('hex')}`)
    }
    t.ok(stopped > 40, `${stopped} of 400 were stopped`)
  })
}
