// Proves: a topic whose segments cannot be taken in for want of room is refused by name, the store goes on, and whoever tries again gets that topic, under its
// number, with everything that lies in its directory; what damage took of it is counted once. So too when a start comes between.
// Not for: which segments are taken in (left-segments.test.ts).

import t from 'tap'
import { WadiError } from '../../runtime/base/errors.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import { BLOCK_BYTES } from '../../runtime/log/journal-file.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { topicEntries } from '../../runtime/log/topic-catalogue.ts'
import { appendText, readAll, SimMachine, textOf } from '../helpers/sim-store.ts'

const EVENTS = 60
const UNSEALED = 7
const settings = { journalFileBytes: 1024 * 1024, checkpointAgeMs: 3_600_000 }

/** A state file from before the topic, a journal without the commit that made it, and segments of it, behind the last of them zeros that a cut write left. */
async function entryLost({ former = 0 } = {}): Promise<SimMachine> {
  const machine = new SimMachine(3, { settings })
  const store = await machine.open()
  if (former > 0) {
    const { partitions } = await machine.settle(store.createTopic('telemetry', { codec: 'none' }))
    for (let i = 0; i < former; i++) await machine.settle(appendText(store, partitions[0] as Partition, `former ${i}`))
    await machine.settle(store.deleteTopic('telemetry', { undelivered: 'lose' }))
    await machine.settle(store.flush())
  }
  const { partitions } = await machine.settle(store.createTopic('telemetry', { codec: 'none' }))
  for (let i = 0; i < EVENTS; i++) await machine.settle(appendText(store, partitions[0] as Partition, `event ${i} ${'s'.repeat(200)}`))
  await machine.run(3_000) // sealed by age
  for (let i = 0; i < UNSEALED; i++) await machine.settle(appendText(store, partitions[0] as Partition, `only in the journal ${i}`))
  machine.kill()
  const { disk } = machine
  const journal = disk.files().find(({ path }) => path.endsWith('/0.journal'))
  const at = Buffer.from(journal?.bytes ?? []).lastIndexOf('topic/telemetry')
  disk.rot(journal?.path ?? '', at - (at % BLOCK_BYTES) + 40)
  const last = disk.files().findLast(({ path }) => path.includes('telemetry-0/') && path.endsWith('.log'))
  const file = await machine.settle(disk.open(last?.path ?? '', 'write'))
  await machine.settle(file.writeAt(last?.bytes.byteLength ?? 0, new Uint8Array(300)))
  await machine.settle(file.close())
  return machine
}

async function refusedFor(machine: SimMachine, operation: string): Promise<{ store: LogStore; refusal: unknown }> {
  const store = await machine.open()
  machine.disk.failNext(operation, 'telemetry-0', 'ENOSPC')
  return { store, refusal: await machine.settle(store.createTopic('telemetry', { codec: 'none' }).catch((error: unknown) => error)) }
}

async function texts(machine: SimMachine, store: LogStore): Promise<string[]> {
  const records = await machine.settle(readAll(store.topics.get('telemetry')?.partitions[0] as Partition))
  return records.map((record) => textOf(record).replace(/ s+$/, ''))
}

const events = Array.from({ length: EVENTS }, (_, i) => `event ${i}`)

for (const operation of ['truncate', 'open', 'write']) {
  for (const former of [0, 5]) {
    for (const isKilled of [false, true]) {
      const title = `no room for a ${operation} while segments are taken in, ${former} events of a deleted topic before them${isKilled ? '; killed' : ''}`
      t.test(title, async (t) => {
        const machine = await entryLost({ former })
        const { store, refusal } = await refusedFor(machine, operation)
        t.ok(refusal instanceof WadiError && refusal.code === 'WADI_DISK_FULL' && refusal.retriable, String(refusal))
        t.equal(store.failure, null)
        t.notOk(store.topics.has('telemetry'))
        const made = topicEntries.get(store, topicEntries.key('telemetry'))
        if (isKilled) machine.kill()
        const next = isKilled ? await machine.open() : store
        if (!isKilled) await machine.settle(next.createTopic('telemetry', { codec: 'none' }))
        t.equal(next.topics.get('telemetry')?.number, made?.number, 'it is the same topic')
        t.same(await texts(machine, next), events)
        t.equal(next.metrics.lostRecords, UNSEALED + former)
        const partition = next.topics.get('telemetry')?.partitions[0] as Partition
        t.equal(await machine.settle(appendText(next, partition, 'new')), former + EVENTS + UNSEALED, 'lost offsets are not given again')
        await machine.settle(next.close())
        const last = await machine.open()
        t.same(await texts(machine, last), [...events, 'new'])
        t.match(
          last.metrics.removals.filter(({ reason }) => reason === 'damage'),
          [{ topicName: 'telemetry', records: UNSEALED }]
        )
        await machine.settle(last.close())
      })
    }
  }
}

for (const isKilled of [false, true]) {
  t.test(`so too for a partition that a topic gets${isKilled ? '; killed' : ''}`, async (t) => {
    const machine = new SimMachine(3, { settings })
    const before = await machine.open()
    await machine.settle(before.createTopic('telemetry', { codec: 'none' }))
    await machine.settle(before.flush())
    const grown = await machine.settle(before.alterTopic('telemetry', { partitionCount: 2 }))
    for (const text of events) await machine.settle(appendText(before, grown.partitions[1] as Partition, text))
    await machine.run(3_000)
    for (let i = 0; i < UNSEALED; i++)
      await machine.settle(appendText(before, grown.partitions[1] as Partition, `only in the journal ${i}`))
    machine.kill()
    const journal = machine.disk.files().find(({ path }) => path.endsWith('/0.journal'))
    const at = Buffer.from(journal?.bytes ?? []).lastIndexOf('topic/telemetry')
    machine.disk.rot(journal?.path ?? '', at - (at % BLOCK_BYTES) + 40)
    const store = await machine.open()
    machine.disk.failNext('open', 'telemetry-1', 'ENOSPC')
    await t.rejects(machine.settle(store.alterTopic('telemetry', { partitionCount: 2 })), { code: 'WADI_DISK_FULL' })
    t.equal(store.failure, null)
    t.equal(await machine.settle(appendText(store, store.topics.get('telemetry')?.partitions[0] as Partition, 'goes on')), 0)
    if (isKilled) machine.kill()
    const next = isKilled ? await machine.open() : store
    if (!isKilled) await machine.settle(next.alterTopic('telemetry', { partitionCount: 2 }))
    const partition = next.topics.get('telemetry')?.partitions[1] as Partition
    t.same((await machine.settle(readAll(partition))).map(textOf), events)
    t.equal(await machine.settle(appendText(next, partition, 'new')), EVENTS + UNSEALED)
    t.match(next.metrics.removals, [{ topicName: 'telemetry', reason: 'damage', records: UNSEALED }])
    await machine.settle(next.close())
  })
}
