// Proves for restoreTransactions (runtime/log/recovery.ts): the state may know of commits that damage took from the journal. Offsets that it names are
// not given out again: producers go on, and what is committed later is read.
// How: the blocks of the active journal file rot while the state file, which is newer, is whole.

import t from 'tap'
import { type Broker, openBroker } from '../../runtime/broker/broker.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, event, SimMachine } from '../helpers/sim-store.ts'
import { Prng } from '../sim/prng.ts'
import { simCodec } from '../sim/sim-codec.ts'

const core = loadTestCore()
const BLOCK_BYTES = 4096

class Rig {
  readonly machine = new SimMachine(3, { settings: { checkpointAgeMs: 1e9, sealAgeMs: 1e9, sealBytes: 4096 } })
  store!: LogStore
  broker!: Broker
  sequence = 0
  producer = { producerId: 7n, producerEpoch: 0 }

  async open(): Promise<void> {
    this.store = await this.machine.open()
    this.broker = openBroker({ store: this.store, core, clock: this.machine.clock, random: new Prng(1), codec: simCodec })
  }

  get partition() {
    const partition = this.store.topics.get('telemetry')?.partitions[0]
    if (!partition) throw new Error('there is no topic')
    return partition
  }

  async send(text: string, isTransactional: boolean): Promise<string> {
    const producer = { ...this.producer, baseSequence: this.sequence, isTransactional }
    const timestampMs = this.machine.clock.wallMs()
    const records = core.buildBatch([event(text.padEnd(300), { timestampMs })], { baseOffset: 0, producer }).slice()
    const asked = this.broker.appends.append([{ topicName: 'telemetry', partitionIndex: 0, records }], {
      isZstdAllowed: true,
      hasTransactionalId: isTransactional
    })
    const [outcome] = await this.machine.settle(asked)
    if (outcome?.fault === 'NONE') this.sequence++
    return outcome?.fault ?? 'no answer'
  }

  async transaction(text: string, outcome: 'commit' | 'abort'): Promise<string[]> {
    await this.machine.settle(this.broker.transactions.addPartitions('t', this.producer, [this.partition]))
    return [await this.send(text, true), await this.machine.settle(this.broker.transactions.end('t', this.producer, outcome))]
  }

  async init(): Promise<void> {
    const asked = this.broker.transactions.initProducer({ transactionalId: 't', timeoutMs: 60_000, expected: null })
    const made = await this.machine.settle(asked)
    if (!('producerId' in made)) throw new Error('no producer id')
    this.producer = { producerId: made.producerId, producerEpoch: made.producerEpoch }
    this.sequence = 0
  }

  /** The journal loses what it holds, or only its newest commit; returns how many offsets the start found missing. */
  async damage(what: 'all' | 'newest commit' = 'all'): Promise<number> {
    await this.machine.run(300)
    const { disk } = this.machine
    this.machine.kill()
    const blocks = disk
      .files()
      .filter(({ path }) => path.includes('journal/'))
      .flatMap(({ path, bytes }) => {
        const positions = Array.from({ length: Math.floor(bytes.byteLength / BLOCK_BYTES) - 1 }, (_, index) => (index + 1) * BLOCK_BYTES)
        return positions.map((at) => ({ path, at, sequence: core.readCommitHeader(bytes.subarray(at, at + BLOCK_BYTES))?.sequence ?? -1 }))
      })
    const newest = Math.max(...blocks.map(({ sequence }) => sequence))
    for (const { path, at, sequence } of blocks) if (what === 'all' || sequence === newest) disk.rot(path, at + 60, what === 'all' ? 3 : 1)
    await this.open()
    return this.store.report.holes.reduce((sum, { startOffset, endOffset }) => sum + endOffset - startOffset, 0)
  }

  async committed(): Promise<string[]> {
    const texts: string[] = []
    const { partition } = this
    for (let offset = partition.logStartOffset; offset < partition.highWatermark; ) {
      const { batches, nextOffset } = await this.machine.settle(partition.readCommitted(offset, { bytesMax: 1e6 }))
      for (const { bytes: batch } of batches) {
        const { value } = core.readRecords(batch)[0] ?? {}
        texts.push(new TextDecoder().decode(value ?? new Uint8Array()).trim())
      }
      if (nextOffset <= offset) break
      offset = nextOffset
    }
    return texts
  }
}

t.test('a producer goes on when the journal has lost its last batches and the state knows of them', async (t) => {
  const rig = new Rig()
  await rig.open()
  await rig.machine.settle(rig.store.createTopic('telemetry', { codec: 'none' }))
  for (let index = 0; index < 24; index++) t.equal(await rig.send(`p${index}`, false), 'NONE')
  t.ok((await rig.damage()) > 0, 'what is gone is reported')
  for (const life of [1, 2]) {
    t.equal(rig.partition.highWatermark, 23 + life, 'no offset is given out twice')
    t.equal(await rig.send(`life ${life}`, false), 'NONE')
    t.equal(rig.store.failure, null)
    await rig.machine.settle(rig.store.close())
    await rig.open()
    t.same(rig.store.report.holes, [], 'it is reported once')
  }
})

t.test('what is committed after such a loss is not taken for the transaction that was aborted before it', async (t) => {
  let lostCount = 0
  // Where the state file ends among the commits depends on what comes before them.
  for (let before = 0; before < 8; before++) {
    const rig = new Rig()
    await rig.open()
    await rig.machine.settle(rig.store.createTopic('telemetry', { codec: 'none' }))
    for (let index = 0; index < before; index++) await rig.send(`p${index}`, false)
    const plain = await rig.committed()
    await rig.init()
    for (let index = 0; index < 4; index++) await rig.transaction(`old ${index}`, 'abort')
    lostCount += await rig.damage()
    await rig.init()
    const texts = ['new 0', 'new 1', 'new 2', 'new 3']
    for (const text of texts) t.same(await rig.transaction(text, 'commit'), ['NONE', 'NONE'])
    const found = await rig.committed()
    t.same(found.slice(-texts.length), texts)
    t.ok(found.length <= plain.length + texts.length, 'nothing of the aborted ones')
  }
  t.ok(lostCount > 3, `${lostCount} offsets were reported as gone`)
})

t.test('the newest commit, damaged, is no torn end when the state file knows of it: that it is gone is said', async (t) => {
  for (const count of [12, 24]) {
    const rig = new Rig()
    await rig.open()
    await rig.machine.settle(rig.store.createTopic('telemetry', { codec: 'none' }))
    for (let index = 0; index < count; index++) await rig.machine.settle(appendText(rig.store, rig.partition, `e${index}`.padEnd(300)))
    await rig.damage('newest commit')
    t.equal(rig.partition.highWatermark, count - 1, 'it is gone')
    t.equal(rig.store.report.missingCommits, 1)
    t.match(rig.store.report.notes.join(), /1 commits of the journal are missing/)
    t.equal(rig.store.failure, null)
    await rig.machine.settle(appendText(rig.store, rig.partition, 'after'))
    await rig.machine.settle(rig.store.close())
    await rig.open()
    t.equal(rig.store.report.missingCommits, 0, 'it is said once')
  }
})
