// Proves for seal.ts, partition-segments.ts and producer batches in a tail: batches of idempotent producers are written together and stay as they
// came; index, bytes and offsets are right; what a failed write did not take stays in the tail and comes once.
// How: a store on a simulated disk that counts writes, and a model of what was sent.

import t, { type Test } from 'tap'
import { BASE_SEQUENCE_AT, LEADER_EPOCH_AT, viewOf, writeBaseOffset } from '../../runtime/core/batch-header.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import type { PartitionLog } from '../../runtime/log/partition-log.ts'
import { KIB, type StorageSettings } from '../../runtime/log/settings.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, event, readAll, SimMachine, textOf } from '../helpers/sim-store.ts'
import { withMembers } from '../sim/with-members.ts'

const core = loadTestCore()

class Rig {
  readonly machine: SimMachine
  store!: LogStore
  partition!: PartitionLog
  sent = 0
  logWrites = 0
  #sequence = 0

  constructor(settings: Partial<StorageSettings> = {}) {
    // Nothing is sealed before flush().
    const late = { sealAgeMs: 3_600_000, checkpointAgeMs: 3_600_000, sealBytes: 512 * KIB, tailBytesMax: 4096 * KIB }
    const large = { journalFileBytes: 4096 * KIB, commitBytesMax: 256 * KIB, batchBytesMax: 64 * KIB, segmentBytes: 4096 * KIB }
    this.machine = new SimMachine(1, { settings: { ...large, ...late, ...settings } })
    const { disk } = this.machine
    const open = disk.open.bind(disk)
    disk.open = async (path, mode) => {
      const file = await open(path, mode)
      if (!path.endsWith('.log')) return file
      const writeAt = (positionBytes: number, bytes: Uint8Array): Promise<void> => {
        this.logWrites++
        return file.writeAt(positionBytes, bytes)
      }
      return withMembers(file, { writeAt })
    }
  }

  async open(): Promise<void> {
    this.store = await this.machine.open()
    const topic = this.store.topics.get('t') ?? (await this.machine.settle(this.store.createTopic('t')))
    this.partition = topic.partitions[0] as PartitionLog
  }

  /** As Kafka's default producer: a batch of `count` records with its id and sequence. */
  async produce(count = 1): Promise<Uint8Array> {
    const records = Array.from({ length: count }, () => event(`event ${this.sent++}`))
    const producer = { producerId: 7n, producerEpoch: 0, baseSequence: this.#sequence, isTransactional: false }
    this.#sequence += count
    const batch = core.buildBatch(records, { baseOffset: 0, producer }).slice()
    const content = { batch, recordCount: count }
    const [baseOffset] = await this.machine.settle(this.store.commit([{ partition: this.partition, content }], []))
    writeBaseOffset(batch, baseOffset ?? -1)
    viewOf(batch).setInt32(LEADER_EPOCH_AT, this.store.incarnation)
    return batch
  }

  async device(): Promise<void> {
    await this.machine.settle(appendText(this.store, this.partition, `event ${this.sent++}`))
  }

  async writes(work: () => Promise<unknown>): Promise<number> {
    const before = this.logWrites
    await work()
    return this.logWrites - before
  }

  flush(): Promise<void> {
    return this.machine.settle(this.store.flush())
  }

  async stored(): Promise<Uint8Array[]> {
    const batches: Uint8Array[] = []
    for (let offset = this.partition.logStartOffset; offset < this.partition.highWatermark; ) {
      const read = await this.machine.settle(this.partition.read(offset, { bytesMax: 64 * KIB }))
      batches.push(...read.batches.map(({ bytes }) => bytes))
      offset = read.nextOffset
    }
    return batches
  }
}

/** `isWhole`: no write failed since the last one that did not. */
async function checkAll(t: Test, rig: Rig, { isWhole } = { isWhole: true }): Promise<void> {
  const records = await rig.machine.settle(readAll(rig.partition as Partition))
  t.same(
    records.map((record) => [record.offset, textOf(record)]),
    Array.from({ length: rig.sent }, (_, index) => [index, `event ${index}`])
  )
  for (let offset = 0; offset < rig.sent; offset += 37) {
    const { batches } = await rig.machine.settle(rig.partition.read(offset as typeof rig.partition.highWatermark, { bytesMax: 1 }))
    const header = batches[0]?.header
    t.ok(header && header.baseOffset <= offset && header.lastOffset >= offset, `the index finds ${offset}`)
  }
  t.equal(
    rig.partition.segmentBytes,
    rig.partition.segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  )
  const bytes = rig.machine.disk.files().reduce((sum, file) => sum + (file.path.endsWith('.log') ? file.bytes.byteLength : 0), 0)
  if (isWhole) t.equal(rig.partition.segmentBytes, bytes, 'bytes are counted as they lie on the disk')
}

t.test('batches of an idempotent producer are written together, byte for byte as they came', async (t) => {
  const rig = new Rig()
  await rig.open()
  const sent: Uint8Array[] = []
  for (let i = 0; i < 300; i++) sent.push(await rig.produce(1 + (i % 3)))
  t.equal(await rig.writes(() => rig.flush()), 1, 'one write for 300 batches')
  t.same(
    (await rig.stored()).map((batch) => Buffer.from(batch).toString('hex')),
    sent.map((batch) => Buffer.from(batch).toString('hex'))
  )
  await checkAll(t, rig)
  rig.machine.powerCut()
  await rig.open()
  t.equal((await rig.stored()).length, 300)
  await checkAll(t, rig)
})

t.test('events of devices between them are repacked, and all of it is written together', async (t) => {
  const rig = new Rig()
  await rig.open()
  for (let i = 0; i < 40; i++) {
    for (let j = 0; j < 4; j++) await rig.device()
    await rig.produce(2)
  }
  t.equal(await rig.writes(() => rig.flush()), 1)
  const stored = await rig.stored()
  t.equal(stored.length, 80, 'four events in one batch, the batch of a producer by itself')
  t.same(
    stored.map((batch) => viewOf(batch).getInt32(BASE_SEQUENCE_AT)).filter((sequence) => sequence >= 0),
    Array.from({ length: 40 }, (_, index) => index * 2)
  )
  await checkAll(t, rig)
})

t.test('a write takes no more than a segment has room for', async (t) => {
  const rig = new Rig({ segmentBytes: 3 * KIB })
  await rig.open()
  for (let i = 0; i < 300; i++) await rig.produce()
  await rig.flush()
  t.ok(rig.partition.segments.length > 5)
  for (const { sizeBytes } of rig.partition.segments) t.ok(sizeBytes <= 3 * KIB, `${sizeBytes} bytes`)
  await checkAll(t, rig)
})

t.test('a batch much younger than the first of its segment begins a new one, also within one write', async (t) => {
  const rig = new Rig({ segmentAgeMs: 60_000 })
  await rig.open()
  for (const timestampMs of [1_000_000, 1_000_001, 1_070_000, 1_070_001]) {
    const producer = { producerId: 7n, producerEpoch: 0, baseSequence: rig.sent, isTransactional: false }
    const batch = core.buildBatch([event(`event ${rig.sent++}`, { timestampMs })], { baseOffset: 0, producer }).slice()
    await rig.machine.settle(rig.store.commit([{ partition: rig.partition, content: { batch, recordCount: 1 } }], []))
  }
  await rig.flush()
  t.same(
    rig.partition.segments.map(({ baseOffset, nextOffset }) => [baseOffset, nextOffset]),
    [
      [0, 2],
      [2, 4]
    ]
  )
  await checkAll(t, rig)
})

t.test('what a write without room did not take stays in the tail, is served, and comes once', async (t) => {
  const rig = new Rig({ segmentBytes: 3 * KIB })
  await rig.open()
  for (let i = 0; i < 100; i++) await rig.produce()
  rig.machine.disk.failNext('write', '00000000000000000000.log', 'ENOSPC')
  await t.rejects(rig.flush(), /ENOSPC/)
  t.equal(rig.partition.tail.count, 100, 'all of it')
  await checkAll(t, rig, { isWhole: false })
  rig.machine.disk.failNext('open', '.log', 'ENOSPC') // of the second segment: the first is open
  await t.rejects(rig.flush(), /ENOSPC/)
  const { sealedEndOffset, tail } = rig.partition
  t.ok(sealedEndOffset > 0 && sealedEndOffset + tail.count === 100, `${sealedEndOffset} are in a segment, ${tail.count} in the tail`)
  await checkAll(t, rig)
  await rig.flush()
  t.equal(rig.partition.tail.count, 0)
  await checkAll(t, rig)
})

t.test('the store knows at every moment what its tails take', async (t) => {
  const rig = new Rig({ sealBytes: 4 * KIB, tailBytesMax: 64 * KIB })
  await rig.open()
  await rig.machine.settle(rig.store.alterTopic('t', { partitionCount: 5 }))
  const partitions = rig.store.topics.get('t')?.partitions ?? []
  const check = (when: string): void => {
    const bytes = partitions.reduce((sum, { tail }) => sum + tail.bytes, 0)
    t.equal(rig.store.metrics.tailBytes, bytes, when)
  }
  for (let i = 0; i < 400; i++) {
    const partition = partitions[i % 5] as PartitionLog
    if (i % 3 === 0) rig.partition = partition
    if (i % 3 === 0) await rig.produce()
    else await rig.machine.settle(appendText(rig.store, partition, `event ${i} ${'x'.repeat(i)}`))
    if (i % 20 === 0) check(`after ${i}`)
    if (i % 90 === 0) await rig.flush()
  }
  await rig.machine.run(5_000)
  check('when it was sealed')
  await rig.flush()
  check('when it was flushed')
  t.equal(rig.store.metrics.tailBytes, 0)
  rig.machine.kill()
})
