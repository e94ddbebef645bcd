// Bytes from devices as text that a terminal and a log can be trusted with: one line, nothing that moves a cursor, hides or turns text.
//
// Invariant: what is printed can be told apart. Text stands for itself; "…" is JSON-quoted text (it has something invisible in it, or looks like one of
// the other forms), base64:… is bytes that are no UTF-8, - is null.

/** C0, C1, DEL, line and paragraph separators, everything of Unicode that formats and is not seen (bidi controls, zero width, tags), lone surrogates. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu
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

/** JSON, or part of it, with everything invisible as \uXXXX: it means the same. */
export function visibleJson(json: string): string {
  return json.replace(INVISIBLE, (character) => {
    let escaped = ''
    for (let index = 0; index < character.length; index++) escaped += `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`
    return escaped
  })
}

/** Words with text from outside in them: what is invisible is shown as an escape. Line ends stay. */
export function visibleWords(text: string): string {
  return text.replace(INVISIBLE, (character) => (character === '\n' ? character : visibleJson(character)))
}

/** In a column of a line: with a space in it, it is quoted too. `text` null = null. */
export function visibleCell(text: string | null): string {
  return text?.includes(' ') ? visibleJson(JSON.stringify(text)) : visibleText(text)
}

export function visibleText(text: string | null): string {
  if (text === null) return '-'
  return NEEDS_QUOTES.test(text) ? visibleJson(JSON.stringify(text)) : text
}

/** `encoded`: base64. */
export function visibleBytes(encoded: string | null, show = visibleText): string {
  if (encoded === null) return show(null)
  const text = asText(Buffer.from(encoded, 'base64'))
  return text === null ? `base64:${encoded}` : show(text)
}
