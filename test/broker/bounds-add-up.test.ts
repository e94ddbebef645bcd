// Proves that what the bounds of the broker count is what there is: after random transactions, commits, refusals of the store, closes and restarts, once
// everything has ended and expired, there is as much room as in a new broker, and nothing of it is left in the state.

import t from 'tap'
import type { ProducerIdentity } from '../../runtime/broker/transactions.ts'
import { Prng, seeds } from '../sim/prng.ts'
import { NOW_MS, Rig } from './rig.ts'

const DAY_MS = 86_400_000
const PARTITIONS = 6
const bounds = { offsetBytesMax: 20_000, transactionalIdCountMax: 12, transactionBytesMax: 12_000, producerCountMax: 20 }
const AREAS = ['txn', 'txn-offsets', 'txn-abort', 'offsets', 'producer']

interface Client extends ProducerIdentity {
  readonly sequences: Map<number, number>
}

function offsetOf(groupId: string, partitionIndex = 0, metadata = '') {
  return { groupId, topicName: 'a', partitionIndex, offset: 1, leaderEpoch: -1, metadata }
}

const run = (rig: Rig, durationMs: number): Promise<void> => rig.clock.run({ untilMs: rig.clock.monotonicMs() + durationMs })

/** How often `take` succeeds. */
async function countOf(take: (at: number) => Promise<boolean>): Promise<number> {
  let count = 0
  while (count < 1_000 && (await take(count))) count++
  return count
}

/** How many more offsets, transactional ids, and groups of one transaction there is room for. */
async function roomOf({ broker: { committedOffsets, transactions } }: Rig) {
  const init = (transactionalId: string) => transactions.initProducer({ transactionalId, timeoutMs: 60_000, expected: null })
  const name = (at: number): string => String(at).padStart(8, '0')
  const offsets = await countOf((at) =>
    committedOffsets.commit([offsetOf(name(at))]).then(
      () => true,
      () => false
    )
  )
  const ids = await countOf(async (at) => (await init(name(at))).fault === 'NONE')
  const who = await init(name(0))
  const groups = await countOf(async (at) => (await transactions.addGroup(name(0), who, name(at))) === 'NONE')
  return { offsets, ids, groups }
}

class World {
  readonly rig = new Rig(bounds)
  readonly #prng: Prng
  readonly #clients = new Map<string, Client>()
  #jobs: Promise<unknown>[] = []

  constructor(seed: number) {
    this.#prng = new Prng(seed)
  }

  async live(): Promise<void> {
    const { rig } = this
    await rig.topic('a', PARTITIONS)
    for (let steps = 0; steps < 200; steps++) {
      if (this.#prng.chance(15)) rig.store.failNext(this.#prng.pick(['WADI_DISK_FULL', 'WADI_BUSY']))
      if (this.#prng.chance(10)) rig.store.hold()
      this.#jobs.push(this.#ask())
      if (this.#prng.chance(10)) await run(rig, this.#prng.pick([10, 3_000, 700_000]))
      if (this.#prng.chance(1)) await this.#restart()
      await run(rig, 1)
      if (this.#prng.chance(30)) rig.store.release()
    }
    rig.store.release()
    await run(rig, 5)
    await Promise.all(this.#jobs)
    if (this.#prng.chance(20)) await this.#restart()
    await run(rig, 16 * DAY_MS)
  }

  async #restart(): Promise<void> {
    this.rig.store.release()
    await run(this.rig, 5)
    this.rig.restart()
    this.#jobs = []
  }

  #place(): number {
    return this.#prng.between(0, PARTITIONS - 1)
  }

  #group(): string {
    return `g${this.#prng.between(0, 1)}`
  }

  #text(lengthMax: number): string {
    return 'm'.repeat(this.#prng.between(0, lengthMax))
  }

  async #ask(): Promise<unknown> {
    const { transactions, committedOffsets } = this.rig.broker
    const id = `t${this.#prng.between(0, 14)}`
    const client = this.#clients.get(id)
    if (!client || this.#prng.chance(10)) return this.#init(id)
    switch (this.#prng.between(0, 6)) {
      case 0:
      case 1:
        return transactions.addPartitions(id, client, [this.rig.partition('a', this.#place()), this.rig.partition('a', this.#place())])
      case 2:
        return transactions.addGroup(id, client, this.#group())
      case 3: {
        const offsets = Array.from({ length: this.#prng.between(0, 4) }, () => offsetOf(this.#group(), this.#place(), this.#text(800)))
        return transactions.addOffsets(id, client, this.#group(), offsets)
      }
      case 4:
        return transactions.end(id, client, this.#prng.pick(['commit', 'abort']))
      case 5:
        return this.#write(client, this.#place())
      default: {
        const offset = offsetOf(`p${this.#prng.between(0, 40)}`, this.#place(), this.#text(400))
        return committedOffsets.commit([offset]).catch(() => undefined)
      }
    }
  }

  async #init(transactionalId: string): Promise<void> {
    const timeoutMs = this.#prng.pick([5_000, 60_000])
    const answer = await this.rig.broker.transactions.initProducer({ transactionalId, timeoutMs, expected: null })
    if (answer.fault === 'NONE') this.#clients.set(transactionalId, { ...answer, sequences: new Map() })
  }

  async #write(client: Client, partitionIndex: number): Promise<void> {
    const { producerId, producerEpoch, sequences } = client
    const baseSequence = sequences.get(partitionIndex) ?? 0
    const batch = this.rig.batch(['v'], { producerId, producerEpoch, baseSequence, isTransactional: true }, NOW_MS)
    if ((await this.rig.append('a', batch, partitionIndex)).fault === 'NONE') sequences.set(partitionIndex, baseSequence + 1)
  }
}

t.test('in the end there is as much room as in the beginning', async (t) => {
  const fresh = new Rig(bounds)
  await fresh.topic('a', PARTITIONS)
  const room = await roomOf(fresh)
  t.ok(Object.values(room).every((count) => count > 5 && count < 200))
  for (const seed of seeds({ count: 12 })) {
    const world = new World(seed)
    await world.live()
    const left = AREAS.filter((area) => world.rig.store.listState(`${area}/`).length > 0)
    t.same([left, world.rig.broker.producers.producerCount], [[], 0], `seed ${seed}: nothing is left`)
    t.same(await roomOf(world.rig), room, `seed ${seed}: the room`)
  }
})
