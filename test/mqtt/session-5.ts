// A valid MQTT 5 session that uses every packet and every property a client may send, and packets of which bits are changed.

import type { Prng } from '../sim/prng.ts'
import { packet, pingPacket, string } from './packets.ts'
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
import { flipped } from './session.ts'

const REASON = block(textProperty(31, 'because'), userProperty('a', 'b'))
const MESSAGE = [
  [1, 1],
  [2, ...uint32(60)],
  textProperty(3, 'text/plain'),
  textProperty(8, 'd/answers'),
  textProperty(9, 'id'),
  ...numbered(3)
]
const CONNECT_PROPERTIES = block(
  [17, ...uint32(60)],
  [23, 1],
  [25, 0],
  [33, 0, 9],
  [34, 0, 9],
  [39, ...uint32(100_000)],
  userProperty('a', 'b')
)
const WILL_PROPERTIES = block([24, 0, 0, 0, 0], ...MESSAGE)
const CONNECT = connect5({
  flags: 0xce,
  properties: CONNECT_PROPERTIES,
  clientId: 'käse',
  fields: [WILL_PROPERTIES, string('d/will'), string('bye'), string('user'), string('secret')]
})

/** Of validSession5(). */
export const CONNECT5_BYTES = CONNECT.length

export function validSession5(): Buffer {
  return Buffer.concat([
    CONNECT,
    publish5({ topic: 'a/b', payload: 'x', properties: block(...MESSAGE) }),
    publish5({ topic: 'ä/€/𝄞', payload: '\0\xff', qos: 1, properties: block([35, 0, 1]) }),
    publish5({ topic: '', payload: 'y', qos: 1, packetId: 2, properties: block([35, 0, 1], ...numbered(10)) }),
    publish5({ topic: 'd/x', qos: 2, packetId: 65_535, flags: 9 }),
    packet(0x62, [255, 255]),
    packet(0x40, [0, 1], [0x10], REASON),
    packet(0x50, [1, 0], [0x97]),
    packet(0x70, [1, 1], [0x92], REASON),
    subscribe5(7, block([11, 0x80, 1], userProperty('a', 'b')), ['+/#', 0x2e], ['d/#', 1]),
    unsubscribe5(8, block(userProperty('a', 'b')), '+/#', 'a'),
    pingPacket(),
    packet(0xe0, [4], block([17, 0, 0, 0, 0], textProperty(31, 'bye')))
  ])
}

function randomProperties(prng: Prng): Buffer {
  const own = [...MESSAGE, [35, 0, prng.between(1, 16)]].filter(() => prng.chance(30))
  return block(...own, ...numbered(prng.below(3)))
}

/** One packet a client may send after CONNECT, one or two bytes of it changed, its length mostly right. */
export function mutatePacket5(prng: Prng): Buffer {
  const topic = prng.pick(['d/x', 'a/b', 'ä/€', '', '/', 'x//y'])
  const packetId = prng.between(1, 5)
  const properties = randomProperties(prng)
  const publish = { topic, payload: prng.bytes(prng.below(20)), packetId, properties }
  const make = prng.pick([
    () => publish5({ ...publish, flags: prng.chance(20) ? 1 : 0 }),
    () => publish5({ ...publish, qos: 1, flags: prng.pick([0, 1, 8, 9]) }),
    () => publish5({ ...publish, qos: 2, flags: prng.pick([0, 8]) }),
    () => packet(prng.pick([0x40, 0x50]), uint16(packetId), [prng.pick([0, 0x10, 0x97])], REASON),
    () => packet(prng.pick([0x62, 0x70]), uint16(packetId), [prng.pick([0, 0x92])], REASON),
    () => packet(prng.pick([0x40, 0x50, 0x62, 0x70]), uint16(packetId)),
    () =>
      subscribe5(packetId, prng.chance(50) ? block([11, prng.between(1, 127)]) : [0], [
        prng.pick(['+/#', 'd/+', '#', 'x/+/y']),
        prng.below(48)
      ]),
    () => unsubscribe5(packetId, [0], '#'),
    () => pingPacket(),
    () => packet(0xe0, [prng.pick([0, 4, 0x81])], block([17, 0, 0, 0, prng.below(3)]))
  ])
  return flipped(prng, make(), prng.chance(70) ? 2 : 0)
}

/** A CONNECT with a will, often mutated: mostly in the flags and in what the will becomes for others. */
export function mutatedWill5(prng: Prng, clientId: string): Buffer {
  const topic = prng.pick(['d/w', 'w/ä', '$w', 'd/+', '/'])
  const flags = 0x04 | (prng.chance(70) ? 2 : 0) | (prng.below(3) << 3) | (prng.chance(30) ? 0x20 : 0)
  const properties = prng.chance(50) ? block([17, 0, 0, 0, prng.below(2)]) : [0]
  const willProperties = prng.chance(50) ? block(...MESSAGE) : [0]
  const bytes = connect5({ flags, clientId, properties, fields: [willProperties, string(topic), string('bye')] })
  if (prng.chance(40)) bytes[9] = (bytes[9] as number) ^ (1 << prng.below(8))
  return prng.chance(20) ? flipped(prng, bytes, 12) : bytes
}

/** A CONNECT of this version, mostly with one or two bytes changed. */
export function mutatedConnect5(prng: Prng): Buffer {
  return flipped(prng, prng.pick([CONNECT, connect5(), will5()]), prng.chance(50) ? 2 : 0)
}
