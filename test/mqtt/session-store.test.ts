// Proves for session-store.ts and place-queue.ts: whatever is written when, refused or cut off by a kill, a queue is read in its order, without a gap, and a start
// finds it as it was when the last writing that became durable was made; what is durable is not held in memory too.
// How: a random life of one queue over a store whose commits end when the test says; the model is a plain array.

import t from 'tap'
import { ClientSession } from '../../adapters/mqtt/client-session.ts'
import { defaultMqttLimits } from '../../adapters/mqtt/limits.ts'
import { Outbox, type OutboxLink, type QueueBudget } from '../../adapters/mqtt/outbox.ts'
import { type FoundSession, SessionStore } from '../../adapters/mqtt/session-store.ts'
import { PLACES_PER_PIECE, type StoredPlace, storedPieces } from '../../adapters/mqtt/stored-session.ts'
import { WadiError } from '../../runtime/base/errors.ts'
import type { CommitDone, CommitState, StateChange } from '../../runtime/log/contract.ts'
import { StateMap } from '../../runtime/log/state-map.ts'
import { Prng, seeds } from '../sim/prng.ts'

const limits = { ...defaultMqttLimits, offlinePerClientMax: 10, offlinePerClientBytesMax: 10, offlineBytesMax: 10, retainedCountMax: 10 }
const full = new WadiError('WADI_DISK_FULL', { happened: '', kept: '', next: '' })
const link: OutboxLink = { isWritable: true, sendPublish: () => true, sendPubrel: () => undefined }
const never = new Promise<never>(() => undefined)

/** Commits wait until end() or a kill. */
class HeldStore {
  readonly topics = new Map()
  readonly state: StateMap
  readonly pending: { readonly changes: readonly StateChange[]; readonly done: CommitDone }[] = []

  constructor(state = new StateMap()) {
    this.state = state
  }

  getState(key: string): Uint8Array | undefined {
    return this.state.getState(key)
  }

  listState(prefix: string): string[] {
    return this.state.listState(prefix)
  }

  submit(_appends: readonly [], changes: CommitState, done: CommitDone): void {
    this.pending.push({ changes: changes as readonly StateChange[], done })
  }

  /** The oldest one. */
  end(error: WadiError | null): void {
    const commit = this.pending.shift()
    if (error === null) this.state.apply(commit?.changes ?? [])
    commit?.done(error, [])
  }
}

/** One session over one store; what it reads of its queue is gone. */
class Life {
  readonly store: HeldStore
  readonly sessions: SessionStore
  readonly session: ClientSession
  readonly taken: number[] = []
  readsLeft = 0

  constructor(store: HeldStore) {
    const budget: QueueBudget = { bytes: 0, places: 0, deliveries: 0, deliveriesDropped: 0, offlineDropped: 0 }
    this.store = store
    this.sessions = new SessionStore(store, () => true)
    const [found] = [...this.sessions.load((error) => t.fail(error.message)).sessions] as (FoundSession | undefined)[]
    this.session = new ClientSession('c', new Outbox(limits, budget, found?.start), 60)
    if (found) this.session.outbox.restore(found.flights, found.left ?? found.end)
    t.equal(found?.left ?? null, null, 'no piece is missing')
    this.session.outbox.keepWith({
      read: (number) => this.sessions.piece('c', number),
      load: (places) => this.#load(places),
      deliveryOf: () => null,
      note: () => undefined,
      changed: () => this.sessions.queueChanged(this.session)
    })
    this.sessions.keep(this.session, found ?? null)
  }

  #load(places: readonly StoredPlace[]): Promise<null[]> {
    if (this.readsLeft-- <= 0) return never
    this.taken.push(...places.map(({ offset }) => offset))
    return Promise.resolve(places.map(() => null))
  }

  /** A client comes, is sent the first places of the queue, and goes. */
  async visit(reads: number): Promise<number> {
    const before = this.taken.length
    this.readsLeft = reads
    this.session.outbox.attach(link, 10)
    await new Promise((resolve) => setImmediate(resolve))
    this.session.outbox.detach()
    return this.taken.length - before
  }
}

/** A life, what its queue has to be, and what a start would find: now, and with each commit that waits. */
class Story {
  readonly #prng: Prng
  life = new Life(new HeldStore())
  model: number[] = []
  #durable: number[] = []
  #waiting: number[][] = []
  #next = 0

  constructor(prng: Prng) {
    this.#prng = prng
  }

  add(): void {
    for (let left = this.#prng.pick([1, 5, 70, 200]); left > 0; left--) {
      this.life.session.outbox.addPlace({ code: 1024, offset: this.#next })
      this.model.push(this.#next++)
    }
  }

  write(): void {
    const { sessions, session, store } = this.life
    const before = store.pending.length
    sessions.persist(session, () => undefined)
    if (store.pending.length > before) this.#waiting.push([...this.model])
  }

  end(isRefused: boolean): void {
    const written = this.#waiting.shift()
    if (!written) return
    if (!isRefused) this.#durable = written
    this.life.store.end(isRefused ? full : null)
  }

  endAll(): void {
    while (this.#waiting.length > 0) this.end(false)
  }

  kill(): void {
    for (let left = this.#prng.below(this.#waiting.length + 1); left > 0; left--) this.end(false)
    this.life = new Life(new HeldStore(this.life.store.state))
    this.model = [...this.#durable]
    this.#waiting = []
  }

  /** @returns what the client is sent, and what it had to be */
  async visit(reads: number): Promise<{ taken: number[]; expected: number[] }> {
    const expected = this.model.splice(0, await this.life.visit(reads))
    return { taken: this.life.taken.splice(0), expected }
  }
}

for (const seed of seeds({ count: 60 })) {
  t.test(`a queue is what it was, over refusals and kills (replay with SEED=${seed})`, async (t) => {
    const prng = new Prng(seed)
    const story = new Story(prng)
    for (let step = 0; step < 120; step++) {
      const kind = prng.below(100)
      if (kind < 40) story.add()
      else if (kind < 65) story.write()
      else if (kind < 80) story.end(prng.chance(25))
      else if (kind < 94) {
        const { taken, expected } = await story.visit(prng.below(4))
        if (`${taken}` !== `${expected}`) return t.fail(`step ${step}: not in order`)
      } else if (kind < 97) {
        story.endAll()
        const { kept, outbox } = story.life.session
        if (kept?.isQueueChanged === false && outbox.places.held < outbox.places.end) return t.fail(`step ${step}: what is durable is held`)
      } else story.kill()
    }
    const { taken, expected } = await story.visit(Number.POSITIVE_INFINITY)
    t.same(taken, expected)
    t.same(story.model, [], 'all of it')
    story.write()
    story.endAll()
    t.same(story.life.store.listState(`${storedPieces.name}/`), [], 'no piece stays behind what was sent')
  })
}

t.test('a session that has ended and was begun anew keeps what waits, though its pieces go', async (t) => {
  const life = new Life(new HeldStore())
  const { outbox } = life.session
  const offsets = Array.from({ length: PLACES_PER_PIECE * 2 }, (_, offset) => offset)
  for (const offset of offsets) outbox.addPlace({ code: 1024, offset })
  life.sessions.persist(life.session, () => undefined)
  life.store.end(null)
  t.equal(outbox.places.held, offsets.length, 'nothing is held')
  for (const isEarly of [false, true]) {
    if (isEarly) {
      outbox.addPlace({ code: 1024, offset: offsets.length })
      offsets.push(offsets.length)
      life.sessions.persist(life.session, () => undefined) // not durable yet when the session ends
    }
    void life.sessions.forget(life.session)
    if (isEarly) {
      life.sessions.keep(life.session)
      life.store.end(null)
      t.equal(life.session.kept?.isNew, true, 'what was written of the one before says nothing of this one')
    }
    life.store.end(null)
    if (!isEarly) life.sessions.keep(life.session)
    life.sessions.persist(life.session, () => undefined)
    life.store.end(null)
  }
  await life.visit(Number.POSITIVE_INFINITY)
  t.same(life.taken, offsets)
})
