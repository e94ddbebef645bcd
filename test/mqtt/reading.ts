// A PacketReader that is given bytes in pieces, and what it made of them.

import { defaultMqttLimits } from '../../adapters/mqtt/limits.ts'
import { PacketReader, type PacketReaderLimits } from '../../adapters/mqtt/packet-reader.ts'
import type { ClientPacket } from '../../adapters/mqtt/packets.ts'
import type { GateFault } from '../../adapters/mqtt/reasons.ts'

export const TOPIC_ALIAS_MAX = 16

export const smallLimits: PacketReaderLimits = {
  ...defaultMqttLimits,
  packetBytesMax: 4096,
  connectBytesMax: 1024,
  willBytesMax: 1024,
  mqttTopicBytesMax: 100,
  topicLevelsMax: 10,
  propertyBytesMax: 1000
}

export interface Reading {
  readonly packets: ClientPacket[]
  readonly fault: GateFault | null
}

export function read(chunks: readonly Uint8Array[], limits: PacketReaderLimits = smallLimits): Reading {
  const reader = new PacketReader(limits, { topicAliasMaximum: TOPIC_ALIAS_MAX })
  const packets: ClientPacket[] = []
  for (const chunk of chunks) {
    reader.push(chunk)
    for (let packet = reader.next(); packet !== null; packet = reader.next()) packets.push(packet)
  }
  return { packets, fault: reader.fault }
}

export const splitAt = (bytes: Uint8Array, at: number): Uint8Array[] => [bytes.subarray(0, at), bytes.subarray(at)]
export const bytewise = (bytes: Uint8Array): Uint8Array[] => Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))

/** Whole, byte by byte, in two pieces at every place. */
export function* everySplit(bytes: Uint8Array): Generator<Uint8Array[]> {
  yield [bytes]
  yield bytewise(bytes)
  for (let at = 1; at < bytes.length; at++) yield splitAt(bytes, at)
}

/** All that there is to see of a reading, to compare two of them. */
export function wordsOf({ packets, fault }: Reading): string {
  const end = fault ? `${fault.reason} 0x${fault.reasonCode.toString(16)}: ${fault.detail}` : 'passes'
  return [...packets.map((packet) => JSON.stringify(packet, hexOfBytes)), end].join('\n')
}

/** Of JSON.stringify. Buffers have a toJSON, which comes before: the holder is asked. */
function hexOfBytes(this: Record<string, unknown>, key: string, value: unknown): unknown {
  const held = this[key]
  return held instanceof Uint8Array ? Buffer.from(held).toString('hex') : value
}
