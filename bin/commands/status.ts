// wadi status: how the running gateway is.

import type { StatusReport } from '../../gateway/status-report.ts'
import { type Command, usageError } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { statusText } from '../status-text.ts'
import { dataDirectoryOf, targetOptions } from '../target.ts'
import { print } from '../terminal.ts'

const WATCH_MS = 1000

export const status: Command = {
  name: 'status',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary: 'Ingest, storage, uplink and lag of the running gateway',
  details: 'Exits with 0 even when the link is down: --require up makes that a condition.',
  options: [
    { name: 'json', doc: 'one JSON object' },
    { name: 'watch', short: 'w', doc: 'once a second, until interrupted' },
    { name: 'require', value: 'CONDITION', doc: '"up" (link) or "delivered" (nothing waits): exit 1 when it is not so' },
    ...targetOptions
  ],
  examples: ['wadi status', 'wadi status --watch', 'wadi status --json | jq .uplink.link'],

  async run(input) {
    const { askControl } = await import('../../adapters/control/control-client.ts')
    const directory = await dataDirectoryOf(input)
    const isWatching = input.flag('watch')
    const condition = conditionOf(input.text('require'))
    for (;;) {
      const report = (await askControl(directory, { command: 'status' }, { signal: input.signal })) as StatusReport
      const isScreen = isWatching && process.stdout.isTTY && !input.flag('json')
      const text = input.flag('json') ? `${JSON.stringify(report)}\n` : statusText(report)
      if (!(await print(isScreen ? `\x1b[H\x1b[J${text}` : text))) return EXIT.ok
      if (!isWatching) return condition(report) ? EXIT.ok : EXIT.no
      await pause(WATCH_MS, input.signal)
      if (input.signal.aborted) return EXIT.interrupted
    }
  }
}

function conditionOf(word: string | undefined): (report: StatusReport) => boolean {
  if (word === undefined) return () => true
  if (word === 'up') return (report) => report.uplink?.link === 'up'
  if (word === 'delivered') return (report) => report.topics.every((topic) => (topic.lagEvents ?? 0) === 0)
  throw usageError(`--require is "${word}".`, 'Write up or delivered.')
}

function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, delayMs)
    const stop = (): void => {
      clearTimeout(timer)
      resolve()
    }
    signal.addEventListener('abort', stop, { once: true })
  })
}
