// What the command line leaves behind for scripts and systemd: BSD sysexits, which systemd prints by name.

import type { ErrorCode } from '../runtime/base/error-catalogue.ts'
import { WadiError } from '../runtime/base/errors.ts'

export const EXIT = {
  ok: 0,
  /** The asked-for condition is false. */
  no: 1,
  usage: 64,
  dataError: 65,
  unavailable: 69,
  software: 70,
  cannotCreate: 73,
  ioError: 74,
  temporary: 75,
  noPermission: 77,
  config: 78,
  interrupted: 130
} as const

const EXIT_BY_ERROR: Readonly<Record<ErrorCode, number>> = {
  WADI_BUSY: EXIT.temporary,
  WADI_CERTIFICATE_UNUSABLE: EXIT.config,
  WADI_CLOSED: EXIT.unavailable,
  WADI_CONFIG_INVALID: EXIT.config,
  WADI_DATA_DIR_LOCKED: EXIT.cannotCreate,
  WADI_DATA_DIR_UNUSABLE: EXIT.cannotCreate,
  WADI_DISK_FULL: EXIT.ioError,
  WADI_FORMAT_NEWER: EXIT.dataError,
  WADI_LOG_FAILED: EXIT.ioError,
  WADI_NOT_ALLOWED: EXIT.noPermission,
  WADI_OFFSET_OUT_OF_RANGE: EXIT.no,
  WADI_QUOTA_EXCEEDED: EXIT.ioError,
  WADI_RECORD_INVALID: EXIT.dataError,
  WADI_RECORD_TOO_LARGE: EXIT.dataError,
  WADI_SESSION_UNKNOWN: EXIT.no,
  WADI_STATE_DAMAGED: EXIT.dataError,
  WADI_TOPIC_EXISTS: EXIT.no,
  WADI_TOPIC_INVALID: EXIT.usage,
  WADI_TOPIC_IN_USE: EXIT.no,
  WADI_TOPIC_UNDELIVERED: EXIT.no,
  WADI_TOPIC_UNKNOWN: EXIT.usage,
  WADI_UNAVAILABLE: EXIT.unavailable,
  WADI_UPSTREAM_UNREACHABLE: EXIT.unavailable,
  WADI_USAGE: EXIT.usage
}

export function exitCodeOf(error: unknown): number {
  return error instanceof WadiError ? EXIT_BY_ERROR[error.code] : EXIT.software
}
