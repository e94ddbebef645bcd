// What a running gateway says on stderr: one line per happening, JSON elsewhere than on a terminal. No log files: they wear the card.

import { paint } from './terminal.ts'

export type Level = 'info' | 'warn' | 'error'

export type Say = (level: Level, message: string, facts?: Readonly<Record<string, unknown>>) => void

const SAME_LINE_MS = 10_000

/** A line that repeats within ten seconds is counted, not written. */
export function createSay(options: { isJson: boolean; write?: (text: string) => void; nowMs?: () => number }): Say {
  const { isJson, write = (text) => void process.stderr.write(text), nowMs = () => Date.now() } = options
  let previous = { text: '', atMs: 0, repeats: 0 }
  const line = (level: Level, message: string, facts: Readonly<Record<string, unknown>>): string => {
    const time = new Date(nowMs()).toISOString()
    if (isJson) return `${JSON.stringify({ time, level, message, ...facts })}\n`
    const style = level === 'error' ? 'red' : level === 'warn' ? 'yellow' : 'dim'
    return `${paint('dim', time.slice(11, 23), process.stderr)} ${paint(style, level.padEnd(5), process.stderr)} ${message}\n`
  }
  return (level, message, facts = {}) => {
    const text = `${level} ${message}`
    if (text === previous.text && nowMs() - previous.atMs < SAME_LINE_MS) {
      previous.repeats++
      return
    }
    if (previous.repeats > 0) write(line('info', `the line before came ${previous.repeats} more times`, {}))
    previous = { text, atMs: nowMs(), repeats: 0 }
    write(line(level, message, facts))
  }
}
