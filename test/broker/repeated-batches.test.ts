// Proves on the real store: what is asked again while later batches of its producer wait for room in a commit is answered with the offset that it has.

import t from 'tap'
import { openBroker } from '../../runtime/broker/broker.ts'
import { loadTestCore } from '../helpers/core.ts'
import { SimMachine } from '../helpers/sim-store.ts'
import { simCodec } from '../sim/sim-codec.ts'

t.test('a repeat of a batch that has just become durable has its offset, while those behind it still wait', async (t) => {
  const machine = new SimMachine(1)
  const core = loadTestCore()
  const store = await machine.open()
  await machine.settle(store.createTopic('a'))
  const broker = openBroker({ store, core, clock: machine.clock, random: machine.prng.fork(), codec: simCodec })
  const send = async (baseSequence: number): Promise<number> => {
    const record = { timestampMs: 1_700_000_000_000, key: null, value: new Uint8Array(7_000), headers: [] }
    const producer = { producerId: 7n, producerEpoch: 0, baseSequence, isTransactional: false }
    const batch = { topicName: 'a', partitionIndex: 0, records: core.buildBatch([record], { baseOffset: 0, producer }) }
    const [outcome] = await broker.appends.append([batch], { isZstdAllowed: true, hasTransactionalId: false })
    return outcome?.fault === 'NONE' ? outcome.baseOffset : -1
  }
  let again = Promise.resolve(-1)
  const all = [0, 1, 2, 3, 4].map(send)
  void all[0]?.then(() => {
    again = send(0)
  })
  for (let turn = 0; turn < 200; turn++) await machine.run(1)
  t.same(await Promise.all(all), [0, 1, 2, 3, 4])
  t.equal(await again, 0)
  broker.close()
})
