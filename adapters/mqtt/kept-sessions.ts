// Sessions that outlive their connections, and the gateway: they are found at the start with what waits for them, and their queues are read from the log.
//
// Invariant: after a start each session has the places that were written down, then those of the log behind them, as if they came now.
// Not for: packets (mqtt-sessions.ts), what is durable when (session-store.ts).

import type { WadiError } from '../../runtime/base/errors.ts'
import type { Partition, Store } from '../../runtime/log/contract.ts'
import { ClientSession } from './client-session.ts'
import { deliveryNow } from './delivery.ts'
import type { Delivery } from './message.ts'
import { codeOf, type LoggedMessage, type MessageLog } from './message-log.ts'
import { Outbox, type OutboxLimits, type QueueBudget, type QueueKeeper } from './outbox.ts'
import type { PlacePiece } from './place-queue.ts'
import { type FoundSession, SessionStore } from './session-store.ts'
import type { StoredPlace } from './stored-session.ts'
import type { Subscriptions } from './subscriptions.ts'

export interface KeptSessionsOptions {
  readonly store: Pick<Store, 'submit' | 'listState' | 'getState' | 'topics'>
  readonly log: MessageLog
  readonly limits: OutboxLimits
  readonly budget: QueueBudget
  /** Whether a route stores events in this topic. What Kafka clients write into others is not looked at, whatever its headers say. */
  readonly mayHoldMessages: (topicName: string) => boolean
}

/** What a session is that was found, beside itself. */
export interface RestoredSession {
  readonly session: ClientSession
  readonly subscriptions: FoundSession['subscriptions']
}

/** Places that were found behind what is written down: columns, as there may be very many, and an object for each would be most of what a start makes. */
class LatePlaces {
  readonly #codes: number[] = []
  readonly #offsets: number[] = []
  readonly #timestampsMs: number[] = []
  readonly #sessions: ClientSession[] = []

  add(session: ClientSession, { code, offset }: StoredPlace, timestampMs: number): void {
    this.#codes.push(code)
    this.#offsets.push(offset)
    this.#timestampsMs.push(timestampMs)
    this.#sessions.push(session)
  }

  /** In the order of their timestamps; those that have the same, as they came. */
  deliver(): void {
    const times = this.#timestampsMs
    const order = Uint32Array.from(times, (_, index) => index).sort((one, other) => (times[one] as number) - (times[other] as number))
    for (const index of order) {
      const place = { code: this.#codes[index] as number, offset: this.#offsets[index] as number }
      this.#sessions[index]?.outbox.addPlace(place)
    }
  }
}

export class KeptSessions {
  readonly store: SessionStore
  readonly #options: KeptSessionsOptions

  constructor(options: KeptSessionsOptions) {
    this.#options = options
    this.store = new SessionStore(options.store, options.mayHoldMessages)
  }

  /** From now on it outlives its connections. */
  keep(session: ClientSession, restored: Pick<FoundSession, 'end'> | null = null): void {
    if (session.kept) return
    session.outbox.keepWith(new SessionKeeper(session, this.#options.log, this.store))
    this.store.keep(session, restored)
  }

  /**
   * `add` takes each session in, with its subscriptions: then the log is looked through.
   * @throws WadiError WADI_FORMAT_NEWER, and what says that the device cannot be read
   */
  async restore(
    add: (restored: RestoredSession) => void,
    subscriptions: Pick<Subscriptions, 'size' | 'waitersOf'>,
    onDamage: (error: WadiError) => void
  ): Promise<void> {
    const { sessions, queuedTo, wasRouted } = this.store.load(onDamage)
    const foundOf = new Map<ClientSession, Pick<FoundSession, 'queued' | 'ahead'>>()
    for (const found of sessions) {
      const session = this.#sessionOf(found)
      const { queued, ahead } = found
      if (queued.size + ahead.size > 0) foundOf.set(session, { queued, ahead })
      add({ session, subscriptions: found.subscriptions })
    }
    if (subscriptions.size === 0) return
    const { limits, budget, log } = this.#options
    const late = new LatePlaces()
    /** In `late`: of each session, and what all may have yet. */
    const counts = new Map<ClientSession, number>()
    let room = limits.queuedPlacesMax - budget.places
    for (const partition of this.#partitions(wasRouted)) {
      const code = codeOf(partition)
      let timestampMs = 0
      await log.scan(partition, queuedTo(partition), (message) => {
        if (room <= 0) {
          budget.offlineDropped++ // whoever it was for: looking would cost events times sessions
          return
        }
        const { offset } = message
        timestampMs = Math.max(timestampMs, message.timestampMs)
        for (const session of subscriptions.waitersOf(message, message.publisherId)) {
          const known = foundOf.get(session)
          if (known && (offset < (known.queued.get(code) ?? 0) || known.ahead.get(code)?.has(offset))) continue
          const count = counts.get(session) ?? 0
          if (room <= 0 || !session.outbox.hasRoomFor(count)) {
            budget.offlineDropped++
            continue
          }
          late.add(session, { code, offset }, timestampMs)
          counts.set(session, count + 1)
          room--
        }
      })
    }
    late.deliver()
    this.store.startTracking()
  }

  /** Those that events of MQTT clients may be in, by the routes of now or of the start before. */
  #partitions(wasRouted: (topicNumber: number) => boolean): Partition[] {
    const { store, mayHoldMessages } = this.#options
    const topics = [...store.topics.values()].filter(({ name, number }) => mayHoldMessages(name) || wasRouted(number))
    return topics.flatMap(({ partitions }) => partitions)
  }

  #sessionOf(found: FoundSession): ClientSession {
    const {
      clientId,
      session: { expirySeconds, endedMs, version = 0 },
      flights,
      start,
      end,
      left
    } = found
    const { limits, budget } = this.#options
    const session = new ClientSession(clientId, new Outbox(limits, budget, start), expirySeconds)
    session.endedMs = endedMs ?? Date.now()
    session.version = version
    session.outbox.restore(flights, left ?? end)
    this.keep(session, found)
    if (left) this.store.queueChanged(session)
    if (endedMs === undefined) this.store.recordChanged(session) // or its time would begin anew with each start
    return session
  }
}

/** One object for each session: closures would be four. */
class SessionKeeper implements QueueKeeper {
  readonly #session: ClientSession
  readonly #log: MessageLog
  readonly #store: SessionStore

  constructor(session: ClientSession, log: MessageLog, store: SessionStore) {
    this.#session = session
    this.#log = log
    this.#store = store
  }

  read(number: number): PlacePiece {
    return this.#store.piece(this.#session.clientId, number)
  }

  load(places: readonly StoredPlace[]): Promise<(LoggedMessage | null)[]> {
    return this.#log.read(places)
  }

  deliveryOf(logged: LoggedMessage): Delivery | null {
    return deliveryNow(this.#session, logged)
  }

  /** Not in the middle of a delivery: the message that is being delivered is in the queue, and does not count as delivered yet. */
  note(done: (isDurable: boolean) => void): void {
    queueMicrotask(() => {
      this.#store.queueChanged(this.#session)
      this.#store.persist(this.#session, (error) => done(error === null))
    })
  }

  changed(): void {
    this.#store.queueChanged(this.#session)
  }
}
