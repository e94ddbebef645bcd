// wadi status: how the running gateway is.

import { formatCount } from '../../gateway/config/units.ts'
import type { StatusReport } from '../../gateway/status-report.ts'
import { visibleLine } from '../../runtime/base/visible-line.ts'
import { type Command, usageError } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { statusText } from '../status-text.ts'
import { dataDirectoryOf, targetOptions } from '../target.ts'
import { note, print } from '../terminal.ts'
import { jsonLine } from '../visible-text.ts'

const WATCH_MS = 1000

export const status: Command = {
  name: 'status',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary: 'Ingest, storage, uplink and lag of the running gateway',
  details: `Exits with 0 even when the link is down: --require up makes that a condition.
LAG is what the centre does not have yet. LAG BYTES is as stored: it falls when the newest events are compressed into a segment.
OLDEST is since the oldest of them arrived, > when it was here before this start.`,
  options: [
    { name: 'json', doc: 'one JSON object' },
    { name: 'watch', short: 'w', doc: 'once a second, until interrupted' },
    { name: 'require', value: 'CONDITION', doc: '"up" (link), "delivered" (nothing waits) or "up,delivered": exit 1 when it is not so' },
    ...targetOptions
  ],
  examples: ['wadi status', 'wadi status --watch', 'wadi status --json | jq .uplink.link'],

  async run(input) {
    const isWatching = input.flag('watch')
    const condition = conditionOf(input.text('require'))
    if (isWatching && input.text('require') !== undefined)
      throw usageError('--watch and --require exclude each other.', 'Give one of them.')
    const { askControl } = await import('../../adapters/control/control-client.ts')
    const directory = await dataDirectoryOf(input)
    for (;;) {
      const report = (await askControl(directory, { command: 'status' }, { signal: input.signal })) as StatusReport
      const isScreen = isWatching && process.stdout.isTTY && !input.flag('json')
      const text = input.flag('json') ? jsonLine(report) : statusText(report)
      if (!(await print(isScreen ? `\x1b[H\x1b[J${text}` : text))) return EXIT.ok
      if (!isWatching) {
        const refusal = condition(report)
        if (refusal !== null) note(visibleLine(refusal))
        return refusal === null ? EXIT.ok : EXIT.no
      }
      await pause(WATCH_MS, input.signal)
      if (input.signal.aborted) return EXIT.interrupted
    }
  }
}

/** Answers why the condition is false, null when it is true. */
function conditionOf(word: string | undefined): (report: StatusReport) => string | null {
  const conditions = (word?.split(',') ?? []).map((one) => {
    if (one === 'up') return whyNotUp
    if (one === 'delivered') return whyNotDelivered
    throw usageError(`--require is "${word}".`, 'Write up, delivered or up,delivered.')
  })
  return (report) => conditions.map((whyNot) => whyNot(report)).find((why) => why !== null) ?? null
}

const NO_UPSTREAM = 'this gateway has no upstream (wadi.yaml: upstream)'

function whyNotUp({ uplink }: StatusReport): string | null {
  if (!uplink) return `not up: ${NO_UPSTREAM}`
  return uplink.link === 'up' ? null : `not up: the link is ${uplink.link}${uplink.lastError ? `, ${uplink.lastError}` : ''}`
}

/** A script swaps the card when this is null: what is kept here for good counts as not delivered when nothing is delivered at all. */
function whyNotDelivered({ uplink, topics }: StatusReport): string | null {
  const holding = topics.filter(({ events }) => events > 0)
  if (!uplink) {
    const kept = holding.map(({ name, events }) => `${name} holds ${formatCount(events)} events`)
    return `not delivered: ${[NO_UPSTREAM, ...kept].join('; ')}`
  }
  const waiting = topics.filter(({ lagEvents }) => (lagEvents ?? 0) > 0)
  if (waiting.length === 0) return null
  const words = waiting.map(({ name, lagEvents, stoppedBecause }) => {
    const events = `${formatCount(lagEvents ?? 0)} events of ${name} wait`
    return stoppedBecause === null ? events : `${events} (${stoppedBecause})`
  })
  return `not delivered: ${words.join('; ')}`
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
