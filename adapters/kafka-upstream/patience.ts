// Trying again inside one call: as long as the cluster says "not now" and the call's time is not over.

import { type Clock, sleep } from '../../runtime/io/clock.ts'
import { UpstreamFault } from '../../runtime/uplink/upstream.ts'
import { KafkaErrorAnswer, toFault } from './faults.ts'

const DELAY_MS_FIRST = 20
const DELAY_MS_MAX = 1_000

export interface Patience {
  readonly clock: Clock
  readonly callTimeoutMs: number
  /** Aborted when the client closes. */
  readonly signal: AbortSignal
}

export interface Attempt {
  /** Milliseconds that are left of the call. */
  readonly leftMs: number
}

/**
 * Runs `work` until it succeeds, fails for good, or `callTimeoutMs` have passed. `beforeAgain` is told why the last attempt
 * failed, to forget what has become wrong; a broker that cannot be reached counts as retriable when it returns true.
 * @throws UpstreamFault
 */
export async function withPatience<T>(
  { clock, callTimeoutMs, signal }: Patience,
  work: (attempt: Attempt) => Promise<T>,
  beforeAgain: (failure: KafkaErrorAnswer | UpstreamFault) => boolean
): Promise<T> {
  const endMs = clock.monotonicMs() + callTimeoutMs
  for (let delayMs = DELAY_MS_FIRST; ; delayMs = Math.min(delayMs * 2, DELAY_MS_MAX)) {
    try {
      return await work({ leftMs: Math.max(1, endMs - clock.monotonicMs()) })
    } catch (error) {
      if (!(error instanceof KafkaErrorAnswer || error instanceof UpstreamFault)) throw error
      const fault = error instanceof KafkaErrorAnswer ? toFault(error) : error
      const isRetriable = error instanceof KafkaErrorAnswer ? error.isRetriable : error.kind === 'unreachable'
      const mayGoOn = isRetriable && beforeAgain(error)
      if (!mayGoOn || signal.aborted || clock.monotonicMs() + delayMs >= endMs) throw fault
    }
    await sleep(clock, delayMs, signal)
  }
}
