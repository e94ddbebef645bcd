// Where to go on after a start or any uncertainty. The centre's position wins; the local hint is asked only where the centre has none.
//
//   centre knows this log              → there, whatever the hint says
//   centre has no position             → hint: something in doubt? probe the centre; otherwise what was confirmed; nothing noted → log start
//   centre's position is another log's → the same as none, and reported
// A position above our high watermark means an older image of the disk was restored: our next offsets are raised to it.
// A position below our log start means retention was faster: the hole is counted.

import { toOffset } from '../base/offset.ts'
import type { Store } from '../log/contract.ts'
import type { Hint, NextOffsets } from './hint.ts'
import type { Ledger } from './ledger.ts'
import { decodePosition, type Position } from './position.ts'
import type { Source } from './source.ts'
import type { Upstream } from './upstream.ts'

export interface ResumeContext {
  readonly store: Store
  readonly upstream: Upstream
  readonly ledger: Ledger
  readonly hint: Hint | null
}

/** Sets every source to where the centre is. @throws UpstreamFault */
export async function resume(context: ResumeContext, sources: readonly Source[]): Promise<void> {
  const upstreamTopics = [...new Set(sources.map((source) => source.upstreamTopic))]
  const committed = await context.upstream.fetchPosition(upstreamTopics)
  let fromHint: Promise<NextOffsets> | null = null
  for (const upstreamTopic of upstreamTopics) {
    const position = ownPosition(context, upstreamTopic, committed.get(upstreamTopic)?.metadata ?? null)
    const own = sources.filter((source) => source.upstreamTopic === upstreamTopic)
    let next: NextOffsets
    if (position) next = position.nextOffsets
    else {
      fromHint ??= nextFromHint(context)
      next = await fromHint
    }
    for (const source of own)
      await place(context, source, next.get(source.edgeTopic)?.[source.partition.partitionIndex] ?? 0, position !== null)
  }
}

/** The hint's word on `source`: for the status before the centre was heard, nothing more. */
export function placeByHint(source: Source, hint: Hint | null): void {
  const noted = hint?.confirmed.get(source.edgeTopic)?.[source.partition.partitionIndex] ?? 0
  source.reset(Math.min(Math.max(noted, source.partition.logStartOffset), source.partition.highWatermark))
}

function ownPosition(context: ResumeContext, upstreamTopic: string, metadata: string | null): Position | null {
  if (metadata === null) return null
  const { store, ledger } = context
  const position = decodePosition(metadata)
  if (position === null) {
    ledger.notice('other-log', `The position at the centre for ${upstreamTopic} was not written by Wadi; it is not used.`, {
      upstreamTopic
    })
    return null
  }
  if (position.logId !== store.logId) {
    ledger.notice(
      'other-log',
      `The position at the centre for ${upstreamTopic} is of another log (${position.logId}); this log starts with what it has.`,
      {
        upstreamTopic,
        otherLogId: position.logId
      }
    )
    return null
  }
  if (position.incarnation > store.incarnation) {
    ledger.notice(
      'other-copy',
      `The centre has heard a later start of this log (${position.incarnation}, we are ${store.incarnation}): a copy of the disk is or was in use.`,
      {
        upstreamTopic,
        theirs: position.incarnation,
        ours: store.incarnation
      }
    )
  }
  return position
}

async function nextFromHint(context: ResumeContext): Promise<NextOffsets> {
  const { hint, upstream, ledger } = context
  if (!hint) return new Map()
  if (!hint.ending) return hint.confirmed
  const { ending } = hint
  let verdict: 'committed' | 'aborted' | 'unknown' = 'unknown'
  for (const target of ending.targets) {
    verdict = await upstream.probe({ ...target, producerId: ending.producerId })
    if (verdict !== 'unknown') break
  }
  if (verdict === 'committed') {
    return ending.next
  }
  if (verdict === 'unknown') {
    let events = 0
    for (const [topic, offsets] of ending.next) {
      offsets.forEach((offset, index) => {
        events += Math.max(0, offset - (hint.confirmed.get(topic)?.[index] ?? 0))
      })
    }
    ledger.counters.undecidedEvents += events
    ledger.notice('undecided', `The centre cannot say any more whether it took the last ${events} events: they are sent again.`, { events })
  }
  return hint.confirmed
}

async function place(context: ResumeContext, source: Source, next: number, isCentresWord: boolean): Promise<void> {
  const { store, ledger, hint } = context
  const { partition } = source
  if (next > partition.highWatermark) {
    const missing = next - partition.highWatermark
    ledger.counters.raisedEvents += missing
    ledger.notice(
      'raised',
      `${source.key}: the centre is at ${next}, this disk at ${partition.highWatermark}: an older image was restored. New events continue at ${next}.`,
      {
        partition: source.key,
        centre: next,
        edge: partition.highWatermark
      }
    )
    await store.raiseTo(partition, toOffset(next))
  }
  const noted = hint?.confirmed.get(source.edgeTopic)?.[partition.partitionIndex] ?? 0
  if (isCentresWord && next < noted) {
    ledger.notice(
      'went-back',
      `${source.key}: the centre is at ${next} and had confirmed ${noted}: it lost its memory. We go on from ${next}.`,
      {
        partition: source.key,
        centre: next,
        noted
      }
    )
  }
  if (source.isPlaced && next > source.confirmed) {
    // A commit whose answer was lost.
    ledger.counters.deliveredEvents += next - source.confirmed
    ledger.counters.resolvedCommits++
  }
  source.reset(next)
  source.isPlaced = true
  skipHole(source, ledger)
  store.setDelivered(partition, toOffset(next))
}

/** Retention has overtaken us: what is gone is counted, and we go on behind it. */
export function skipHole(source: Source, ledger: Ledger): void {
  const { logStartOffset } = source.partition
  if (source.planned >= logStartOffset) return
  const events = logStartOffset - source.planned
  ledger.counters.lostEvents += events
  ledger.notice('hole', `${source.key}: ${events} events from ${source.planned} on were deleted before they were delivered.`, {
    partition: source.key,
    from: source.planned,
    until: logStartOffset
  })
  source.plan(logStartOffset)
}
