// MQTT packets of a client as bytes, versions 3.1, 3.1.1 and 5.0, right and wrong ones. Written from the standards: no parser, no code of
// ours. What is not a whole packet (`frame`, `prop`, `block`) is exported because the tests build broken packets from it.

/** 3 = MQTT 3.1, 4 = 3.1.1, 5 = 5.0: the number in CONNECT. */
export type Version = 3 | 4 | 5
export type Part = number | readonly number[] | Uint8Array

export const u16 = (value: number): number[] => [(value >> 8) & 0xff, value & 0xff]
export const u32 = (value: number): number[] => [(value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff]

export function variable(value: number): number[] {
  const bytes: number[] = []
  do {
    const low = value % 128
    value = Math.floor(value / 128)
    bytes.push(value > 0 ? low | 0x80 : low)
  } while (value > 0)
  return bytes
}

export function join(...parts: readonly Part[]): Buffer {
  return Buffer.concat(parts.map((part) => (typeof part === 'number' ? Buffer.from([part]) : Buffer.from(part))))
}

export function frame(firstByte: number, ...parts: readonly Part[]): Buffer {
  const body = join(...parts)
  return join(firstByte, variable(body.length), body)
}

/** A string or binary data with its two bytes of length. */
export function text(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value as string)
  return join(u16(bytes.length), bytes)
}

const BYTE = new Set([1, 23, 25, 36, 37, 40, 41, 42])
const TWO_BYTES = new Set([19, 33, 34, 35])
const FOUR_BYTES = new Set([2, 17, 24, 39])

/** One property of MQTT 5. */
export function prop(id: number, value: number | string | Uint8Array | readonly [string, string]): Buffer {
  if (typeof value === 'string' || value instanceof Uint8Array) return join(id, text(value))
  if (typeof value !== 'number') return join(id, text(value[0]), text(value[1]))
  if (BYTE.has(id)) return join(id, value)
  if (TWO_BYTES.has(id)) return join(id, u16(value))
  return FOUR_BYTES.has(id) ? join(id, u32(value)) : join(id, variable(value))
}

export function block(props: readonly Uint8Array[]): Buffer {
  const body = join(...props)
  return join(variable(body.length), body)
}

const properties = (version: Version, props: readonly Uint8Array[] = []): Buffer => (version === 5 ? block(props) : Buffer.alloc(0))

export interface Will {
  readonly topic: string | Uint8Array
  readonly payload?: string | Uint8Array
  readonly qos?: number
  readonly retain?: boolean
  readonly props?: readonly Uint8Array[]
}

export interface ConnectOptions {
  readonly clientId?: string | Uint8Array
  /** Clean session, clean start. */
  readonly clean?: boolean
  readonly keepAlive?: number
  readonly will?: Will
  readonly user?: string | Uint8Array
  readonly password?: string | Uint8Array
  readonly props?: readonly Uint8Array[]
  /** For wrong ones. */
  readonly name?: string | Uint8Array
  readonly level?: number
  readonly flags?: number
}

export function connectFlags({ clean = true, will, user, password }: ConnectOptions): number {
  const willFlags = will ? 4 | ((will.qos ?? 0) << 3) | (will.retain ? 0x20 : 0) : 0
  return (clean ? 2 : 0) | willFlags | (password === undefined ? 0 : 0x40) | (user === undefined ? 0 : 0x80)
}

export function connect(version: Version, options: ConnectOptions = {}): Buffer {
  const { clientId = 'raw', keepAlive = 0, will, user, password, props } = options
  const { name = version === 3 ? 'MQIsdp' : 'MQTT', level = version, flags = connectFlags(options) } = options
  const parts: Part[] = [text(name), level, flags, u16(keepAlive), properties(version, props), text(clientId)]
  if (will) parts.push(properties(version, will.props), text(will.topic), text(will.payload ?? ''))
  if (user !== undefined) parts.push(text(user))
  if (password !== undefined) parts.push(text(password))
  return frame(0x10, ...parts)
}

export interface PublishOptions {
  readonly topic: string | Uint8Array
  readonly payload?: string | Uint8Array
  readonly qos?: number
  readonly packetId?: number
  readonly dup?: boolean
  readonly retain?: boolean
  readonly props?: readonly Uint8Array[]
}

export function publish(version: Version, options: PublishOptions): Buffer {
  const { topic, payload = '', qos = 0, packetId = 1, dup = false, retain = false, props } = options
  const firstByte = 0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0)
  return frame(firstByte, text(topic), qos > 0 ? u16(packetId) : [], properties(version, props), Buffer.from(payload as string))
}

const ACK_FIRST_BYTE = { puback: 0x40, pubrec: 0x50, pubrel: 0x62, pubcomp: 0x70 } as const

/** Short form unless a reason code or properties are given. */
export function ack(kind: keyof typeof ACK_FIRST_BYTE, packetId: number, reasonCode?: number, props?: readonly Uint8Array[]): Buffer {
  return frame(ACK_FIRST_BYTE[kind], u16(packetId), reasonCode === undefined ? [] : [reasonCode], props ? block(props) : [])
}

export type FilterAndOptions = readonly [filter: string | Uint8Array, options: number]

export function subscribe(version: Version, packetId: number, filters: readonly FilterAndOptions[], props?: readonly Uint8Array[]): Buffer {
  const payload = filters.map(([filter, options]) => join(text(filter), options))
  return frame(0x82, u16(packetId), properties(version, props), ...payload)
}

export function unsubscribe(version: Version, packetId: number, filters: readonly (string | Uint8Array)[], props?: Uint8Array[]): Buffer {
  return frame(0xa2, u16(packetId), properties(version, props), ...filters.map((filter) => text(filter)))
}

export const pingreq = (): Buffer => frame(0xc0)

/** MQTT 5 may add a reason code and properties. */
export function disconnect(reasonCode?: number, props?: readonly Uint8Array[]): Buffer {
  return frame(0xe0, reasonCode === undefined ? [] : [reasonCode], props ? block(props) : [])
}

export function auth(reasonCode: number, props: readonly Uint8Array[]): Buffer {
  return frame(0xf0, reasonCode, block(props))
}

/** Subscription options of MQTT 5. */
export const NO_LOCAL = 4
export const RETAIN_AS_PUBLISHED = 8
export const retainHandling = (value: number): number => value << 4
