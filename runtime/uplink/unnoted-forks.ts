// Forks that copies of this disk have noted and this one has not, as the centre shows them, by a position or by events: a branch is named by the first start
// behind its fork, so one that has the id of a start of ours began where that start did, or in front of it. It is ours up to where its events differ from ours
// (same-events.ts); what we wrote behind that is another branch, because the same names are taken there.
// Not for: finding the events (look-back.ts), making forks durable (find-positions.ts).

import { type Claim, withinLimit } from './claimed-offsets.ts'
import { cutKey } from './forks.ts'
import type { PositionContext } from './position-context.ts'
import type { Common } from './same-events.ts'
import type { Source } from './source.ts'

export interface FoundFork {
  /** The last start in front of it. */
  readonly after: number
  /** As in Fork.cuts. */
  readonly cuts: Readonly<Record<string, number>>
}

/** What the centre has of a source under branches that this disk does not know. */
export interface SharedWithOthers {
  readonly source: Source
  readonly common: Common
  /** Some of our events are among them. */
  readonly isSame: boolean
}

/** The forks that `shared` shows. Those in front of a fork that is noted here change nothing any more. */
export function forksOfOthers({ store, forks }: PositionContext, shared: readonly SharedWithOthers[]): FoundFork[] {
  const found: FoundFork[] = []
  const branches = store.starts.filter(({ id }) => id !== '' && shared.some(({ common }) => common.branches.has(id)))
  for (const { incarnation, id } of branches) {
    const after = startBefore(store, incarnation)
    found.push({ after, cuts: cutsAt(shared, after, ({ branches }) => branches.get(id)?.least ?? Number.POSITIVE_INFINITY) })
  }
  const last = branches.at(-1)
  const isApart = ({ next, branches: ranges }: Common): boolean => branches.some(({ id }) => (ranges.get(id)?.greatest ?? -1) >= next)
  if (last && shared.some(({ common }) => isApart(common))) {
    const lastOfSame = shared.map(({ source, common, isSame }) => (isSame ? startThatWrote(source, common.next - 1) : 0))
    const after = Math.max(last.incarnation, ...lastOfSame)
    found.push({ after, cuts: cutsAt(shared, after, (common) => (isApart(common) ? common.next : Number.POSITIVE_INFINITY)) })
  }
  const noted = forks.list.at(-1)?.after ?? -1
  return found.filter(({ after }) => after > noted)
}

/**
 * The fork of a branch that `claims` have a position of. A position does not say where its branch began in the middle of a start, and need not: what is not delivered
 * yet is of the branch from the position on.
 */
export function forksOfClaims(context: PositionContext, claims: Iterable<Claim>): FoundFork[] {
  const { store, forks } = context
  const found: FoundFork[] = []
  for (const { branch, limit } of claims) {
    const start = store.starts.find(({ id }) => id !== '' && id === branch.branchId)
    const after = start ? startBefore(store, start.incarnation) : -1
    if (after <= (forks.list.at(-1)?.after ?? -1)) continue // in front of one that is noted it changes nothing any more
    const cuts: Record<string, number> = {}
    for (const [edgeTopic, offsets] of branch.nextOffsets) {
      for (const [index, claimed] of offsets.entries()) {
        const partition = store.topics.get(edgeTopic)?.partitions[index]
        if (!partition) continue
        const next = withinLimit(context, partition, claimed, limit)
        if (next < (partition.firstOffsetAfter(after) ?? partition.highWatermark)) cuts[cutKey(partition)] = next
      }
    }
    found.push({ after, cuts })
  }
  return found
}

/** The last one of ours in front of `incarnation`. */
function startBefore({ starts }: PositionContext['store'], incarnation: number): number {
  return starts.findLast((start) => start.incarnation < incarnation)?.incarnation ?? incarnation - 1
}

/** A copy of this disk has sent other events than those that lie here from `offset` on, under their names: these are another branch. */
export function forkAt(source: Source, offset: number): FoundFork {
  const { partition } = source
  const after = startThatWrote(source, offset - 1)
  const isCut = offset < (partition.firstOffsetAfter(after) ?? Number.POSITIVE_INFINITY)
  return { after, cuts: isCut ? { [cutKey(partition)]: offset } : {} }
}

/** Cuts where `offsetOf` lies in front of what later starts than `after` wrote. */
function cutsAt(shared: readonly SharedWithOthers[], after: number, offsetOf: (common: Common) => number): Record<string, number> {
  const cuts: Record<string, number> = {}
  for (const { source, common } of shared) {
    const offset = offsetOf(common)
    if (offset < (source.partition.firstOffsetAfter(after) ?? Number.POSITIVE_INFINITY) && offset < source.partition.highWatermark)
      cuts[cutKey(source.partition)] = offset
  }
  return cuts
}

function startThatWrote({ partition }: Source, offset: number): number {
  return partition.beginningsSince(0).findLast(({ startOffset }) => startOffset <= offset)?.incarnation ?? 0
}
