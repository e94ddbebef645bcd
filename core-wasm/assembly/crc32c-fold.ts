// CRC-32C of long inputs without tables and without carry-less multiplication: sparse folding.
//
// P, the CRC-32C polynomial, divides  x^209 + x^144 + x^54 + x^39 + x^14 + 1.  Squaring seven times keeps the six
// terms and multiplies every exponent by 128, so a 16-byte vector 209 vectors ahead equals the sum of itself moved
// to five later places, and nothing is ever shifted inside a vector:
//
//   out[i] = in[i] ^ out[i-65] ^ out[i-155] ^ out[i-170] ^ out[i-195] ^ out[i-209]
//
// What is left are the last 209 vectors. The second level does the same with the shorter, heavier multiple
// x^79 + x^75 + x^71 + x^58 + x^18 + x^12 + x + 1; its remainder of 79 vectors goes through the tables.
// The register enters as out[-209] (out[-79] on level two), the one place only in[0] looks at.
// (The method is known as Chorba, arXiv 2412.16398, there for CRC-32.)
//
// Invariants: the input is never modified; scratch is FOLD_OUT, FOLD_REST and FOLD_REST_2 only.

import { tableCrc } from './crc32c-tables'
import { FOLD_OUT, FOLD_REST, FOLD_REST_2 } from './memory'

const HISTORY: usize = 209 * 16
const HISTORY_2: usize = 79 * 16
const CHUNK_VECTORS: u32 = 768
/** From here level one pays. FOLD_OUT holds this much, so level two alone may take anything shorter. */
const TWO_LEVELS_BYTES_MIN: u32 = 12288

function sum(out: usize, input: v128): v128 {
  const near = v128.xor(input, v128.load(out - 65 * 16))
  const middle = v128.xor(v128.load(out - 155 * 16), v128.load(out - 170 * 16))
  const far = v128.xor(v128.load(out - 195 * 16), v128.load(out - 209 * 16))
  return v128.xor(v128.xor(near, middle), far)
}

function sum2(out: usize, input: v128): v128 {
  const a = v128.xor(input, v128.load(out - 79 * 16))
  const b = v128.xor(v128.load(out - 78 * 16), v128.load(out - 67 * 16))
  const c = v128.xor(v128.load(out - 61 * 16), v128.load(out - 21 * 16))
  const d = v128.xor(v128.load(out - 8 * 16), v128.load(out - 4 * 16))
  return v128.xor(v128.xor(a, b), v128.xor(c, d))
}

/** The register after `length` >= 1,800 bytes, without initial and final XOR. */
export function foldCrc(ptr: usize, length: u32, state: u32): u32 {
  const vectors = length >> 4
  if (length >= TWO_LEVELS_BYTES_MIN) {
    foldOnce(ptr, vectors, state)
    state = foldTwice(FOLD_REST, 209, 0)
  } else {
    state = foldTwice(ptr, vectors, state)
  }
  const folded = vectors << 4
  return tableCrc(ptr + folded, length - folded, state)
}

/** Level one: leaves 209 vectors at FOLD_REST that are congruent to the input. */
function foldOnce(input: usize, vectors: u32, state: u32): void {
  const start = FOLD_OUT + HISTORY
  memory.fill(FOLD_OUT, 0, HISTORY)
  store<u32>(FOLD_OUT, state)
  let left = vectors - 209
  while (left != 0) {
    const count = min(left, CHUNK_VECTORS)
    const end = start + (<usize>count << 4)
    let out = start
    for (; out + 64 <= end; out += 64) {
      v128.store(out, sum(out, v128.load(input)))
      v128.store(out + 16, sum(out + 16, v128.load(input, 16)))
      v128.store(out + 32, sum(out + 32, v128.load(input, 32)))
      v128.store(out + 48, sum(out + 48, v128.load(input, 48)))
      input += 64
    }
    for (; out < end; out += 16) {
      v128.store(out, sum(out, v128.load(input)))
      input += 16
    }
    memory.copy(FOLD_OUT, FOLD_OUT + (<usize>count << 4), HISTORY)
    left -= count
  }
  memory.fill(start, 0, HISTORY)
  for (let at: usize = 0; at < HISTORY; at += 16) v128.store(FOLD_REST + at, sum(start + at, v128.load(input + at)))
}

/** Level two, for 79 < vectors < 768: the register after them. */
function foldTwice(input: usize, vectors: u32, state: u32): u32 {
  const start = FOLD_OUT + HISTORY_2
  memory.fill(FOLD_OUT, 0, HISTORY_2)
  store<u32>(FOLD_OUT, state)
  const end = start + (<usize>(vectors - 79) << 4)
  let out = start
  for (; out + 64 <= end; out += 64) {
    v128.store(out, sum2(out, v128.load(input)))
    v128.store(out + 16, sum2(out + 16, v128.load(input, 16)))
    v128.store(out + 32, sum2(out + 32, v128.load(input, 32)))
    v128.store(out + 48, sum2(out + 48, v128.load(input, 48)))
    input += 64
  }
  for (; out < end; out += 16) {
    v128.store(out, sum2(out, v128.load(input)))
    input += 16
  }
  memory.fill(end, 0, HISTORY_2)
  for (let at: usize = 0; at < HISTORY_2; at += 16) v128.store(FOLD_REST_2 + at, sum2(end + at, v128.load(input + at)))
  return tableCrc(FOLD_REST_2, <u32>HISTORY_2, 0)
}
