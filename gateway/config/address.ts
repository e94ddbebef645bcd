// host:port as people write it.

import type { Parsed } from './units.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

/** "host:port", "[::1]:1883". */
export function parseAddress(value: string): Parsed<Address> {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+):(\d{1,5})$/.exec(value)
  const [, host = '', port = ''] = match ?? []
  if (!match) return { why: `is "${value}", expected host:port, for example 127.0.0.1:1883` }
  if (Number(port) > 65_535) return { why: `has the port ${port}, the largest is 65535` }
  return { value: { host: host.replace(/^\[|\]$/g, ''), port: Number(port) } }
}
