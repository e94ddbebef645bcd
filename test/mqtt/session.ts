// A valid MQTT session that uses every packet a client may send, and what becomes of it when bits are changed.

import type { Prng } from '../sim/prng.ts'
import {
  connectPacket,
  disconnectPacket,
  packet,
  pingPacket,
  publishPacket,
  pubrelPacket,
  subscribePacket,
  unsubscribePacket
} from './packets.ts'

const CONNECT = connectPacket({ clientId: 'käse', will: { topic: 'w', payload: Buffer.from('bye') } })

/** Of validSession(). */
export const CONNECT_BYTES = CONNECT.length

export function validSession(): Buffer {
  return Buffer.concat([
    CONNECT,
    publishPacket({ topic: 'a/b', payload: 'x' }),
    publishPacket({ topic: 'ä/€/𝄞/\u00a0', payload: '\0\x01\xff', qos: 1, packetId: 1 }),
    publishPacket({ topic: 'empty', qos: 2, packetId: 65535, dup: true, retain: true }),
    publishPacket({ topic: 'long', payload: Buffer.alloc(300, 0xff), qos: 1, packetId: 258 }),
    pubrelPacket(256),
    packet(0x40, [0, 1]),
    packet(0x50, [1, 0]),
    packet(0x70, [1, 1]),
    subscribePacket(7, '+/#', 1),
    unsubscribePacket(8, '+/#'),
    pingPacket(),
    publishPacket({ topic: 't' }),
    disconnectPacket()
  ])
}

/** Some bits changed or bytes cut out; mostly behind CONNECT, or nothing behind it would ever be reached. */
export function mutate(prng: Prng, bytes: Buffer, connectBytes = CONNECT_BYTES): Buffer {
  const result = Buffer.from(bytes)
  const start = prng.chance(80) ? connectBytes : 0
  for (let count = prng.between(1, 4); count > 0; count--) {
    const at = prng.between(start, result.length - 1)
    if (prng.chance(50)) result[at] = prng.pick([0, 1, 0x7f, 0x80, 0xff])
    else result[at] = (result[at] as number) ^ (1 << prng.below(8))
  }
  const from = prng.between(start, result.length)
  return prng.chance(20) ? Buffer.concat([result.subarray(0, from), result.subarray(from + prng.below(8))]) : result
}

/** A CONNECT with a will, often mutated: mostly in the flags and in what the will becomes for others. */
export function mutatedWill(prng: Prng, clientId: string): Buffer {
  const topic = prng.pick(['d/w', 'w/ä', '$w', 'd/+', '/'])
  const bytes = connectPacket({ clientId, clean: prng.chance(70), will: { topic, payload: Buffer.from('bye') }, willQos: prng.below(4) })
  if (prng.chance(40)) bytes[9] = (bytes[9] as number) ^ (1 << prng.below(8))
  return prng.chance(20) ? flipped(prng, bytes, 12) : bytes
}

/** One packet a client may send after CONNECT, one or two bytes of it changed, its length mostly right. */
export function mutatePacket(prng: Prng): Buffer {
  const topic = prng.pick(['d/x', 'a/b', 'ä/€', 'd/good/not', '/', 'x//y'])
  const packetId = prng.between(1, 5)
  const payload = prng.bytes(prng.below(20))
  const valid = prng.pick([
    publishPacket({ topic, payload, retain: prng.chance(20) }),
    publishPacket({ topic, payload, qos: 1, packetId, dup: prng.chance(30), retain: prng.chance(20) }),
    publishPacket({ topic, payload, qos: 2, packetId, dup: prng.chance(30) }),
    pubrelPacket(packetId),
    packet(0x40, [0, packetId]),
    packet(0x50, [0, packetId]),
    packet(0x70, [0, packetId]),
    subscribePacket(packetId, prng.pick(['+/#', 'd/+', '#', 'x/+/y']), prng.below(3)),
    unsubscribePacket(packetId, '#'),
    pingPacket()
  ])
  return flipped(prng, valid, prng.chance(70) ? 2 : 0)
}

export function flipped(prng: Prng, bytes: Buffer, from: number): Buffer {
  const result = Buffer.from(bytes)
  for (let count = prng.between(1, 2); count > 0; count--) {
    const at = prng.between(Math.min(from, result.length - 1), result.length - 1)
    result[at] = prng.chance(30) ? prng.pick([0, 0x7f, 0x80, 0xff]) : (result[at] as number) ^ (1 << prng.below(8))
  }
  return result
}
