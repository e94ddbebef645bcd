// mqtt-packet, a parser and a writer that are not ours, with as much of a type as the tests need.

import { createRequire } from 'node:module'

export interface ForeignPacket {
  readonly cmd: string
  readonly length?: number
  readonly properties?: Readonly<Record<string, unknown>>
  readonly [field: string]: unknown
}

interface Parser {
  on(event: 'packet', listener: (packet: ForeignPacket) => void): void
  on(event: 'error', listener: (error: Error) => void): void
  parse(chunk: Uint8Array): void
}

const library = createRequire(import.meta.url)('mqtt-packet') as {
  parser(options: { protocolVersion: number }): Parser
  generate(packet: object, options: { protocolVersion: number }): Buffer
}

export function foreignParse(bytes: Uint8Array, protocolVersion: number): ForeignPacket[] {
  const packets: ForeignPacket[] = []
  const parser = library.parser({ protocolVersion })
  parser.on('packet', (packet) => packets.push(packet))
  parser.on('error', (error) => {
    throw error
  })
  parser.parse(bytes)
  return packets
}

export function foreignBytes(packet: object, protocolVersion: number): Buffer {
  return library.generate(packet, { protocolVersion })
}
