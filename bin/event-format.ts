// How an event is printed: a line for people, JSON lines for programs, or the user's percent format (kcat's letters, and rpk's where kcat has none).

import type { MissingRange } from '../gateway/tail-cursor.ts'
import type { TailEvent } from '../gateway/tail-feed.ts'
import { formatBytes } from '../runtime/base/byte-text.ts'
import { visibleLine } from '../runtime/base/visible-line.ts'
import { usageError } from './command.ts'
import { paint } from './terminal.ts'
import { asText, jsonLine, visibleBytes, visibleCell, visibleWords } from './visible-text.ts'

/** In bytes where they are printed as they are. */
export type EventFormat = (event: TailEvent) => string | Uint8Array
type LineFormat = (event: TailEvent) => string

/** A value is not cut shorter, however narrow the terminal. */
const VALUE_CHARACTERS_MIN = 16

function iso(timestampMs: number): string {
  return Math.abs(timestampMs) <= 8.64e15 ? new Date(timestampMs).toISOString() : String(timestampMs)
}

/** One line: time, topic:partition@offset, MQTT topic, key, value. Cut at `widthMax` characters, with the size of the value; null = whole. */
export function textFormat({ widthMax }: { widthMax: number | null }): LineFormat {
  return (event) => {
    const cells = [
      iso(event.timestampMs),
      `${visibleCell(event.topic)}:${event.partition}@${event.offset}`,
      visibleBytes(event.headers.find(([name]) => name === 'mqtt.topic')?.[1] ?? null, visibleCell),
      visibleBytes(event.key, visibleCell)
    ] as const
    const taken = cells.reduce((sum, cell) => sum + cell.length + 1, 0)
    const value = cut(visibleBytes(event.value), event.value, widthMax === null ? null : widthMax - taken)
    return `${paint('dim', cells[0])} ${paint('cyan', cells[1])} ${cells[2]} ${paint('bold', cells[3])} ${value}\n`
  }
}

function cut(text: string, encoded: string | null, widthMax: number | null): string {
  if (widthMax === null || text.length <= widthMax) return text
  const size = ` … ${formatBytes(Buffer.byteLength(encoded ?? '', 'base64'))}`
  const kept = [...text].slice(0, Math.max(VALUE_CHARACTERS_MIN, widthMax - size.length)).join('')
  return kept.length < text.length ? `${kept}${size}` : text
}

/** JSON lines: text where key and value are UTF-8, `keyBase64` and `valueBase64` where they are not; a header that is not is {"base64": …}. */
export const jsonFormat: LineFormat = (event) => {
  const field = (name: string, encoded: string | null): Record<string, string | null> => {
    const text = encoded === null ? null : asText(Buffer.from(encoded, 'base64'))
    return encoded !== null && text === null ? { [`${name}Base64`]: encoded } : { [name]: text }
  }
  const header = (encoded: string): string | object => asText(Buffer.from(encoded, 'base64')) ?? { base64: encoded }
  const headers = Object.fromEntries(event.headers.map(([name, value]) => [name, value === null ? null : header(value)]))
  const { topic, partition, offset, timestampMs } = event
  const line = { topic, partition, offset, timestampMs, ...field('key', event.key), ...field('value', event.value), headers }
  return jsonLine(line)
}

/** In the place of events that cannot be shown, among JSON lines. Both offsets are missing, and what lies between. */
export function missingJson({ topicName, partitionIndex, startOffset, endOffset, reason }: MissingRange): string {
  const range = {
    kind: 'missing',
    topic: topicName,
    partition: partitionIndex,
    firstOffset: startOffset,
    lastOffset: endOffset - 1,
    reason
  }
  return jsonLine(range)
}

export function missingText({ topicName, partitionIndex, startOffset, endOffset, reason }: MissingRange): string {
  const offsets = endOffset - startOffset === 1 ? `offset ${startOffset} is` : `offsets ${startOffset} to ${endOffset - 1} are`
  const why = {
    damage: 'damage of the storage device',
    'cannot be opened': 'what is stored there cannot be opened',
    deleted: 'deleted by retention or a quota before they were read'
  }
  return `${visibleLine(topicName)}-${partitionIndex}: ${offsets} missing (${why[reason]})`
}

type Letter = (event: TailEvent) => string | Uint8Array

const bytesOf = (encoded: string | null): Uint8Array => Buffer.from(encoded ?? '', 'base64')
const lengthOf = (encoded: string | null): string => String(encoded === null ? -1 : Buffer.byteLength(encoded, 'base64'))
const value: Letter = (event) => bytesOf(event.value)

const LETTERS: Readonly<Record<string, Letter>> = {
  '%t': (event) => event.topic,
  '%p': (event) => String(event.partition),
  '%o': (event) => String(event.offset),
  '%T': (event) => String(event.timestampMs),
  '%k': (event) => bytesOf(event.key),
  '%K': (event) => lengthOf(event.key),
  '%s': value,
  '%v': value,
  '%S': (event) => lengthOf(event.value),
  '%h': (event) => Buffer.concat(event.headers.flatMap(headerBytes).slice(1)),
  '%d': (event) => String(event.timestampMs),
  '%d{iso}': (event) => iso(event.timestampMs),
  '%%': () => '%'
}

function headerBytes([name, encoded]: TailEvent['headers'][number]): Uint8Array[] {
  return [Buffer.from(','), Buffer.from(`${name}=`), encoded === null ? Buffer.from('NULL') : bytesOf(encoded)]
}

const ESCAPES: Readonly<Record<string, string>> = { '\\n': '\n', '\\t': '\t', '\\r': '\r', '\\0': '\0', '\\\\': '\\' }

/**
 * Key, value and headers as they are, byte for byte; with `isTerminal` what a terminal would obey, or not show, is escaped.
 * @throws WadiError WADI_USAGE for a letter that is not known
 */
export function percentFormat(format: string, { isTerminal }: { isTerminal: boolean }): (event: TailEvent) => Uint8Array {
  const parts = [...format.matchAll(/%d\{iso\}|%.?|\\x[0-9a-fA-F]{2}|\\.|[^%\\]+|\\$/gsu)].map(([part]): Letter => {
    const letter = LETTERS[part]
    if (letter) return isTerminal ? (event) => shown(letter(event)) : letter
    if (part.startsWith('%'))
      throw usageError(`The format has "${part}", which is not known.`, `Known are ${Object.keys(LETTERS).join(' ')}.`)
    const text = /^\\x../.test(part) ? Buffer.from(part.slice(2), 'hex') : Buffer.from(ESCAPES[part] ?? part)
    return () => text
  })
  return (event) => Buffer.concat(parts.map((part) => part(event)).map((piece) => (typeof piece === 'string' ? Buffer.from(piece) : piece)))
}

function shown(piece: string | Uint8Array): string {
  return visibleWords(typeof piece === 'string' ? piece : new TextDecoder().decode(piece)).replaceAll('\n', '\\n')
}
