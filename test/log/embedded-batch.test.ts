// Proves for runtime/log/batch-scan.ts: a record may hold the bytes of a whole batch (the dead letters of the uplink do, and a device can publish one).
// Where the batch around it is broken, what is in it is not taken for a batch of the log: neither by a start nor by a reader.

import t from 'tap'
import type { Partition } from '../../runtime/log/contract.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { loadTestCore } from '../helpers/core.ts'
import { event, readAll, SimMachine, textOf } from '../helpers/sim-store.ts'

const core = loadTestCore()
/** Of an offset far behind everything here. */
const foreign = core.buildBatch([event('from elsewhere'), event('and more')], { baseOffset: 500 }).slice()

async function commitTo(machine: SimMachine, store: LogStore, partition: Partition, value: Uint8Array): Promise<void> {
  await machine.settle(store.commit([{ partition, content: { record: { ...event(''), value } } }], []))
}

t.test('a power cut tears the batch around it: the journal brings it again, and no offset is lost or skipped', async (t) => {
  let torn = 0
  for (let seed = 1; seed <= 40; seed++) {
    const machine = new SimMachine(seed, { settings: { defaultCodec: 'none', sealAgeMs: 200, checkpointAgeMs: 1e9 } })
    let store = await machine.open()
    const partition = (await machine.settle(store.createTopic('telemetry', { codec: 'none' }))).partitions[0] as Partition
    await commitTo(machine, store, partition, Buffer.from('first'))
    for (let index = 0; index < 4; index++)
      await commitTo(machine, store, partition, Buffer.concat([Buffer.alloc(700, 65 + index), foreign, Buffer.alloc(900)]))
    await machine.run(1_500)
    machine.powerCut()
    store = await machine.open()
    t.same(store.report.holes, [], `seed ${seed}`)
    if (store.report.cutBytes > 0) torn++
    const recovered = store.topics.get('telemetry')?.partitions[0] as Partition
    t.equal(recovered.highWatermark, 5)
    t.equal((await machine.settle(readAll(recovered))).length, 5)
    await machine.settle(store.close())
  }
  t.ok(torn > 3, `${torn} torn segments`)
})

t.test('bytes rot in the batch around it: a reader passes over the batch, and goes on right behind it', async (t) => {
  const machine = new SimMachine(3, { settings: { defaultCodec: 'none', sealBytes: 256, sealAgeMs: 100 } })
  const store = await machine.open()
  const partition = (await machine.settle(store.createTopic('telemetry', { codec: 'none' }))).partitions[0] as Partition
  const near = core.buildBatch([event('forged')], { baseOffset: 1 }).slice()
  for (const value of [Buffer.from('a'), Buffer.concat([Buffer.alloc(300, 1), near, foreign]), Buffer.from('b'), Buffer.from('c')]) {
    await commitTo(machine, store, partition, value)
    await machine.run(2_000)
  }
  await machine.settle(store.flush())
  const file = machine.disk.files().find(({ path }) => path.endsWith('.log'))
  const at = Buffer.from(file?.bytes ?? []).indexOf(Buffer.alloc(300, 1))
  machine.disk.rot(file?.path ?? '', at + 10, 1)
  const values = (await machine.settle(readAll(partition))).map(textOf)
  t.same(values, ['a', 'b', 'c'])
  await machine.settle(store.close())
})
