// Every error code a user can meet, in one place. docs/errors.md has one section per code; a test compares both ways.

export const errorCatalogue = {
  WADI_BUSY: { retriable: true },
  WADI_CERTIFICATE_UNUSABLE: { retriable: false },
  WADI_CLOSED: { retriable: false },
  WADI_CONFIG_INVALID: { retriable: false },
  WADI_DATA_DIR_LOCKED: { retriable: true },
  WADI_DATA_DIR_UNUSABLE: { retriable: false },
  WADI_DISK_FULL: { retriable: true },
  WADI_FORMAT_NEWER: { retriable: false },
  WADI_LOG_FAILED: { retriable: false },
  WADI_NOT_ALLOWED: { retriable: false },
  WADI_OFFSET_OUT_OF_RANGE: { retriable: false },
  WADI_QUOTA_EXCEEDED: { retriable: true },
  WADI_RECORD_INVALID: { retriable: false },
  WADI_RECORD_TOO_LARGE: { retriable: false },
  WADI_SESSION_UNKNOWN: { retriable: false },
  WADI_STATE_DAMAGED: { retriable: false },
  WADI_TOPIC_EXISTS: { retriable: false },
  WADI_TOPIC_INVALID: { retriable: false },
  WADI_TOPIC_IN_USE: { retriable: false },
  WADI_TOPIC_UNDELIVERED: { retriable: false },
  WADI_TOPIC_UNKNOWN: { retriable: false },
  WADI_UNAVAILABLE: { retriable: true },
  WADI_UPSTREAM_UNREACHABLE: { retriable: true },
  WADI_USAGE: { retriable: false }
} as const

export type ErrorCode = keyof typeof errorCatalogue
