// Why a connection was closed, as one fixed word each: for counters, events and logs. Text that a
// client sent is never part of a reason.

import { WadiError } from '../../runtime/base/errors.ts'
import { ReasonCode } from './packets.ts'

export type TopicReason = 'topic-utf8' | 'topic-nul' | 'topic-control-character' | 'topic-wildcard' | 'topic-levels'

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
  | 'connect-flags'
  | 'string-utf8'
  | 'filter'
  | 'protocol-version'
  | 'will'
  | 'client-id'
  | 'properties'
  | 'reason-code'
  | 'topic-alias'
  | 'authentication-method'

export type CloseReason =
  | GateReason
  /** A rule of the protocol that has no word of its own. */
  | 'protocol'
  /** More QoS 1 and 2 messages without an answer than the client was told that it may have. */
  | 'receive-maximum'
  | 'connect-timeout'
  | 'keepalive-timeout'
  | 'drain-timeout'
  | 'connections-full'
  /** The Authorizer refused a CONNECT, or could not decide. */
  | 'bad-credentials'
  | 'authorizer-unavailable'
  /** The Authorizer refused a CONNECT or a PUBLISH. */
  | 'not-authorized'
  | 'topic-reserved'
  | 'qos2-window'
  | 'unmatched'
  | 'record-too-large'
  | 'busy'
  | 'storage'
  /** The peer went away: reset, timed out in the kernel. */
  | 'connection-lost'

/** Why a connection ends, or a packet is refused. */
export class GateFault extends Error {
  override readonly name = 'GateFault'
  readonly reason: CloseReason
  readonly detail: string
  /** A whole packet that the client is sent before its connection is closed. */
  readonly answer: Uint8Array | null
  /** Of a CONNECT that nobody behind the gate has seen. */
  readonly clientId: string | null
  /** Of MQTT 5. */
  readonly reasonCode: number

  constructor(
    reason: CloseReason,
    detail: string,
    {
      answer = null,
      clientId = null,
      reasonCode = ReasonCode.unspecified
    }: { answer?: Uint8Array | null; clientId?: string | null; reasonCode?: number } = {}
  ) {
    super(`${reason}: ${detail}`)
    this.reason = reason
    this.detail = detail
    this.answer = answer
    this.clientId = clientId
    this.reasonCode = reasonCode
  }
}

const NETWORK_CODES = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ECONNABORTED', 'EHOSTUNREACH', 'ENETUNREACH', 'ERR_STREAM_DESTROYED'])

/** What there is to say beside the reason; may hold text from outside. */
export function closeDetailOf(error: Error): string {
  if (error instanceof GateFault) return error.detail
  if (!(error instanceof WadiError)) return error.message
  return closeReasonOf(error) === 'storage' ? `${error.code}: ${error.story.happened}` : error.story.happened
}

/** The word for an error that ended a connection; null when there is none. */
export function closeReasonOf(error: Error): CloseReason | null {
  if (error instanceof GateFault) return error.reason
  if (error instanceof WadiError) {
    if (error.code === 'WADI_RECORD_INVALID') return 'unmatched'
    if (error.code === 'WADI_RECORD_TOO_LARGE') return 'record-too-large'
    return error.code === 'WADI_BUSY' ? 'busy' : 'storage'
  }
  return NETWORK_CODES.has((error as NodeJS.ErrnoException).code ?? '') ? 'connection-lost' : null
}
