// How a PUBLISH that is not taken is answered. MQTT 3 has no words for it: its connection closes. MQTT 5 says why, and the connection stays, where the client
// can do something about it with this message alone. Not for: who refuses (publish-intake.ts, ingest).

import { WadiError } from '../../runtime/base/errors.ts'
import { type Qos, ReasonCode } from './packets.ts'
import { GateFault } from './reasons.ts'
import type { Session } from './session-layer.ts'

/** Codes of PUBACK and PUBREC (MQTT 5, 3.4.2.1). What is not here is no matter of one message. */
const CODES: Readonly<Record<string, number>> = {
  WADI_DISK_FULL: ReasonCode.quotaExceeded,
  WADI_QUOTA_EXCEEDED: ReasonCode.quotaExceeded,
  WADI_RECORD_INVALID: ReasonCode.topicNameInvalid,
  WADI_RECORD_TOO_LARGE: ReasonCode.implementationSpecific,
  'topic-reserved': ReasonCode.topicNameInvalid,
  'not-authorized': ReasonCode.notAuthorized,
  'qos2-window': ReasonCode.quotaExceeded
}

/** `closes`: the client is not answered, its connection ends, and nothing behind the message is taken. */
export function publishRefusal(error: Error, session: Pick<Session, 'closesOnRefusal'>, qos: Qos): { reasonCode: number; closes: boolean } {
  const word = error instanceof GateFault ? error.reason : error instanceof WadiError ? error.code : ''
  const reasonCode = CODES[word]
  if (reasonCode === undefined || session.closesOnRefusal || qos === 0) {
    return { reasonCode: reasonCode ?? ReasonCode.unspecified, closes: true }
  }
  return { reasonCode, closes: false }
}

/** By the configuration, a right or the size of the event: sending it again would not help. */
export function isRefusedByRule(error: Error): boolean {
  if (error instanceof WadiError) return error.code === 'WADI_RECORD_INVALID' || error.code === 'WADI_RECORD_TOO_LARGE'
  return error instanceof GateFault
}
