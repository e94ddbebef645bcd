// A moment as people write it on a command line: 1h (ago), 10:30 (today), 2026-11-25, 2026-11-25T10:30, with a zone or in that of this machine,
// @1795220289000 (epoch, ms).

import { parseDuration } from '../gateway/config/units.ts'
import { usageError } from './command.ts'

/** What `date +%s` says: as ms it would be a day of January 1970, before everything that is stored. */
const SECONDS = /^@[12]\d{9}$/

/** Wall time in ms. @throws WadiError WADI_USAGE */
export function parsePointInTime(option: string, text: string, nowMs: number): number {
  const atMs = parse(text.trim(), nowMs)
  if (Number.isFinite(atMs)) return atMs
  if (SECONDS.test(text.trim())) throw usageError(`--${option} is "${text}", which looks like seconds.`, `In ms it is ${text.trim()}000.`)
  throw usageError(`--${option} is "${text}".`, `Write for example 1h (ago), 10:30, 2026-11-25T10:30 or @${nowMs} (epoch in ms).`)
}

function parse(text: string, nowMs: number): number {
  if (/^@\d{1,15}$/.test(text) && !SECONDS.test(text)) return Number(text.slice(1))
  const clock = /^(\d{1,2}):(\d{2})(?::(\d{2}))?$/.exec(text)
  if (clock) {
    const [hours, minutes, seconds] = clock.slice(1).map((part) => Number(part ?? 0)) as [number, number, number]
    return hours < 24 && minutes < 60 && seconds < 60 ? new Date(nowMs).setHours(hours, minutes, seconds, 0) : Number.NaN
  }
  if (/^\d{4}-\d{2}-\d{2}$/.test(text)) return Date.parse(`${text}T00:00:00`)
  if (/^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}/.test(text)) return Date.parse(text.replace(' ', 'T'))
  if (!/^\d+(\.\d+)?\s*[a-z]+$/i.test(text)) return Number.NaN
  const ago = parseDuration(text)
  return 'value' in ago ? nowMs - ago.value : Number.NaN
}
