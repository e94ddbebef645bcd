// Bytes from devices as text that a terminal and a log can be trusted with: one line, nothing that moves a cursor, hides or turns text.
//
// Invariant: what is printed can be told apart. Text stands for itself; "…" is JSON-quoted text (it has something invisible in it, or looks like one of
// the other forms), base64:… is bytes that are no UTF-8, - is null.

import { INVISIBLE, visibleLine } from '../runtime/base/visible-line.ts'

const NEEDS_QUOTES = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]|^(?:"|base64:|-?$)/u
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** null when the bytes are no UTF-8. */
export function asText(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes)
  } catch {
    return null
  }
}

/** A line of JSON. */
export function jsonLine(value: unknown): string {
  return `${visibleLine(JSON.stringify(value))}\n`
}

/** The same value; every text in it is one visible line. */
export function visibleTexts<T>(value: T): T
export function visibleTexts(value: unknown): unknown {
  if (typeof value === 'string') return visibleLine(value)
  if (Array.isArray(value)) return value.map((item: unknown) => visibleTexts(item))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, visibleTexts(field)]))
}

/** Words with text from outside in them: what is invisible is shown as an escape. Line ends stay. */
export function visibleWords(text: string): string {
  return text.replace(INVISIBLE, (character) => (character === '\n' ? character : visibleLine(character)))
}

/** In a column of a line: with a space in it, it is quoted too. `text` null = null. */
export function visibleCell(text: string | null): string {
  return text?.includes(' ') ? visibleLine(JSON.stringify(text)) : visibleText(text)
}

export function visibleText(text: string | null): string {
  if (text === null) return '-'
  return NEEDS_QUOTES.test(text) ? visibleLine(JSON.stringify(text)) : text
}

/** `encoded`: base64. */
export function visibleBytes(encoded: string | null, show = visibleText): string {
  if (encoded === null) return show(null)
  const text = asText(Buffer.from(encoded, 'base64'))
  return text === null ? `base64:${encoded}` : show(text)
}
