// Fields inside a decoded payload: where they are, what they say as text or as a time.
// Values come from outside: own properties only, never a prototype's.

/** Names or array places from the root of the payload. */
export type FieldPath = readonly string[]

export type TimeUnit = 'ms' | 's' | 'auto' | 'iso'

const PATH_LEVELS_MAX = 32

/** "a.b.0" → path; null when it is not one. */
export function parseFieldName(name: string): FieldPath | null {
  const path = name.split('.')
  return name === '' || path.some((step) => step === '') || path.length > PATH_LEVELS_MAX ? null : path
}

/** "$.a.b" → path; null when it is not one. */
export function parseFieldPath(source: string): FieldPath | null {
  return source.startsWith('$.') ? parseFieldName(source.slice(2)) : null
}

/** undefined when there is no such field. */
export function readField(root: unknown, path: FieldPath): unknown {
  let value = root
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined
    if (value instanceof Map) value = value.get(step)
    else if (Object.hasOwn(value, step)) value = (value as Record<string, unknown>)[step]
    else return undefined
  }
  return value
}

/** null for what has no plain text: absent, null, objects, arrays. */
export function fieldText(value: unknown): string | null {
  if (typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint' ? String(value) : null
}

/** Milliseconds since 1970, whole and not negative; null when the value is no time in that unit. */
export function fieldTimeMs(value: unknown, unit: TimeUnit): number | null {
  if (typeof value === 'string') {
    if (unit === 'iso' || (unit === 'auto' && value.includes('-'))) return validMs(parseIsoMs(value))
    return value.trim() === '' ? null : validMs(scaled(Number(value), unit))
  }
  // CBOR has a date of its own (tags 0 and 1), which decodes to a Date.
  if (typeof value === 'object' && value !== null) {
    const inner: unknown = value.valueOf()
    return typeof inner === 'number' ? validMs(inner) : null
  }
  if (unit === 'iso') return null
  if (typeof value === 'number') return validMs(scaled(value, unit))
  return typeof value === 'bigint' ? validMs(scaled(Number(value), unit)) : null
}

/** Guessed by magnitude: seconds until the year 5138, milliseconds from March 1973; above that µs and ns. */
function scaled(value: number, unit: 'ms' | 's' | 'auto'): number {
  if (unit === 'ms') return value
  if (unit === 's') return value * 1000
  if (value < 1e11) return value * 1000
  if (value < 1e14) return value
  return value < 1e17 ? value / 1e3 : value / 1e6
}

function validMs(value: number): number | null {
  const whole = Math.floor(value)
  return Number.isSafeInteger(whole) && whole >= 0 ? whole : null
}

const ISO = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?:[Zz]|([+-])(\d\d):?(\d\d))?$/

/** RFC 3339; without a zone it is UTC. NaN when it is not a time. */
function parseIsoMs(text: string): number {
  const match = ISO.exec(text)
  if (!match) return Number.NaN
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((digits) => Number(digits ?? 0)) as [
    number,
    number,
    number,
    number,
    number,
    number
  ]
  if (month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month) || hour > 23 || minute > 59 || second > 60) return Number.NaN
  const fractionMs = Math.floor(Number(`0.${match[7] ?? '0'}`) * 1000 + 1e-9)
  const zoneMinutes = Number(match[9] ?? 0) * 60 + Number(match[10] ?? 0)
  const zoneMs = (match[8] === '-' ? -zoneMinutes : zoneMinutes) * 60_000
  return ((daysSince1970(year, month, day) * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + fractionMs - zoneMs
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

/** Gregorian calendar, counted from 1 March so that the leap day is the last of its year. */
function daysSince1970(year: number, month: number, day: number): number {
  const shiftedYear = month > 2 ? year : year - 1
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1
  const leapDays = Math.floor(shiftedYear / 4) - Math.floor(shiftedYear / 100) + Math.floor(shiftedYear / 400)
  return shiftedYear * 365 + leapDays + dayOfYear - 719_468
}
