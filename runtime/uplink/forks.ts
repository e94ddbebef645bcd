// Where the history of this log has parted from what the centre knows: an older image of the disk was put back, or the disk lost what it had
// stored. What was written after such a point is a branch of its own: its events carry the branch's id in `wadi.id`, because the same
// offsets were used before for other events; its position at the centre is an entry of its own.
//
// Kept in the state under uplink/forks, durable before the first event of a branch leaves. Invariant: branches are in the order of their starts.
// Not for: finding out that there is a fork (find-positions.ts).

import type { Partition, StateChange, Store } from '../log/contract.ts'
import { STATE_VALUE_BYTES_MAX, StateArea } from '../log/state-area.ts'
import { json } from '../log/state-codec.ts'
import { fields, integer, listOf, optional, recordOf, whole, words } from '../log/state-shape.ts'

/** The oldest are forgotten: their events are long delivered. */
const FORKS_MAX = 16

export interface Fork {
  /** Id of the first start behind the fork. */
  readonly branchId: string
  /** The last incarnation whose events are common to both. */
  readonly after: number
  /** "<edge topic>/<partition>" → where the common part ends, when that is in the middle of what the start `after` wrote: the disk was copied while it ran. */
  readonly cuts?: Readonly<Record<string, number>> | undefined
}

const forkShape = fields<Fork>({ branchId: words, after: integer, cuts: optional(recordOf(whole)) })

/** How a partition is named in Fork.cuts. */
export function cutKey({ topicName, partitionIndex }: Pick<Partition, 'topicName' | 'partitionIndex'>): string {
  return `${topicName}/${partitionIndex}`
}

export const storedForks = new StateArea<readonly Fork[]>('uplink/forks', json(listOf(forkShape)), {
  keys: '',
  valueBytesMax: STATE_VALUE_BYTES_MAX,
  goes: 'never; beyond 16 forks the oldest do'
})

export class Forks {
  #list: readonly Fork[]

  /** @throws WadiError WADI_STATE_DAMAGED: events of a branch that is forgotten would be taken for others at the centre */
  constructor(store: Pick<Store, 'getState'>) {
    this.#list = storedForks.get(store, storedForks.key()) ?? []
  }

  /** Oldest first. */
  get list(): readonly Fork[] {
    return this.#list
  }

  /** Of what is written now; '' when there was no fork. */
  get branchId(): string {
    return this.#list.at(-1)?.branchId ?? ''
  }

  /** What makes one more fork durable, or one that is noted with more cuts; then call add. Forks that lie behind a new one are part of it. */
  changeFor(fork: Fork): StateChange {
    return storedForks.put(storedForks.key(), this.#with(fork))
  }

  add(fork: Fork): void {
    this.#list = this.#with(fork)
  }

  #with(fork: Fork): Fork[] {
    const isNoted = this.#list.some(({ after }) => after === fork.after)
    if (isNoted) return this.#list.map((noted) => (noted.after === fork.after ? fork : noted))
    return [...this.#list.filter(({ after }) => after < fork.after), fork].slice(-FORKS_MAX)
  }

  /** What this partition has of a branch of this log: it begins at `from`, and the next one at `until` (null: it goes on). */
  spanOf(
    partition: Pick<Partition, 'firstOffsetAfter' | 'topicName' | 'partitionIndex'>,
    branchId: string
  ): { from: number; until: number | null } {
    let span: { from: number; until: number | null } = { from: branchId === '' ? 0 : Number.POSITIVE_INFINITY, until: null }
    for (const fork of this.#list) {
      const start = startOf(fork, partition)
      if (fork.branchId === branchId) span = { from: start, until: null }
      else if (span.until === null && span.from < Number.POSITIVE_INFINITY && start < Number.POSITIVE_INFINITY)
        span = { ...span, until: start }
    }
    return span
  }

  /** The branch of the event at `offset`, and where the next branch begins in this partition (null: it goes on). */
  at(
    partition: Pick<Partition, 'firstOffsetAfter' | 'topicName' | 'partitionIndex'>,
    offset: number
  ): { branchId: string; until: number | null } {
    let branchId = ''
    for (const fork of this.#list) {
      const start = startOf(fork, partition)
      if (start === Number.POSITIVE_INFINITY) continue
      if (offset < start) return { branchId, until: start }
      branchId = fork.branchId
    }
    return { branchId, until: null }
  }
}

/** Where the branch begins in this partition; infinity when it has nothing of it yet. */
function startOf(fork: Fork, partition: Pick<Partition, 'firstOffsetAfter' | 'topicName' | 'partitionIndex'>): number {
  const cut = fork.cuts?.[cutKey(partition)] ?? Number.POSITIVE_INFINITY
  return Math.min(cut, partition.firstOffsetAfter(fork.after) ?? Number.POSITIVE_INFINITY)
}
