// Events that were deleted here before they were delivered: a source goes on behind them, and they are counted and named.
// Not for: damage, which the log reports itself (partition-log.ts).

import type { UplinkCounters } from './counters.ts'
import type { Notices } from './notices.ts'
import type { Source } from './source.ts'

/**
 * Retention has overtaken us: what is gone and was not delivered is counted, and we go on behind it. (Markers and aborted events are passed over
 * without a transaction: the centre's position may lie in front of them when they are long gone.)
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
    notices.add('hole', `${source.key}: ${events} events from ${from} on were deleted before they were delivered.`, {
      partition: source.key,
      from,
      until: logStartOffset
    })
  }
  source.plan(logStartOffset)
  return true
}
