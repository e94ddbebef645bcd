// Over the records of a batch without making any: for what is asked of each of thousands. Layout: docs/formats/segment.md.
// Invariant: only for an uncompressed batch that Core.checkBatch has passed; it is read within its records. Not for: keys, values, headers (Core.readRecords).

import { BASE_TIMESTAMP_AT, RECORD_COUNT_AT, RECORDS_AT, readSafeInt64, viewOf } from './batch-header.ts'

const NO_KEY = -1

/** `visit` is called for each record in order, and ends the walk with false. */
export function walkRecords(batch: Uint8Array, visit: (index: number, record: { timestampMs: number; hasKey: boolean }) => boolean): void {
  const view = viewOf(batch)
  const baseTimestampMs = readSafeInt64(view, BASE_TIMESTAMP_AT)
  const count = view.getInt32(RECORD_COUNT_AT)
  let at = RECORDS_AT
  /** Zigzag, up to 64 bits: exact as far as we count. */
  const varlong = (): number => {
    let value = 0
    let scale = 1
    for (;;) {
      const byte = batch[at++] ?? 0
      value += (byte & 0x7f) * scale
      if (byte < 0x80) break
      scale *= 128
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }
  for (let index = 0; index < count; index++) {
    const length = varlong()
    const endAt = at + length
    at++ // attributes
    const timestampMs = baseTimestampMs + varlong()
    varlong() // offset delta
    const hasKey = varlong() !== NO_KEY
    if (!visit(index, { timestampMs, hasKey })) return
    at = endAt
  }
}
