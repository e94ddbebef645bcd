// Text from outside without anything that is not seen, or that a terminal obeys. Not for: telling what is quoted from what is not (bin/visible-text.ts).

/** C0, C1, DEL, line and paragraph separators, everything of Unicode that formats and is not seen (bidi controls, zero width, tags), lone surrogates. */
export const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu

/** One line: everything invisible, line ends too, as \uXXXX. JSON means the same afterwards. */
export function visibleLine(text: string): string {
  return text.replace(INVISIBLE, (character) => {
    let escaped = ''
    for (let index = 0; index < character.length; index++) escaped += `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`
    return escaped
  })
}
