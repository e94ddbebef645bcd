// Proves for the log itself, without a broker on top: where committed data ends and what of it is left out is the same after a kill, a
// power cut and a checkpoint; and a read of committed data never passes an open transaction, not even for a moment.

import t from 'tap'
import { toOffset } from '../../runtime/base/offset.ts'
import { type Broker, openBroker } from '../../runtime/broker/broker.ts'
import type { ProducerIdentity } from '../../runtime/broker/transactions.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, SimMachine } from '../helpers/sim-store.ts'
import { Prng } from '../sim/prng.ts'
import { simCodec } from '../sim/sim-codec.ts'

const core = loadTestCore()

class Rig {
  readonly machine = new SimMachine(1)
  store!: LogStore
  broker!: Broker

  async open(): Promise<Partition> {
    this.store = await this.machine.open()
    if (!this.store.topics.has('a')) await this.machine.settle(this.store.createTopic('a'))
    return this.store.topics.get('a')?.partitions[0] as Partition
  }

  openBroker(): void {
    this.broker = openBroker({ store: this.store, core, clock: this.machine.clock, random: new Prng(1), codec: simCodec })
  }

  /** A transaction of one event, left open. */
  async begin(id: string, value: string): Promise<ProducerIdentity> {
    const { transactions, appends } = this.broker
    const partition = this.store.topics.get('a')?.partitions[0] as Partition
    const who = await this.machine.settle(transactions.initProducer({ transactionalId: id, timeoutMs: 60_000, expected: null }))
    await this.machine.settle(transactions.addPartitions(id, who, [partition]))
    const record = { timestampMs: 1, key: null, value: new TextEncoder().encode(value), headers: [] }
    const producer = { ...who, baseSequence: 0, isTransactional: true }
    const records = core.buildBatch([record], { baseOffset: 0, producer })
    const options = { isZstdAllowed: true, hasTransactionalId: true }
    await this.machine.settle(appends.append([{ topicName: 'a', partitionIndex: 0, records }], options))
    return who
  }

  end(id: string, who: ProducerIdentity, outcome: 'commit' | 'abort') {
    return this.machine.settle(this.broker.transactions.end(id, who, outcome))
  }

  async committed(partition: Partition): Promise<string[]> {
    const values: string[] = []
    for (let offset = partition.logStartOffset; offset < partition.lastStableOffset; ) {
      const { batches, nextOffset } = await this.machine.settle(partition.readCommitted(offset, { bytesMax: 100 }))
      for (const { bytes: batch } of batches)
        values.push(...core.readRecords(batch).map(({ value }) => Buffer.from(value ?? '').toString()))
      if (nextOffset <= offset) throw new Error(`reading stands still at ${offset}`)
      offset = nextOffset
    }
    return values
  }
}

for (const how of ['kill', 'power cut', 'clean stop'] as const) {
  t.test(
    `an open transaction holds back what follows and nothing else, an aborted one is left out: also after a ${how}, without a broker`,
    async (t) => {
      const rig = new Rig()
      let partition = await rig.open()
      rig.openBroker()
      await rig.machine.settle(appendText(rig.store, partition, 'before'))
      const gone = await rig.begin('gone', 'aborted')
      await rig.machine.settle(appendText(rig.store, partition, 'between'))
      await rig.end('gone', gone, 'abort')
      const kept = await rig.begin('kept', 'committed')
      await rig.end('kept', kept, 'commit')
      const openAt = partition.highWatermark
      await rig.begin('open', 'undecided')
      await rig.machine.settle(appendText(rig.store, partition, 'behind'))
      const check = async (when: string): Promise<void> => {
        t.equal(partition.lastStableOffset, openAt, when)
        t.same(await rig.committed(partition), ['before', 'between', 'committed'], when)
        t.same(partition.abortedBetween(0, 100), [{ producerId: gone.producerId, firstOffset: 1, lastOffset: 3 }], when)
        const there = await partition.readCommitted(openAt, { bytesMax: 100 })
        t.same(there, { batches: [], nextOffset: openAt, missing: [] }, `${when}: nothing at the last stable offset`)
      }
      await check('at once')
      rig.broker.close()
      if (how === 'kill') rig.machine.kill()
      else if (how === 'power cut') rig.machine.powerCut()
      else await rig.machine.settle(rig.store.close())
      partition = await rig.open()
      await check(`after a ${how}`)
      await rig.machine.settle(rig.store.flush())
      rig.machine.kill()
      partition = await rig.open()
      await check('from segments')
      rig.openBroker()
      await rig.machine.run(61_000)
      t.equal(partition.lastStableOffset, partition.highWatermark, 'nobody ended it: its time was over')
      t.same(await rig.committed(partition), ['before', 'between', 'committed', 'behind'])
      await t.rejects(partition.readCommitted(toOffset(1_000), { bytesMax: 1 }), { code: 'WADI_OFFSET_OUT_OF_RANGE' })
      rig.broker.close()
      await rig.machine.settle(rig.store.close())
    }
  )
}

t.test('whoever is woken by a batch of a transaction finds it held back already', async (t) => {
  const rig = new Rig()
  const partition = await rig.open()
  rig.openBroker()
  const seen: number[] = []
  partition.onAdvance(() => seen.push(partition.lastStableOffset))
  const who = await rig.begin('x', 'value')
  t.same(seen, [0])
  await rig.end('x', who, 'commit')
  t.same(seen, [0, 2])
  rig.broker.close()
  await rig.machine.settle(rig.store.close())
})
