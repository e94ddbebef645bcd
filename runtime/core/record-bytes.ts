// How large a record is inside a batch, before it is encoded. Not for: exact sizes (the core counts those).

import type { RecordInput } from './record.ts'

/** Length, attributes, two deltas, three counts: as variable-length integers at most so long together. */
const RECORD_OVERHEAD_BYTES_MAX = 32
const HEADER_OVERHEAD_BYTES_MAX = 10

/** Upper bound of what a record takes inside a batch, in bytes. */
export function recordBytesBound({ key, value, headers }: RecordInput): number {
  let bytes = RECORD_OVERHEAD_BYTES_MAX
  if (key !== null) bytes += key.byteLength
  if (value !== null) bytes += value.byteLength
  for (const header of headers) bytes += HEADER_OVERHEAD_BYTES_MAX + header.key.byteLength + (header.value?.byteLength ?? 0)
  return bytes
}
