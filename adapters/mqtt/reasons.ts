// Why a connection was closed, as one fixed word each: for counters, events and logs. Nothing from outside becomes a reason.

import { WadiError } from '../../runtime/base/errors.ts'

export type TopicReason = 'topic-utf8' | 'topic-nul' | 'topic-control-character' | 'topic-wildcard'

export type GateReason =
  | TopicReason
  | 'packet-type'
  | 'packet-flags'
  | 'packet-length'
  | 'packet-too-large'
  | 'packet-id-zero'
  | 'connect-expected'
  | 'connect-too-large'
  | 'second-connect'
  | 'topic-empty'
  | 'topic-too-long'

export type CloseReason =
  | GateReason
  /** What the MQTT parser or session layer refused. */
  | 'protocol'
  | 'protocol-version'
  | 'connect-timeout'
  | 'keepalive-timeout'
  | 'drain-timeout'
  | 'connections-full'
  | 'client-id'
  | 'will'
  | 'topic-reserved'
  | 'qos2-window'
  | 'unmatched'
  | 'record-too-large'
  | 'busy'
  | 'storage'
  /** The peer went away: reset, timed out in the kernel. */
  | 'connection-lost'

/** Carried by socket.destroy() to whoever counts. */
export class GateFault extends Error {
  override readonly name = 'GateFault'
  readonly reason: CloseReason

  constructor(reason: CloseReason, detail: string) {
    super(`${reason}: ${detail}`)
    this.reason = reason
  }
}

const NETWORK_CODES = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ECONNABORTED', 'EHOSTUNREACH', 'ENETUNREACH', 'ERR_STREAM_DESTROYED'])
const SESSION_MESSAGES = new Map<string, CloseReason>([
  ['connect did not arrive in time', 'connect-timeout'],
  ['keep alive timeout', 'keepalive-timeout'],
  ['drain timeout', 'drain-timeout'],
  ['identifier rejected', 'client-id'],
  ['unacceptable protocol version', 'protocol-version'],
  ['connection closed', 'connection-lost']
])

/** The word for an error that ended a connection. */
export function closeReasonOf(error: Error): CloseReason {
  if (error instanceof GateFault) return error.reason
  if (error instanceof WadiError) {
    if (error.code === 'WADI_RECORD_INVALID') return 'unmatched'
    if (error.code === 'WADI_RECORD_TOO_LARGE') return 'record-too-large'
    return error.code === 'WADI_BUSY' ? 'busy' : 'storage'
  }
  if (NETWORK_CODES.has((error as NodeJS.ErrnoException).code ?? '')) return 'connection-lost'
  return SESSION_MESSAGES.get(error.message) ?? 'protocol'
}
