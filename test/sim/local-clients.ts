// Kafka clients on the gateway itself, beside the devices: producers with and without transactions, in every codec, that commit, abort,
// die in the middle or come back, and some that go on with their transaction when the gateway is back; and batches an older version stored without looking inside.
//
// Their oracle: what was committed arrives at the centre once and in order (ledger.ts), what was aborted never, a transaction whose end nobody
// knows as a whole or not at all, nothing of one that is open, and what cannot be read stands in the dead-letter topic.

import { type Broker, openBroker } from '../../runtime/broker/broker.ts'
import type { ProducerIdentity } from '../../runtime/broker/transactions.ts'
import type { Core } from '../../runtime/core/core.ts'
import type { BlockCodec } from '../../runtime/io/codec.ts'
import type { Partition, Store } from '../../runtime/log/contract.ts'
import { CLIENT_CODECS, withCodec } from '../helpers/compressors.ts'
import { type CommitSizes, OFFSETS_GROUP } from './commit-sizes.ts'
import type { Ledger, SimEvent } from './ledger.ts'
import { Prng } from './prng.ts'
import { readPartition } from './read-partition.ts'
import type { SimCentre } from './sim-centre.ts'
import type { SimClock, SimProcessClock } from './sim-clock.ts'
import { simCodec } from './sim-codec.ts'

export const DEAD_LETTERS = '_wadi.dlq'
const FILLER = 'y'.repeat(400)

/** For canaries: what the broker looks into batches with. */
export type BrokerMutation = (edges: { core: Core; codec: BlockCodec }) => { core: Core; codec: BlockCodec }

interface Life {
  readonly store: Store
  readonly core: Core
  readonly clock: SimProcessClock
}

interface Batch {
  readonly events: readonly SimEvent[]
  readonly place: Place
  readonly bytes: Uint8Array
}

type Place = readonly [topicName: string, partitionIndex: number]

interface OpenTransaction {
  readonly written: { readonly event: SimEvent; readonly offset: number }[]
  /** Sent, and nobody said whether it was written. */
  readonly doubtful: SimEvent[]
  /** It is asked again until it is answered: behind an end that nobody answered a client cannot know whether the transaction is still open. */
  endAsked: 'commit' | 'abort' | null
}

interface Client {
  readonly name: string
  readonly places: readonly Place[]
  readonly timeoutMs: number
  readonly isTransactional: boolean
  /** It outlives its gateway: it asks again what nobody answered, with the same sequences. */
  readonly goesOn: boolean
  readonly numbers: Map<string, number>
  who: ProducerIdentity | null
  readonly sequences: Map<string, number>
  open: OpenTransaction | null
  /** Refused by the store: sent again as it was. */
  waiting: Batch | null
  isBusy: boolean
}

export class LocalClients {
  readonly isActive: boolean
  readonly reached = new Map<string, number>()
  readonly #prng: Prng
  readonly #ledger: Ledger
  readonly #clock: SimClock
  readonly #centre: SimCentre
  readonly #upstreamTopics: ReadonlySet<string>
  readonly #clients: Client[] = []
  readonly #aborted = new Set<string>()
  readonly #undecided: OpenTransaction[] = []
  readonly #junk: { readonly key: string; readonly offset: number }[] = []
  #life: Life | null = null
  #broker: Broker | null = null
  #isCalm = false

  readonly #breakBroker: BrokerMutation
  readonly #commitSizes: CommitSizes

  constructor(options: {
    seed: number
    ledger: Ledger
    clock: SimClock
    centre: SimCentre
    mapping: {
      readonly edge: readonly (readonly [topicName: string, partitionCount: number])[]
      readonly upstream: readonly (readonly [edgeTopic: string, topicName: string, partitionCount: number])[]
    }
    breakBroker?: BrokerMutation | undefined
    commitSizes: CommitSizes
  }) {
    this.#breakBroker = options.breakBroker ?? ((edges) => edges)
    this.#commitSizes = options.commitSizes
    const prng = new Prng(options.seed ^ 0x10ca1c11)
    this.#prng = prng
    this.#ledger = options.ledger
    this.#clock = options.clock
    this.#centre = options.centre
    this.#upstreamTopics = new Set(options.mapping.upstream.map(([, name]) => name))
    this.isActive = prng.chance(40) || options.commitSizes.isInTurns
    if (!this.isActive) return
    options.ledger.hasClients = true
    const places = options.mapping.edge.flatMap(([topic, count]) => Array.from({ length: count }, (_, index): Place => [topic, index]))
    const count = prng.between(1, 3)
    const lasting = new Prng(options.seed ^ 0x6c617374)
    const lastingPercent = options.commitSizes.isInTurns ? 90 : lasting.pick([0, 50, 90])
    for (let index = 0; index < count; index++) {
      const first = prng.below(places.length)
      this.#clients.push({
        name: `t${index}`,
        places: [places[first] as Place, ...(prng.chance(40) && places.length > 1 ? [places[(first + 1) % places.length] as Place] : [])],
        timeoutMs: prng.pick([1_000, 4_000, 15_000]),
        isTransactional: prng.chance(70),
        goesOn: lasting.chance(lastingPercent),
        numbers: new Map(),
        who: null,
        sequences: new Map(),
        open: null,
        waiting: null,
        isBusy: false
      })
    }
  }

  // -- The gateway's life

  /** Before the uplink starts. */
  async prepare(store: Store): Promise<void> {
    if (this.isActive && !store.topics.has(DEAD_LETTERS)) await store.createTopic(DEAD_LETTERS, { isForwarded: false, retentionMs: null })
  }

  /** A life of the gateway begins; some have no broker: what was left open stays so. */
  start(life: Life): void {
    if (!this.isActive) return
    this.#life = life
    if (life.store.listState('txn-abort/').length > 0) this.#count('abort-in-parts')
    if (this.#isCalm || this.#prng.chance(75)) this.#openBroker()
    else this.#count('life-without-broker')
  }

  #openBroker(): void {
    const { store, core, clock } = this.#life as Life
    this.#broker = openBroker({ store, clock, random: this.#prng.fork(), ...this.#breakBroker({ core, codec: simCodec }) })
  }

  /** The gateway is gone. Who has a transaction finds out when it is back. */
  stop(): void {
    this.#life = null
    this.#broker = null
    for (const client of this.#clients) {
      if (client.goesOn && client.open) {
        client.isBusy = false
        this.#count('outlives-gateway')
      } else this.#lose(client)
    }
  }

  /** A clean stop at the end. */
  close(): void {
    this.#broker?.close()
    this.stop()
  }

  /** Begins nothing new; transactions end. */
  calm(): void {
    this.#isCalm = true
    if (this.#life && !this.#broker && this.isActive) this.#openBroker()
  }

  get isSettled(): boolean {
    if (!this.isActive) return true
    const isIdle = this.#clients.every((client) => !client.isBusy && client.open === null && client.waiting === null)
    return isIdle && this.#broker !== null && this.#broker.transactions.openCount === 0
  }

  run(): void {
    for (const client of this.#clients) this.#loop(client)
  }

  #loop(client: Client): void {
    this.#clock.after(this.#prng.between(50, 900), () => {
      void this.#step(client)
      if (!this.#isCalm || !this.isSettled) this.#loop(client)
    })
  }

  /** The client dies, or its gateway: a transaction it did not ask to commit can only be aborted. */
  #lose(client: Client): void {
    const { open, waiting } = client
    if (open) {
      for (const event of waiting?.events ?? []) open.doubtful.push(event)
      const isUndecided = open.endAsked === 'commit'
      if (isUndecided) this.#undecided.push(open)
      else for (const event of eventsOf(open)) this.#aborted.add(event.id)
      this.#count(isUndecided ? 'end-unknown' : 'left-open')
    }
    client.open = null
    client.waiting = null
    client.who = null
    client.isBusy = false
  }

  // -- What a client does

  async #step(client: Client): Promise<void> {
    const broker = this.#broker
    if (!broker || client.isBusy) return
    client.isBusy = true
    await this.#act(client, broker)
    if (this.#broker === broker) client.isBusy = false
  }

  async #act(client: Client, broker: Broker): Promise<void> {
    const prng = this.#prng
    if (this.#isCalm && client.open === null) {
      client.waiting = null
      return
    }
    if (!client.isTransactional) return prng.chance(12) ? this.#storeJunk(client, broker) : this.#sendPlain(client, broker)
    if (client.who === null) {
      const request = { transactionalId: client.name, timeoutMs: client.timeoutMs, expected: null }
      const { fault, producerId, producerEpoch } = await broker.transactions.initProducer(request)
      if (this.#broker !== broker || fault !== 'NONE') return
      client.who = { producerId, producerEpoch }
      client.sequences.clear()
      return
    }
    if (client.waiting) return this.#sendInTransaction(client, broker, client.waiting)
    if (client.open && (this.#isCalm || prng.chance(35))) return this.#end(client, broker)
    const place = prng.pick(client.places)
    if (client.open === null) client.open = { written: [], doubtful: [], endAsked: null }
    else if (client.open.endAsked !== null) return this.#end(client, broker)
    const partitions = client.places.flatMap(([topic, index]) => broker.producers.find(topic, index)?.partition ?? [])
    const fault = await broker.transactions.addPartitions(client.name, client.who, partitions)
    if (this.#broker !== broker) return
    if (fault === 'COORDINATOR_NOT_AVAILABLE') return
    if (fault !== 'NONE') return this.#lose(client) // timed out meanwhile
    if (!(await this.#addOffsets(client, broker, place))) return
    const batch = this.#newBatch(client, place, true)
    client.waiting = batch
    return this.#sendInTransaction(client, broker, batch)
  }

  /** False when the client cannot go on in this step. */
  async #addOffsets(client: Client, broker: Broker, place: Place): Promise<boolean> {
    const offsets = this.#commitSizes.offsets(...place)
    const who = client.who as ProducerIdentity
    if (!offsets) return true
    let fault = await broker.transactions.addGroup(client.name, who, OFFSETS_GROUP)
    if (this.#broker !== broker) return false
    if (fault === 'NONE') fault = await broker.transactions.addOffsets(client.name, who, OFFSETS_GROUP, offsets)
    if (this.#broker !== broker) return false
    this.#count(`offsets:${fault}`)
    if (['NONE', 'POLICY_VIOLATION', 'INVALID_COMMIT_OFFSET_SIZE', 'MESSAGE_TOO_LARGE'].includes(fault)) return true
    if (fault !== 'COORDINATOR_NOT_AVAILABLE') this.#lose(client)
    return false
  }

  async #sendInTransaction(client: Client, broker: Broker, batch: Batch): Promise<void> {
    const [topicName, partitionIndex] = batch.place
    const options = { isZstdAllowed: true, hasTransactionalId: true }
    const [outcome] = await broker.appends.append([{ topicName, partitionIndex, records: batch.bytes }], options)
    if (this.#broker !== broker || client.waiting !== batch || !outcome) return
    if (outcome.fault === 'KAFKA_STORAGE_ERROR') return
    if (outcome.fault !== 'NONE') return this.#lose(client)
    client.waiting = null
    const key = batch.place.join('/')
    client.sequences.set(key, (client.sequences.get(key) ?? 0) + batch.events.length)
    batch.events.forEach((event, index) => {
      client.open?.written.push({ event, offset: outcome.baseOffset + index })
    })
  }

  async #end(client: Client, broker: Broker): Promise<void> {
    const { open, who } = client
    if (!open || !who) return
    const kind = this.#prng.below(10)
    if (kind < 2 && !this.#isCalm && open.endAsked !== 'commit') return this.#lose(client)
    const outcome = open.endAsked ?? (kind < 5 ? 'abort' : 'commit')
    if (open.endAsked === 'abort') this.#count('abort-asked-again')
    open.endAsked = outcome
    const fault = await broker.transactions.end(client.name, who, outcome)
    if (this.#broker !== broker || client.open !== open) return
    if (fault === 'COORDINATOR_NOT_AVAILABLE') return
    if (fault === 'POLICY_VIOLATION') this.#count('commit-too-large')
    if (fault !== 'NONE') return this.#lose(client)
    this.#count(outcome)
    if (outcome === 'commit') for (const { event, offset } of open.written) this.#ledger.onAcked(event, offset)
    else for (const event of eventsOf(open)) this.#aborted.add(event.id)
    client.open = null
  }

  async #sendPlain(client: Client, broker: Broker): Promise<void> {
    const batch = this.#newBatch(client, this.#prng.pick(client.places), false)
    const [topicName, partitionIndex] = batch.place
    const options = { isZstdAllowed: true, hasTransactionalId: false }
    const [outcome] = await broker.appends.append([{ topicName, partitionIndex, records: batch.bytes }], options)
    if (this.#broker !== broker || outcome?.fault !== 'NONE') return
    batch.events.forEach((event, index) => {
      this.#ledger.onAcked(event, outcome.baseOffset + index)
    })
  }

  /** Right header, right CRC, nonsense inside: as versions stored it that did not look. */
  async #storeJunk(client: Client, broker: Broker): Promise<void> {
    const { store, core } = this.#life as Life
    const place = this.#prng.pick(client.places)
    const partition = store.topics.get(place[0])?.partitions[place[1]] as Partition
    const recordCount = this.#prng.between(1, 4)
    const like = core.buildBatch(
      Array.from({ length: recordCount }, () => ({ timestampMs: this.#clock.wallMs(), key: null, value: null, headers: [] })),
      { baseOffset: 0 }
    )
    const codec = this.#prng.pick(['gzip', 'snappy', 'lz4', 'zstd'] as const)
    const batch = withCodec(core, like, codec, this.#prng.bytes(this.#prng.between(1, 200)))
    if (this.#prng.chance(50)) {
      const [topicName, partitionIndex] = place
      const options = { isZstdAllowed: true, hasTransactionalId: false }
      const [outcome] = await broker.appends.append([{ topicName, partitionIndex, records: batch }], options)
      if (outcome?.fault === 'NONE') this.#ledger.violate('phantom', `${place.join('/')}: a batch was acknowledged that nobody can open`)
      return this.#count('junk-refused')
    }
    try {
      const besideEachOther = Array.from({ length: this.#prng.chance(30) ? 3 : 1 }, () => ({ partition, content: { batch, recordCount } }))
      const offsets = await store.commit(besideEachOther, [])
      if (this.#broker !== broker) return
      this.#count('junk')
      for (const offset of offsets) this.#junk.push({ key: place.join('/'), offset })
    } catch {
      // Refused: not stored, or nobody knows; either is fine.
    }
  }

  #newBatch(client: Client, place: Place, isTransactional: boolean): Batch {
    const prng = this.#prng
    const { core } = this.#life as Life
    const key = place.join('/')
    const device = `${client.name}.${key.replace('/', '-')}`
    const events = Array.from({ length: prng.between(1, 5) }, (): SimEvent => {
      const number = client.numbers.get(device) ?? 0
      client.numbers.set(device, number + 1)
      const id = `${device}:${number}`
      const value = `${id} ${FILLER.slice(0, prng.below(300))}`
      return { id, device, number, value, partitionKey: key, attempts: 0, isAcked: false, isOptional: isTransactional }
    })
    for (const event of events) this.#ledger.onSent(event)
    const encoder = new TextEncoder()
    const records = events.map(({ value }) => ({
      timestampMs: this.#clock.wallMs(),
      key: encoder.encode(device),
      value: encoder.encode(value),
      headers: []
    }))
    const baseSequence = client.sequences.get(key) ?? 0
    const producer = isTransactional ? { producer: { ...(client.who as ProducerIdentity), baseSequence, isTransactional } } : {}
    const plain = core.buildBatch(records, { baseOffset: 0, ...producer })
    const codec = prng.pick(CLIENT_CODECS)
    this.#count(`codec:${codec}`)
    return { events, place, bytes: withCodec(core, plain, codec) }
  }

  // -- The oracle

  /** Nothing of a transaction that nobody asked to commit may be at the centre, at any time. */
  checkOpen(): void {
    if (!this.isActive) return
    const ids = this.#arrivedIds()
    for (const { open } of this.#clients) {
      if (!open || open.endAsked === 'commit') continue
      for (const { id } of eventsOf(open))
        if (ids.has(id)) this.#ledger.violate('phantom', `${id} arrived before its transaction was committed`)
    }
    for (const id of this.#aborted) if (ids.has(id)) this.#ledger.violate('phantom', `${id} was aborted and arrived at the centre`)
  }

  async checkEnd(store: Store, core: Core): Promise<void> {
    const letters = store.topics.get(DEAD_LETTERS)?.partitions[0]
    if (!letters) return
    const { records } = await readPartition(letters, core)
    const deadLetters = new Set(records.map(({ headers }) => headers.get('wadi.source')))
    const isGone = (key: string, offset: number): boolean => this.#ledger.isGone(key, offset)
    this.checkOpen()
    const ids = this.#arrivedIds()
    for (const { written } of this.#undecided) {
      const there = written.filter(({ event }) => ids.has(event.id)).length
      const gone = written.filter(({ event, offset }) => isGone(event.partitionKey, offset)).length
      if (there > 0 && there + gone < written.length)
        this.#ledger.violate('lost', `${there} of ${written.length} events of one transaction arrived (${written[0]?.event.id} …)`)
    }
    for (const { key, offset } of this.#junk) {
      if (deadLetters.has(`${key}/${offset}`) || isGone(key, offset)) continue
      this.#ledger.violate('lost', `${key}/${offset} cannot be read and is not in the dead-letter topic`)
    }
  }

  #arrivedIds(): Set<string> {
    const ids = new Set<string>()
    for (const name of this.#upstreamTopics) {
      for (let index = 0; index < this.#centre.partitionCount(name); index++)
        for (const { value } of this.#centre.committed(name, index)) ids.add((value ?? '').split(' ')[0] ?? '')
    }
    return ids
  }

  #count(what: string): void {
    this.reached.set(what, (this.reached.get(what) ?? 0) + 1)
  }
}

function eventsOf(open: OpenTransaction): SimEvent[] {
  return [...open.written.map(({ event }) => event), ...open.doubtful]
}
