// What a value that was read from JSON has to be. A field more than asked for is taken: versions add some without a new format number.
// Not for: bytes and format numbers (state-codec.ts).

export type Shape<T> = (value: unknown) => value is T

/** A count, an offset, an index. */
export const whole: Shape<number> = (value): value is number => Number.isSafeInteger(value) && (value as number) >= 0
export const integer: Shape<number> = (value): value is number => Number.isSafeInteger(value)
export const flag: Shape<boolean> = (value): value is boolean => typeof value === 'boolean'
export const words: Shape<string> = (value): value is string => typeof value === 'string'

/** A limit, a time: need not be whole. */
export const amount: Shape<number> = (value): value is number => Number.isFinite(value) && (value as number) >= 0

/** Of a bigint, which JSON does not have. */
export const integerText: Shape<string> = (value): value is string => typeof value === 'string' && /^(?:0|-?[1-9]\d{0,18})$/.test(value)

export function within(least: number, most: number): Shape<number> {
  return (value): value is number => integer(value) && value >= least && value <= most
}

export function matching(pattern: RegExp): Shape<string> {
  return (value): value is string => typeof value === 'string' && pattern.test(value)
}

export function oneOf<const T extends string>(...texts: readonly T[]): Shape<T> {
  return (value): value is T => texts.includes(value as T)
}

export function orNull<T>(shape: Shape<T>): Shape<T | null> {
  return (value): value is T | null => value === null || shape(value)
}

/** Only as a field: it may not be there. */
export function optional<T>(shape: Shape<T>): Shape<T | undefined> {
  return (value): value is T | undefined => value === undefined || shape(value)
}

export function listOf<T>(shape: Shape<T>): Shape<readonly T[]> {
  return (value): value is readonly T[] => Array.isArray(value) && value.every(shape)
}

/** So many, in this order. */
export function tuple<const T extends readonly unknown[]>(...shapes: { readonly [K in keyof T]: Shape<T[K]> }): Shape<T> {
  return (value): value is T =>
    Array.isArray(value) && value.length === shapes.length && shapes.every((shape, index) => shape(value[index]))
}

export function fields<T extends object>(shapes: { readonly [K in keyof Required<T>]: Shape<T[K]> }): Shape<T> {
  const each = Object.entries(shapes) as [string, Shape<unknown>][]
  return (value): value is T => isObject(value) && each.every(([name, shape]) => shape(value[name]))
}

export function recordOf<T>(shape: Shape<T>): Shape<Readonly<Record<string, T>>> {
  return (value): value is Readonly<Record<string, T>> => isObject(value) && Object.values(value).every(shape)
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
