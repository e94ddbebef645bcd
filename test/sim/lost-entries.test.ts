// Proves that the books of a lost topic entry follow what a power cut may take, and nothing else: the last commit of a killed process, of which nobody was
// told. What was acknowledged stays in them, and so does what a start has found, or the check would pass a gateway that counts too little.

import t from 'tap'
import type { Partition } from '../../runtime/log/contract.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, readAll, SimMachine } from '../helpers/sim-store.ts'
import { Ledger, type SimEvent } from './ledger.ts'
import { LostEntries } from './lost-entries.ts'

const DURABLE = 3
const CUTS = 8

interface Life {
  readonly machine: SimMachine
  readonly entries: LostEntries
  readonly reached: string[]
}

/** Three events are durable and acknowledged, a fourth is in the page cache only; the process was killed, and the entry of its topic is rotten. */
async function killed(seed: number, { isLastTold }: { isLastTold: boolean }): Promise<Life> {
  const machine = new SimMachine(seed)
  const ledger = new Ledger()
  const reached: string[] = []
  const entries = new LostEntries(seed, {
    ...machine,
    ledger,
    topicNames: ['plant'],
    isCalm: () => false,
    crash: () => undefined,
    count: (what) => reached.push(what),
    hasDelivered: () => false,
    mayForgetPositions: () => false,
    forgetPositions: () => undefined
  })
  const store = await machine.open()
  const partition = (await machine.settle(store.createTopic('plant', { codec: 'none' }))).partitions[0] as Partition
  for (let number = 0; number <= DURABLE; number++) {
    const isLast = number === DURABLE
    machine.disk.lie = isLast ? 'sync-skipped' : 'none'
    const offset = await machine.settle(appendText(store, partition, `event ${number}`))
    const event: SimEvent = {
      id: `d:${number}`,
      device: 'd',
      number,
      value: `event ${number}`,
      partitionKey: 'plant/0',
      attempts: 1,
      isAcked: false
    }
    if (!isLast || isLastTold) ledger.onAcked(event, offset)
  }
  machine.disk.lie = 'none'
  machine.kill()
  entries.betweenLives(loadTestCore())
  t.ok(entries.isLost)
  return { machine, entries, reached }
}

/** What the world does at a start. @returns what the books say against its counts, and what it counts */
async function start({ machine, entries }: Life): Promise<{ wrong: string | null; counted: number }> {
  entries.betweenLives(loadTestCore())
  const store = await machine.open()
  const topic = store.topics.get('plant') ?? (await machine.settle(store.createTopic('plant', { codec: 'none' })))
  const partition = topic.partitions[0] as Partition
  t.equal(entries.onStarted(store), null)
  const records = await machine.settle(readAll(partition))
  entries.silentIn(partition, { start: partition.logStartOffset, end: partition.highWatermark, records, silent: new Set() })
  return { wrong: entries.wrongCount(store), counted: store.metrics.lostRecords }
}

t.test('what nobody was told of, and a power cut takes before a start has it, need not be counted', async (t) => {
  const counts = new Set<number>()
  for (let seed = 0; seed < CUTS; seed++) {
    const life = await killed(seed, { isLastTold: false })
    life.machine.powerCut()
    const { wrong, counted } = await start(life)
    t.equal(wrong, null, `seed ${seed}`)
    t.equal(life.reached.includes('unanswered-commit-vanished'), counted === DURABLE)
    counts.add(counted)
  }
  t.same([...counts].sort(), [DURABLE, DURABLE + 1], 'the power took it, and left it')
})

t.test('what was acknowledged and vanishes is missed', async (t) => {
  let missed = 0
  for (let seed = 0; seed < CUTS; seed++) {
    const life = await killed(seed, { isLastTold: true })
    life.machine.powerCut()
    const { wrong, counted } = await start(life)
    t.equal(wrong === null, counted === DURABLE + 1, `seed ${seed}`)
    if (wrong !== null) missed++
  }
  t.ok(missed > 0)
})

t.test('what a start has found is counted from then on, whatever the power takes', async (t) => {
  for (let seed = 0; seed < CUTS; seed++) {
    const life = await killed(seed, { isLastTold: false })
    for (const stop of ['power', 'kill', 'power']) {
      const { wrong, counted } = await start(life)
      t.equal(counted, DURABLE + 1)
      t.equal(wrong, null, `seed ${seed}`)
      if (stop === 'power') life.machine.powerCut()
      else life.machine.kill()
    }
    t.same(life.reached, ['topic-entry-lost'])
  }
})

t.test('a store that counts one less than was durable is wrong, also when the power took what nobody was told of', async (t) => {
  for (let seed = 0; seed < CUTS; seed++) {
    const life = await killed(seed, { isLastTold: false })
    life.machine.powerCut()
    const { counted } = await start(life)
    const metrics = { removals: [{ topicName: 'plant', reason: 'damage', records: counted - 1, isLoss: true }] }
    t.match(life.entries.wrongCount({ metrics } as unknown as LogStore), /are counted as lost with their topic/)
  }
})
