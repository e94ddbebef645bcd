// Proves for runtime/broker/transactions.ts: a transaction ends in one commit, so what would make its end too large for one is refused when it
// is added, and every transaction can end. Otherwise its partitions would show nothing behind it, for ever.

import t from 'tap'
import { openBroker } from '../../runtime/broker/broker.ts'
import { loadTestCore } from '../helpers/core.ts'
import { SimMachine } from '../helpers/sim-store.ts'
import { Prng } from '../sim/prng.ts'
import { simCodec } from '../sim/sim-codec.ts'

const core = loadTestCore()
const PARTITIONS = 60

async function rig() {
  const machine = new SimMachine(3)
  const store = await machine.open()
  const topic = await machine.settle(store.createTopic('telemetry', { partitionCount: PARTITIONS }))
  const { transactions, committedOffsets } = openBroker({ store, core, clock: machine.clock, random: new Prng(1), codec: simCodec })
  const producer = await machine.settle(transactions.initProducer({ transactionalId: 't', timeoutMs: 60_000, expected: null }))
  return { machine, store, topic, transactions, committedOffsets, producer }
}

const offsetOf = (partitionIndex: number, offset: number, metadata = '') => {
  return { groupId: 'g', topicName: 'telemetry', partitionIndex, offset, leaderEpoch: -1, metadata }
}

for (const outcome of ['commit', 'abort'] as const) {
  t.test(`partitions are added until the end would be too large, then refused; the transaction can ${outcome}`, async (t) => {
    const { machine, topic, transactions, producer } = await rig()
    let added = 0
    let fault = 'NONE'
    for (const partition of topic.partitions) {
      fault = await machine.settle(transactions.addPartitions('t', producer, [partition]))
      if (fault !== 'NONE') break
      added++
    }
    t.equal(fault, 'POLICY_VIOLATION')
    t.ok(added > 10, `${added} partitions`)
    t.equal(await machine.settle(transactions.end('t', producer, outcome)), 'NONE')
    t.equal(
      await machine.settle(transactions.addPartitions('t', producer, topic.partitions.slice(0, added))),
      'NONE',
      'and the next begins'
    )
  })
}

t.test('offsets of many requests are taken until the end would be too large; the transaction commits what was taken', async (t) => {
  const { machine, topic, transactions, committedOffsets, producer } = await rig()
  await machine.settle(transactions.addPartitions('t', producer, topic.partitions.slice(0, 3)))
  await machine.settle(transactions.addGroup('t', producer, 'g'))
  let taken = 0
  let fault = 'NONE'
  while (fault === 'NONE' && taken < 5_000) {
    fault = await machine.settle(transactions.addOffsets('t', producer, 'g', [offsetOf(taken % PARTITIONS, taken, 'm'.repeat(taken % 50))]))
    if (fault === 'NONE') taken++
  }
  t.equal(fault, 'INVALID_COMMIT_OFFSET_SIZE')
  t.ok(taken > 10, `${taken} requests`)
  t.equal(await machine.settle(transactions.end('t', producer, 'commit')), 'NONE')
  const last = committedOffsets.find('g', { topicName: 'telemetry', partitionIndex: (taken - 1) % PARTITIONS })
  t.equal(last?.offset, taken - 1)
})

t.test('what was pending when the process died counts after the start', async (t) => {
  const { machine, transactions, producer } = await rig()
  await machine.settle(transactions.addGroup('t', producer, 'g'))
  let taken = 0
  while ((await machine.settle(transactions.addOffsets('t', producer, 'g', [offsetOf(0, taken)]))) === 'NONE') taken++
  machine.kill()
  const store = await machine.open()
  const again = openBroker({ store, core, clock: machine.clock, random: new Prng(1), codec: simCodec }).transactions
  t.equal(await machine.settle(again.addOffsets('t', producer, 'g', [offsetOf(0, taken)])), 'INVALID_COMMIT_OFFSET_SIZE')
  t.equal(await machine.settle(again.end('t', producer, 'commit')), 'NONE')
})
