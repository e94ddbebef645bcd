// What delivery counts, for the registry. Not for: counting (counters.ts, progress.ts), words (status.ts).

import { type Metrics, oncePerTurn, seriesOf } from '../base/metrics.ts'
import type { UplinkCounters } from './counters.ts'
import { isUp } from './link-state.ts'
import type { TopicLag, UplinkStatus } from './status.ts'

const COUNTERS: readonly (readonly [name: string, field: keyof UplinkCounters, help: string, unit?: 'bytes'])[] = [
  ['transactions', 'transactions', 'Transactions that the centre committed'],
  ['delivered_events', 'deliveredEvents', 'Events that the centre committed since this start'],
  ['delivered_bytes', 'deliveredBytes', 'Batches that the centre committed since this start, as sent, compressed', 'bytes'],
  ['failures', 'failures', 'Attempts that failed: the link, or the centre'],
  ['fences', 'fences', 'Times that another gateway with this id was found at the centre'],
  ['lost_events', 'lostEvents', 'Events that were gone here before they could be delivered'],
  ['dead_letters', 'deadLetterEvents', 'Events that the centre does not take'],
  ['undecided_events', 'undecidedEvents', 'Events that were sent again because the centre could not say whether it has them'],
  ['forks', 'forks', 'Times that an older image of this disk, or a copy in use, was found'],
  ['resolved_commits', 'resolvedCommits', 'Commits whose answer was lost and that were found committed']
]

export function registerUplink(metrics: Metrics, uplink: { status(): UplinkStatus }): void {
  const now = oncePerTurn(() => uplink.status())
  for (const [name, field, help, unit] of COUNTERS)
    metrics.counter({ name: `wadi_uplink_${name}_total`, help, ...(unit && { unit }) }, () => now().counters[field])
  metrics.gauge({ name: 'wadi_uplink_up', help: '1 while the link to the centre is up, else 0' }, () => (isUp(now().state) ? 1 : 0))
  metrics.gauge(
    { name: 'wadi_uplink_delivered_events_per_second', help: 'Events that the centre committed, a second, lately' },
    () => now().eventsPerSecond
  )
  metrics.gauge(
    { name: 'wadi_uplink_remaining_seconds', unit: 'seconds', help: 'Until nothing waits, at this rate; absent when that is not known' },
    () => secondsOf(now().etaMs)
  )
  metrics.counters(
    { name: 'wadi_uplink_wire_bytes_total', unit: 'bytes', help: 'To and from the centre, as the sockets count', labels: ['direction'] },
    () => seriesOf(Object.entries(now().wireBytes))
  )
  const lagOf = (read: (lag: TopicLag) => number) => () => now().topics.map((lag) => [[lag.edgeTopic], read(lag)] as const)
  metrics.gauges(
    {
      name: 'wadi_uplink_lag_events',
      help: 'Events of a topic that the centre does not have yet, as far as is known: after an unclean stop, until the link is up, it may have more',
      labels: ['topic']
    },
    lagOf(({ lagEvents }) => lagEvents)
  )
  metrics.gauges(
    {
      name: 'wadi_uplink_lag_bytes',
      unit: 'bytes',
      help: 'Bytes of the events of a topic that the centre does not have yet, as stored',
      labels: ['topic']
    },
    lagOf(({ lagBytes }) => lagBytes)
  )
  metrics.gauges(
    {
      name: 'wadi_uplink_lag_seconds',
      unit: 'seconds',
      help: 'Since the oldest event of a topic that the centre does not have arrived, at least; 0 when nothing waits',
      labels: ['topic']
    },
    lagOf(({ lagMs }) => (lagMs ?? 0) / 1_000)
  )
  metrics.gauges(
    {
      name: 'wadi_uplink_lag_is_longer',
      help: '1 while the oldest of them was here before this start, so that it waits for longer than the seconds say, else 0',
      labels: ['topic']
    },
    lagOf(({ isLagAtLeast }) => (isLagAtLeast ? 1 : 0))
  )
  metrics.gauges(
    { name: 'wadi_uplink_topic_stopped', help: '1 while nothing of a topic is sent (wadi status says why), else 0', labels: ['topic'] },
    lagOf(({ stoppedBecause }) => (stoppedBecause === null ? 0 : 1))
  )
}

function secondsOf(ms: number | null): number | null {
  return ms === null ? null : ms / 1_000
}
