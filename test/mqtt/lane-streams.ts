// Random streams of MQTT packets for one connection, most of them PUBLISHes that the fast lane takes, and everything that it does not take between them.

import { Prng } from '../sim/prng.ts'
import { connectPacket, packet, pingPacket, publishPacket, pubrelPacket, subscribePacket, unsubscribePacket } from './packets.ts'
import { block, connect5, publish5, subscribe5, unsubscribe5, userProperty } from './packets-5.ts'

export interface LaneStream {
  readonly version: 4 | 5
  /** CONNECT first. */
  readonly packets: readonly Buffer[]
  /** The last packet is wrong, or not allowed: the connection ends by it. */
  readonly endsWrong: boolean
}

const TOPICS = ['d/a', 'd/b', 'd/käse', 'd/a-rather-long-name-of-a-device-0123456789', 'loose/x', 'loose/y', 'json/a']
const WRONG_4 = [
  packet(0x32, [0, 3], Buffer.from('d/a'), [0, 0], Buffer.from('id 0')),
  packet(0x36, [0, 3], Buffer.from('d/a'), [0, 9]),
  packet(0x30, [0, 3], Buffer.from('d/+')),
  packet(0x30, [0, 3], Buffer.from([0x64, 0x2f, 0xff])),
  packet(0x30, [0, 9], Buffer.from('d/a')),
  packet(0x38, [0, 3], Buffer.from('d/a')),
  packet(0x32, [0, 3], Buffer.from('d/a'), [7]),
  packet(0x30, [0, 0]),
  packet(0xf0),
  publishPacket({ topic: 'of/no/route', qos: 1, packetId: 60_000 }),
  publishPacket({ topic: '$SYS/x', qos: 1, packetId: 60_000 }),
  Buffer.from([0x32, 0xff, 0xff, 0xff, 0xff])
]

export function laneStream(seed: number): LaneStream {
  const prng = new Prng(seed)
  const version = prng.chance(50) ? 4 : 5
  const clientId = `c${seed}`
  const packets = [version === 4 ? connectPacket({ clientId }) : connect5({ clientId })]
  const makeOne = version === 4 ? onePacket : onePacket5
  const isDull = prng.chance(30)
  for (let index = 0, count = prng.between(5, 150); index < count; index++) packets.push(...makeOne(prng, index, isDull))
  const endsWrong = prng.chance(40)
  if (endsWrong) packets.push(version === 4 ? prng.pick(WRONG_4) : publish5({ topic: 'd/+', qos: 1, packetId: 60_000 }))
  return { version, packets, endsWrong }
}

/** Packet ids go up: none is in flight twice. */
const idOf = (index: number): number => index + 1

function payloadOf(prng: Prng, index: number): Buffer {
  const bytes = prng.pick([0, 1, 20, 100, 300, 5_000, 20_000])
  return Buffer.concat([Buffer.from(`${index}:`), Buffer.alloc(prng.chance(90) ? Math.min(bytes, 300) : bytes, 0x61 + (index % 26))])
}

function onePacket(prng: Prng, index: number, isDull: boolean): Buffer[] {
  const topic = prng.pick(TOPICS)
  const payload = payloadOf(prng, index)
  const packetId = idOf(index)
  if (isDull || prng.chance(75)) return [publishPacket({ topic, payload, qos: prng.chance(70) ? 1 : 0, packetId, dup: false })]
  return prng.pick<() => Buffer[]>([
    () => [publishPacket({ topic, payload, qos: 1, packetId, dup: true })],
    () => [publishPacket({ topic, payload, qos: 2, packetId }), pubrelPacket(packetId)],
    () => [publishPacket({ topic, payload, qos: prng.below(2), packetId, retain: true })],
    () => [pingPacket()],
    () => [subscribePacket(packetId, prng.pick([topic, 'd/+', 'loose/#']), prng.below(2))],
    () => [unsubscribePacket(packetId, prng.pick([topic, 'd/+', 'loose/#']))]
  ])()
}

function onePacket5(prng: Prng, index: number, isDull: boolean): Buffer[] {
  const topic = prng.pick(TOPICS)
  const payload = payloadOf(prng, index)
  const packetId = idOf(index)
  if (isDull || prng.chance(75)) return [publish5({ topic, payload, qos: prng.chance(70) ? 1 : 0, packetId })]
  return prng.pick<() => Buffer[]>([
    () => [publish5({ topic, payload, qos: 1, packetId, properties: block(userProperty('unit', 'K')) })],
    () => [publish5({ topic, payload, qos: 1, packetId, properties: block([35, 0, 1 + prng.below(3)]) })],
    () => [publish5({ topic, payload, qos: 2, packetId }), packet(0x62, [packetId >> 8, packetId & 0xff])],
    () => [publish5({ topic, payload, qos: 0, flags: 1 })],
    () => [publish5({ topic: 'of/no/route', payload, qos: 1, packetId })],
    () => [pingPacket()],
    () => [subscribe5(packetId, [0], [prng.pick([topic, 'd/+', 'loose/#']), prng.below(2)])],
    () => [unsubscribe5(packetId, [0], prng.pick([topic, 'd/+', 'loose/#']))]
  ])()
}

/** The bytes of the packets, cut somewhere: also within headers. */
export function cutSomewhere(packets: readonly Buffer[], prng: Prng): Buffer[] {
  const bytes = Buffer.concat(packets)
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = prng.chance(20) ? prng.between(1, 8) : prng.between(1, 4_000)
    pieces.push(bytes.subarray(at, at + length))
    at += length
  }
  return pieces
}
