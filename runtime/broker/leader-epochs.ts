// Kafka's leader epochs: here the number of the start that wrote. A reader that comes from an older image of the disk is told by them where what it has read
// ends, instead of reading other events under the same offsets.
//
// - A client with an older epoch than this start's is sent to ask for metadata again (FENCED_LEADER_EPOCH): then it asks where its epoch ended.
// - One with a newer epoch knows a disk that this is an older image of. Kafka has it wait for that leader (UNKNOWN_LEADER_EPOCH); here it would wait for
//   ever, so it is served, and notices with the start that passes its number.
// - Epoch 0 is of batches from before epochs were written: nothing is known against it.
// Not for: which offsets a start wrote (runtime/log/incarnation-offsets.ts), the centre's view of it (runtime/uplink).

import type { Partition, Store } from '../log/contract.ts'
import type { FaultName } from './fault.ts'

const UNKNOWN = -1

export interface EpochEnd {
  /** The newest epoch that wrote here and is not above the one asked for; −1 = nothing is known. */
  readonly leaderEpoch: number
  readonly endOffset: number
}

const NOTHING_KNOWN: EpochEnd = { leaderEpoch: UNKNOWN, endOffset: UNKNOWN }

export class LeaderEpochs {
  readonly #store: Pick<Store, 'incarnation'>

  constructor(store: Pick<Store, 'incarnation'>) {
    this.#store = store
  }

  get current(): number {
    return this.#store.incarnation
  }

  /** Of a request that names the epoch its client believes in; −1 = it names none. */
  faultOf(asked: number): FaultName {
    return asked >= 0 && asked < this.current ? 'FENCED_LEADER_EPOCH' : 'NONE'
  }

  /** Of the record at `offset`; −1 when no note of its start is left. */
  at(partition: Partition, offset: number): number {
    return partition.beginningsSince(0).findLast(({ startOffset }) => startOffset <= offset)?.incarnation ?? UNKNOWN
  }

  /** Where what was written up to `asked` ends. As LeaderEpochFileCache.endOffsetFor of Apache Kafka. */
  endOf(partition: Partition, asked: number): EpochEnd {
    if (asked < 0 || asked > this.current) return NOTHING_KNOWN
    if (asked === 0) return { leaderEpoch: 0, endOffset: partition.highWatermark }
    const beginnings = partition.beginningsSince(0)
    const leaderEpoch = beginnings.findLast(({ incarnation }) => incarnation <= asked)?.incarnation ?? asked
    const next = beginnings.find(({ incarnation }) => incarnation > asked)
    return { leaderEpoch: asked === this.current ? asked : leaderEpoch, endOffset: next?.startOffset ?? partition.highWatermark }
  }
}
