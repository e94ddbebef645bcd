// The bytes of an MQTT topic name, checked as they come: valid UTF-8 (no surrogates, nothing overlong), no U+0000, no control
// characters, no wildcards. Any split gives the same answer.
// Source: MQTT 3.1.1 sections 1.5.3 and 4.7.1; RFC 3629.

import type { TopicReason } from './reasons.ts'

export class Utf8TopicCheck {
  /** Bytes of the character that are still to come. */
  #continuationCount = 0
  #codePoint = 0
  #smallest = 0

  begin(): void {
    this.#continuationCount = 0
  }

  /** @returns why [start, end) cannot go on a topic, or null */
  add(bytes: Uint8Array, start: number, end: number): TopicReason | null {
    for (let at = start; at < end; at++) {
      const byte = bytes[at] as number
      if (this.#continuationCount === 0 && byte >= 0x20 && byte < 0x7f) {
        if (byte === 0x2b || byte === 0x23) return 'topic-wildcard'
        continue
      }
      const reason = this.#continuationCount > 0 ? this.#continue(byte) : this.#start(byte)
      if (reason) return reason
    }
    return null
  }

  end(): TopicReason | null {
    return this.#continuationCount > 0 ? 'topic-utf8' : null
  }

  #start(byte: number): TopicReason | null {
    if (byte === 0) return 'topic-nul'
    if (byte < 0x80) return 'topic-control-character'
    if (byte >= 0xc2 && byte < 0xe0) this.#expect(1, byte & 0x1f, 0x80)
    else if (byte >= 0xe0 && byte < 0xf0) this.#expect(2, byte & 0x0f, 0x800)
    else if (byte >= 0xf0 && byte < 0xf5) this.#expect(3, byte & 0x07, 0x10000)
    else return 'topic-utf8'
    return null
  }

  #expect(continuationCount: number, bits: number, smallest: number): void {
    this.#continuationCount = continuationCount
    this.#codePoint = bits
    this.#smallest = smallest
  }

  #continue(byte: number): TopicReason | null {
    if ((byte & 0xc0) !== 0x80) return 'topic-utf8'
    this.#codePoint = (this.#codePoint << 6) | (byte & 0x3f)
    if (--this.#continuationCount > 0) return null
    const codePoint = this.#codePoint
    if (codePoint < this.#smallest || codePoint > 0x10ffff || (codePoint >= 0xd800 && codePoint < 0xe000)) return 'topic-utf8'
    return codePoint < 0xa0 ? 'topic-control-character' : null
  }
}
