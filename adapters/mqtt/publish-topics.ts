// The topics of the PUBLISH packets of one connection: checked byte by byte, and turned into a string.
// Not for: who may publish to them (authorizer.ts), topics of wills and filters (name-rules.ts).
// Source: MQTT 3.1.1 and 5.0, sections 1.5 and 4.7.

import { isUtf8 } from 'node:buffer'
import { ReasonCode } from './packets.ts'
import { GateFault, type TopicReason } from './reasons.ts'

const SLASH = 0x2f

export class PublishTopics {
  readonly #levelsMax: number
  /** Devices publish to the same topic again and again. ASCII only: its characters are its bytes. */
  #last = ''

  constructor({ topicLevelsMax }: { topicLevelsMax: number }) {
    this.#levelsMax = topicLevelsMax
  }

  /** The topic that stands in `bytes`; empty bytes are no fault here. @throws GateFault */
  read(bytes: Buffer, from: number, to: number): string {
    if (isSame(this.#last, bytes, from, to)) return this.#last
    const reason = topicNameFault(bytes, { from, to, levelsMax: this.#levelsMax })
    if (reason) throw new GateFault(reason, 'in the topic of a PUBLISH', { reasonCode: codeOf(reason) })
    const topic = bytes.toString('utf8', from, to)
    if (topic.length === to - from) this.#last = topic
    return topic
  }
}

function isSame(topic: string, bytes: Buffer, from: number, to: number): boolean {
  if (topic.length !== to - from) return false
  // From its end: topics differ in their last levels.
  for (let index = topic.length - 1; index >= 0; index--) if (topic.charCodeAt(index) !== bytes[from + index]) return false
  return true
}

/** What is no text is malformed; the rest is a topic that nobody may have. */
function codeOf(reason: TopicReason): number {
  return reason === 'topic-utf8' || reason === 'topic-nul' ? ReasonCode.malformedPacket : ReasonCode.topicNameInvalid
}

/** Why the bytes are no topic name that may be published to, or null. */
function topicNameFault(bytes: Buffer, { from, to, levelsMax }: { from: number; to: number; levelsMax: number }): TopicReason | null {
  let levels = 1
  let isAscii = true
  for (let at = from; at < to; at++) {
    const byte = bytes[at] as number
    if (byte < 0x20) return byte === 0 ? 'topic-nul' : 'topic-control-character'
    if (byte === 0x2b || byte === 0x23) return 'topic-wildcard'
    if (byte === SLASH) levels++
    else if (byte === 0x7f) return 'topic-control-character'
    else if (byte >= 0x80) isAscii = false
  }
  if (levels > levelsMax) return 'topic-levels'
  return isAscii ? null : wideTopicFault(bytes.subarray(from, to))
}

/** U+0080 to U+009F are the two bytes C2 80 to C2 9F. */
function wideTopicFault(bytes: Buffer): TopicReason | null {
  if (!isUtf8(bytes)) return 'topic-utf8'
  for (let at = bytes.indexOf(0xc2); at >= 0; at = bytes.indexOf(0xc2, at + 1))
    if ((bytes[at + 1] as number) < 0xa0) return 'topic-control-character'
  return null
}
