// host:port as people write it, IPv6 in brackets.

export interface Address {
  readonly host: string
  readonly port: number
}

const DEFAULT_PORT = 9092
const PATTERN = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/

/** Port 9092 when none is given. null when the text is not an address. */
export function parseAddress(text: string): Address | null {
  const match = PATTERN.exec(text.trim())
  const host = match?.[1] ?? match?.[2]
  const port = match?.[3] === undefined ? DEFAULT_PORT : Number(match[3])
  return host === undefined || port < 1 || port > 65535 ? null : { host, port }
}
