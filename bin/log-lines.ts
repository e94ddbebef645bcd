// What a running gateway says on stderr: one line per happening, JSON elsewhere than on a terminal. No log files: they wear the card.

import type { Log, LogLevel } from '../gateway/log.ts'
import { visibleLine } from '../runtime/base/visible-line.ts'
import { paint } from './terminal.ts'
import { jsonLine } from './visible-text.ts'

const SAME_LINE_MS = 10_000
const WINDOW_MS = 10_000
const WINDOW_LINES_MAX = 200

/** A line that repeats within ten seconds is counted, not written; more than 200 lines in ten seconds are not written either. */
export function createLog(options: { isJson: boolean; write?: (text: string) => void; nowMs?: () => number }): Log {
  const { isJson, write = (text) => void process.stderr.write(text), nowMs = () => Date.now() } = options
  let previous = { text: '', atMs: 0, repeats: 0 }
  let window = { atMs: nowMs(), lines: 0 }
  const line = (level: LogLevel, message: string, facts: Readonly<Record<string, unknown>>): string => {
    const time = new Date(nowMs()).toISOString()
    if (isJson) return jsonLine({ level, time, message, ...facts })
    const style = level === 'error' ? 'red' : level === 'warn' ? 'yellow' : 'dim'
    return `${paint(style, level.padEnd(5), process.stderr)} ${paint('dim', time, process.stderr)} ${visibleLine(message)}\n`
  }
  return (level, message, facts = {}) => {
    const text = `${level} ${message}`
    if (text === previous.text && nowMs() - previous.atMs < SAME_LINE_MS) {
      previous.repeats++
      return
    }
    if (nowMs() - window.atMs >= WINDOW_MS) {
      if (window.lines > WINDOW_LINES_MAX)
        write(line('warn', `${window.lines - WINDOW_LINES_MAX} lines were left out: too many at once`, {}))
      window = { atMs: nowMs(), lines: 0 }
    }
    if (++window.lines > WINDOW_LINES_MAX && level !== 'error') return
    if (previous.repeats > 0)
      write(line('info', `the line before came ${previous.repeats === 1 ? 'once more' : `${previous.repeats} more times`}`, {}))
    previous = { text, atMs: nowMs(), repeats: 0 }
    write(line(level, message, facts))
  }
}
