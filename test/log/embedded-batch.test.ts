// Proves for runtime/log/batch-scan.ts: a record may hold the bytes of a whole batch (the dead letters of the uplink do, and a device can publish one).
// Where the batch around it is broken, what is in it is not taken for a batch of the log: neither by a start nor by a reader.

import t from 'tap'
import type { Partition } from '../../runtime/log/contract.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { PartitionLog } from '../../runtime/log/partition-log.ts'
import { isWithoutDamage } from '../../runtime/log/recovery-report.ts'
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

/** The same, while a segment of another topic, which a start reads before, is shorter than it was synced. @returns what the start made of it */
async function withDamageElsewhere(seed: number): Promise<{ wasTorn: boolean; end: number; holes: number }> {
  const machine = new SimMachine(seed, { settings: { defaultCodec: 'none', sealAgeMs: 200, checkpointAgeMs: 1e9 } })
  let store = await machine.open()
  const other = (await machine.settle(store.createTopic('another', { codec: 'none' }))).partitions[0] as Partition
  const partition = (await machine.settle(store.createTopic('telemetry', { codec: 'none' }))).partitions[0] as Partition
  for (let index = 0; index < 8; index++) await commitTo(machine, store, other, Buffer.alloc(200, 66))
  await machine.settle(store.flush())
  await commitTo(machine, store, partition, Buffer.from('first'))
  for (let index = 0; index < 4; index++)
    await commitTo(machine, store, partition, Buffer.concat([Buffer.alloc(700, 65 + index), foreign, Buffer.alloc(900)]))
  await machine.run(1_500)
  machine.powerCut()
  const path = machine.disk.files().find((file) => file.path.includes('/another-0/') && file.path.endsWith('.log'))?.path ?? ''
  const file = await machine.settle(machine.disk.open(path, 'write'))
  await machine.settle(file.truncate((await machine.settle(file.sizeBytes())) >> 1))
  await machine.settle(file.close())
  store = await machine.open()
  const recovered = store.topics.get('telemetry')?.partitions[0] as Partition
  const wasTorn = store.report.notes.some((note) => note.includes('/telemetry-0/'))
  const holes = store.report.holes.filter(({ topicName }) => topicName === 'telemetry').length
  await machine.settle(store.close())
  return { wasTorn, end: recovered.highWatermark, holes }
}

t.test('damage of another topic does not make a start take the batch in a record for one of the log', async (t) => {
  let torn = 0
  for (let seed = 1; seed <= 40; seed++) {
    const { wasTorn, end, holes } = await withDamageElsewhere(seed)
    t.same({ end, holes }, { end: 5, holes: 0 }, `seed ${seed}`)
    if (wasTorn) torn++
  }
  t.ok(torn > 3, `${torn} torn segments`)
})

t.test('a start that asks again, when segments were read, whether the journal is whole, is caught (canary of the rig)', async (t) => {
  const { recover } = PartitionLog.prototype
  PartitionLog.prototype.recover = function (known, ranges, report) {
    return recover.call(this, known, { ...ranges, isJournalWhole: isWithoutDamage(report) }, report)
  }
  try {
    let caught = 0
    for (let seed = 1; seed <= 40; seed++) if ((await withDamageElsewhere(seed)).end !== 5) caught++
    t.ok(caught > 0, `${caught} of 40 seeds`)
  } finally {
    PartitionLog.prototype.recover = recover
  }
})
