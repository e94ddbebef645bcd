// What the log says of messages that subscribers did not get: each client has one line a minute, with how many they were and why.
// Not for: counting them (metrics), events that are refused or lost (other lines).

import type { DropReason } from '../adapters/mqtt/drop-reason.ts'
import { formatCount } from './config/units.ts'
import type { Log } from './log.ts'
import { MinuteSummaries } from './minute-summaries.ts'

const WORDS: Readonly<Record<DropReason, string>> = {
  slow: 'it reads or acknowledges too slowly',
  away: 'it is away and no more may wait (mqtt_limits.queue)',
  gone: 'gone from the log before it came',
  'too-large': 'larger than it takes'
}

type Counts = Map<DropReason, number>

export class DroppedLog {
  readonly #log: Log
  readonly #summaries: MinuteSummaries<Counts>

  constructor(log: Log, nowMs?: () => number) {
    this.#log = log
    this.#summaries = new MinuteSummaries({ create: () => new Map(), tell: (client, counts) => this.#tell(client, counts), nowMs })
  }

  note(clientId: string, why: DropReason): void {
    const counts = this.#summaries.of(clientId)
    counts.set(why, (counts.get(why) ?? 0) + 1)
  }

  /** Tells what is due. */
  look(): void {
    this.#summaries.look()
  }

  /** Tells the rest. */
  close(): void {
    this.#summaries.close()
  }

  #tell(clientId: string, counts: Counts): void {
    const messages = [...counts.values()].reduce((sum, count) => sum + count, 0)
    const reasons = [...counts].map(([why, count]) => (counts.size > 1 ? `${formatCount(count)}: ${WORDS[why]}` : WORDS[why]))
    const what = messages === 1 ? 'a message' : `${formatCount(messages)} messages`
    this.#log('warn', `dropped ${what} for the subscriber ${clientId}: ${reasons.join('; ')}`, { clientId, messages })
  }
}
