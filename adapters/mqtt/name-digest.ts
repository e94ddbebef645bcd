// Topics and filters in keys of the state: they may be longer than a key.

import { createHash } from 'node:crypto'

/** 32 hexadecimal digits of the SHA-256. */
export function digestOf(name: string): string {
  return createHash('sha256').update(name).digest('hex').slice(0, 32)
}
