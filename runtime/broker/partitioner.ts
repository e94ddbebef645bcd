// Which partition an event goes to: by its key as Kafka's Java producer would choose, without a key in turn.
// Source: Apache Kafka, BuiltInPartitioner.java (toPositive(murmur2(key)) % partitions).

import type { Core } from '../core/core.ts'

export class Partitioner {
  readonly #core: Pick<Core, 'murmur2'>
  /** By topic number, so it is as long as there are topics. */
  readonly #turns: number[] = []

  constructor(core: Pick<Core, 'murmur2'>) {
    this.#core = core
  }

  /** Of a key, once; `partitionOf` as often as needed. */
  hashOf(key: Uint8Array): number {
    return this.#core.murmur2(key) & 0x7fffffff
  }

  partitionOf(hash: number, partitionCount: number): number {
    return hash % partitionCount
  }

  /** Round robin per topic; begins at 0 after every start. */
  nextOf(topicNumber: number, partitionCount: number): number {
    const turn = this.#turns[topicNumber] ?? 0
    this.#turns[topicNumber] = turn + 1
    return turn % partitionCount
  }
}
