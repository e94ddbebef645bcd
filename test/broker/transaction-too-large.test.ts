// Proves for runtime/broker/transactions.ts: a transaction whose end does not fit one commit, because an older version let it grow or because
// commits became smaller, ends by abort over several commits. What readers see is that nothing of it ever was, whatever is cut in between; and
// once the abort is decided it cannot be committed.

import t from 'tap'
import { WadiError } from '../../runtime/base/errors.ts'
import { type Broker, openBroker } from '../../runtime/broker/broker.ts'
import { ABORT_AGAIN_MS, type ProducerIdentity } from '../../runtime/broker/transactions.ts'
import type { StateChange } from '../../runtime/log/contract.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { KIB } from '../../runtime/log/settings.ts'
import { loadTestCore } from '../helpers/core.ts'
import { SimMachine, textOf } from '../helpers/sim-store.ts'
import { Prng, seeds } from '../sim/prng.ts'
import { simCodec } from '../sim/sim-codec.ts'
import { withMembers } from '../sim/with-members.ts'

t.setTimeout(300_000)

const core = loadTestCore()
const PARTITIONS = 40
const TIMEOUT_MS = 60_000
const largeCommits = { commitBytesMax: 120 * KIB, batchBytesMax: 8 * KIB }
const smallCommits = { commitBytesMax: 8 * KIB, batchBytesMax: 4 * KIB }

interface Life {
  readonly machine: SimMachine
  readonly store: LogStore
  readonly broker: Broker
}

async function live(machine: SimMachine, forgets: Mutation = () => false): Promise<Life> {
  const store = mutated(await machine.open(), forgets)
  return { machine, store, broker: openBroker({ store, core, clock: machine.clock, random: new Prng(1), codec: simCodec }) }
}

function die({ machine, broker }: Life, kind: 'kill' | 'powerCut'): void {
  broker.close()
  machine[kind]()
}

const append = ({ machine, broker }: Life, partitionIndex: number, text: string, producer?: ProducerIdentity) => {
  const record = { timestampMs: 1_700_000_000_000, key: null, value: new TextEncoder().encode(text), headers: [] }
  const records = core.buildBatch([record], {
    baseOffset: 0,
    ...(producer && { producer: { ...producer, baseSequence: 0, isTransactional: true } })
  })
  const options = { isZstdAllowed: true, hasTransactionalId: producer !== undefined }
  return machine.settle(broker.appends.append([{ topicName: 'telemetry', partitionIndex, records }], options))
}

/** A transaction that was taken when a commit could hold its end, left open by a kill; now commits are smaller. */
async function leaveOpen(seed: number, content: 'partitions' | 'offsets') {
  const machine = new SimMachine(seed, { settings: { journalFileBytes: 256 * KIB, ...largeCommits } })
  const life = await live(machine)
  const { partitions } = await machine.settle(life.store.createTopic('telemetry', { partitionCount: PARTITIONS }))
  const { transactions } = life.broker
  const producer = await machine.settle(transactions.initProducer({ transactionalId: 't', timeoutMs: TIMEOUT_MS, expected: null }))
  const added = content === 'partitions' ? partitions : partitions.slice(0, 2)
  await machine.settle(transactions.addPartitions('t', producer, added))
  await machine.settle(transactions.addGroup('t', producer, 'g'))
  for (let at = 0; at < (content === 'offsets' ? 30 : 1); at++) {
    const offset = { groupId: 'g', topicName: 'telemetry', partitionIndex: at, offset: at, leaderEpoch: -1, metadata: 'm'.repeat(1500) }
    await machine.settle(transactions.addOffsets('t', producer, 'g', [offset]))
  }
  // Nothing is written to the last one.
  for (const { partitionIndex } of added.slice(0, -1)) {
    await append(life, partitionIndex, 'of the transaction', producer)
    await append(life, partitionIndex, 'behind it')
  }
  die(life, 'kill')
  Object.assign(machine.settings, smallCommits)
  return { machine, producer, written: added.length - 1 }
}

/** What a reader of committed data sees in each partition. */
async function committed({ machine, store }: Life): Promise<string[][]> {
  const seen: string[][] = []
  for (const partition of store.topics.get('telemetry')?.partitions ?? []) {
    const texts: string[] = []
    for (let offset = partition.logStartOffset; offset < partition.lastStableOffset; ) {
      const { batches, nextOffset } = await machine.settle(partition.readCommitted(offset, { bytesMax: KIB }))
      for (const { bytes: batch } of batches) texts.push(...core.readRecords(batch).map(textOf))
      offset = nextOffset
    }
    seen.push(texts)
  }
  return seen
}

/** What is wrong once it has ended; nothing was written to the partitions from `written` on. */
async function wrongWith(life: Life, written: number): Promise<string[]> {
  const { store, broker } = life
  const partitions = store.topics.get('telemetry')?.partitions ?? []
  const seen = await committed(life)
  const left = [...store.listState('txn-offsets/'), ...store.listState('txn-abort/')]
  return [
    ...partitions.flatMap(({ lastStableOffset, highWatermark, partitionIndex }) =>
      lastStableOffset === highWatermark ? [] : [`${partitionIndex}: a reader stops at ${lastStableOffset} of ${highWatermark}`]
    ),
    ...seen.flatMap((texts, at) => (String(texts) === (at < written ? 'behind it' : '') ? [] : [`${at}: a reader sees ${texts}`])),
    ...(broker.transactions.openCount === 0 ? [] : ['it is open']),
    ...(broker.committedOffsets.find('g', { topicName: 'telemetry', partitionIndex: 0 }) ? ['its offsets are committed'] : []),
    ...(broker.transactions.hasPendingOffsets('g') ? ['its offsets are pending'] : []),
    ...(left.length === 0 ? [] : [`${left} is left in the state`])
  ]
}

for (const content of ['partitions', 'offsets'] as const) {
  t.test(`too many ${content} for one commit: it ends by abort`, async (t) => {
    const { machine, producer, written } = await leaveOpen(1, content)
    let life = await live(machine)
    t.equal(await machine.settle(life.broker.transactions.end('t', producer, 'commit')), 'POLICY_VIOLATION', 'it cannot be committed')
    t.equal(life.broker.transactions.openCount, 1)
    t.equal(await machine.settle(life.broker.transactions.end('t', producer, 'abort')), 'NONE')
    t.equal(await machine.settle(life.broker.transactions.end('t', producer, 'abort')), 'NONE', 'as often as it is asked')
    t.same(await wrongWith(life, written), [])
    const { partitions } = life.store.topics.get('telemetry') ?? { partitions: [] }
    t.equal(await machine.settle(life.broker.transactions.addPartitions('t', producer, partitions.slice(0, 2))), 'NONE', 'the next begins')
    t.equal(await machine.settle(life.broker.transactions.end('t', producer, 'commit')), 'NONE')
    die(life, 'powerCut')
    life = await live(machine)
    t.same(await wrongWith(life, written), [], 'after a start')
    die(life, 'kill')
  })

  t.test(`too many ${content}: it ends when nobody ends it in time, and by another producer of the id`, async (t) => {
    for (const by of ['time', 'init'] as const) {
      const { machine, producer, written } = await leaveOpen(2, content)
      const life = await live(machine)
      const { transactions } = life.broker
      if (by === 'time') await machine.run(2 * TIMEOUT_MS)
      else await machine.settle(transactions.initProducer({ transactionalId: 't', timeoutMs: TIMEOUT_MS, expected: null }))
      t.same(await wrongWith(life, written), [], by)
      t.equal(await machine.settle(transactions.end('t', producer, 'commit')), 'PRODUCER_FENCED')
      die(life, 'kill')
    }
  })
}

/** The store forgets to write changes of these keys. */
type Mutation = (key: string) => boolean

function mutated(store: LogStore, forgets: Mutation): LogStore {
  const filtered = (changes: readonly StateChange[]): StateChange[] => changes.filter(({ key }) => !forgets(key))
  const commit: LogStore['commit'] = (appends, state) =>
    store.commit(appends, typeof state === 'function' ? (offsets) => filtered(state(offsets)) : filtered(state))
  return withMembers(store, { commit })
}

t.test('a decided abort that the store refused midway goes on soon, without anybody asking', async (t) => {
  const { machine, producer, written } = await leaveOpen(3, 'partitions')
  const open = await machine.open()
  let markersLeft = 1
  const full = new WadiError('WADI_DISK_FULL', { happened: 'The test said so.', kept: 'Nothing was written.', next: 'Nothing to do.' })
  const commit: LogStore['commit'] = (appends, state) =>
    appends.length > 0 && markersLeft-- <= 0 ? Promise.reject(full) : open.commit(appends, state)
  const store = withMembers(open, { commit })
  const life = { machine, store, broker: openBroker({ store, core, clock: machine.clock, random: new Prng(1), codec: simCodec }) }
  t.equal(await machine.settle(life.broker.transactions.end('t', producer, 'abort')), 'COORDINATOR_NOT_AVAILABLE')
  t.equal(life.broker.transactions.openCount, 1)
  await machine.run(2 * ABORT_AGAIN_MS)
  t.equal(life.broker.transactions.openCount, 1, 'refused again')
  markersLeft = Number.POSITIVE_INFINITY
  await machine.run(2 * ABORT_AGAIN_MS)
  t.same(await wrongWith(life, written), [])
  die(life, 'kill')
})

/** Asks for the abort, or does not, and cuts the power, several times: what went wrong, and how often it was cut within an abort. */
async function cutAndEnd(seed: number, forgets?: Mutation): Promise<{ wrong: string[]; cutWithin: number }> {
  const prng = new Prng(seed ^ 0x61626f72)
  const { machine, producer, written } = await leaveOpen(seed, prng.pick(['partitions', 'offsets']))
  const wrong: string[] = []
  let cutWithin = 0
  let life = await live(machine, forgets)
  const markersOf = ({ store }: Life): number =>
    (store.topics.get('telemetry')?.partitions ?? []).filter(({ highWatermark }) => highWatermark % 2 === 1).length
  for (let cuts = prng.between(1, 4); cuts > 0; cuts--) {
    if (prng.chance(60)) void life.broker.transactions.end('t', producer, 'abort').catch(() => undefined)
    await machine.run(prng.fraction() * 25)
    die(life, prng.pick(['powerCut', 'powerCut', 'kill']))
    // Commits may become as large as they were.
    Object.assign(machine.settings, prng.chance(50) ? largeCommits : smallCommits)
    life = await live(machine, forgets)
    const isBegun = markersOf(life) > 0 && life.broker.transactions.openCount > 0
    if (isBegun) cutWithin++
    if ((await committed(life)).flat().includes('of the transaction')) wrong.push('a reader sees events of it')
    if (isBegun && prng.chance(50) && (await machine.settle(life.broker.transactions.end('t', producer, 'commit'))) === 'NONE')
      wrong.push('an abort that has begun is committed')
  }
  await machine.settle(life.broker.transactions.end('t', producer, 'abort'))
  wrong.push(...(await wrongWith(life, written)))
  die(life, 'powerCut')
  life = await live(machine, forgets)
  wrong.push(...(await wrongWith(life, written)).map((text) => `after a start: ${text}`))
  die(life, 'kill')
  return { wrong, cutWithin }
}

t.test('power cuts while the abort is written: a start completes it, and it is never committed', async (t) => {
  let cutWithin = 0
  for (const seed of seeds({ count: 30 })) {
    const result = await cutAndEnd(seed)
    cutWithin += result.cutWithin
    t.same(result.wrong, [], `seed ${seed}`)
  }
  if (process.env.SEED === undefined) t.ok(cutWithin > 5, `${cutWithin} starts found an abort that had begun`)
})

const canaries: Record<string, Mutation> = {
  'the decision is not durable': (key) => key.startsWith('txn-abort/'),
  'a marker goes without the note of what it aborts': (key) => key.startsWith('aborted/')
}

for (const [name, forgets] of Object.entries(canaries)) {
  t.test(`caught: ${name}`, async (t) => {
    let seed = 1
    while (seed <= 40 && (await cutAndEnd(seed, forgets)).wrong.length === 0) seed++
    t.ok(seed <= 40, 'no seed noticed')
  })
}
