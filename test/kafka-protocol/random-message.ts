// Random messages made from the same field descriptors that the codec uses, from one seed.

import type { Field, FieldType } from '../../adapters/kafka-protocol/schema.ts'

export interface Prng {
  /** 0 ≤ value < 1 */
  next(): number
}

/** mulberry32 */
export function createPrng(seed: number): Prng {
  let state = seed >>> 0
  return {
    next() {
      state = (state + 0x6d2b79f5) >>> 0
      let mixed = Math.imul(state ^ (state >>> 15), state | 1)
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
    }
  }
}

const WORDS = ['', 'a', 'sensor-1', 'Grüße', '温度', 'x'.repeat(300)]

function signed(prng: Prng, bits: number): number {
  return Math.floor((prng.next() - 0.5) * 2 ** bits)
}

function pick<T>(prng: Prng, values: readonly T[]): T {
  return values[Math.floor(prng.next() * values.length)]!
}

function randomValue(prng: Prng, type: FieldType, version: number): unknown {
  if (type.kind === 'struct') return randomStruct(prng, type.fields, version)
  if (type.kind === 'array') return Array.from({ length: pick(prng, [0, 1, 2, 3]) }, () => randomValue(prng, type.element, version))
  switch (type.primitive) {
    case 'bool':
      return prng.next() < 0.5
    case 'i8':
      return signed(prng, 8)
    case 'i16':
      return signed(prng, 16)
    case 'i32':
      return signed(prng, 32)
    case 'i64':
    case 'bound':
      return pick(prng, [0, -1, 1, 2 ** 32, -(2 ** 32) - 7, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, signed(prng, 53)])
    case 'big':
      return pick(prng, [0n, -1n, 2n ** 63n - 1n, -(2n ** 63n), BigInt(signed(prng, 53))])
    case 'uuid':
      return Buffer.from(Array.from({ length: 16 }, () => Math.floor(prng.next() * 256))).toString('hex')
    case 'str':
    case 'text':
      return pick(prng, WORDS)
    default:
      return Buffer.alloc(pick(prng, [0, 1, 100, 2048, 2049, 10_000]), 0xa5)
  }
}

/** Fields that the version does not have are left out. */
export function randomStruct(prng: Prng, fields: readonly Field[], version: number): Record<string, unknown> {
  const struct: Record<string, unknown> = {}
  for (const field of fields) {
    if (version < field.minVersion || version > field.maxVersion) continue
    const mayBeNull = field.nullableFrom !== null && version >= field.nullableFrom
    struct[field.name] = mayBeNull && prng.next() < 0.25 ? null : randomValue(prng, field.type, version)
  }
  return struct
}
