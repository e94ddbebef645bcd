import t from 'tap'
import { openBroker } from '../../runtime/broker/broker.ts'
import {
  checkSequence,
  lastSequenceOf,
  type ProducerState,
  producerStateOf,
  putProducerState,
  stateAfterBatch,
  stateAfterMarker
} from '../../runtime/broker/producer-state.ts'
import type { Partition, StateChange } from '../../runtime/log/contract.ts'
import { producerRecords } from '../../runtime/log/transaction-index.ts'
import { loadTestCore } from '../helpers/core.ts'
import { event, SimMachine } from '../helpers/sim-store.ts'
import { Prng } from '../sim/prng.ts'
import { simCodec } from '../sim/sim-codec.ts'

const SEQUENCE_MAX = 2 ** 31 - 1
const at = (baseOffset: number) => ({ baseOffset, nowMs: 1_000 })

function batch(baseSequence: number, options: { epoch?: number; count?: number; isTransactional?: boolean } = {}) {
  const { epoch = 3, count = 2, isTransactional = false } = options
  return { producerId: 9n, producerEpoch: epoch, baseSequence, recordCount: count, isTransactional }
}

function after(...sequences: number[]): ProducerState {
  let state: ProducerState | undefined
  sequences.forEach((sequence, index) => {
    state = stateAfterBatch(state, batch(sequence), at(index * 2))
  })
  return state as ProducerState
}

/** As a start reads it. */
function readProducerState(key: string, producerId: bigint, value: Uint8Array): ProducerState {
  return producerStateOf(producerId, producerRecords.decode(value, key))
}

function verdict(state: ProducerState | undefined, incoming: ReturnType<typeof batch>): string {
  const result = checkSequence(state, incoming)
  return result.kind === 'refuse' ? result.fault : result.kind
}

t.test('each rule of Kafka for what a producer sends next', (t) => {
  const state = after(0, 2, 4)
  t.equal(verdict(undefined, batch(17)), 'accept', 'without state any sequence is taken')
  t.equal(verdict(state, batch(6)), 'accept', 'the next one')
  t.equal(verdict(state, batch(2)), 'duplicate', 'one of the recent')
  t.equal(verdict(state, batch(8)), 'OUT_OF_ORDER_SEQUENCE_NUMBER', 'a gap')
  t.equal(verdict(state, batch(4, { count: 3 })), 'OUT_OF_ORDER_SEQUENCE_NUMBER', 'a partial overlap')
  t.equal(verdict(state, batch(6, { epoch: 2 })), 'INVALID_PRODUCER_EPOCH', 'an older epoch')
  t.equal(verdict(state, batch(2, { epoch: 2 })), 'INVALID_PRODUCER_EPOCH', 'an older epoch, even for a repeat')
  t.equal(verdict(state, batch(0, { epoch: 4 })), 'accept', 'a newer epoch from 0')
  t.equal(verdict(state, batch(6, { epoch: 4 })), 'OUT_OF_ORDER_SEQUENCE_NUMBER', 'a newer epoch from elsewhere')
  t.end()
})

t.test('behind a marker of a new epoch the first batch has sequence 0: the one with it may be on its way', (t) => {
  const fenced = stateAfterMarker(after(0, 2, 4), { producerId: 9n, producerEpoch: 4, timestampMs: 1 })
  t.equal(verdict(fenced, batch(7, { epoch: 4 })), 'OUT_OF_ORDER_SEQUENCE_NUMBER')
  t.equal(verdict(fenced, batch(0, { epoch: 4 })), 'accept')
  t.equal(
    verdict(stateAfterMarker(after(0, 2, 4), { producerId: 9n, producerEpoch: 3, timestampMs: 1 }), batch(6)),
    'accept',
    'its own epoch goes on'
  )
  t.end()
})

t.test('five batches are remembered, the sixth pushes out the first', (t) => {
  const state = after(0, 2, 4, 6, 8, 10)
  t.equal(state.batches.length, 5)
  t.equal(verdict(state, batch(2)), 'duplicate')
  t.equal(verdict(state, batch(0)), 'OUT_OF_ORDER_SEQUENCE_NUMBER')
  t.end()
})

t.test('2147483647 is followed by 0, also inside a batch', (t) => {
  t.equal(lastSequenceOf(SEQUENCE_MAX, 2), 0)
  t.equal(verdict(stateAfterBatch(undefined, batch(SEQUENCE_MAX - 1), at(0)), batch(0)), 'accept')
  t.equal(verdict(stateAfterBatch(undefined, batch(SEQUENCE_MAX), at(0)), batch(1)), 'accept')
  t.end()
})

t.test('a plain batch is refused while a transaction is open, and taken after its marker', (t) => {
  const open = stateAfterBatch(undefined, batch(0, { isTransactional: true }), at(40))
  t.equal(open.transactionFirstOffset, 40)
  t.equal(stateAfterBatch(open, batch(2, { isTransactional: true }), at(42)).transactionFirstOffset, 40)
  t.equal(verdict(open, batch(2)), 'INVALID_TXN_STATE')
  const ended = stateAfterMarker(open, { producerId: 9n, producerEpoch: 3, timestampMs: 5 })
  t.equal(ended.transactionFirstOffset, null)
  t.equal(verdict(ended, batch(2)), 'accept')
  const fenced = stateAfterMarker(open, { producerId: 9n, producerEpoch: 4, timestampMs: 5 })
  t.equal(verdict(fenced, batch(2, { isTransactional: true })), 'INVALID_PRODUCER_EPOCH')
  t.end()
})

t.test('what is stored is what is read back', (t) => {
  const state = { ...after(0, 2), transactionFirstOffset: 2 }
  const { key, value } = putProducerState('producer/1/0/9', state)
  t.same(readProducerState(key, 9n, value as Uint8Array), state)
  const wrapped = stateAfterBatch(undefined, batch(SEQUENCE_MAX, { count: 3 }), at(70))
  t.same(readProducerState(key, 9n, putProducerState(key, wrapped).value as Uint8Array), wrapped)
  t.throws(() => readProducerState(key, 9n, new Uint8Array([1, 2])), { code: 'WADI_STATE_DAMAGED' })
  t.throws(() => readProducerState(key, 9n, new TextEncoder().encode('{"v":2}')), { code: 'WADI_FORMAT_NEWER' })
  t.end()
})

/** What a version before wrote: its encoder, line for line. */
function putProducerStateOld(key: string, state: ProducerState, timestampMs: number): StateChange {
  const batches = state.batches.map((batch) => [batch.firstSequence, batch.lastSequence, batch.baseOffset, batch.lastOffset, timestampMs])
  const stored = { epoch: state.producerEpoch, batches, txn: state.transactionFirstOffset, time: state.lastTimestampMs }
  return { key, value: new TextEncoder().encode(JSON.stringify({ v: 1, ...stored })) }
}

t.test('the JSON of a version before says the same', (t) => {
  const state = { ...after(0, 2, 4), transactionFirstOffset: 2 }
  const { key, value } = putProducerStateOld('producer/1/0/9', state, 1_000)
  t.same(readProducerState(key, 9n, value as Uint8Array), state)
  t.end()
})

t.test(
  'a directory that a version before wrote goes on: repeats are known, open transactions too, and the next batch is stored anew',
  async (t) => {
    const machine = new SimMachine(1)
    const core = loadTestCore()
    const clock = machine.clock
    const records = (baseSequence: number, isTransactional: boolean, producerId: bigint): Uint8Array => {
      const producer = { producerId, producerEpoch: 3, baseSequence, isTransactional }
      return core.buildBatch([event(`event ${baseSequence}`)], { baseOffset: 0, producer }).slice()
    }
    let store = await machine.open()
    await machine.settle(store.createTopic('a'))
    const write = async (
      baseSequence: number,
      isTransactional: boolean,
      producerId: bigint,
      before?: ProducerState
    ): Promise<ProducerState> => {
      const partition = store.topics.get('a')?.partitions[0] as Partition
      const content = { batch: records(baseSequence, isTransactional, producerId), recordCount: 1 }
      const sequenced = { ...batch(baseSequence, { count: 1, isTransactional }), producerId }
      const state = stateAfterBatch(before, sequenced, at(partition.highWatermark))
      await machine.settle(store.commit([{ partition, content }], [putProducerStateOld(`producer/1/0/${producerId}`, state, 1_000)]))
      return state
    }
    await write(1, false, 9n, await write(0, false, 9n))
    await write(0, true, 10n)
    await machine.settle(store.close())

    store = await machine.open()
    const partition = store.topics.get('a')?.partitions[0] as Partition
    t.equal(partition.lastStableOffset, 2, 'the transaction is open')
    let broker = openBroker({ store, core, clock, random: new Prng(1), codec: simCodec })
    const append = async (baseSequence: number) => {
      const options = { isZstdAllowed: true, hasTransactionalId: false }
      const place = { topicName: 'a', partitionIndex: 0, records: records(baseSequence, false, 9n) }
      return (await machine.settle(broker.appends.append([place], options)))[0]
    }
    t.match(await append(1), { fault: 'NONE', baseOffset: 1 }, 'a repeat')
    t.match(await append(7), { fault: 'OUT_OF_ORDER_SEQUENCE_NUMBER' })
    t.match(await append(2), { fault: 'NONE', baseOffset: 3 })
    t.equal(store.getState('producer/1/0/9')?.[0], 2, 'version 2')
    t.equal(store.getState('producer/1/0/10')?.[0], '{'.charCodeAt(0), 'as it was')
    broker.close()
    machine.powerCut()

    store = await machine.open()
    broker = openBroker({ store, core, clock, random: new Prng(1), codec: simCodec })
    for (const [sequence, baseOffset] of [
      [0, 0],
      [1, 1],
      [2, 3]
    ] as const)
      t.match(await append(sequence), { fault: 'NONE', baseOffset }, `${sequence} is known`)
    t.equal(store.topics.get('a')?.partitions[0]?.lastStableOffset, 2)
    broker.close()
    machine.kill()
  }
)
