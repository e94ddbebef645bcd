// DER, as certificates are written in it (ITU-T X.690): values as tag, length, content. Writes what a certificate needs, and steps over what stands in one.
// Not for: what the values mean (certificate-writer.ts), judging certificates (node:crypto does).

const BYTE_MAX = 0x80
const UTC_TIME_YEAR_END = 2050

/** One value: tag, length in the shortest form, content. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.of(tag), lengthOf(content.byteLength), content])
}

function lengthOf(bytes: number): Uint8Array {
  if (bytes < BYTE_MAX) return Buffer.of(bytes)
  const digits: number[] = []
  for (let rest = bytes; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256)
  return Buffer.of(BYTE_MAX | digits.length, ...digits)
}

export const sequence = (...parts: readonly Uint8Array[]): Uint8Array => der(0x30, ...parts)
export const set = (...parts: readonly Uint8Array[]): Uint8Array => der(0x31, ...parts)
export const octetString = (content: Uint8Array): Uint8Array => der(0x04, content)
export const utf8String = (text: string): Uint8Array => der(0x0c, Buffer.from(text))
export const NULL = der(0x05)
export const TRUE = der(0x01, Buffer.of(0xff))

/** `[number]` around a value. */
export const explicit = (number: number, content: Uint8Array): Uint8Array => der(0xa0 | number, content)

/** `[number]` in place of the tag of a value that is not made of others. */
export const implicit = (number: number, content: Uint8Array): Uint8Array => der(0x80 | number, content)

/** @param magnitude not negative, most significant byte first */
export function integer(magnitude: Uint8Array): Uint8Array {
  let from = 0
  while (from < magnitude.byteLength - 1 && magnitude[from] === 0) from++
  const isNegative = ((magnitude[from] ?? 0) & BYTE_MAX) !== 0
  return der(0x02, ...(isNegative ? [Buffer.of(0)] : []), magnitude.subarray(from))
}

/** @param unusedBits of the last byte */
export const bitString = (content: Uint8Array, unusedBits = 0): Uint8Array => der(0x03, Buffer.of(unusedBits), content)

/** @param text such as 2.5.4.3 */
export function objectId(text: string): Uint8Array {
  const [first = 0, second = 0, ...others] = text.split('.').map(Number)
  const bytes = [first * 40 + second, ...others].flatMap((number) => {
    const digits = [number & 0x7f]
    for (let rest = number >>> 7; rest > 0; rest >>>= 7) digits.unshift((rest & 0x7f) | BYTE_MAX)
    return digits
  })
  return der(0x06, Buffer.from(bytes))
}

/** Whole seconds: UTCTime until the end of 2049, GeneralizedTime from then on (RFC 5280 4.1.2.5). */
export function time(ms: number): Uint8Array {
  const digits = `${new Date(ms).toISOString().replace(/[-:T]|\.\d+Z$/g, '')}Z`
  const isUtcTime = new Date(ms).getUTCFullYear() < UTC_TIME_YEAR_END
  return isUtcTime ? der(0x17, Buffer.from(digits.slice(2))) : der(0x18, Buffer.from(digits))
}

/** The values that stand one behind the other in `bytes`, each whole. @throws Error when they do not end where `bytes` do */
export function valuesIn(bytes: Uint8Array): Uint8Array[] {
  const values: Uint8Array[] = []
  for (let at = 0; at < bytes.byteLength; ) {
    const { contentAt, endAt } = boundsOf(bytes, at)
    if (contentAt > bytes.byteLength || endAt > bytes.byteLength) throw new Error(`a value at ${at} is longer than what it stands in`)
    values.push(bytes.subarray(at, endAt))
    at = endAt
  }
  return values
}

/** What stands between the length and the end of one value. */
export function contentOf(value: Uint8Array): Uint8Array {
  const { contentAt, endAt } = boundsOf(value, 0)
  return value.subarray(contentAt, endAt)
}

function boundsOf(bytes: Uint8Array, at: number): { contentAt: number; endAt: number } {
  const first = bytes[at + 1] ?? 0
  if (first < BYTE_MAX) return { contentAt: at + 2, endAt: at + 2 + first }
  const digitCount = first & 0x7f
  let length = 0
  for (let index = 0; index < digitCount; index++) length = length * 256 + (bytes[at + 2 + index] ?? 0)
  const contentAt = at + 2 + digitCount
  return { contentAt, endAt: contentAt + length }
}
