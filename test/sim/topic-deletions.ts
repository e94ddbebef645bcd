// Deletes topics of the world while everything else goes on, and makes them again: what is not delivered keeps a topic, so nothing may get lost, and
// nothing may arrive twice or under a place that was given before. Draws from its own Prng, so that the rest of a seed's life stays as it is.
// Not for: what a deletion leaves on the disk (test/log/delete-topic.test.ts).

import { WadiError } from '../../runtime/base/errors.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import type { Uplink } from '../../runtime/uplink/uplink.ts'
import { Prng } from './prng.ts'
import type { SimClock } from './sim-clock.ts'

/** Devices send all the time: the moment at which everything is delivered is short. */
const TRIES = 100
const TRY_AGAIN_MS = 20
const AREA = 0x64656c74 // "delt"

export interface TopicDeletionsHost {
  readonly clock: SimClock
  /** Of the process that runs now. */
  store(): LogStore | null
  uplink(): Uplink | null
  violate(sentence: string): void
  count(what: string): void
}

export class TopicDeletions {
  readonly #prng: Prng
  readonly #host: TopicDeletionsHost
  readonly #upstream: ReadonlyMap<string, string>
  readonly #percent: number

  /** `upstream`: the topics that are delivered at the start, and where to. */
  constructor(seed: number, host: TopicDeletionsHost, upstream: ReadonlyMap<string, string>) {
    this.#prng = new Prng(seed ^ AREA)
    this.#host = host
    this.#upstream = upstream
    this.#percent = this.#prng.chance(50) ? 70 : 0
  }

  /** At each disturbance of the world. */
  disturb(): void {
    const store = this.#host.store()
    if (!this.#prng.chance(this.#percent) || !store) return
    const name = this.#prng.pick([...this.#upstream.keys()])
    const delayMs = this.#prng.chance(50) ? 0 : this.#prng.below(2_000)
    const isForgotten = this.#prng.chance(50)
    this.#deleteAndMake(store, name, { delayMs, isForgotten }).catch((error: unknown) => {
      if (error instanceof WadiError) this.#host.count(`topic-deletion:${error.code}`)
      else this.#host.violate(`deleting ${name} ended with ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    })
  }

  /** `isForgotten`: the uplink is told to let go of the name, as the gateway does. */
  async #deleteAndMake(store: LogStore, name: string, { delayMs, isForgotten }: { delayMs: number; isForgotten: boolean }): Promise<void> {
    const config = store.topics.get(name)?.config
    if (!config) return
    for (let tries = 1; ; tries++) {
      try {
        await store.deleteTopic(name, { undelivered: 'refuse' })
        break
      } catch (error) {
        if (tries === TRIES || !(error instanceof WadiError) || error.code !== 'WADI_TOPIC_UNDELIVERED') throw error
      }
      await new Promise<void>((resolve) => this.#host.clock.after(TRY_AGAIN_MS, resolve))
      if (this.#host.store() !== store) return
    }
    this.#host.count('topic-deleted')
    if (isForgotten) this.#host.uplink()?.removeTopic(name)
    this.#host.clock.after(delayMs, () => void this.#make(store, name, config, isForgotten))
  }

  async #make(
    store: LogStore,
    name: string,
    config: NonNullable<ReturnType<LogStore['topics']['get']>>['config'],
    isForgotten: boolean
  ): Promise<void> {
    if (this.#host.store() !== store) return // the next start makes it
    try {
      await store.createTopic(name, config)
      this.#host.count('topic-made-again')
      if (isForgotten) this.#host.uplink()?.addTopic(name, this.#upstream.get(name) as string)
    } catch (error) {
      if (!(error instanceof WadiError)) throw error
      this.#host.clock.after(1_000, () => void this.#make(store, name, config, isForgotten))
    }
  }
}
