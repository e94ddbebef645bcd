// The tables of CRC-32C, and what works on the bare register (no initial, no final XOR): short inputs, the remainder of the
// fold, and moving a register past bytes that are not read.
//
//   CRC_TABLES ┌──────────┬──────────┬─ ... ─┬───────────┐
//              │ T0 [256] │ T1 [256] │       │ T15 [256] │   Tk[b] = register of byte b
//              └──────────┴──────────┴─ ... ─┴───────────┘   followed by k zero bytes
//   CRC_POWERS  x^(2^k) mod P for k = 0 … 31, bit 31 is x^0
//
// Invariants: both are written once, by the start function.

import { CRC_POWERS, CRC_TABLES } from './memory'

const POLYNOMIAL_REFLECTED: u32 = 0x82f63b78
const TABLE_BYTES: usize = 1024

function tableEntry(k: usize, byte: u32): u32 {
  return load<u32>(CRC_TABLES + k * TABLE_BYTES + ((<usize>byte) << 2))
}

/** Fills the tables; called once by the start function. */
export function fillCrcTables(): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let state = byte
    for (let bit = 0; bit < 8; bit++) state = state & 1 ? (state >> 1) ^ POLYNOMIAL_REFLECTED : state >> 1
    store<u32>(CRC_TABLES + ((<usize>byte) << 2), state)
  }
  for (let k: usize = 1; k < 16; k++) {
    for (let byte: u32 = 0; byte < 256; byte++) {
      const shorter = tableEntry(k - 1, byte)
      store<u32>(CRC_TABLES + k * TABLE_BYTES + ((<usize>byte) << 2), (shorter >> 8) ^ tableEntry(0, shorter & 0xff))
    }
  }
  let power: u32 = 0x40000000 // x^1: bit 31 is x^0
  for (let k: usize = 0; k < 32; k++) {
    store<u32>(CRC_POWERS + (k << 2), power)
    power = multiply(power, power)
  }
}

/** The register after `length` bytes, without initial and final XOR. */
export function tableCrc(ptr: usize, length: u32, state: u32): u32 {
  const end = ptr + length
  while (ptr + 16 <= end) {
    const a = load<u32>(ptr) ^ state
    const b = load<u32>(ptr, 4)
    const c = load<u32>(ptr, 8)
    const d = load<u32>(ptr, 12)
    state =
      tableEntry(15, a & 0xff) ^
      tableEntry(14, (a >> 8) & 0xff) ^
      tableEntry(13, (a >> 16) & 0xff) ^
      tableEntry(12, a >> 24) ^
      tableEntry(11, b & 0xff) ^
      tableEntry(10, (b >> 8) & 0xff) ^
      tableEntry(9, (b >> 16) & 0xff) ^
      tableEntry(8, b >> 24) ^
      tableEntry(7, c & 0xff) ^
      tableEntry(6, (c >> 8) & 0xff) ^
      tableEntry(5, (c >> 16) & 0xff) ^
      tableEntry(4, c >> 24) ^
      tableEntry(3, d & 0xff) ^
      tableEntry(2, (d >> 8) & 0xff) ^
      tableEntry(1, (d >> 16) & 0xff) ^
      tableEntry(0, d >> 24)
    ptr += 16
  }
  for (; ptr < end; ptr++) state = (state >> 8) ^ tableEntry(0, (state ^ load<u8>(ptr)) & 0xff)
  return state
}

/** Product of two polynomials modulo P; bit 31 is x^0. */
function multiply(a: u32, b: u32): u32 {
  let product: u32 = 0
  for (let mask: u32 = 0x80000000; mask != 0; mask >>= 1) {
    if (a & mask) product ^= b
    b = b & 1 ? (b >> 1) ^ POLYNOMIAL_REFLECTED : b >> 1
  }
  return product
}

/** What the register `state` becomes after `length` zero bytes (initial and final XOR left out): state * x^(8 length). */
export function shiftCrc(state: u32, length: u32): u32 {
  let k: usize = 3 // x^8 per byte
  for (; length != 0; length >>= 1) {
    if (length & 1) state = multiply(load<u32>(CRC_POWERS + (k << 2)), state)
    k++
  }
  return state
}
