// What is durable of sessions that outlive their connections: the session before CONNACK, its subscriptions before SUBACK, its queue now and then.
//
//   mqtt.session, mqtt.subscription   the session, its filters
//   mqtt.flight, mqtt.queue           what it has in flight, and the places of what waits, as it was in one moment
//   mqtt.queued                       for each partition: everything below has been put into the queues that are written down
//
// The log is the queue: after a crash what lies behind `mqtt.queued` is looked through again, so that nothing has to be written for each message.
//
// Invariants:
//   K1  What is written of one session is one moment of it: its queue and how far its queue has come. So a message is never in both, nor in neither.
//   K2  `mqtt.queued` moves on when all queues are durable that changed before it was taken.
//   K3  What was refused for want of room is written when there is some; until then the session is as good as its process.
//   K4  Places that are durable are read from their pieces: each piece is there, and whole, while one of its places waits.
// Not for: what becomes of a session (mqtt-sessions.ts), what is sent when (outbox.ts).

import { assert } from '../../runtime/base/assert.ts'
import type { WadiError } from '../../runtime/base/errors.ts'
import type { LaneEnd, Partition, Place, StateChange, Store } from '../../runtime/log/contract.ts'
import { deleteState } from '../../runtime/log/state-codec.ts'
import { type ClientSession, type KeptSession, NO_FILTERS, newSubscription, type Subscription } from './client-session.ts'
import { DeliveredOffsets } from './delivered-offsets.ts'
import { codeOf } from './message-log.ts'
import type { PlacePiece } from './place-queue.ts'
import {
  clientOfKey,
  PLACES_PER_PIECE,
  pairsOf,
  type StoredFlight,
  type StoredPiece,
  type StoredPlace,
  type StoredQueue,
  type StoredSession,
  type StoredSubscription,
  storedPiece,
  storedPieces,
  storedQueuedTo,
  storedQueues,
  storedRouted,
  storedSessions,
  storedSubscriptions,
  subscriptionKey
} from './stored-session.ts'

type KeysOfClient = readonly [clientId: string, keys: readonly string[]]
type Removals = ReadonlyMap<string, readonly StateChange[]>

/** What a commit has of a session. */
interface SessionChanges {
  readonly session: ClientSession
  /** As what it is kept: a session that has ended may be begun anew. */
  readonly kept: KeptSession
  readonly changes: readonly StateChange[]
  readonly filters: ReadonlySet<string>
  /** Its queue as it is then; null = it is not written. */
  readonly queue: { readonly firstPiece: number; readonly end: number } | null
}

/** One commit. */
interface Writing {
  readonly changes: StateChange[]
  readonly sessions: SessionChanges[]
  /** What `mqtt.queued` says with it. */
  queuedTo?: ReadonlyMap<number, readonly number[]>
  /** Among the changes: of sessions that have ended, by client. Refused, they are tried again. */
  readonly removals?: Removals
}

/** How far the queues have come, as each of them says it. */
type Progress = Pick<StoredQueue, 'queued' | 'ahead'>

export interface FoundSession {
  readonly clientId: string
  readonly session: StoredSession
  readonly subscriptions: readonly { readonly filter: string; readonly subscription: Subscription }[]
  readonly flights: readonly StoredFlight[]
  readonly start: number
  /** Number behind the last place that waits. */
  readonly end: number
  /** Where pieces are missing: codes and offsets of what is left in turn. */
  readonly left: Float64Array | null
  /** By partition code, where that is more than `queuedTo`. */
  readonly queued: ReadonlyMap<number, number>
  /** By partition code, offsets beyond that. */
  readonly ahead: ReadonlyMap<number, ReadonlySet<number>>
}

export interface FoundSessions {
  /** To be read once. */
  readonly sessions: Iterable<FoundSession>
  /** From where on a partition has to be looked through. */
  queuedTo(partition: Partition): number
  /** Whether a route of the start before may have stored events in this topic. */
  wasRouted(topicNumber: number): boolean
}

type StateStore = Pick<Store, 'submit' | 'listState' | 'getState' | 'topics'>

const NOTE_MS = 5_000
const LOOK_MS = 10_000
/** Mostly none; more would not fit into the value: they would be sent again behind a crash. */
const AHEAD_MAX = 2_000
/** So many events are looked through after a crash at most, or so. */
const NOTE_EVENTS = 50_000
/** Of a commit, state changes of so many bytes at most; several are made otherwise. */
const COMMIT_BYTES_MAX = 512 * 1024

export class SessionStore {
  readonly #store: StateStore
  readonly #mayHoldMessages: (topicName: string) => boolean
  readonly #delivered = new DeliveredOffsets()
  readonly #changed = new Set<ClientSession>()
  /** Removals that were refused, by client: of several of its sessions, each key once. */
  readonly #refused = new Map<string, readonly StateChange[]>()
  /** Removals that are on their way, by client. */
  readonly #leaving = new Map<string, Promise<WadiError | null>>()
  /** By topic number: what `mqtt.queued` says behind everything that was submitted, and what it says. */
  #queuedTo: ReadonlyMap<number, readonly number[]> = new Map()
  #durableQueuedTo: ReadonlyMap<number, readonly number[]> = new Map()
  /** What `mqtt.routed` says behind everything that was submitted, as far as this start knows. */
  #routed: readonly number[] = []
  #isTracking = false
  #isNoting = false
  #isClosing = false
  #eventCount = 0
  #timer: NodeJS.Timeout | null = null
  #lookTimer: NodeJS.Timeout | null = null

  /** `mayHoldMessages`: whether a route stores events in a topic. */
  constructor(store: StateStore, mayHoldMessages: (topicName: string) => boolean) {
    this.#store = store
    this.#mayHoldMessages = mayHoldMessages
  }

  // --- how far the log has been delivered

  stored(place: Place): void {
    if (!this.#isTracking) return
    this.#delivered.stored(place)
    this.#countEvents(1)
  }

  /** Events that the fast lane took, as nobody subscribes to them: nobody waits for them. */
  passed(ends: readonly LaneEnd[]): void {
    if (!this.#isTracking) return
    for (const { partition, endOffset } of ends) this.#delivered.passed(partition, endOffset)
    this.#countEvents(ends.reduce((sum, { records }) => sum + records, 0))
  }

  #countEvents(count: number): void {
    this.#eventCount += count
    if (this.#eventCount >= NOTE_EVENTS && !this.#isNoting) this.#noteAll(() => undefined)
  }

  delivered(place: Place): void {
    if (this.#isTracking) this.#delivered.delivered(place)
  }

  // --- at the start

  /** `onDamage` hears of values that cannot be read: they are left out. @throws WadiError WADI_FORMAT_NEWER, also while sessions are read */
  load(onDamage: (error: WadiError) => void): FoundSessions {
    const queuedTo = new Map<number, readonly number[]>()
    for (const key of storedQueuedTo.keysIn(this.#store)) {
      const offsets = storedQueuedTo.getWhole(this.#store, key, onDamage)
      if (offsets) queuedTo.set(Number(storedQueuedTo.restOf(key)), offsets)
    }
    const routed = new Set(storedRouted.getWhole(this.#store, storedRouted.key(), onDamage))
    this.#queuedTo = queuedTo
    this.#durableQueuedTo = queuedTo
    return {
      sessions: this.#sessionsIn(onDamage),
      queuedTo: ({ topicNumber, partitionIndex }) => queuedTo.get(topicNumber)?.[partitionIndex] ?? 0,
      wasRouted: (topicNumber) => routed.has(topicNumber)
    }
  }

  /** One at a time: their places would be large objects all together. */
  *#sessionsIn(onDamage: (error: WadiError) => void): Generator<FoundSession> {
    const store = this.#store
    const subscriptionKeys = byClient(storedSubscriptions.keysIn(store), storedSubscriptions)
    /** With the pieces of what waits for them. */
    const known = new Map<string, readonly number[]>()
    const damaged: KeysOfClient[] = []
    for (const key of storedSessions.keysIn(store)) {
      const session = storedSessions.getWhole(store, key, onDamage)
      const clientId = storedSessions.restOf(key)
      if (!session) {
        damaged.push([clientId, [key]])
        continue
      }
      const queue = storedQueues.getWhole(store, storedQueues.keyAt(clientId), onDamage) ?? NO_QUEUE
      const { start, end, flights, queued, ahead } = queue
      const subscriptions = (subscriptionKeys.get(clientId) ?? []).flatMap(
        (one) => storedSubscriptions.getWhole(store, one, onDamage) ?? []
      )
      const numbers = pieceNumbers(Math.floor(start / PLACES_PER_PIECE), end)
      known.set(clientId, numbers)
      const pieces = numbers.flatMap((number) => storedPieces.getWhole(store, pieceKey(clientId, number), onDamage) ?? [])
      yield {
        ...{ clientId, session, flights, start, end, left: hasAll(pieces, start, end) ? null : pairsBetween(pieces, start, end) },
        subscriptions: subscriptions.map(subscriptionOf),
        queued: new Map(queued.map(({ code, offset }) => [code, offset])),
        ahead: offsetsByCode(ahead)
      }
    }
    const pieceKeys = storedPieces.keysIn(store)
    // Pieces of nothing that waits are looked at too: damage is said, wherever it is.
    for (const key of pieceKeys)
      if (known.get(clientOfPiece(key))?.includes(numberOfPiece(key)) === false) storedPieces.getWhole(store, key, onDamage)
    const orphansOf = (keys: readonly string[], clientOf: (key: string) => string): KeysOfClient[] =>
      keys.filter((key) => !known.has(clientOf(key))).map((key) => [clientOf(key), [key]])
    this.#removeOrphans([
      ...damaged,
      ...[...subscriptionKeys].filter(([clientId]) => !known.has(clientId)),
      ...orphansOf(pieceKeys, clientOfPiece),
      ...orphansOf(storedQueues.keysIn(store), (key) => storedQueues.restOf(key))
    ])
  }

  /** Of sessions whose record cannot be read: a later one of that client must not get what was theirs. */
  #removeOrphans(orphans: readonly KeysOfClient[]): void {
    for (const [clientId, keys] of orphans) {
      this.#refused.set(clientId, [...(this.#refused.get(clientId) ?? []), ...keys.map(deleteState)])
    }
    if (this.#refused.size > 0) this.#noteSoon()
  }

  /** All that is in the log is in the queues. */
  startTracking(): void {
    if (this.#isTracking) return
    this.#isTracking = true
    this.#delivered.pass(this.#highWatermarks())
    // What only Kafka clients write to moves nothing else.
    this.#lookTimer = setInterval(() => {
      if (!this.#isNoting && this.#delivered.isBehind(this.#highWatermarks(), NOTE_EVENTS)) this.#noteAll(() => undefined)
    }, LOOK_MS).unref()
  }

  // --- sessions

  /** `restored`: as load() found it, with pieces up to the one that holds `end` - 1. */
  keep(session: ClientSession, restored: { readonly end: number } | null = null): void {
    if (session.kept) return
    const { start } = session.outbox.places
    session.kept = {
      isNew: restored === null,
      isRecordChanged: restored === null,
      hasEnd: restored !== null,
      isQueueChanged: restored === null && session.subscriptions.size > 0,
      changedFilters: restored === null && session.subscriptions.size > 0 ? new Set(session.subscriptions.keys()) : NO_FILTERS,
      firstPiece: Math.floor(start / PLACES_PER_PIECE),
      end: restored?.end ?? start
    }
    if (restored === null) this.#changed.add(session)
  }

  /** Of a session, as it is durable. */
  piece(clientId: string, number: number): PlacePiece {
    const piece = storedPieces.get(this.#store, pieceKey(clientId, number))
    assert(piece !== undefined, `piece ${number} of a queue is not there`)
    return { first: piece.first, pairs: pairsOf(piece) }
  }

  queueChanged(session: ClientSession): void {
    if (!session.kept || session.kept.isQueueChanged) return
    session.kept.isQueueChanged = true
    this.#change(session)
  }

  recordChanged(session: ClientSession): void {
    if (!session.kept) return
    session.kept.isRecordChanged = true
    this.#change(session)
  }

  /** Added or taken away: before persist(). */
  filterChanged(session: ClientSession, filter: string): void {
    if (!session.kept) return
    session.kept.changedFilters = new Set(session.kept.changedFilters).add(filter)
    session.kept.isQueueChanged = true
    if (session.subscriptions.size > 0) this.startTracking()
    this.#change(session)
  }

  /** Writes down what has changed of a session. `done` may run at once; with an error it was refused, and is tried again with others. */
  persist(session: ClientSession, done: (error: WadiError | null) => void): void {
    if (!session.kept) return done(null)
    const removals = this.#takeRefused(session.clientId)
    const written = this.#changesOf(session, () => this.#progress())
    const changes = [...[...removals.values()].flat(), ...(written?.changes ?? [])]
    const isFirst = this.#queuedTo.size === 0 // that subscribes
    if (isFirst) changes.push(...this.#queuedToChanges(null))
    this.#submit({ changes, sessions: written ? [written] : [], removals, ...(isFirst && { queuedTo: this.#queuedTo }) }, done)
  }

  /** The session has ended. @returns why that is not durable; it is tried again. Asked once more meanwhile, the same */
  forget(session: ClientSession): Promise<WadiError | null> {
    const { kept, clientId } = session
    session.kept = null
    this.#changed.delete(session)
    if (!kept) return this.#leaving.get(clientId) ?? Promise.resolve(null)
    session.outbox.places.takeBack()
    const filters = new Set([...session.subscriptions.keys(), ...kept.changedFilters])
    const changes = [
      storedSessions.remove(storedSessions.keyAt(clientId)),
      storedQueues.remove(storedQueues.keyAt(clientId)),
      ...[...filters].map((filter) => storedSubscriptions.remove(subscriptionKey(clientId, filter))),
      ...pieceNumbers(kept.firstPiece, kept.end).map((number) => storedPieces.remove(pieceKey(clientId, number)))
    ]
    const removals = new Map([[clientId, changes]])
    const forgotten = new Promise<WadiError | null>((resolve) => this.#submit({ changes, sessions: [], removals }, resolve))
    this.#leaving.set(clientId, forgotten)
    return forgotten.finally(() => {
      if (this.#leaving.get(clientId) === forgotten) this.#leaving.delete(clientId)
    })
  }

  /** Everything that has changed, and how far that goes. */
  async close(): Promise<void> {
    this.#isClosing = true
    if (this.#lookTimer) clearInterval(this.#lookTimer)
    await new Promise<void>((resolve) => this.#noteAll(resolve))
    if (this.#timer) clearTimeout(this.#timer)
  }

  // --- writing

  #change(session: ClientSession): void {
    this.#changed.add(session)
    this.#noteSoon()
  }

  #noteSoon(): void {
    if (this.#isClosing) return
    this.#timer ??= setTimeout(() => {
      this.#timer = null
      if (!this.#isNoting) this.#noteAll(() => undefined)
    }, NOTE_MS).unref()
  }

  /** One moment of all sessions that have changed, then `mqtt.queued` as it was in that moment. */
  #noteAll(done: () => void): void {
    this.#isNoting = true
    this.#eventCount = 0
    const durable = this.#highWatermarks()
    const progress = this.#progress()
    const removals = this.#takeRefused()
    const first: Writing = { changes: [...removals.values()].flat(), sessions: [], removals }
    const commits = [first]
    let bytes = bytesOf(first.changes)
    const put = (changes: readonly StateChange[], written: SessionChanges | null): void => {
      const more = bytesOf(changes)
      if (bytes + more > COMMIT_BYTES_MAX) {
        commits.push({ changes: [], sessions: [] })
        bytes = 0
      }
      bytes += more
      const last = commits.at(-1) as Writing
      last.changes.push(...changes)
      if (written) last.sessions.push(written)
    }
    for (const session of [...this.#changed]) {
      const written = this.#changesOf(session, () => progress)
      if (written) put(written.changes, written)
    }
    for (const change of this.#queuedToChanges(durable)) put([change], null)
    ;(commits.at(-1) as Writing).queuedTo = this.#queuedTo
    let left = commits.length
    for (const commit of commits) {
      this.#submit(commit, (error) => {
        if (--left > 0) return
        this.#isNoting = false
        // Nothing written is no barrier: completions of events may still be on their way.
        if (!error && commits.some(({ changes }) => changes.length > 0)) this.#delivered.pass(durable)
        if (this.#changed.size + this.#refused.size > 0) this.#noteSoon()
        done()
      })
    }
  }

  /** Of one client, or of all. */
  #takeRefused(clientId?: string): Removals {
    const taken = new Map([...this.#refused].filter(([id]) => clientId === undefined || id === clientId))
    for (const id of taken.keys()) this.#refused.delete(id)
    return taken
  }

  #submit({ changes, sessions, removals, queuedTo }: Writing, done: (error: WadiError | null) => void): void {
    if (changes.length === 0) return done(null)
    this.#store.submit([], changes, (error) => {
      if (error) {
        for (const [clientId, removal] of removals ?? []) this.#refused.set(clientId, merged(this.#refused.get(clientId), removal))
        for (const { session, filters } of sessions) this.#rewrite(session, filters)
        this.#queuedTo = this.#durableQueuedTo
        this.#routed = []
        this.#noteSoon()
      } else {
        for (const { session, kept, queue } of sessions) {
          if (session.kept !== kept) continue
          kept.isNew = false
          if (queue === null) continue
          kept.firstPiece = Math.max(kept.firstPiece, queue.firstPiece)
          session.outbox.places.letGo(queue.end)
        }
        if (queuedTo) this.#durableQueuedTo = queuedTo
      }
      done(error)
    })
  }

  /** What was refused is not durable: all of it next time. */
  #rewrite(session: ClientSession, filters: ReadonlySet<string>): void {
    const { kept } = session
    if (!kept) return
    kept.isRecordChanged = true
    kept.isQueueChanged = true
    kept.changedFilters = new Set([...kept.changedFilters, ...session.subscriptions.keys(), ...filters])
    this.#change(session)
  }

  /** null: it is not kept any more. */
  #changesOf(session: ClientSession, progress: () => Progress): SessionChanges | null {
    const { kept, clientId, outbox } = session
    this.#changed.delete(session)
    if (!kept) return null
    const changes: StateChange[] = []
    if (kept.isRecordChanged) {
      changes.push(storedSessions.put(storedSessions.keyAt(clientId), recordOf(session)))
      kept.hasEnd = session.endedMs !== null
    }
    const filters = kept.changedFilters
    for (const filter of filters) {
      const key = subscriptionKey(clientId, filter)
      const subscription = session.subscriptions.get(filter)
      changes.push(subscription ? storedSubscriptions.put(key, storedOf(filter, subscription)) : storedSubscriptions.remove(key))
    }
    const { start, end } = outbox.places
    const queue = kept.isQueueChanged ? { firstPiece: Math.floor(start / PLACES_PER_PIECE), end } : null
    if (queue) changes.push(...this.#queueChanges(session, kept, progress()))
    kept.isRecordChanged = false
    kept.changedFilters = NO_FILTERS
    kept.isQueueChanged = false
    return { session, kept, changes, filters, queue }
  }

  #queueChanges({ clientId, outbox }: ClientSession, kept: KeptSession, progress: Progress): StateChange[] {
    const { places } = outbox
    const { start, end } = places
    const firstPiece = Math.floor(start / PLACES_PER_PIECE)
    const changes: StateChange[] = []
    const isGone = (number: number): boolean => start === end || number < firstPiece || number * PLACES_PER_PIECE >= end
    for (const number of pieceNumbers(kept.firstPiece, kept.end)) {
      if (isGone(number)) changes.push(storedPieces.remove(pieceKey(clientId, number)))
    }
    // From what is durable on, not from what is on its way: that may be refused.
    for (const number of places.held < end ? pieceNumbers(Math.floor(places.held / PLACES_PER_PIECE), end) : []) {
      const first = Math.max(start, number * PLACES_PER_PIECE)
      const until = Math.min(end, (number + 1) * PLACES_PER_PIECE)
      changes.push(storedPieces.put(pieceKey(clientId, number), storedPiece(first, until, places)))
    }
    kept.end = Math.max(kept.end, end)
    const value = { start, end, flights: outbox.flights(), ...progress }
    return [...changes, storedQueues.put(storedQueues.keyAt(clientId), value)]
  }

  /** Of this moment: the same for all queues that are written with it. */
  #progress(): Progress {
    const queued: StoredPlace[] = []
    const ahead: StoredPlace[] = []
    for (const [partition, end] of this.#delivered.ends()) {
      const { topicNumber, partitionIndex } = partition
      const code = codeOf(partition)
      if (end > (this.#queuedTo.get(topicNumber)?.[partitionIndex] ?? 0)) queued.push({ code, offset: end })
      for (const offset of this.#delivered.ahead(partition)) if (ahead.length < AHEAD_MAX) ahead.push({ code, offset })
    }
    return { queued: queued.sort((one, other) => one.code - other.code), ahead }
  }

  /** What was written later comes later: it counts from now on. `durable`: what the log has now; where that is more, something is written, as a barrier. */
  #queuedToChanges(durable: ReadonlyMap<Partition, number> | null): StateChange[] {
    if (!this.#isTracking) return []
    const changes: StateChange[] = []
    const next = new Map<number, readonly number[]>()
    const routed: number[] = []
    for (const { name, number, partitions } of this.#store.topics.values()) {
      if (this.#mayHoldMessages(name)) routed.push(number)
      const offsets = partitions.map((partition) => this.#delivered.end(partition))
      const before = this.#queuedTo.get(number)
      next.set(number, offsets)
      const isBehind =
        durable !== null && changes.length === 0 && partitions.some((one, index) => (durable.get(one) ?? 0) > (offsets[index] ?? 0))
      if (isBehind || !before || !sameNumbers(before, offsets))
        changes.push(storedQueuedTo.put(storedQueuedTo.keyAt(String(number)), offsets))
    }
    for (const number of this.#queuedTo.keys()) {
      if (!next.has(number)) changes.push(storedQueuedTo.remove(storedQueuedTo.keyAt(String(number))))
    }
    if (changes.length > 0 && !sameNumbers(routed, this.#routed)) changes.push(storedRouted.put(storedRouted.key(), routed))
    this.#routed = routed
    this.#queuedTo = next
    return changes
  }

  #highWatermarks(): Map<Partition, number> {
    const found = new Map<Partition, number>()
    for (const { partitions } of this.#store.topics.values())
      for (const partition of partitions) found.set(partition, partition.highWatermark)
    return found
  }
}

const NO_QUEUE: StoredQueue = { start: 0, end: 0, flights: [], queued: [], ahead: [] }

function byClient(keys: readonly string[], area: { restOf(key: string): string }): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const key of keys) {
    const clientId = clientOfKey(area.restOf(key))
    const known = found.get(clientId)
    if (known) known.push(key)
    else found.set(clientId, [key])
  }
  return found
}

const merged = (some: readonly StateChange[] = [], others: readonly StateChange[]): StateChange[] => [
  ...new Map([...some, ...others].map((change) => [change.key, change])).values()
]

function bytesOf(changes: readonly StateChange[]): number {
  return changes.reduce((sum, { key, value }) => sum + key.length + 16 + (value?.byteLength ?? 0), 0)
}

const pieceKey = (clientId: string, number: number): string => storedPieces.keyAt(`${clientId}/${number}`)
const clientOfPiece = (key: string): string => clientOfKey(storedPieces.restOf(key))
const numberOfPiece = (key: string): number => Number(key.slice(key.lastIndexOf('/') + 1))

/** Of the pieces from `first` on up to the one with place `end` - 1. */
function pieceNumbers(first: number, end: number): number[] {
  const numbers: number[] = []
  for (let number = first; number * PLACES_PER_PIECE < end; number++) numbers.push(number)
  return numbers
}

/** Whether the places from `start` up to `end` are all in their pieces. */
function hasAll(pieces: readonly StoredPiece[], start: number, end: number): boolean {
  return pieceNumbers(Math.floor(start / PLACES_PER_PIECE), end).every((number) => {
    const { first, count } = pieces.find((piece) => Math.floor(piece.first / PLACES_PER_PIECE) === number) ?? { first: end, count: 0 }
    return first <= Math.max(start, number * PLACES_PER_PIECE) && first + count >= Math.min(end, (number + 1) * PLACES_PER_PIECE)
  })
}

function pairsBetween(pieces: readonly StoredPiece[], start: number, end: number): Float64Array {
  const inOrder = [...pieces].sort((one, other) => one.first - other.first)
  const parts = inOrder.map((piece) => pairsOf(piece).subarray(Math.max(0, start - piece.first) * 2, Math.max(0, end - piece.first) * 2))
  const found = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    found.set(part, at)
    at += part.length
  }
  return found
}

function offsetsByCode(places: readonly StoredPlace[]): ReadonlyMap<number, ReadonlySet<number>> {
  const found = new Map<number, Set<number>>()
  for (const { code, offset } of places) {
    const known = found.get(code)
    if (known) known.add(offset)
    else found.set(code, new Set([offset]))
  }
  return found
}

function sameNumbers(some: readonly number[], others: readonly number[]): boolean {
  return some.length === others.length && some.every((number, index) => number === others[index])
}

function recordOf({ expirySeconds, endedMs, version }: ClientSession): StoredSession {
  return {
    expirySeconds: Math.max(1, expirySeconds),
    ...(endedMs !== null && { endedMs }),
    ...(version > 0 && { version })
  } as StoredSession
}

function storedOf(filter: string, { qos, noLocal, retainAsPublished, id }: Subscription): StoredSubscription {
  return {
    filter,
    qos,
    ...(noLocal && { noLocal: true as const }),
    ...(retainAsPublished && { retainAsPublished: true as const }),
    ...(id !== null && { id })
  }
}

function subscriptionOf({ filter, qos, noLocal, retainAsPublished, id }: StoredSubscription): FoundSession['subscriptions'][number] {
  const wanted = { qos, noLocal: noLocal === true, retainAsPublished: retainAsPublished === true, id: id ?? null }
  return { filter, subscription: newSubscription(wanted) }
}
