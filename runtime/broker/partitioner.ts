// Which partition an event goes to: by its key as Kafka's Java producer would choose, without a key in turn.
// Source: Apache Kafka, BuiltInPartitioner.java (toPositive(murmur2(key)) % partitions).

import type { Core } from '../core/core.ts'

export class Partitioner {
  readonly #core: Pick<Core, 'murmur2'>
  /** By topic number, of those that exist. */
  readonly #turns = new Map<number, number>()

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
    const turn = this.#turns.get(topicNumber) ?? 0
    this.#turns.set(topicNumber, turn + 1)
    return turn % partitionCount
  }

  /** Topics whose turn is remembered. */
  get topicCount(): number {
    return this.#turns.size
  }

  /** The topic was deleted; its number is not given again. */
  forgetTopic(topicNumber: number): void {
    this.#turns.delete(topicNumber)
  }
}
