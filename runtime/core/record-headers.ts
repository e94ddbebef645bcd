// Headers of a record by name. Not for: what they mean.

import type { RecordHeader } from './record.ts'

/** The first one of that name, as text; null = there is none, or it has no value. `name` is ASCII. */
export function headerText(headers: readonly RecordHeader[], name: string): string | null {
  const header = headers.find(({ key }) => key.byteLength === name.length && Buffer.from(key).toString('latin1') === name)
  return header?.value ? Buffer.from(header.value).toString() : null
}
