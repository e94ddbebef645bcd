// Gives an encoded batch its producer fields without reading the payload. The CRC is linear: the change of the patched
// prefix, moved past the bytes that follow, is XORed into the old CRC.
//
//   crc' = crc ^ shift(crc0(old prefix ^ new prefix), bytes that follow)        crc0 = no initial, no final XOR

import { ATTRIBUTES_AT, BASE_SEQUENCE_AT, CRC_AT, PRODUCER_EPOCH_AT, PRODUCER_ID_AT, RECORDS_AT, TRANSACTIONAL_BIT } from './batch-layout'
import { load16, load32, store16, store32, store64 } from './bytes'
import { shiftCrc, tableCrc } from './crc32c-tables'

const COVERED_BYTES: usize = RECORDS_AT - ATTRIBUTES_AT // 40 bytes, attributes to record count

/**
 * Patches the 61-byte header at `ptr`; only these bytes are touched. [ptr + 64, ptr + 104) is scratch.
 * @param batchBytes the whole batch, records included
 */
export function patchProducer(
  ptr: usize,
  batchBytes: u32,
  producerId: i64,
  producerEpoch: i32,
  baseSequence: i32,
  isTransactional: i32
): void {
  const scratch = ptr + 64
  const covered = ptr + ATTRIBUTES_AT
  memory.copy(scratch, covered, COVERED_BYTES)
  const attributes = load16(covered) & ~TRANSACTIONAL_BIT
  store16(covered, isTransactional ? attributes | TRANSACTIONAL_BIT : attributes)
  store64(ptr + PRODUCER_ID_AT, producerId)
  store16(ptr + PRODUCER_EPOCH_AT, producerEpoch)
  store32(ptr + BASE_SEQUENCE_AT, baseSequence)
  for (let at: usize = 0; at < COVERED_BYTES; at += 8) {
    store<u64>(scratch + at, load<u64>(scratch + at) ^ load<u64>(covered + at))
  }
  const change = shiftCrc(tableCrc(scratch, <u32>COVERED_BYTES, 0), batchBytes - <u32>RECORDS_AT)
  store32(ptr + CRC_AT, load32(ptr + CRC_AT) ^ change)
}
