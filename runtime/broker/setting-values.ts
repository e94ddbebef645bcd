// Values of settings as Kafka writes them: texts of a type, within bounds.

import { BrokerFault } from './fault.ts'

export type SettingType = 'boolean' | 'string' | 'int' | 'short' | 'long' | 'double' | 'list'

export interface SettingBounds {
  readonly type: SettingType
  /** Of numbers. */
  readonly min?: number
  readonly max?: number
}

export const LONG_MAX = '9223372036854775807'

const NUMBERS: Readonly<Partial<Record<SettingType, RegExp>>> = { int: /^[-+]?\d{1,10}$/, long: /^[-+]?\d{1,19}$/, double: /^-?\d*\.?\d+$/ }
const INT_MAX = 2 ** 31 - 1
const VALUE_CHARS_MAX = 255

/** @throws BrokerFault INVALID_CONFIG when Kafka would not take it for a value of this type, or it is out of bounds */
export function checkedSetting({ name, type, min = Number.NEGATIVE_INFINITY, max }: SettingBounds & { name: string }, given: string): void {
  const value = given.trim()
  const refuse = (why: string): never => {
    throw new BrokerFault('INVALID_CONFIG', `Invalid value ${given.slice(0, VALUE_CHARS_MAX)} for configuration ${name}: ${why}`)
  }
  if (given.length > VALUE_CHARS_MAX) refuse(`it has more than ${VALUE_CHARS_MAX} characters`)
  if (type === 'boolean' && !/^(true|false)$/i.test(value)) refuse('it must be true or false')
  const pattern = NUMBERS[type]
  if (!pattern) return
  if (!pattern.test(value)) refuse(`it is not a number of type ${type}`)
  if (type === 'long' && (BigInt(value) > BigInt(LONG_MAX) || BigInt(value) < -BigInt(LONG_MAX) - 1n))
    refuse('it is not a number of type long')
  if (type === 'int' && Math.abs(Number(value)) > INT_MAX) refuse('it is not a number of type int')
  if (Number(value) < min) refuse(`it must be at least ${min}`)
  if (max !== undefined && Number(value) > max) refuse(`it must be at most ${max}`)
}

/** Of an int or a long: null = negative, or so large that it is no limit. */
export function limitOrNull(value: string): number | null {
  const number = Number(value)
  return number < 0 || number > Number.MAX_SAFE_INTEGER ? null : number
}
