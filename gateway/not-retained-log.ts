// What the log says of messages that were to be retained and found no room: each client has one line a minute, with the topics and why.
// Not for: counting them (metrics), messages that are refused (mqtt-log.ts).

import type { NotRetained } from '../adapters/mqtt/mqtt-broker.ts'
import { formatCount } from './config/units.ts'
import type { Log } from './log.ts'
import { MinuteSummaries } from './minute-summaries.ts'

/** That are named; the others are counted. */
const TOPICS_MAX = 5
/** That are told apart. */
const KNOWN_TOPICS_MAX = 1_000
const TOPIC_CHARACTERS_MAX = 100

const FATE = 'is stored and was handed on; it is not retained, and what its topic had is gone (mqtt_limits.retained)'
const FATES = 'are stored and were handed on; they are not retained, and what their topics had is gone (mqtt_limits.retained)'

interface Kept {
  messages: number
  /** By topic, why the last one of it was not. */
  readonly reasons: Map<string, string>
}

export class NotRetainedLog {
  readonly #log: Log
  readonly #summaries: MinuteSummaries<Kept>

  constructor(log: Log, nowMs?: () => number) {
    this.#log = log
    this.#summaries = new MinuteSummaries({
      create: () => ({ messages: 0, reasons: new Map() }),
      tell: (client, kept) => this.#tell(client, kept),
      nowMs
    })
  }

  note({ clientId, remoteAddress, topic, why }: NotRetained): void {
    const kept = this.#summaries.of(`${clientId} (${remoteAddress ?? 'its will'})`)
    kept.messages++
    if (kept.reasons.size < KNOWN_TOPICS_MAX || kept.reasons.has(topic)) kept.reasons.set(topic, why)
  }

  /** Tells what is due. */
  look(): void {
    this.#summaries.look()
  }

  /** Tells the rest. */
  close(): void {
    this.#summaries.close()
  }

  #tell(client: string, { messages, reasons }: Kept): void {
    const named = [...reasons].slice(0, TOPICS_MAX).map(([topic, why]) => `${JSON.stringify(topic.slice(0, TOPIC_CHARACTERS_MAX))}: ${why}`)
    const others = reasons.size - named.length
    if (others > 0)
      named.push(
        `and ${others === 1 ? 'another topic' : `${reasons.size < KNOWN_TOPICS_MAX ? '' : 'at least '}${formatCount(others)} other topics`}`
      )
    const what = messages === 1 ? `a message of ${client} ${FATE}` : `${formatCount(messages)} messages of ${client} ${FATES}`
    this.#log('warn', `${what}: ${named.join('; ')}`, { client, messages, topics: reasons.size })
  }
}
