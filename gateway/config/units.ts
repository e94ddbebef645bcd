// Human units to numbers and back: 256MiB, 7d, 10ms. SI and IEC are distinct, and a bare number is refused where a unit is needed:
// "quota: 8" has cost people their data elsewhere.
// Not for: YAML (load.ts), messages about keys (they come from the schema).

const BYTE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40
}

const DURATION_UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1e3,
  m: 60e3,
  min: 60e3,
  h: 3_600e3,
  d: 86_400e3,
  w: 7 * 86_400e3
}

const QUANTITY = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/

/** What stands in the file, as a pattern for editors. */
const patternOf = (units: object): string => `^\\d+(\\.\\d+)?\\s*(${Object.keys(units).join('|')})$`
export const BYTES_PATTERN = patternOf(BYTE_UNITS)
export const DURATION_PATTERN = patternOf(DURATION_UNITS_MS)

/** Units of other tools and languages, in lower case, and which of ours they are. */
const FOREIGN_UNITS: Readonly<Record<string, string>> = {
  byte: 'B',
  bytes: 'B',
  k: 'kB',
  m: 'MB',
  g: 'GB',
  t: 'TB',
  ki: 'KiB',
  mi: 'MiB',
  gi: 'GiB',
  ti: 'TiB',
  msec: 'ms',
  millis: 'ms',
  milliseconds: 'ms',
  sec: 's',
  secs: 's',
  second: 's',
  seconds: 's',
  mins: 'min',
  minute: 'min',
  minutes: 'min',
  hr: 'h',
  hrs: 'h',
  hour: 'h',
  hours: 'h',
  day: 'd',
  days: 'd',
  week: 'w',
  weeks: 'w'
}

function meantUnit(unit: string, units: Readonly<Record<string, number>>): string | null {
  const lower = unit.toLowerCase()
  const foreign = FOREIGN_UNITS[lower]
  return Object.keys(units).findLast((known) => known.toLowerCase() === lower) ?? (foreign && foreign in units ? foreign : null)
}

/** A parsed value, with what may not be meant by it; or why there is none (a sentence without subject: "needs a unit, for example 10ms"). */
export type Parsed<T> = { readonly value: T; readonly doubt?: string } | { readonly why: string }

function parseQuantity(text: string, units: Readonly<Record<string, number>>, example: string): Parsed<number> {
  const match = QUANTITY.exec(text.trim())
  const [, digits = '', unit = ''] = match ?? []
  if (!match) return { why: `is "${text}", expected a number with a unit, for example ${example}` }
  if (unit === '') return Number(digits) === 0 ? { value: 0 } : { why: `is ${text} without a unit, write for example ${example}` }
  const factor = units[unit]
  if (factor === undefined) {
    const meant = meantUnit(unit, units)
    return { why: `has the unit "${unit}"${meant ? `: did you mean ${digits}${meant}?` : `, known are ${Object.keys(units).join(', ')}`}` }
  }
  const value = Number(digits) * factor
  if (!Number.isSafeInteger(Math.round(value))) return { why: `is ${text}, which is too large` }
  return { value }
}

/** "256MiB" → bytes, a whole number. */
export function parseBytes(text: string): Parsed<number> {
  const parsed = parseQuantity(text, BYTE_UNITS, '256MiB')
  return 'value' in parsed ? { value: Math.round(parsed.value) } : parsed
}

/** "10ms", "2.5s", "7d" → milliseconds. */
export function parseDuration(text: string): Parsed<number> {
  return parseQuantity(text, DURATION_UNITS_MS, '10ms or 7d')
}

/** 4194304 → "4MiB", 100000000 → "100MB": exact, as it would be written in the file. */
export const writtenBytes = (bytes: number): string =>
  written(bytes, ['TiB', 'GiB', 'MiB', 'KiB', 'TB', 'GB', 'MB', 'kB'], BYTE_UNITS) ?? `${bytes}B`

/** 600000 → "10min". */
export const writtenDuration = (durationMs: number): string =>
  written(durationMs, ['d', 'h', 'min', 's'], DURATION_UNITS_MS) ?? `${durationMs}ms`

function written(value: number, names: readonly string[], units: Readonly<Record<string, number>>): string | null {
  const name = value > 0 && names.find((unit) => value % (units[unit] ?? Number.NaN) === 0)
  return !name ? null : `${value / (units[name] ?? 1)}${name}`
}

/** 11520000 → "3h12m"; two units at most, largest first; "now" below a millisecond is "0 ms". */
export function formatDuration(durationMs: number): string {
  if (durationMs < 1000) return `${Math.round(durationMs)} ms`
  const seconds = Math.round(durationMs / 1000)
  if (seconds < 60) return durationMs < 10_000 ? `${(durationMs / 1000).toFixed(1)} s` : `${seconds} s`
  const pad = (value: number): string => String(value).padStart(2, '0')
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes}m${pad(seconds % 60)}s`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return `${hours}h${pad(minutes % 60)}m`
  return `${Math.floor(hours / 24)}d${pad(hours % 24)}h`
}

/** 1520000 → "1.52 M", 12 → "12", 45321 → "45,321". */
export function formatCount(count: number): string {
  if (count >= 1e6) return `${(count / 1e6).toFixed(2)} M`
  return Math.round(count)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',')
}
