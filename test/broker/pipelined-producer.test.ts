// An idempotent producer with five batches in flight, on the real storage engine and a simulated disk that refuses writes and loses its power: each batch
// is in the log once, in order, where its answer said. Each rule that this needs is taken away once, which has to be noticed.

import t from 'tap'
import type { AppendOutcome } from '../../runtime/broker/append-outcome.ts'
import { type Broker, openBroker } from '../../runtime/broker/broker.ts'
import { KeyedLock } from '../../runtime/broker/keyed-lock.ts'
import { QueuedBatch, QueuedBatches } from '../../runtime/broker/queued-batches.ts'
import { RefusedFirsts } from '../../runtime/broker/refused-firsts.ts'
import type { Core } from '../../runtime/core/core.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import { GroupCommit } from '../../runtime/log/group-commit.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { loadTestCore } from '../helpers/core.ts'
import { SimMachine } from '../helpers/sim-store.ts'
import { readPartition } from '../sim/read-partition.ts'
import { simCodec } from '../sim/sim-codec.ts'

const IN_FLIGHT = 5
const LIVES = 4
const SEED_COUNT = 12
/** Lives of odd seeds come to where the sequences begin again. */
const SEQUENCE_COUNT = 2 ** 31
const RETRIABLE = new Set(['KAFKA_STORAGE_ERROR', 'OUT_OF_ORDER_SEQUENCE_NUMBER'])

interface Verdict {
  readonly violations: string[]
  readonly stored: number
  readonly refusals: number
  /** Batches of one commit, on the average. */
  readonly perCommit: number
}

class Client {
  readonly violations: string[] = []
  readonly #machine: SimMachine
  readonly #core: Core
  /** Value → offset that its answer said. */
  readonly #acked = new Map<string, number>()
  readonly #firstSequence: number
  #firstUnanswered = 0
  refusals = 0

  constructor(machine: SimMachine, core: Core, firstSequence: number) {
    this.#machine = machine
    this.#core = core
    this.#firstSequence = firstSequence
  }

  get answered(): number {
    return this.#firstUnanswered
  }

  /** Sends on and on; ends with its gateway, or behind batch `until`. What has no answer is sent again, with its sequence, and in order. */
  async run(broker: Broker, until = Number.POSITIVE_INFINITY): Promise<void> {
    while (this.#firstUnanswered < until) {
      const first = this.#firstUnanswered
      const { prng } = this.#machine
      const count = Math.min(prng.between(1, IN_FLIGHT), until - first)
      const sent: [sequence: number, Promise<AppendOutcome>][] = []
      for (let at = 0; at < count; at++) {
        sent.push([first + at, this.#send(broker, first + at)])
        if (prng.chance(20)) {
          const again = prng.between(first, first + at)
          sent.push([again, this.#send(broker, again)])
        }
        if (prng.chance(50)) await this.#pause(prng.fraction() * 2)
      }
      let refusedAt = Number.POSITIVE_INFINITY
      for (const [sequence, outcome] of sent) {
        const { fault, baseOffset } = await outcome
        if (fault === 'NONE') {
          if (sequence === refusedAt) refusedAt = Number.POSITIVE_INFINITY // sent again, and taken then
          if (sequence > refusedAt) this.violations.push(`batch ${sequence} was stored behind one that was refused`)
          this.#acked.set(`${sequence}`, baseOffset)
          this.#firstUnanswered = Math.max(this.#firstUnanswered, sequence + 1)
          continue
        }
        refusedAt = Math.min(refusedAt, sequence)
        this.refusals++
        if (!RETRIABLE.has(fault)) this.violations.push(`batch ${sequence}: ${fault}`)
      }
      await this.#pause(1)
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#machine.clock.after(ms, resolve))
  }

  async #send(broker: Broker, sequence: number): Promise<AppendOutcome> {
    const records = [{ timestampMs: 1_700_000_000_000, key: null, value: new TextEncoder().encode(`${sequence}`), headers: [] }]
    const baseSequence = (this.#firstSequence + sequence) % SEQUENCE_COUNT
    const producer = { producerId: 7n, producerEpoch: 0, baseSequence, isTransactional: false }
    const batch = { topicName: 'a', partitionIndex: 0, records: this.#core.buildBatch(records, { baseOffset: 0, producer }) }
    const [outcome] = await broker.appends.append([batch], { isZstdAllowed: true, hasTransactionalId: false })
    return outcome as AppendOutcome
  }

  async check(partition: Partition): Promise<number> {
    const { records } = await this.#machine.settle(readPartition(partition, this.#core))
    const values = records.map(({ value }) => value)
    const expected = values.map((_, at) => `${at}`)
    if (values.join() !== expected.join()) this.violations.push(`the log has ${values.join()}`)
    for (const [value, offset] of this.#acked)
      if (values[offset] !== value) this.violations.push(`${value} was answered with ${offset}, where ${values[offset]} is`)
    return values.length
  }
}

async function live(seed: number): Promise<Verdict> {
  const machine = new SimMachine(seed, { settings: { lingerMs: machineLinger(seed) } })
  const core = loadTestCore()
  const client = new Client(machine, core, seed % 2 === 0 ? 0 : SEQUENCE_COUNT - 2)
  let stored = 0
  let commits = 0
  const open = async (): Promise<{ store: LogStore; broker: Broker }> => {
    const store = await machine.open()
    if (!store.topics.has('a')) await machine.settle(store.createTopic('a'))
    const { clock, prng } = machine
    return { store, broker: openBroker({ store, core, clock, random: prng.fork(), codec: simCodec }) }
  }
  try {
    for (let cut = 0; cut < LIVES; cut++) {
      const { store, broker } = await open()
      const before = store.metrics.commits
      if (cut === 0) machine.disk.refuseNext('write-sync', 'journal') // of the producer's first batch
      client.run(broker).catch((error: unknown) => client.violations.push(`a call failed: ${String(error)}`))
      for (let refused = 0; refused < 3; refused++) {
        await machine.run(machine.prng.between(1, 60))
        machine.disk.refuseNext('write-sync', 'journal')
      }
      await machine.run(machine.prng.between(1, 60))
      commits += store.metrics.commits - before
      broker.close()
      machine.powerCut()
      machine.disk.heal()
    }
    const { store, broker } = await open()
    const { answered } = client
    await machine.settle(
      Promise.race([client.run(broker, answered + 10), new Promise((resolve) => machine.clock.after(2_000, () => resolve(undefined)))])
    )
    if (client.answered < answered + 10) client.violations.push('the producer cannot go on')
    stored = await client.check(store.topics.get('a')?.partitions[0] as Partition)
    machine.powerCut()
  } catch (error) {
    client.violations.push(`the life ended: ${String(error)}`)
  }
  return { violations: client.violations, stored, refusals: client.refusals, perCommit: stored / commits }
}

function machineLinger(seed: number): number {
  return seed % 3
}

t.test('five in flight: once, in order, where the answer said, through refusals and power cuts', async (t) => {
  const verdicts: Verdict[] = []
  for (let seed = 1; seed <= SEED_COUNT; seed++) verdicts.push(await live(seed))
  for (const [at, { violations }] of verdicts.entries()) t.same(violations, [], `seed ${at + 1}`)
  const sum = (of: keyof Omit<Verdict, 'violations'>): number => verdicts.reduce((total, verdict) => total + verdict[of], 0)
  t.ok(sum('refusals') > SEED_COUNT, `${sum('refusals')} refusals`)
  t.ok(sum('perCommit') / SEED_COUNT > 1.5, `${(sum('perCommit') / SEED_COUNT).toFixed(1)} batches to a commit`)
  t.comment(`${sum('stored')} batches stored, ${sum('refusals')} refused`)
})

const { place } = QueuedBatch.prototype
const canaries: Record<string, () => void> = {
  'what is queued behind a refusal is stored': () => {
    GroupCommit.prototype.takeWaiting = () => () => undefined
  },
  'a repeat of what is queued is answered before that is durable': () => {
    QueuedBatches.prototype.find = () => null
  },
  'the sequence is checked against what is durable': () => {
    QueuedBatches.prototype.last = () => null
  },
  'behind a refused first batch any other is the first': () => {
    RefusedFirsts.prototype.isBehind = () => false
  },
  'only the last of several queued batches is remembered': () => {
    QueuedBatch.prototype.place = function (baseOffset) {
      const state = place.call(this, baseOffset)
      this.state = { ...state, batches: state.batches.slice(-1) }
      return this.state
    }
  }
}

for (const [canary, install] of Object.entries(canaries)) {
  t.test(`canary: ${canary}`, async (t) => {
    const { takeWaiting } = GroupCommit.prototype
    const { find, last } = QueuedBatches.prototype
    const { isBehind } = RefusedFirsts.prototype
    try {
      install()
      let caughtBy: string | null = null
      for (let seed = 1; seed <= SEED_COUNT && caughtBy === null; seed++) {
        const { violations, perCommit } = await live(seed)
        if (violations.length > 0 || perCommit <= 1) caughtBy = `seed ${seed}: ${violations[0] ?? 'no batches share a commit'}`
      }
      t.not(caughtBy, null, caughtBy ?? 'no seed notices')
    } finally {
      GroupCommit.prototype.takeWaiting = takeWaiting
      Object.assign(QueuedBatches.prototype, { find, last })
      QueuedBatch.prototype.place = place
      RefusedFirsts.prototype.isBehind = isBehind
    }
  })
}

t.test('canary: an append holds nothing while it is under way', async (t) => {
  const { runShared } = KeyedLock.prototype
  KeyedLock.prototype.runShared = (_, work) => work()
  t.teardown(() => Object.assign(KeyedLock.prototype, { runShared }))
  const machine = new SimMachine(1)
  const core = loadTestCore()
  const store = await machine.open()
  const { partitions } = await machine.settle(store.createTopic('a'))
  const broker = openBroker({ store, core, clock: machine.clock, random: machine.prng.fork(), codec: simCodec })
  const { transactions } = broker
  const who = await machine.settle(transactions.initProducer({ transactionalId: 'x', timeoutMs: 60_000, expected: null }))
  await machine.settle(transactions.addPartitions('x', who, partitions))
  const records = [{ timestampMs: 1_700_000_000_000, key: null, value: null, headers: [] }]
  const batch = core.buildBatch(records, { baseOffset: 0, producer: { ...who, baseSequence: 0, isTransactional: true } })
  const sent = broker.appends.append([{ topicName: 'a', partitionIndex: 0, records: batch }], {
    isZstdAllowed: true,
    hasTransactionalId: true
  })
  await machine.settle(Promise.all([sent, transactions.end('x', who, 'abort')]))
  t.same(partitions[0]?.abortedBetween(0, 9).length, 1, 'the log knows that it was aborted')
  t.equal(store.listState('aborted/').length, 0, 'and the state does not: a restart would show it to readers')
  machine.powerCut()
})
