// How an event is printed: a line for people, JSON lines for programs, or the user's percent format (rpk's letters).

import type { TailEvent } from '../gateway/tail-feed.ts'
import { usageError } from './command.ts'
import { paint } from './terminal.ts'

export type EventFormat = (event: TailEvent) => string

/** Text as text, other bytes as base64 with a mark: what is printed can be told apart. */
function readable(encoded: string | null): string {
  if (encoded === null) return '-'
  const bytes = Buffer.from(encoded, 'base64')
  const text = asText(bytes)
  return text ?? `base64:${encoded}`
}

const decoder = new TextDecoder('utf-8', { fatal: true })

function asText(bytes: Uint8Array): string | null {
  try {
    const text = decoder.decode(bytes)
    // Control characters would move the cursor: such bytes are no text to us.
    return /[\u0000-\u0008\u000e-\u001f\u007f]/.test(text) ? null : text
  } catch {
    return null
  }
}

function iso(timestampMs: number): string {
  return Math.abs(timestampMs) <= 8.64e15 ? new Date(timestampMs).toISOString() : String(timestampMs)
}

/** One line: time, topic:partition@offset, key, value. */
export const textFormat: EventFormat = (event) => {
  const place = `${event.topic}:${event.partition}@${event.offset}`
  return `${paint('dim', iso(event.timestampMs))} ${paint('cyan', place)} ${paint('bold', readable(event.key))} ${readable(event.value)}\n`
}

/** JSON lines: text where key and value are UTF-8, `keyBase64` and `valueBase64` where they are not. */
export const jsonFormat: EventFormat = (event) => {
  const field = (name: string, encoded: string | null): Record<string, string | null> => {
    const text = encoded === null ? null : asText(Buffer.from(encoded, 'base64'))
    return encoded !== null && text === null ? { [`${name}Base64`]: encoded } : { [name]: text }
  }
  const headers = Object.fromEntries(event.headers.map(([name, value]) => [name, value === null ? null : readable(value)]))
  const { topic, partition, offset, timestampMs } = event
  return `${JSON.stringify({ topic, partition, offset, timestampMs, ...field('key', event.key), ...field('value', event.value), headers })}\n`
}

const LETTERS: Readonly<Record<string, (event: TailEvent) => string>> = {
  '%t': (event) => event.topic,
  '%p': (event) => String(event.partition),
  '%o': (event) => String(event.offset),
  '%k': (event) => (event.key === null ? '' : readable(event.key)),
  '%v': (event) => (event.value === null ? '' : readable(event.value)),
  '%s': (event) => (event.value === null ? '' : readable(event.value)),
  '%d': (event) => String(event.timestampMs),
  '%d{iso}': (event) => iso(event.timestampMs),
  '%h': (event) => event.headers.map(([name, value]) => `${name}=${readable(value)}`).join(','),
  '%%': () => '%'
}

const ESCAPES: Readonly<Record<string, string>> = { '\\n': '\n', '\\t': '\t', '\\r': '\r', '\\0': '\0', '\\\\': '\\' }

/** @throws WadiError WADI_USAGE for a letter that is not known; %T is refused because tools disagree on it */
export function percentFormat(format: string): EventFormat {
  const parts = [...format.matchAll(/%d\{iso\}|%.?|\\.|[^%\\]+|\\$/gsu)].map(([part]): ((event: TailEvent) => string) => {
    const letter = LETTERS[part]
    if (letter) return letter
    if (part === '%T')
      throw usageError('%T means the timestamp in some tools and a length in others.', 'Write %d or %d{iso} for the timestamp.')
    if (part.startsWith('%'))
      throw usageError(`The format has "${part}", which is not known.`, `Known are ${Object.keys(LETTERS).join(' ')}.`)
    return () => ESCAPES[part] ?? part
  })
  return (event) => parts.map((part) => part(event)).join('')
}
