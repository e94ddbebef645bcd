// Proves that a topic cannot be made for want of file descriptors, and that nothing else comes of it: clients alone may use them up, and no device has failed.

import t from 'tap'
import { WadiError } from '../../runtime/base/errors.ts'
import { appendText, SimMachine } from '../helpers/sim-store.ts'

t.test('no descriptor is left when a topic is made', async (t) => {
  const machine = new SimMachine(1)
  const store = await machine.open()
  const [known] = (await machine.settle(store.createTopic('known'))).partitions
  for (let tries = 0; tries < 3; tries++) machine.disk.failNext('list', '/topics/new-0', 'EMFILE')
  const refusal = await machine.settle(store.createTopic('new').catch((error: unknown) => error))
  t.ok(refusal instanceof WadiError && refusal.code === 'WADI_DISK_FULL' && refusal.retriable, String(refusal))
  t.equal(store.failure, null)
  if (known) await machine.settle(appendText(store, known, 'goes on'))
  const [partition] = (await machine.settle(store.createTopic('new'))).partitions
  if (partition) await machine.settle(appendText(store, partition, 'when there are some again'))
  t.equal(partition?.highWatermark, 1)
  await machine.settle(store.close())
})
