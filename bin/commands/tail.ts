// wadi tail: follow what becomes durable.

import type { TailEvent } from '../../gateway/tail-feed.ts'
import { type Command, usageError } from '../command.ts'
import { type EventFormat, jsonFormat, percentFormat, textFormat } from '../event-format.ts'
import { EXIT } from '../exit-code.ts'
import { dataDirectoryOf, targetOptions } from '../target.ts'
import { print } from '../terminal.ts'

export const tail: Command = {
  name: 'tail',
  operands: '[TOPIC | FILTER ...]',
  operandsMin: 0,
  operandsMax: 100,
  summary: 'Follow events as they become durable',
  details: `TOPIC is a topic's name, FILTER an MQTT filter such as plant/+/temperature. Without any, everything is shown.
On a terminal a line per event, in a pipe JSON lines; --json, --text and -f decide otherwise.
-f takes %t topic, %p partition, %o offset, %k key, %v value, %d time in ms, %d{iso} time, %h headers, \\n and \\t.`,
  options: [
    { name: 'last', short: 'n', value: 'N', doc: 'begin N events before the end of each partition (default 10)' },
    { name: 'no-follow', doc: 'stop at the end of what is stored' },
    { name: 'format', short: 'f', value: 'FORMAT', doc: 'percent format, see above' },
    { name: 'json', doc: 'JSON lines' },
    { name: 'text', doc: 'a line for people' },
    ...targetOptions
  ],
  examples: ['wadi tail telemetry -n 20', "wadi tail 'plant/+/press-7/#' --json", "wadi tail telemetry -f '%d{iso} %k %v\\n'"],

  async run(input) {
    const format = formatOf(input.text('format'), input.flag('json'), input.flag('text'))
    const last = input.count('last', 10)
    const { callControl } = await import('../../adapters/control/control-client.ts')
    const request = { command: 'tail', patterns: input.operands, last, isFollowing: !input.flag('no-follow') }
    for await (const event of callControl(await dataDirectoryOf(input), request, { signal: input.signal })) {
      if (!(await print(format(event as TailEvent)))) return EXIT.ok
    }
    return input.signal.aborted ? EXIT.interrupted : EXIT.ok
  }
}

function formatOf(format: string | undefined, isJson: boolean, isText: boolean): EventFormat {
  if (Number(format !== undefined) + Number(isJson) + Number(isText) > 1) {
    throw usageError('--format, --json and --text exclude each other.', 'Give one of them.')
  }
  if (format !== undefined) return percentFormat(format)
  return isJson || (!isText && !process.stdout.isTTY) ? jsonFormat : textFormat
}
