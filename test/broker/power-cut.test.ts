// Transactions through power cuts on the real storage engine and a simulated disk: after every cut the committed group position and
// what a read_committed reader sees agree, nothing committed is lost, nothing is seen twice, nothing aborted is seen.

import t from 'tap'
import { type Broker, openBroker } from '../../runtime/broker/broker.ts'
import type { ProducerIdentity } from '../../runtime/broker/transactions.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { loadTestCore } from '../helpers/core.ts'
import { SimMachine } from '../helpers/sim-store.ts'
import { simCodec } from '../sim/sim-codec.ts'
import type { SimDiskOptions } from '../sim/sim-disk.ts'
import { committedValues } from './rig.ts'

const ID = 'writer'
const TOPIC = 'events'
const PARTITION_COUNT = 2
const CUT_COUNT = 6
const SEED_COUNT = 25

class Run {
  readonly core = loadTestCore()
  readonly machine: SimMachine
  store!: LogStore
  broker!: Broker
  /** Transactions whose commit was acknowledged. */
  acknowledged = 0
  attempt = 0

  constructor(seed: number, disk: Partial<SimDiskOptions>) {
    this.machine = new SimMachine(seed, { disk })
  }

  async open(): Promise<void> {
    this.store = await this.machine.open()
    const { clock, prng } = this.machine
    this.broker = openBroker({ store: this.store, core: this.core, clock, random: prng.fork(), codec: simCodec })
    if (!this.store.topics.has(TOPIC)) await this.machine.settle(this.store.createTopic(TOPIC, { partitionCount: PARTITION_COUNT }))
  }

  cut(): void {
    this.broker.close()
    this.machine.powerCut()
  }

  get position(): number {
    return this.broker.committedOffsets.find('g', { topicName: TOPIC, partitionIndex: 0 })?.offset ?? 0
  }

  /** The work of the client: transaction after transaction, each beginning where the committed position says. Ends only by a cut. */
  async produce(): Promise<void> {
    const { broker } = this
    const who = await broker.transactions.initProducer({ transactionalId: ID, timeoutMs: 60_000, expected: null })
    let sequence = 0
    for (;;) {
      const number = this.position
      const isCommit = this.machine.prng.chance(70)
      await this.transact(who, { number, sequence, outcome: isCommit ? 'commit' : 'abort' })
      sequence++
      if (isCommit) this.acknowledged = number + 1
    }
  }

  async transact(who: ProducerIdentity, step: { number: number; sequence: number; outcome: 'commit' | 'abort' }): Promise<void> {
    const { broker, store } = this
    const partitions = store.topics.get(TOPIC)?.partitions ?? []
    const label = step.outcome === 'commit' ? `${step.number}` : `aborted-${step.number}-${this.attempt++}`
    must(await broker.transactions.addPartitions(ID, who, partitions))
    const batches = partitions.map(({ partitionIndex }) => {
      const records = [{ timestampMs: 1_700_000_000_000, key: null, value: new TextEncoder().encode(label), headers: [] }]
      const producer = { producerId: who.producerId, producerEpoch: who.producerEpoch, baseSequence: step.sequence, isTransactional: true }
      return { topicName: TOPIC, partitionIndex, records: this.core.buildBatch(records, { baseOffset: 0, producer }) }
    })
    for (const { fault } of await broker.appends.append(batches, { isZstdAllowed: true, hasTransactionalId: true })) must(fault)
    must(await broker.transactions.addGroup(ID, who, 'g'))
    const place = { groupId: 'g', topicName: TOPIC, partitionIndex: 0, leaderEpoch: -1, metadata: '' }
    must(await broker.transactions.addOffsets(ID, who, 'g', [{ ...place, offset: step.number + 1 }]))
    must(await broker.transactions.end(ID, who, step.outcome))
  }

  async read(partitionIndex: number): Promise<string[]> {
    const values: string[] = []
    let fetchOffset = 0
    for (;;) {
      const place = { topicName: TOPIC, partitionIndex, fetchOffset, bytesMax: 2 ** 20, leaderEpoch: -1 }
      const request = { places: [place], isolation: 'read_committed', maxWaitMs: 0, bytesMin: 1, bytesMax: 2 ** 20 } as const
      const [fetched] = await this.machine.settle(this.broker.fetches.fetch(request))
      if (fetched?.fault !== 'NONE') throw new Error(`fetch: ${fetched?.fault}`)
      const read = committedValues(this.core, fetched)
      values.push(...read.values)
      if (read.nextOffset === null) return values
      fetchOffset = read.nextOffset
    }
  }
}

function must(fault: string): void {
  if (fault !== 'NONE') throw new Error(fault)
}

const seeds = process.env.SEED === undefined ? Array.from({ length: SEED_COUNT }, (_, at) => at + 1) : [Number(process.env.SEED)]

/** One life with CUT_COUNT power cuts: what went wrong, in words, and how many transactions were committed. */
async function live(seed: number, disk: Partial<SimDiskOptions> = {}): Promise<{ violations: string[]; committed: number }> {
  const run = new Run(seed, disk)
  const violations: string[] = []
  let committed = 0
  try {
    await run.open()
    for (let cut = 0; cut < CUT_COUNT; cut++) {
      run.produce().catch((error: unknown) => violations.push(`a call failed: ${String(error)}`))
      await run.machine.run(run.machine.prng.between(1, 400))
      run.cut()
      await run.open()
      const { position } = run
      const expected = Array.from({ length: position }, (_, at) => `${at}`).join()
      if (position < run.acknowledged) violations.push(`position ${position}, acknowledged ${run.acknowledged}`)
      // what was open at the cut is still open: fence it, so that everything in front of it can be read
      await run.machine.settle(run.broker.transactions.initProducer({ transactionalId: ID, timeoutMs: 60_000, expected: null }))
      for (let index = 0; index < PARTITION_COUNT; index++) {
        const values = (await run.read(index)).join()
        if (values !== expected) violations.push(`partition ${index}, position ${position}: ${values}`)
      }
    }
    committed = run.position
    run.cut()
  } catch (error) {
    violations.push(`the life ended: ${String(error)}`)
  }
  return { violations, committed }
}

t.test('the committed position and the committed events agree after every power cut', async (t) => {
  let committed = 0
  for (const seed of seeds) {
    const life = await live(seed)
    t.same(life.violations, [], `SEED=${seed}`)
    committed += life.committed
  }
  t.ok(committed > seeds.length, 'the runs did something')
  t.comment(`${committed} transactions committed in ${seeds.length} runs of ${CUT_COUNT} power cuts`)
})

t.test('a disk that skips syncs is caught (canary of the rig)', async (t) => {
  const lives = await Promise.all([1, 2, 3].map((seed) => live(seed, { lie: 'sync-skipped' })))
  t.ok(lives.some(({ violations }) => violations.length > 0))
})
