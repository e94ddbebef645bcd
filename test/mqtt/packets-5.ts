// MQTT 5 packets as bytes, right and wrong ones. Written from the specification, not with the parser under test.

import { packet, remainingLength, string } from './packets.ts'

type Bytes = readonly number[] | Uint8Array

export const uint16 = (value: number): number[] => [value >> 8, value & 0xff]
export const uint32 = (value: number): number[] => [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff]

const joined = (parts: readonly Bytes[]): Buffer => Buffer.concat(parts.map((part) => Buffer.from(part)))

/** A property block with its length in front. */
export function block(...properties: Bytes[]): Buffer {
  const bytes = joined(properties)
  return joined([remainingLength(bytes.length), bytes])
}

export const textProperty = (id: number, value: string | Uint8Array): Buffer => joined([[id], string(value)])
export const userProperty = (name: string | Uint8Array, value: string | Uint8Array): Buffer => joined([[38], string(name), string(value)])
export const numbered = (count: number): Buffer[] => Array.from({ length: count }, (_, index) => userProperty(`n${index % 3}`, `${index}`))

export interface Connect5Options {
  readonly flags?: number
  readonly keepAlive?: number
  readonly properties?: Bytes
  readonly clientId?: string | Uint8Array
  /** Behind the client id. */
  readonly fields?: readonly Bytes[]
}

export function connect5({ flags = 2, keepAlive = 0, properties = [0], clientId = 'raw', fields = [] }: Connect5Options = {}): Buffer {
  return packet(0x10, string('MQTT'), [5, flags], uint16(keepAlive), properties, string(clientId), ...fields)
}

export interface Will5Options {
  readonly flags?: number
  readonly properties?: Bytes
  readonly topic?: string | Uint8Array
  readonly payload?: string | Uint8Array
}

/** A CONNECT with a will. */
export function will5({ flags = 0x06, properties = [0], topic = 'w', payload = 'bye' }: Will5Options = {}): Buffer {
  return connect5({ flags, fields: [properties, string(topic), string(payload)] })
}

export interface Publish5Options {
  readonly topic?: string | Uint8Array
  readonly payload?: string | Uint8Array
  readonly qos?: number
  readonly packetId?: number
  readonly flags?: number
  readonly properties?: Bytes
}

export function publish5({ topic = 'a', payload = '', qos = 0, packetId = 1, flags = 0, properties = [0] }: Publish5Options = {}): Buffer {
  return packet(0x30 | flags | (qos << 1), string(topic), qos > 0 ? uint16(packetId) : [], properties, Buffer.from(payload))
}

export const subscribe5 = (packetId: number, properties: Bytes, ...filters: [string | Uint8Array, number][]): Buffer =>
  packet(0x82, uint16(packetId), properties, ...filters.flatMap(([filter, options]) => [string(filter), [options]]))

export const unsubscribe5 = (packetId: number, properties: Bytes, ...filters: (string | Uint8Array)[]): Buffer =>
  packet(0xa2, uint16(packetId), properties, ...filters.map(string))
