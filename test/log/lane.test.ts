// Proves that appends of the fast lane are appends like others: beside records, batches and requests of the same commits they get the offsets in the order in
// which they were taken, survive a kill, and end with their topic. Canaries: the same with a lane that keeps what it should let go of.

import t from 'tap'
import type { Core } from '../../runtime/core/core.ts'
import type { Topic } from '../../runtime/log/contract.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { loadTestCore } from '../helpers/core.ts'
import { event, readAll, SimMachine, textOf } from '../helpers/sim-store.ts'
import { appendAllByLane } from '../sim/lane-append.ts'
import { withMembers } from '../sim/with-members.ts'

interface Taken {
  readonly value: string
  readonly partitionIndex: number
  offset: number | null
}

/** Appends of all kinds, many in one turn, so that they share commits. */
async function appendAll(machine: SimMachine, store: LogStore, core: Core, topic: Topic): Promise<{ taken: Taken[]; byLane: number }> {
  const { prng } = machine
  const taken: Taken[] = []
  let byLane = 0
  for (let round = 0; round < 40; round++) {
    const waiting: Promise<unknown>[] = []
    for (let count = prng.between(1, 12); count > 0; count--) {
      const partition = topic.partitions[prng.below(topic.partitions.length)]
      if (!partition) throw new Error('no partition')
      const { partitionIndex } = partition
      const newOne = (): Taken => {
        const one: Taken = { value: `v${taken.length}`.padEnd(prng.pick([1, 1, 400]), '.'), partitionIndex, offset: null }
        taken.push(one)
        return one
      }
      const common = { topic, partition, deviceName: `d${prng.below(2)}`, timestampMs: 1_700_000_000_000 }
      waiting.push(
        new Promise<void>((resolve, reject) => {
          const doneOf =
            (ones: readonly Taken[]) =>
            (error: Error | null, last: number): void => {
              for (const [index, one] of ones.entries()) one.offset = last - (ones.length - 1 - index)
              if (error) reject(error)
              else resolve()
            }
          if (prng.chance(60)) {
            const wanted = Array.from({ length: prng.pick([1, 1, 3, 30]) }, newOne)
            let ones: readonly Taken[] = []
            const count = appendAllByLane(core, store.lane, { ...common, values: wanted.map(({ value }) => value) }, (error, last) =>
              doneOf(ones)(error, last)
            )
            ones = wanted.slice(0, count)
            taken.splice(taken.length - (wanted.length - count))
            byLane += count
            if (count > 0) return
          }
          const one = newOne()
          const done = doneOf([one])
          if (prng.chance(50)) return store.append(partition, event(one.value), done)
          const batch = core.buildBatch([event(one.value)], { baseOffset: 0 })
          store.submit([{ partition, content: { batch, recordCount: 1 } }], [], (error, [offset]) => done(error, offset ?? -1))
        })
      )
    }
    await machine.settle(Promise.all(waiting))
  }
  return { taken, byLane }
}

async function problemsOf(seed: number, wrapCore: (core: Core) => Core = (core) => core): Promise<{ problems: string[]; byLane: number }> {
  const core = wrapCore(loadTestCore('release'))
  const machine = new SimMachine(seed, { core: () => core })
  const store = await machine.open()
  const topic = await machine.settle(store.createTopic('events', { partitionCount: 3, codec: 'none' }))
  const problems: string[] = []
  let byLane = 0
  try {
    const appended = await appendAll(machine, store, core, topic)
    byLane = appended.byLane
    for (const isReopened of [false, true]) {
      if (isReopened) machine.kill()
      const now = isReopened ? await machine.open() : store
      for (const partition of now.topics.get('events')?.partitions ?? []) {
        const records = await machine.settle(readAll(partition))
        const found = records
          .map((record) => ({ offset: record.offset, value: textOf(record) }))
          .map(({ offset, value }) => `${offset} ${value}`)
        const wanted = appended.taken.filter(({ partitionIndex }) => partitionIndex === partition.partitionIndex)
        const expected = wanted.map(({ value }, offset) => `${offset} ${value}`)
        const answered = wanted.map(({ value, offset }) => `${offset} ${value}`)
        if (found.join() !== expected.join())
          problems.push(`partition ${partition.partitionIndex}: ${found.join()} instead of ${expected.join()}`)
        if (answered.join() !== expected.join()) problems.push(`partition ${partition.partitionIndex}: answered ${answered.join()}`)
      }
    }
  } catch (error) {
    problems.push(String(error))
  }
  machine.kill()
  return { problems, byLane }
}

t.test('among other appends', async (t) => {
  let byLane = 0
  for (let seed = 1; seed <= 25; seed++) {
    const found = await problemsOf(seed)
    t.same(found.problems, [], `seed ${seed}`)
    byLane += found.byLane
  }
  t.ok(byLane > 2_000, 'most of them')
})

t.test('canary: a batch stays open behind what others append', async (t) => {
  const stays = (core: Core): Core => withMembers(core, { lane: withMembers(core.lane, { closePart: () => undefined }) })
  t.not((await problemsOf(1, stays)).problems.length, 0)
})
