// Where the fields of a RecordBatch v2 stand, in bytes from its start. Source: Apache Kafka, DefaultRecordBatch.java.

export const BASE_OFFSET_AT: usize = 0
export const BATCH_LENGTH_AT: usize = 8
export const LEADER_EPOCH_AT: usize = 12
export const MAGIC_AT: usize = 16
export const CRC_AT: usize = 17
export const ATTRIBUTES_AT: usize = 21 // the CRC covers this byte to the end
export const LAST_OFFSET_DELTA_AT: usize = 23
export const BASE_TIMESTAMP_AT: usize = 27
export const MAX_TIMESTAMP_AT: usize = 35
export const PRODUCER_ID_AT: usize = 43
export const PRODUCER_EPOCH_AT: usize = 51
export const BASE_SEQUENCE_AT: usize = 53
export const RECORD_COUNT_AT: usize = 57
export const RECORDS_AT: usize = 61
export const LENGTH_PREFIX_BYTES: u32 = 12

export const CODEC_MASK: u32 = 0x07
export const LOG_APPEND_TIME_BIT: u32 = 0x08
export const TRANSACTIONAL_BIT: u32 = 0x10
export const CONTROL_BIT: u32 = 0x20
export const DELETE_HORIZON_BIT: u32 = 0x40

/** JavaScript counts with doubles: larger magnitudes are refused. */
export const SAFE_INTEGER_MAX: i64 = 9007199254740991
