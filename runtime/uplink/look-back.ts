// What of ours is at the centre, found by reading it: for positions that the centre has forgotten, when the local notes may be older than the last
// transactions. Takes the greatest `wadi.offset` of each branch and edge partition behind a noted base offset. Events are kept to be compared with ours
// (same-events.ts): those of branches that this disk does not know, and those that should be ours, because a copy of this disk may have sent others.
// Not for: reading (read-back.ts), deciding what it means (find-positions.ts).

import { type EventName, type ReadBackContext, type ReadBackPlace, readBack } from './read-back.ts'
import type { EventsOfBranches } from './same-events.ts'

export interface Found {
  /** Those of this disk. */
  readonly knownBranches: ReadonlySet<string>
  /** What lies here at the offset is of the branch of the event. */
  isOfOurBranch(event: EventName): boolean
  readonly ofOurs: EventsOfBranches
  readonly ofOthers: EventsOfBranches
  /** "<branch id> <edge topic>/<partition>" → greatest offset that is at the centre. */
  readonly greatest: Map<string, number>
  /** false: part of what might hold events of ours is deleted, too large or not readable. */
  isComplete: boolean
}

export interface LookBackContext extends ReadBackContext {
  readonly logId: string
  /** Under which this log was delivered; null: not known. Another one is that of a copy of this disk, whose events are not ours. */
  readonly gatewayIds: ReadonlySet<string> | null
}

export function foundKey(branchId: string, sourceKey: string): string {
  return `${branchId} ${sourceKey}`
}

/** Adds to `found` what partition `place` holds from `fromOffset` on. @throws UpstreamFault */
export async function lookBack(context: LookBackContext, place: ReadBackPlace, found: Found): Promise<void> {
  const { logId, gatewayIds } = context
  const isComplete = await readBack(context, place, (event, content) => {
    if (event.logId !== logId || (gatewayIds && !gatewayIds.has(event.gatewayId))) return
    if (!found.knownBranches.has(event.branchId)) return found.ofOthers.add(event, content)
    const key = foundKey(event.branchId, event.sourceKey)
    found.greatest.set(key, Math.max(event.offset, found.greatest.get(key) ?? 0))
    if (content.isOwnTime && found.isOfOurBranch(event)) found.ofOurs.add(event, content)
  })
  found.isComplete &&= isComplete
}
