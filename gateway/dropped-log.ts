// What the log says of messages that subscribers did not get: there may be thousands a second, so each client has one line a minute, with how many they were
// and why. The first line comes within a second.
// Not for: counting them (metrics), events that are refused or lost (other lines).

import type { DropReason } from '../adapters/mqtt/drop-reason.ts'
import { formatCount } from './config/units.ts'
import type { Log } from './log.ts'

const LOOK_MS = 1_000
const AGAIN_MS = 60_000
/** Clients above these are counted together. */
const CLIENTS_MAX = 100
const OTHERS = 'other clients'

const WORDS: Readonly<Record<DropReason, string>> = {
  slow: 'it reads or acknowledges too slowly',
  away: 'it is away and no more may wait (mqtt_limits.queue)',
  gone: 'gone from the log before it came',
  'too-large': 'larger than it takes'
}

interface Entry {
  readonly counts: Map<DropReason, number>
  toldAtMs: number
}

export class DroppedLog {
  readonly #log: Log
  readonly #nowMs: () => number
  readonly #entries = new Map<string, Entry>()
  #timer: NodeJS.Timeout | null = null

  constructor(log: Log, nowMs: () => number = () => performance.now()) {
    this.#log = log
    this.#nowMs = nowMs
  }

  note(clientId: string, why: DropReason): void {
    const { counts } = this.#entries.get(clientId) ?? this.#add(clientId)
    counts.set(why, (counts.get(why) ?? 0) + 1)
    this.#timer ??= setInterval(() => this.look(), LOOK_MS).unref()
  }

  /** Tells what is due. */
  look(): void {
    const nowMs = this.#nowMs()
    for (const [clientId, entry] of this.#entries) {
      if (nowMs - entry.toldAtMs < AGAIN_MS) continue
      if (entry.counts.size === 0) this.#entries.delete(clientId)
      else this.#tell(clientId, entry, nowMs)
    }
    if (this.#entries.size === 0) this.#stop()
  }

  /** Tells the rest. */
  close(): void {
    for (const [clientId, entry] of this.#entries) if (entry.counts.size > 0) this.#tell(clientId, entry, this.#nowMs())
    this.#entries.clear()
    this.#stop()
  }

  #add(clientId: string): Entry {
    const name = this.#entries.size < CLIENTS_MAX ? clientId : OTHERS
    const entry = this.#entries.get(name) ?? { counts: new Map(), toldAtMs: Number.NEGATIVE_INFINITY }
    this.#entries.set(name, entry)
    return entry
  }

  #tell(clientId: string, entry: Entry, nowMs: number): void {
    const messages = [...entry.counts.values()].reduce((sum, count) => sum + count, 0)
    const reasons = [...entry.counts].map(([why, count]) => (entry.counts.size > 1 ? `${formatCount(count)}: ${WORDS[why]}` : WORDS[why]))
    entry.counts.clear()
    entry.toldAtMs = nowMs
    const what = messages === 1 ? 'a message' : `${formatCount(messages)} messages`
    this.#log('warn', `dropped ${what} for the subscriber ${clientId}: ${reasons.join('; ')}`, { clientId, messages })
  }

  #stop(): void {
    if (this.#timer) clearInterval(this.#timer)
    this.#timer = null
  }
}
