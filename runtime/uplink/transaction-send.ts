// One prepared transaction on its way: partitions announced, batches produced, position written beside them, committed.
// Throws the UpstreamFault of the step that failed; then nothing of the transaction counts until the centre has been asked.
// Not for: what to do after a fault (uplink.ts).

import type { Core } from '../core/core.ts'
import { type Clock, sleep } from '../io/clock.ts'
import type { Part, PreparedBatch, PreparedTransaction } from './transaction-builder.ts'
import { type CommittedPosition, type Upstream, UpstreamFault } from './upstream.ts'

const RETRIES_IN_PLACE = 4
const RETRY_DELAY_MS = 100

/** Sequence numbers per upstream partition count from 0 for each producer id and epoch. */
export class ProducerSession {
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly #sequences = new Map<string, number>()

  constructor(producer: { producerId: bigint; producerEpoch: number }) {
    this.producerId = producer.producerId
    this.producerEpoch = producer.producerEpoch
  }

  /** Sequence of the next record there; moves on by `recordCount`. Kafka wraps at 2^31. */
  take(topicName: string, partitionIndex: number, recordCount: number): number {
    const key = `${topicName}/${partitionIndex}`
    const sequence = this.#sequences.get(key) ?? 0
    this.#sequences.set(key, (sequence + recordCount) % 2 ** 31)
    return sequence
  }
}

export interface SendContext {
  readonly upstream: Upstream
  readonly core: Core
  readonly clock: Clock
  readonly session: ProducerSession
  readonly positions: ReadonlyMap<string, CommittedPosition>
  /** The commit is about to be asked for. */
  onEnding(): void
  /** Which parts the batches came from that the centre refused, or answered with an error that may be about their content. */
  onRefused(suspects: readonly Part[]): void
}

/** Where a batch of a transaction lies at the centre. */
export interface WrittenBatch {
  readonly edgeTopic: string
  readonly topicName: string
  readonly partitionIndex: number
  readonly baseOffset: number
}

interface Round {
  readonly batches: { readonly part: Part; readonly batch: PreparedBatch }[]
  readonly targets: Set<string>
}

/**
 * Committed when it resolves. `wasInDoubt`: the commit had to be asked for twice, and the first request may still arrive: the next
 * transaction must have a new producer epoch, or that request could commit half of it.
 * @throws UpstreamFault
 */
export async function sendTransaction(
  context: SendContext,
  transaction: PreparedTransaction
): Promise<{ wasInDoubt: boolean; written: readonly WrittenBatch[] }> {
  const { upstream } = context
  const rounds = roundsOf(transaction)
  const targets = new Map<string, { topicName: string; partitionIndex: number }>()
  for (const { batch } of rounds.flatMap((round) => round.batches)) {
    targets.set(`${batch.topicName}/${batch.partitionIndex}`, { topicName: batch.topicName, partitionIndex: batch.partitionIndex })
  }
  await inPlace(context, () => upstream.addPartitions([...targets.values()]))
  // Beside each other, because a link with a long way round pays per step. Both have ended before anything else is asked.
  const [produced, positioned] = await Promise.allSettled([
    produceAll(context, rounds),
    inPlace(context, () => upstream.commitPosition(context.positions))
  ])
  if (produced.status === 'rejected') throw produced.reason
  if (positioned.status === 'rejected') throw positioned.reason
  context.onEnding()
  return { wasInDoubt: await endTransaction(context), written: produced.value }
}

/** At most one batch per upstream partition in a round: the first that has room for it. */
function roundsOf(transaction: PreparedTransaction): Round[] {
  const rounds: Round[] = []
  const nextRound = new Map<string, number>()
  for (const part of transaction.parts) {
    for (const batch of part.batches) {
      const key = `${batch.topicName}/${batch.partitionIndex}`
      const index = nextRound.get(key) ?? 0
      nextRound.set(key, index + 1)
      rounds[index] ??= { batches: [], targets: new Set() }
      rounds[index]?.batches.push({ part, batch })
    }
  }
  return rounds
}

async function produceAll(context: SendContext, rounds: readonly Round[]): Promise<WrittenBatch[]> {
  const { session, core, upstream } = context
  const { producerId, producerEpoch } = session
  const written: WrittenBatch[] = []
  for (const { batches } of rounds) {
    const targets = batches.map(({ batch }) => {
      const { topicName, partitionIndex, bytes, recordCount } = batch
      const baseSequence = session.take(topicName, partitionIndex, recordCount)
      core.patchProducer(bytes, { producerId, producerEpoch, baseSequence, isTransactional: true })
      return { topicName, partitionIndex, batch: bytes }
    })
    try {
      const answers = await inPlace(context, () => upstream.produce(targets))
      answers.forEach(({ baseOffset }, index) => {
        const { part, batch } = batches[index] as Round['batches'][number]
        written.push({ edgeTopic: part.source.edgeTopic, topicName: batch.topicName, partitionIndex: batch.partitionIndex, baseOffset })
      })
    } catch (error) {
      if (error instanceof UpstreamFault && (error.kind === 'too-large' || error.kind === 'bad-record' || error.mayBeContent)) {
        const { target } = error
        const isMeant = (batch: PreparedBatch): boolean =>
          !target || (batch.topicName === target.topicName && batch.partitionIndex === target.partitionIndex)
        context.onRefused([...new Set(batches.filter(({ batch }) => isMeant(batch)).map(({ part }) => part))])
      }
      throw error
    }
  }
  return written
}

/** In doubt, the commit is asked for once more: when it happened the first time, the answer is the same. */
async function endTransaction(context: SendContext): Promise<boolean> {
  const end = (): Promise<void> => inPlace(context, () => context.upstream.endTransaction('commit'))
  try {
    await end()
    return false
  } catch (error) {
    if (!(error instanceof UpstreamFault) || error.kind !== 'in-doubt') throw error
    await end()
    return true
  }
}

/** A fault of the kind retry means that nothing happened: the same call again, a few times. Where some topics are the reason, the others do not wait for them. */
async function inPlace<T>(context: SendContext, call: () => Promise<T>): Promise<T> {
  for (let failures = 0; ; failures++) {
    try {
      return await call()
    } catch (error) {
      if (!(error instanceof UpstreamFault) || error.kind !== 'retry' || error.topics.size > 0 || failures === RETRIES_IN_PLACE) throw error
      await sleep(context.clock, RETRY_DELAY_MS * 2 ** failures)
    }
  }
}
