// Events at the start of the log that are gone and were not delivered: a source goes on behind them, and they are counted and named. The uplink
// does not know what took them; the store does (StoreMetrics.removals).
// Not for: gaps in the middle of a log, which the store counts alone.

import type { UplinkCounters } from './counters.ts'
import type { Notices } from './notices.ts'
import type { Source } from './source.ts'

/**
 * The log begins behind the source: what is gone and was not delivered is counted, and the source goes on at the log start. (Markers and aborted
 * events are passed over without a transaction: the centre's position may lie in front of them when they are long gone.)
 *
 * @returns false when the log start is not durable yet: after a crash what is gone may be back, and a position behind it would take it for delivered
 */
export function skipHole(source: Source, { counters, notices }: { readonly counters: UplinkCounters; readonly notices: Notices }): boolean {
  const { logStartOffset, deliveredOffset, isLogStartDurable } = source.partition
  if (source.planned >= logStartOffset) return true
  if (!isLogStartDurable) return false
  const from = Math.max(source.planned, Math.min(deliveredOffset, logStartOffset))
  const events = logStartOffset - from
  if (events > 0) {
    counters.lostEvents += events
    const text = `${source.key}: ${events} events from ${from} on are gone and were not delivered: retention, a quota or damage took them (topics[].lost of the status says which).`
    notices.add('hole', text, { partition: source.key, from, until: logStartOffset })
  }
  source.plan(logStartOffset)
  return true
}
