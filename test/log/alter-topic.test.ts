// Proves: what a client alters of a topic holds when it is durable and not before, also through cuts; what the store refuses changes nothing; new partitions
// are there with their topic or not at all. How: the simulated disk, cut at every moment of an alteration.

import t from 'tap'
import type { WadiError } from '../../runtime/base/errors.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { appendText, readAll, SimMachine, textOf } from '../helpers/sim-store.ts'

const codeOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'no error',
    (error: WadiError) => error.code
  )

t.test('what the next start would not read is refused', async (t) => {
  const machine = new SimMachine(2)
  const store = await machine.open()
  await machine.settle(store.createTopic('a', { isForwarded: false }))
  for (const config of [{ retentionMs: -1 }, { quotaBytes: Number.NaN }, { segmentBytes: Number.POSITIVE_INFINITY }]) {
    t.equal(await codeOf(machine.settle(store.alterTopic('a', config))), 'WADI_TOPIC_INVALID', JSON.stringify(config))
    t.equal(await codeOf(machine.settle(store.createTopic('b', config))), 'WADI_TOPIC_INVALID')
  }
  machine.kill()
  const again = await machine.open()
  t.same([...again.topics.keys()], ['a'])
  await machine.settle(again.close())
})

t.test('a store without room refuses, and nothing has changed; of the configuration it holds at once', async (t) => {
  const machine = new SimMachine(1)
  const store = await machine.open()
  await machine.settle(store.createTopic('a', { isForwarded: false }))
  const config = () => store.topics.get('a')?.config
  machine.disk.capacityBytes = machine.disk.usedBytes
  // The journal is full of what nothing can be sealed for.
  for (let at = 0; at < 2_000 && store.failure === null; at++) {
    const code = await codeOf(machine.settle(appendText(store, store.topics.get('a')?.partitions[0] as Partition, 'x'.repeat(2_000))))
    if (code !== 'no error') break
  }
  t.equal(await codeOf(machine.settle(store.alterTopic('a', { retentionMs: 5, partitionCount: 3 }))), 'WADI_DISK_FULL')
  t.match(config(), { retentionMs: 7 * 86_400_000, partitionCount: 1 })
  t.equal(
    await codeOf(machine.settle(store.alterTopic('a', { retentionMs: 5, partitionCount: 3 }, { holds: 'at once' }))),
    'WADI_DISK_FULL'
  )
  t.match(config(), { retentionMs: 5, partitionCount: 1 }, 'it may be what makes room')
  machine.disk.capacityBytes = Number.MAX_SAFE_INTEGER
  machine.kill()
  const again = await machine.open()
  t.match(again.topics.get('a')?.config, { retentionMs: 7 * 86_400_000, partitionCount: 1 })
  await machine.settle(again.close())
})

/** Each step alters all of it: one partition more, and settings that name the step. */
class Alterations {
  readonly #acknowledged = new Set<string>()
  #answered = 1
  /** What the topic showed when it was cut. */
  #seen = 1

  /** Alters on and on, until a cut. */
  async work(store: LogStore): Promise<void> {
    for (let next = stepOf(store) + 1; ; next++) {
      await store.alterTopic('a', { partitionCount: next, retentionMs: null, segmentBytes: next, given: { 'flush.ms': `${next}` } })
      this.#answered = next
      await appendText(store, store.topics.get('a')?.partitions[next - 1] as Partition, `first of ${next}`)
      this.#acknowledged.add(`first of ${next}`)
    }
  }

  onCut(store: LogStore): void {
    this.#seen = stepOf(store)
  }

  /** @returns what is wrong behind a cut */
  async faultOf(machine: SimMachine, store: LogStore): Promise<string | null> {
    const topic = store.topics.get('a')
    const step = stepOf(store)
    if (step < Math.max(this.#answered, this.#seen)) return `step ${step}, ${this.#answered} was answered, ${this.#seen} seen`
    if (topic?.partitions.length !== step) return `${topic?.partitions.length} partitions at step ${step}`
    const { retentionMs, segmentBytes } = topic.config
    if (step > 1 && (retentionMs !== null || segmentBytes !== step)) return `of step ${step} there is ${retentionMs}, ${segmentBytes}`
    const there = new Set<string>()
    for (const partition of topic.partitions) for (const record of await machine.settle(readAll(partition))) there.add(textOf(record))
    return [...this.#acknowledged].find((text) => !there.has(text)) ?? null
  }
}

const stepOf = (store: LogStore): number => Number(store.topics.get('a')?.config.given['flush.ms'] ?? 1)

const SEEDS = 16

t.test(`a cut at any moment of alterations, ${SEEDS} runs: what was answered holds, and what is seen is durable`, async (t) => {
  let grown = 0
  for (let seed = 1; seed <= SEEDS; seed++) {
    const machine = new SimMachine(seed)
    const alterations = new Alterations()
    for (let life = 0; life < 3; life++) {
      const store = await machine.open()
      if (!store.topics.has('a')) await machine.settle(store.createTopic('a', { isForwarded: false }))
      const fault = await alterations.faultOf(machine, store)
      if (fault !== null) t.fail(`seed ${seed}, life ${life}: ${fault}`)
      grown = Math.max(grown, stepOf(store))
      void alterations.work(store).catch(() => undefined)
      await machine.run(machine.prng.between(1, 120))
      alterations.onCut(store)
      if (machine.prng.chance(50)) machine.powerCut()
      else machine.kill()
    }
  }
  t.ok(grown > 5, `up to ${grown} partitions`)
})
