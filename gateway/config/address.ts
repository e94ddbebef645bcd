// host:port as people write it.

import type { Parsed } from './units.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

export const ADDRESS_PATTERN = '^(\\[[0-9a-fA-F:.]+\\]|[^:\\[\\]\\s]+):(\\d{1,5})$'
const ADDRESS = new RegExp(ADDRESS_PATTERN)

/** "host:port", "[::1]:1883". `example` is one that could stand there. */
export function parseAddress(value: string, example = '127.0.0.1:1883'): Parsed<Address> {
  const match = ADDRESS.exec(value)
  const [, host = '', port = ''] = match ?? []
  if (!match) return { why: `is "${value}", expected host:port, for example ${meantAddress(value, example) ?? example}` }
  if (Number(port) > 65_535) return { why: `has the port ${port}, the largest is 65535` }
  return { value: { host: host.replace(/^\[|\]$/g, ''), port: Number(port) } }
}

/** kafka://k1:9092, a name or a port alone: what was probably meant. */
function meantAddress(value: string, example: string): string | null {
  const [, exampleHost = '', examplePort = ''] = ADDRESS.exec(example) ?? []
  const bare = value.replace(/^[a-z]+:\/\//i, '').replace(/\/$/, '')
  if (ADDRESS.test(bare)) return bare
  if (/^:?\d{1,5}$/.test(bare)) return `${exampleHost}:${bare.replace(':', '')}`
  return /^[a-z0-9-]+(\.[a-z0-9-]+)+$/i.test(bare) ? `${bare}:${examplePort}` : null
}

/** As people write it: IPv6 in brackets. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
