// Proves for compaction: whatever is cut off in the middle of it, the newest committed record of each key is read, every record that is read is the one that was
// written at its offset, no range of offsets looks damaged, and nothing goes that the centre is still to get; and that it does make the log smaller.
// How: random records of few keys, also of producers and transactions, on the simulated disk; kills and power cuts at any moment; a model of what each
// reader may see, asked after each start and beside the passes.

import t from 'tap'
import { toOffset } from '../../runtime/base/offset.ts'
import { CONTROL_BIT, TRANSACTIONAL_BIT } from '../../runtime/core/batch-header.ts'
import type { Core, KeyMap } from '../../runtime/core/core.ts'
import type { RecordInput } from '../../runtime/core/record.ts'
import { readBatchRecords } from '../../runtime/log/batch-codec.ts'
import type { AbortedTransaction, Append, Partition, StateChange, TopicConfig } from '../../runtime/log/contract.ts'
import { verifyDirectory } from '../../runtime/log/inspect.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { KIB } from '../../runtime/log/settings.ts'
import { abortedTransactions } from '../../runtime/log/transaction-index.ts'
import { loadTestCore } from '../helpers/core.ts'
import { SimMachine } from '../helpers/sim-store.ts'
import { oracleBatch } from '../oracle/batch.ts'
import { simCodec } from '../sim/sim-codec.ts'

const core = loadTestCore()
const settings = {
  segmentBytes: 4 * KIB,
  indexIntervalBytes: 256,
  sealBytes: 2 * KIB,
  batchBytesMax: 4 * KIB,
  compactionBytesPerSecond: 16 * KIB
}
const TOMBSTONES_MS = 2_000
const COMPACTED: Partial<TopicConfig> = {
  isForwarded: false,
  cleanup: 'compact',
  given: { 'min.cleanable.dirty.ratio': '0.01', 'delete.retention.ms': `${TOMBSTONES_MS}` }
}

type Fail = (problem: string) => void

interface Written {
  readonly key: string | null
  /** null deletes the key. */
  readonly value: string | null
  readonly isAborted: boolean
}

const bytesOf = (text: string | null): Uint8Array | null => (text === null ? null : Buffer.from(text))
const textOf = (bytes: Uint8Array | null): string | null => (bytes === null ? null : Buffer.from(bytes).toString())
const inputOf = ({ key, value }: Pick<Written, 'key' | 'value'>): RecordInput => ({
  timestampMs: 1_700_000_000_000,
  key: bytesOf(key),
  value: bytesOf(value),
  headers: []
})

/** Every record that readers of committed data get, by offset; fails where something is missing. */
async function readCommitted(partition: Partition, { end, bytesMax }: { end: number; bytesMax: number }): Promise<Map<number, Written>> {
  const found = new Map<number, Written>()
  for (let offset = partition.logStartOffset; offset < end; ) {
    const { batches, nextOffset, missing } = await partition.readCommitted(offset, { bytesMax })
    if (missing.length > 0)
      throw new Error(`offsets ${missing.map(({ startOffset, endOffset }) => `${startOffset} to ${endOffset}`)} are missing`)
    for (const { bytes, header } of batches) {
      const records = await readBatchRecords(core, simCodec, bytes)
      if (!records || records.length === 0 || records.length !== header.recordCount)
        throw new Error(`a batch of ${records?.length} records`)
      for (const one of records)
        if (one.offset >= offset && one.offset < end)
          found.set(one.offset, { key: textOf(one.key), value: textOf(one.value), isAborted: false })
    }
    if (nextOffset <= offset) throw new Error(`reading stands still at ${offset}`)
    offset = nextOffset
  }
  return found
}

/** The same as Kafka's Java consumer reads it, which holds the last offset of a batch against where aborted transactions begin (CompletedFetch.java). */
async function readAsJava(partition: Partition, { end, bytesMax }: { end: number; bytesMax: number }): Promise<number[]> {
  const offsets: number[] = []
  for (let offset = partition.logStartOffset; offset < end; ) {
    const until = partition.lastStableOffset
    const { batches, nextOffset } = await partition.read(offset, { bytesMax })
    const begins = [...partition.abortedBetween(offset, Math.min(nextOffset, until))]
    const aborting = new Set<bigint>()
    for (const { bytes, header } of batches) {
      while (begins[0] && begins[0].firstOffset <= header.lastOffset) aborting.add((begins.shift() as AbortedTransaction).producerId)
      const records = (await readBatchRecords(core, simCodec, bytes)) ?? []
      if ((header.attributes & CONTROL_BIT) !== 0) {
        if (records[0]?.key?.[3] === 0) aborting.delete(header.producerId)
      } else if ((header.attributes & TRANSACTIONAL_BIT) === 0 || !aborting.has(header.producerId))
        offsets.push(...records.map((one) => one.offset).filter((at) => at >= offset && at < end))
    }
    offset = nextOffset
  }
  return offsets
}

/** One log of few keys, over many lives of the machine. */
class CompactedLog {
  readonly machine: SimMachine
  readonly #config: Partial<TopicConfig>
  /** What was written at each offset, as far as that is known. */
  readonly written = new Map<number, Written>()
  acknowledgedEnd = 0
  /** What lies behind it the centre is still to get; 0 for a topic that stays here. */
  delivered = 0
  store!: LogStore
  partition!: Partition
  #producerId = 100n
  #count = 0

  constructor(seed: number, { config = COMPACTED, core }: { config?: Partial<TopicConfig>; core?: () => Core } = {}) {
    this.machine = new SimMachine(seed, { settings, ...(core && { core }) })
    this.#config = config
  }

  deliverSome(): void {
    this.delivered = Math.max(this.delivered, this.machine.prng.between(0, this.acknowledgedEnd))
    this.store.setDelivered(this.partition, toOffset(this.delivered))
  }

  async open(): Promise<void> {
    const { machine } = this
    this.store = await machine.open()
    const topic = this.store.topics.get('state') ?? (await machine.settle(this.store.createTopic('state', this.#config)))
    this.partition = topic.partitions[0] as Partition
  }

  #record(isAborted: boolean): Written {
    const { prng } = this.machine
    const key = prng.chance(1) ? null : prng.chance(15) ? `rare ${prng.below(200)}` : `key ${prng.below(12)}`
    return { key, value: prng.chance(12) ? null : `${this.#count++} ${'x'.repeat(prng.below(150))}`, isAborted }
  }

  /** Resolves when something random is durable. */
  append(): Promise<void> {
    const { prng } = this.machine
    const kind = prng.below(10)
    if (kind < 6)
      return this.write(
        Array.from({ length: prng.between(1, 8) }, () => this.#record(false)),
        'plain'
      )
    const isAborted = kind > 7 && prng.chance(50)
    const records = Array.from({ length: prng.between(1, 6) }, () => this.#record(isAborted))
    return this.write(records, kind > 7 ? 'transaction' : 'idempotent')
  }

  /** Of a transaction either all or none are aborted. Resolves when it is durable. */
  async write(records: readonly Written[], kind: 'plain' | 'idempotent' | 'transaction'): Promise<void> {
    if (kind !== 'plain') return this.#writeBatch(records, kind === 'transaction')
    await Promise.all(
      records.map(
        (one) =>
          new Promise<void>((resolve, reject) =>
            this.store.append(this.partition, inputOf(one), (error, offset) => {
              if (error) return reject(error)
              this.#took(offset, [one])
              resolve()
            })
          )
      )
    )
  }

  async #writeBatch(records: readonly Written[], isTransactional: boolean): Promise<void> {
    const isAborted = records[0]?.isAborted === true
    const producerId = isTransactional ? BigInt(this.machine.prng.below(3)) : this.#producerId++
    const producer = { producerId, producerEpoch: 0, baseSequence: 0, isTransactional }
    const batch = core.buildBatch(records.map(inputOf), { baseOffset: 0, producer })
    const appends: Append[] = [{ partition: this.partition, content: { batch, recordCount: records.length } }]
    if (isTransactional) {
      const key = Uint8Array.of(0, 0, 0, isAborted ? 0 : 1)
      const marker = oracleBatch([{ offset: 0, timestampMs: 1_700_000_000_000, key, value: new Uint8Array(6), headers: [] }], {
        baseOffset: 0,
        producer,
        attributes: 0x30
      })
      appends.push({ partition: this.partition, content: { batch: marker, recordCount: 1 } })
    }
    const state = ([first, markerAt]: readonly number[]): StateChange[] =>
      isAborted
        ? [
            abortedTransactions.put(abortedTransactions.key(this.partition.topicNumber, 0, markerAt as number), {
              producerId: `${producer.producerId}`,
              firstOffset: first as number
            })
          ]
        : []
    const [offset] = await this.store.commit(appends, state)
    this.#took(offset as number, records, isTransactional ? 1 : 0)
  }

  #took(offset: number, records: readonly Written[], markers = 0): void {
    for (const [index, one] of records.entries()) this.written.set(offset + index, one)
    this.acknowledgedEnd = Math.max(this.acknowledgedEnd, offset + records.length + markers)
  }

  /** What is read holds against what was written. `isStart`: what was on its way at the crash may be there too. */
  async check(fail: Fail, isStart = false): Promise<Map<number, Written>> {
    const { partition } = this
    if (partition.highWatermark < this.acknowledgedEnd) fail(`ends at ${partition.highWatermark}, ${this.acknowledgedEnd} acknowledged`)
    const end = isStart ? partition.lastStableOffset : Math.min(partition.lastStableOffset, this.acknowledgedEnd)
    const bytesMax = this.machine.prng.pick([300, 3 * KIB])
    const found = await readCommitted(partition, { end, bytesMax })
    if (isStart) {
      const missed = new Set(await readAsJava(partition, { end, bytesMax }))
      for (const offset of found.keys()) if (!missed.delete(offset)) fail(`Kafka's Java consumer does not see ${offset}`)
      if (missed.size > 0) fail(`Kafka's Java consumer sees ${[...missed]}, which is not committed`)
    }
    const newest = new Map<string, number>()
    for (const [offset, one] of found) {
      if (isStart && offset >= this.acknowledgedEnd) this.written.set(offset, one)
      const known = this.written.get(offset)
      if (!known || known.isAborted || known.key !== one.key || known.value !== one.value) fail(`${offset} is ${JSON.stringify(one)}`)
      if (one.key !== null) newest.set(one.key, offset)
    }
    this.#checkPresent(fail, { found, newest, end })
    if (isStart) this.acknowledgedEnd = Math.max(this.acknowledgedEnd, partition.highWatermark)
    return found
  }

  /** Whatever has to be there is: of each key the newest, and what the centre is still to get. */
  #checkPresent(
    fail: Fail,
    { found, newest, end }: { found: ReadonlyMap<number, Written>; newest: ReadonlyMap<string, number>; end: number }
  ): void {
    const expected = new Map<string, number>()
    for (const [offset, { key, isAborted }] of this.written) {
      if (isAborted) continue
      if (key === null && offset < end && !found.has(offset)) fail(`${offset}, which has no key, is gone`)
      if (key !== null) expected.set(key, Math.max(offset, expected.get(key) ?? 0))
    }
    if (this.#config.isForwarded)
      for (const [offset, { isAborted }] of this.written)
        if (!isAborted && offset >= this.delivered && offset < end && !found.has(offset))
          fail(`${offset} is gone, delivered is what lies below ${this.delivered}`)
    for (const [key, offset] of expected) {
      if (newest.get(key) === offset || offset >= end) continue
      if (this.written.get(offset)?.value !== null || newest.has(key)) fail(`the newest of ${key} is at ${offset}, read ${newest.get(key)}`)
    }
  }
}

/** The next start has to go by the older snapshot. */
function rotNewestState({ disk }: SimMachine): void {
  const newest = disk
    .files()
    .filter(({ path }) => path.endsWith('.state'))
    .at(-1)
  if (newest) disk.rot(newest.path, newest.bytes.byteLength - 1)
}

const SEEDS = 12

t.setTimeout(300_000)

interface Sum {
  passes: number
  writtenBytes: number
  removedBytes: number
  removedRecords: number
  /** Files that a crash left half written. */
  cutFiles: number
}

/** Five lives and a last start; `fail` is told what is not as it must be. */
async function live(log: CompactedLog, sum: Sum, fail: Fail): Promise<void> {
  const { machine } = log
  const { prng } = machine
  for (let life = 0; life < 5; life++) {
    const cutFiles = (): number => machine.disk.files().filter(({ path }) => path.endsWith('.cleaned')).length
    sum.cutFiles += cutFiles()
    if (prng.chance(25)) rotNewestState(machine)
    await log.open()
    const { holes, damagedFiles } = log.store.report
    if (holes.length > 0) fail(`life ${life}: a hole from ${holes[0]?.startOffset} on`)
    if (damagedFiles.some((path) => path.endsWith('.log'))) fail(`${damagedFiles} is smaller than a snapshot says`)
    if (cutFiles() > 0) fail('what was cut off stays')
    await machine.settle(log.check(fail, true))
    let isAlive = true
    const work = async (): Promise<void> => {
      while (isAlive) {
        await log.append()
        if (prng.chance(20)) log.deliverSome()
        await new Promise<void>((resolve) => machine.clock.after(prng.between(1, 150), resolve))
      }
    }
    const reading = async (): Promise<void> => {
      while (isAlive) {
        await log.check(fail)
        await new Promise<void>((resolve) => machine.clock.after(prng.between(1, 3_000), resolve))
      }
    }
    void work().catch(() => undefined)
    void reading().catch((error: Error) => {
      if (isAlive) fail(`life ${life}: ${error.message}`)
    })
    await machine.run(prng.between(1_000, 12_000))
    isAlive = false
    const { compaction } = log.store.metrics
    for (const name of ['passes', 'writtenBytes', 'removedBytes', 'removedRecords'] as const) sum[name] += compaction[name]
    if (log.store.failure) fail(log.store.failure.message)
    if (prng.chance(20)) await machine.settle(log.store.close())
    else if (prng.chance(50)) machine.powerCut()
    else machine.kill()
  }
  await log.open()
  await machine.settle(log.check(fail, true))
  await machine.settle(log.store.close())
  const { problems } = await machine.settle(verifyDirectory({ disk: machine.disk, core, codec: simCodec, directory: '/data' }))
  for (const problem of problems) fail(JSON.stringify(problem))
}

const newSum = (): Sum => ({ passes: 0, writtenBytes: 0, removedBytes: 0, removedRecords: 0, cutFiles: 0 })

t.test(`kills and power cuts at any moment, ${SEEDS} runs: each key has its newest record, and nothing is damaged`, async (t) => {
  const sum = newSum()
  for (let seed = 1; seed <= SEEDS; seed++) {
    const log = new CompactedLog(seed, { config: { ...COMPACTED, isForwarded: seed % 4 === 0 } })
    await live(log, sum, (problem) => t.fail(`seed ${seed}: ${problem}`))
  }
  t.comment(JSON.stringify(sum))
  t.ok(sum.passes > SEEDS && sum.removedRecords > 50 * SEEDS, 'much was compacted')
  t.ok(sum.cutFiles > 1, `${sum.cutFiles} times a file was cut off in the making`)
})

/** Of which no codec makes less. */
const noise = ({ prng }: SimMachine, bytes = 120): string => Buffer.from(prng.bytes(bytes)).toString('base64')

/** Batches of producers, which are not put together: of two records each, the first superseded by the next batch, the second the only one of its key. */
async function pairsOfProducers(log: CompactedLog, pairs: number, { first = 0 } = {}): Promise<void> {
  for (let pair = first; pair < first + pairs; pair++) {
    const records = [inputOf({ key: 'hot', value: 'h'.repeat(120) }), inputOf({ key: `once ${pair}`, value: `${pair}` })]
    const producer = { producerId: 1_000n + BigInt(pair), producerEpoch: 0, baseSequence: 0, isTransactional: false }
    const batch = core.buildBatch(records, { baseOffset: 0, producer })
    await log.machine.settle(log.store.commit([{ partition: log.partition, content: { batch, recordCount: 2 } }], []))
  }
}

/** Closed segments that a pass may look at, and something new behind them, without which there is none. */
async function newPairs(log: CompactedLog, pairs: number): Promise<void> {
  await pairsOfProducers(log, pairs)
  await log.machine.settle(log.store.flush())
  await log.machine.run(30_000)
}

t.test('who reads on from where he stopped, or by an index, finds his place in the new file', async (t) => {
  const log = new CompactedLog(1)
  await log.open()
  const { machine } = log
  for (let segment = 0; segment < 4; segment++) {
    await pairsOfProducers(log, 11, { first: 100 * (segment + 1) })
    // It stays, and is so large that each place of the old index is a place in the new file too.
    await machine.settle(log.write([{ key: `last ${segment}`, value: noise(machine, 1_160), isAborted: false }], 'idempotent'))
  }
  await machine.settle(log.store.flush())
  const readOn = async (): Promise<number[]> => {
    const starts: number[] = []
    for (let offset = log.partition.logStartOffset; offset < log.partition.highWatermark; ) {
      const { batches, nextOffset } = await log.partition.read(offset, { bytesMax: 1 })
      starts.push(...batches.map(({ header }) => header.baseOffset))
      offset = nextOffset
    }
    return starts
  }
  const before = await machine.settle(readOn())
  await machine.run(30_000)
  await newPairs(log, 1)
  t.ok(log.store.metrics.compaction.removedRecords > 30, `${log.store.metrics.compaction.removedRecords} went`)
  // From the last one on: the places of the last readers are asked for before others take their room.
  for (const offset of before.toReversed()) {
    const { batches } = await machine.settle(log.partition.read(toOffset(offset), { bytesMax: 1 }))
    t.equal(batches[0]?.header.baseOffset, offset)
  }
  t.same((await machine.settle(readOn())).slice(0, before.length), before, 'each batch where it was')
  t.equal(log.store.metrics.damagedRanges, 0)
  await machine.settle(log.store.close())
})

t.test('an aborted transaction that deletes keys deletes nothing, however long ago it was', async (t) => {
  const log = new CompactedLog(1)
  await log.open()
  const { machine } = log
  const keys = Array.from({ length: 6 }, (_, at) => ({ key: `kept ${at}`, value: noise(machine), isAborted: false }))
  const fill = async (rounds: number): Promise<void> => {
    for (let round = 0; round < rounds; round++)
      await machine.settle(log.write([{ key: 'hot', value: noise(machine), isAborted: false }], 'plain'))
  }
  // So much goes that nothing superfluous is left: later passes begin with their keys at what is new, and deletions in front of it are asked for by themselves.
  await fill(15)
  await machine.settle(log.write(keys, 'plain'))
  // Behind the marker of the one before nothing covers them: their records stay.
  for (const { key } of keys) await machine.settle(log.write([{ key, value: null, isAborted: true }], 'transaction'))
  for (let pass = 0; pass < 6; pass++) {
    await fill(60)
    await machine.settle(log.store.flush())
    await machine.run(2 * TOMBSTONES_MS)
  }
  t.ok(log.store.metrics.compaction.passes > 2)
  const found = await machine.settle(log.check((problem) => t.fail(problem)))
  t.equal([...found.values()].filter(({ key }) => key?.startsWith('kept')).length, keys.length)
  await machine.settle(log.store.close())
})

t.test(
  'of aborted transactions nothing is kept for ever: neither their records, nor their markers, nor what readers are told of them',
  async (t) => {
    const log = new CompactedLog(1)
    await log.open()
    const { machine } = log
    const notes = (): number => log.store.listState('aborted/').length
    for (let at = 0; at < 60; at++) {
      await machine.settle(log.write([{ key: 'hot', value: noise(machine), isAborted: false }], 'plain'))
      await machine.settle(log.write([{ key: 'hot', value: noise(machine), isAborted: true }], 'transaction'))
    }
    t.equal(notes(), 60)
    for (let pass = 0; pass < 12; pass++) {
      for (let at = 0; at < 40; at++) await machine.settle(log.write([{ key: 'hot', value: noise(machine), isAborted: false }], 'plain'))
      await machine.settle(log.store.flush())
      await machine.run(2 * TOMBSTONES_MS)
    }
    t.ok(notes() < 20, `${notes()} are left`)
    await machine.settle(log.check((problem) => t.fail(problem)))
    await machine.settle(log.store.close())
    await log.open()
    t.ok(notes() < 20)
    await machine.settle(log.check((problem) => t.fail(problem), true))
    await machine.settle(log.store.close())
  }
)

t.test('what the disk refuses of the new file ends the pass and nothing else; others have their turn, and it is tried again', async (t) => {
  for (const [operation, code] of [
    ['open', 'EIO'],
    ['write', 'EIO'],
    ['write', 'ENOSPC'],
    ['truncate', 'EACCES'],
    ['rename', 'EIO']
  ] as const) {
    const log = new CompactedLog(1)
    await log.open()
    const { machine } = log
    await pairsOfProducers(log, 60)
    await machine.settle(log.store.flush())
    machine.disk.failNext(operation, '.cleaned', code)
    await machine.run(30_000)
    await newPairs(log, 1)
    t.match(log.store.metrics.compaction, { failures: 1, passes: 0 }, `${operation} ${code}`)
    t.equal(log.store.failure, null)
    t.equal(machine.disk.files().filter(({ path }) => path.endsWith('.cleaned')).length, 0, 'nothing is left')
    await machine.run(700_000)
    t.ok(log.store.metrics.compaction.passes > 0, 'again, ten minutes later')
    await machine.settle(log.check((problem) => t.fail(problem), true))
    await machine.settle(log.store.close())
  }
})

t.test('what a pass has written down is damaged: everything is compacted again', async (t) => {
  const log = new CompactedLog(1)
  await log.open()
  const { machine } = log
  const key = `compacted/${log.partition.topicNumber}/0`
  await machine.settle(log.store.commit([], [{ key, value: Buffer.from('xyz') }]))
  await newPairs(log, 60)
  await pairsOfProducers(log, 1)
  await machine.settle(log.store.flush())
  await machine.run(60_000)
  t.equal(log.store.failure, null)
  t.ok(log.store.metrics.compaction.passes > 0)
  t.match(Buffer.from(log.store.getState(key) ?? []).toString(), '"mapFrom"')
  await machine.settle(log.store.close())
})

t.test('a topic that is not compacted any more is let go in the middle of a pass', async (t) => {
  const log = new CompactedLog(1)
  await log.open()
  const { machine } = log
  await pairsOfProducers(log, 200)
  await machine.settle(log.store.flush())
  await pairsOfProducers(log, 1)
  await machine.settle(log.store.flush())
  for (let steps = 0; log.store.metrics.compaction.removedRecords === 0 && steps < 1_000; steps++) await machine.run(100)
  await machine.settle(log.store.alterTopic('state', { cleanup: 'delete' }))
  const { removedRecords, passes } = log.store.metrics.compaction
  t.same([passes, removedRecords > 0], [0, true], 'in the middle')
  await machine.run(60_000)
  t.match(log.store.metrics.compaction, { passes: 0, removedRecords, failures: 0 })
  await machine.settle(log.store.close())
})

/** A core whose key maps are not what they are. */
function withKeyMaps(change: (keyMap: KeyMap) => Partial<KeyMap>): Core {
  return new Proxy(loadTestCore(), {
    get(target, name) {
      if (name !== 'openKeyMap') {
        const value = Reflect.get(target, name) as unknown
        return typeof value === 'function' ? value.bind(target) : value
      }
      return (seed: Uint8Array): KeyMap | null => {
        const keyMap = target.openKeyMap(seed)
        if (!keyMap) return null
        const changed = change(keyMap)
        return {
          keysMax: keyMap.keysMax,
          keyCount: 0,
          add: (batch, below) => (changed.add ? changed.add(batch, below) : keyMap.add(batch, below)),
          compact: (batch, rules) => (changed.compact ? changed.compact(batch, rules) : keyMap.compact(batch, rules)),
          close: () => keyMap.close()
        }
      }
    }
  })
}

const CANARIES: Readonly<Record<string, (keyMap: KeyMap) => Partial<KeyMap>>> = {
  'deletions go though what they supersede stays': (keyMap) => ({
    compact: (batch, rules) => keyMap.compact(batch, { ...rules, stays: false })
  }),
  'what was aborted is kept as if it were committed, and nothing else': (keyMap) => ({
    compact: (batch, rules) => keyMap.compact(batch, { ...rules, isAborted: !rules.isAborted })
  })
}

t.test('control: the same with key maps as they are', async (t) => {
  for (let seed = 1; seed <= 3; seed++)
    await live(new CompactedLog(seed, { core: () => withKeyMaps(() => ({})) }), newSum(), (problem) => t.fail(`seed ${seed}: ${problem}`))
  t.pass('nobody noticed anything')
})

for (const [name, change] of Object.entries(CANARIES)) {
  t.test(`canary: ${name}`, async (t) => {
    const problems: string[] = []
    for (let seed = 1; seed <= SEEDS && problems.length === 0; seed++) {
      const log = new CompactedLog(seed, { core: () => withKeyMaps(change) })
      await live(log, newSum(), (problem) => problems.push(problem)).catch((error: Error) => problems.push(error.message))
    }
    t.ok(problems.length > 0, problems[0] ?? 'nobody noticed')
  })
}
