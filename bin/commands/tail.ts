// wadi tail: look at what is stored, and follow what becomes durable.

import type { TailEvent, TailGap } from '../../gateway/tail-feed.ts'
import { type Command, type CommandInput, usageError } from '../command.ts'
import { type EventFormat, jsonFormat, missingJson, missingText, percentFormat, textFormat } from '../event-format.ts'
import { EXIT } from '../exit-code.ts'
import { parsePointInTime } from '../point-in-time.ts'
import { dataDirectoryOf, targetOptions } from '../target.ts'
import { note, print, watchReader } from '../terminal.ts'

const LAST = 10

export const tail: Command = {
  name: 'tail',
  operands: '[TOPIC[:PART] | FILTER ...]',
  operandsMin: 0,
  operandsMax: 100,
  summary: 'Follow events as they become durable',
  details: `TOPIC is a topic's name, TOPIC:PART one partition of it, FILTER an MQTT filter such as
plant/+/temperature; wildcards may have names, as in wadi.yaml. Without any, everything is shown. Partitions are merged by time, the newest event is the last.
TIME is 1h (ago), 10:30 (today), 2026-11-25T10:30 or @MS; it is compared with the timestamps of the events.
On a terminal a line per event: time, topic:partition@offset, MQTT topic, key, value, cut at its width. In a pipe JSON
lines; --json, --text and -f decide otherwise. In a line for people "…" is JSON-quoted text with something invisible in it,
base64:… is no text, - is none. Events that are missing are told on stderr, among JSON lines as {"kind":"missing",…}.
-f takes %t topic, %p partition, %o offset, %T time in ms, %k key, %K its size, %s and %v value, %S its size, %h headers,
%d{iso} time, and \\n \\t \\xNN. Key, value and headers are printed as they are, on a terminal with escapes.`,
  options: [
    { name: 'last', short: 'n', value: 'N', doc: `begin with the last N of the events that are meant (default ${LAST})` },
    { name: 'from', short: 'o', value: 'PLACE', doc: 'begin at "beginning", "end" or an offset, in each partition' },
    { name: 'since', value: 'TIME', doc: 'only events from then on' },
    { name: 'until', value: 'TIME', doc: 'only events before then; ends when that time has come' },
    { name: 'no-follow', doc: 'stop at the end of what is stored; 65 when some of it is damaged' },
    { name: 'format', short: 'f', value: 'FORMAT', doc: 'percent format, see above' },
    { name: 'json', doc: 'JSON lines' },
    { name: 'text', doc: 'a line for people' },
    ...targetOptions
  ],
  examples: [
    'wadi tail telemetry -n 20',
    "wadi tail 'plant/+/press-7/#' --since 1h --json",
    'wadi tail alarms --from beginning --no-follow',
    "wadi tail telemetry -f '%d{iso} %k %v\\n'"
  ],

  async run(input) {
    const { format, isJson } = formatOf(input.text('format'), input.flag('json'), input.flag('text'))
    const request = { command: 'tail', patterns: input.operands, ...beginningOf(input), isFollowing: !input.flag('no-follow') }
    const { callControl } = await import('../../adapters/control/control-client.ts')
    const directory = await dataDirectoryOf(input)
    const reader = request.isFollowing ? watchReader() : null
    const signal = reader ? AbortSignal.any([input.signal, reader.gone]) : input.signal
    let isDamaged = false
    try {
      for await (const value of callControl(directory, request, { signal })) {
        const item = value as TailEvent | TailGap
        isDamaged ||= 'missing' in item && item.missing.reason !== 'deleted'
        if ('missing' in item && !isJson) note(missingText(item.missing))
        else if (!(await print('missing' in item ? missingJson(item.missing) : format(item)))) return EXIT.ok
      }
    } finally {
      reader?.release()
    }
    if (input.signal.aborted) return EXIT.interrupted
    return isDamaged && !request.isFollowing ? EXIT.dataError : EXIT.ok
  }
}

interface Beginning {
  readonly last?: number
  readonly from?: string | number
  readonly sinceMs: number | null
  readonly untilMs: number | null
}

/** @throws WadiError WADI_USAGE */
function beginningOf(input: CommandInput): Beginning {
  const [last, from, since, until] = ['last', 'from', 'since', 'until'].map((name) => input.text(name))
  if (from !== undefined && (last !== undefined || since !== undefined)) {
    throw usageError(`--from and --${last === undefined ? 'since' : 'last'} exclude each other.`, 'Give one of them.')
  }
  const nowMs = Date.now()
  const times = {
    sinceMs: since === undefined ? null : parsePointInTime('since', since, nowMs),
    untilMs: until === undefined ? null : parsePointInTime('until', until, nowMs)
  }
  if (from !== undefined) return { from: placeOf(from), ...times }
  if (last === undefined && since !== undefined) return { from: 'beginning', ...times }
  return { last: input.count('last', LAST), ...times }
}

function placeOf(text: string): string | number {
  if (text === 'beginning' || text === 'start') return 'beginning'
  if (text === 'end') return text
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw usageError(`--from is "${text}".`, 'Write beginning, end or an offset.')
}

function formatOf(format: string | undefined, isJson: boolean, isText: boolean): { format: EventFormat; isJson: boolean } {
  if (Number(format !== undefined) + Number(isJson) + Number(isText) > 1) {
    throw usageError('--format, --json and --text exclude each other.', 'Give one of them.')
  }
  const isTerminal = process.stdout.isTTY === true
  if (format !== undefined) return { format: percentFormat(format, { isTerminal }), isJson: false }
  if (isJson || (!isText && !isTerminal)) return { format: jsonFormat, isJson: true }
  return { format: textFormat({ widthMax: isTerminal ? (process.stdout.columns ?? null) : null }), isJson: false }
}
