// Proves for what may hold up a partition on its way to the centre: batches that cannot be opened (nonsense in a right CRC from an older version,
// or far larger than a batch of ours) never do. What lies before and behind is delivered once and in order; they themselves go whole where
// the centre takes them, and otherwise to the dead letters, with the reason. A disk that cannot be read, and a deletion that is not noted
// yet, hold it up until they can be.

import { gzipSync } from 'node:zlib'
import t from 'tap'
import { RECORDS_AT } from '../../runtime/core/batch-header.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import type { StorageSettings } from '../../runtime/log/settings.ts'
import type { Notice } from '../../runtime/uplink/notices.ts'
import { Uplink } from '../../runtime/uplink/uplink.ts'
import { UpstreamFault } from '../../runtime/uplink/upstream.ts'
import { type ClientCodec, withCodec } from '../helpers/compressors.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, event, readAll, SimMachine } from '../helpers/sim-store.ts'
import { Prng } from '../sim/prng.ts'
import { SimCentre } from '../sim/sim-centre.ts'
import { simCodec } from '../sim/sim-codec.ts'

const core = loadTestCore()
const LARGE_BYTES = 5 * 2 ** 20

class Rig {
  readonly machine: SimMachine
  readonly centre: SimCentre
  readonly notices: Notice[] = []
  store!: LogStore
  uplink!: Uplink

  constructor(centreCount = 1, settings: Partial<StorageSettings> = {}) {
    this.machine = new SimMachine(1, { settings })
    this.centre = new SimCentre({ clock: this.machine.clock, prng: new Prng(2) })
    this.centre.createTopic('plant', centreCount)
  }

  async open(): Promise<void> {
    this.store = await this.machine.open()
    if (this.store.topics.has('plant')) return
    await this.machine.settle(this.store.createTopic('plant'))
    await this.machine.settle(this.store.createTopic('_wadi.dlq', { isForwarded: false }))
  }

  get partition(): Partition {
    return this.store.topics.get('plant')?.partitions[0] as Partition
  }

  async text(value: string): Promise<void> {
    await this.machine.settle(appendText(this.store, this.partition, value))
  }

  /** Straight into the log, as a version did that looked at header and CRC only. */
  async raw(batch: Uint8Array, recordCount: number): Promise<void> {
    await this.machine.settle(this.store.commit([{ partition: this.partition, content: { batch, recordCount } }], []))
  }

  async deliver(durationMs = 30_000): Promise<void> {
    const process = this.machine.clock.process()
    const upstream = this.centre.connect(process, 'edge.test')
    const settings = { topics: new Map([['plant', 'plant']]), gatewayId: 'g1' }
    this.uplink = new Uplink({ store: this.store, core, codec: simCodec, clock: process, random: new Prng(3), upstream, settings })
    this.uplink.onNotice((notice) => this.notices.push(notice))
    this.uplink.start()
    await this.machine.run(durationMs)
    await this.machine.settle(this.uplink.close({ deadlineMs: 5_000 }))
  }

  values(partition = 0): string[] {
    return this.centre.committed('plant', partition).map(({ value }) => (value ?? '').slice(0, 20))
  }

  kinds(): string[] {
    return this.notices.map(({ kind }) => kind)
  }

  /** [source, reason, content, value bytes] of every dead letter. */
  async letters() {
    const partition = this.store.topics.get('_wadi.dlq')?.partitions[0] as Partition
    return (await this.machine.settle(readAll(partition))).map((record) => {
      const header = (name: string): string | undefined => {
        const found = record.headers.find(({ key }) => Buffer.from(key).toString() === name)
        return found?.value ? Buffer.from(found.value).toString() : undefined
      }
      return { source: header('wadi.source'), reason: header('wadi.reason'), content: header('wadi.content'), value: record.value }
    })
  }
}

function junk(codec: ClientCodec, recordCount: number): Uint8Array {
  const like = core.buildBatch(
    Array.from({ length: recordCount }, (_, index) => event(`${index}`)),
    { baseOffset: 0 }
  )
  return withCodec(core, like, codec, new Prng(5).bytes(50))
}

/** One record, larger than a batch of ours can be. */
function large(): Uint8Array {
  const size = varint(LARGE_BYTES)
  const body = Buffer.concat([Uint8Array.from([0, 0, 0, 1]), size, Buffer.alloc(LARGE_BYTES, 'L'), Uint8Array.from([0])])
  const block = gzipSync(Buffer.concat([varint(body.byteLength), body]), { level: 9 })
  return withCodec(core, core.buildBatch([event('like')], { baseOffset: 0 }), 'gzip', block)
}

function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let left = value * 2
  for (; left >= 0x80; left = Math.floor(left / 128)) bytes.push((left % 128) | 0x80)
  return Uint8Array.from([...bytes, left])
}

for (const codec of ['gzip', 'snappy', 'snappy-framed', 'lz4', 'zstd'] as const) {
  t.test(`${codec}: nonsense is put aside with its bytes and its reason; what is before and behind is delivered`, async (t) => {
    const rig = new Rig()
    await rig.open()
    await rig.text('before')
    const batch = junk(codec, 3)
    await rig.raw(batch, 3)
    await rig.text('behind')
    await rig.deliver()
    t.same(rig.values(), ['before', 'behind'])
    t.same(
      rig.centre.committed('plant', 0).map(({ headers }) => headers.get('wadi.offset')),
      ['plant/0/0', 'plant/0/4']
    )
    t.match(await rig.letters(), [{ source: 'plant/0/1', reason: /./, content: 'record-batch' }])
    t.same(Buffer.from((await rig.letters())[0]?.value ?? []).subarray(RECORDS_AT), Buffer.from(batch).subarray(RECORDS_AT))
    t.match(rig.uplink.status(), { lagEvents: 0, counters: { deadLetterEvents: 3 } })
    rig.machine.kill()
    await rig.open()
    await rig.text('after a restart')
    await rig.deliver()
    t.same(rig.values(), ['before', 'behind', 'after a restart'])
    t.equal((await rig.letters()).length, 1, 'put aside once')
  })
}

t.test('records that do not fit their header are put aside too, whatever else is read with them', async (t) => {
  const rig = new Rig()
  await rig.open()
  await rig.text('before')
  const like = core.buildBatch([event('x'), event('y')], { baseOffset: 0 })
  await rig.raw(withCodec(core, like, 'gzip', gzipSync(new Prng(9).bytes(80))), 2)
  await rig.raw(withCodec(core, like, 'snappy'), 2)
  await rig.raw(junk('zstd', 1), 1)
  await rig.raw(junk('lz4', 1), 1)
  await rig.text('behind')
  await rig.deliver()
  t.same(rig.values(), ['before', 'x', 'y', 'behind'])
  t.same(
    (await rig.letters()).map(({ source }) => source),
    ['plant/0/1', 'plant/0/5', 'plant/0/6']
  )
})

t.test('several beside each other are put aside, however much waits behind them', async (t) => {
  const rig = new Rig()
  await rig.open()
  for (const codec of ['lz4', 'zstd', 'lz4'] as const) await rig.raw(junk(codec, 2), 2)
  const behind = Buffer.from(new Prng(7).bytes(3_500)).toString('hex')
  for (let count = 0; count < 20; count++) await rig.text(behind)
  await rig.deliver()
  t.equal(rig.values().length, 20)
  t.same(
    (await rig.letters()).map(({ source }) => source),
    ['plant/0/0', 'plant/0/2', 'plant/0/4']
  )
})

t.test('a quota that is full of what waits behind it does not keep a batch from being put aside', async (t) => {
  const rig = new Rig()
  await rig.open()
  await rig.machine.settle(rig.store.alterTopic('_wadi.dlq', { quotaBytes: 8 * 1024, whenFull: 'reject', codec: 'none' }))
  const letters = rig.store.topics.get('_wadi.dlq')?.partitions[0] as Partition
  for (const bytes of [500, 500, 50, 50, 0, 0, 0]) {
    const fill = Buffer.from(new Prng(8).bytes(bytes)).toString('hex')
    await t.rejects(
      async () => {
        for (;;) await rig.machine.settle(appendText(rig.store, letters, fill))
      },
      { code: 'WADI_QUOTA_EXCEEDED' }
    )
    await rig.machine.settle(rig.store.flush()) // sealed it is smaller
  }
  await rig.raw(junk('gzip', 2), 2)
  await rig.text('behind')
  await rig.deliver()
  t.same(rig.values(), ['behind'])
  t.equal((await rig.letters()).at(-1)?.source, 'plant/0/0')
})

t.test('a batch larger than ours can be goes whole where partitions are one to one, and says that its headers are missing', async (t) => {
  const rig = new Rig()
  await rig.open()
  await rig.text('before')
  await rig.raw(large(), 1)
  await rig.text('behind')
  await rig.deliver()
  t.same(rig.values(), ['before', 'L'.repeat(20), 'behind'])
  t.equal(rig.centre.committed('plant', 0)[1]?.value?.length, LARGE_BYTES)
  t.same(rig.kinds(), ['whole'])
  t.match(rig.notices[0]?.text, /plant\/0: the batch at 1 cannot be opened .* without wadi.id and wadi.offset/)
  t.same(await rig.letters(), [])
})

/** The centre's answers to the next `count` produce calls. */
function answerProduce(centre: SimCentre, count: number, fault: () => UpstreamFault): void {
  const produce = centre.produce.bind(centre)
  let left = count
  centre.produce = (...call) => {
    if (left-- > 0) throw fault()
    return produce(...call)
  }
}

t.test('links that are lost while a batch goes whole are no answer to it: it arrives, and nothing is put aside', async (t) => {
  const rig = new Rig()
  await rig.open()
  await rig.raw(large(), 1)
  await rig.text('behind')
  answerProduce(rig.centre, 5, () => new UpstreamFault('in-doubt', 'the connection was lost'))
  await rig.deliver(120_000)
  t.same(rig.values(), ['L'.repeat(20), 'behind'])
  t.same(await rig.letters(), [])
})

t.test('a batch that goes whole and gets no more than an unnamed error for an answer is put aside after three', async (t) => {
  const rig = new Rig()
  await rig.open()
  await rig.raw(large(), 1)
  await rig.text('behind')
  let answers = 0
  answerProduce(rig.centre, 5, () => {
    answers++
    const target = { topicName: 'plant', partitionIndex: 0 }
    return new UpstreamFault('in-doubt', 'UNKNOWN_SERVER_ERROR', { target, mayBeContent: true })
  })
  await rig.deliver(120_000)
  t.equal(rig.values().at(-1), 'behind')
  t.match(await rig.letters(), [{ source: 'plant/0/0', content: 'record-batch' }])
  t.ok(answers >= 3, `${answers}`)
})

t.test('where records have to be spread by their keys it is put aside', async (t) => {
  const rig = new Rig(2)
  await rig.open()
  await rig.raw(large(), 1)
  await rig.text('behind')
  await rig.deliver()
  t.same([...rig.values(0), ...rig.values(1)], ['behind'])
  t.match(await rig.letters(), [{ source: 'plant/0/0', content: 'record-batch', reason: /large/ }])
  t.same(rig.kinds(), ['dead-letter'])
})

t.test('what is deleted is not passed over before the new log start is durable: a crash may bring it back', async (t) => {
  const rig = new Rig(1, { segmentAgeMs: 10_000 })
  await rig.open()
  await rig.machine.settle(rig.store.alterTopic('plant', { retentionMs: 60_000, dropUndelivered: true }))
  const nowMs = rig.machine.clock.wallMs()
  const appendAt = async (value: string, timestampMs: number): Promise<void> => {
    await rig.machine.settle(rig.store.commit([{ partition: rig.partition, content: { record: event(value, { timestampMs }) } }], []))
    await rig.machine.settle(rig.store.flush())
  }
  for (const value of ['a', 'b']) await appendAt(value, nowMs)
  for (const value of ['c', 'd']) await appendAt(value, nowMs + 500_000)
  for (let count = 0; count < 1_000; count++) rig.machine.disk.refuseNext('write-sync', '.journal') // no commit says what is deleted
  await rig.machine.run(70_000)
  t.match(rig.partition, { logStartOffset: 2, isLogStartDurable: false })
  await rig.deliver()
  t.same(rig.values(), [])
  const kinds = (): string[] => rig.kinds().filter((kind) => kind !== 'notes') // its notes find no room either
  t.same(kinds(), [])
  rig.machine.disk.heal()
  await rig.deliver()
  t.match(rig.partition, { logStartOffset: 2, isLogStartDurable: true })
  t.same(rig.values(), ['c', 'd'])
  t.same(kinds(), ['hole'])
})

t.test(
  'a disk that cannot be read for a while is no reason to put anything aside or to pass over it: tried again until it can',
  async (t) => {
    const rig = new Rig(1, { unreadablePatienceMs: 600_000 })
    await rig.open()
    for (let index = 0; index < 200; index++) await rig.text(`e${index}`)
    await rig.machine.settle(rig.store.flush())
    const read = rig.machine.disk.faults
    rig.machine.disk.faults = { ...read, readErrorPercent: 100 }
    await rig.deliver()
    t.same(rig.values(), [])
    t.ok(rig.kinds().includes('unreadable'), rig.kinds().join())
    t.equal(rig.store.metrics.damagedRanges, 0)
    rig.machine.disk.faults = read
    await rig.deliver()
    t.equal(rig.values().length, 200)
    t.same(await rig.letters(), [])
    t.equal(rig.store.failure, null)
  }
)

t.test('a place that cannot be read for ten minutes is damage: it is reported, and what lies behind it is delivered', async (t) => {
  const rig = new Rig(1, { unreadablePatienceMs: 600_000 })
  await rig.open()
  for (let index = 0; index < 200; index++) await rig.text(`e${index} ${Buffer.from(new Prng(index).bytes(100)).toString('hex')}`)
  await rig.machine.settle(rig.store.flush())
  const [log] = rig.machine.disk.files().filter(({ path }) => path.includes('plant-0') && path.endsWith('.log'))
  t.ok(rig.machine.disk.spoil(log?.path ?? '', 700))
  await rig.deliver()
  t.equal(rig.store.metrics.damagedRanges, 0, 'not yet')
  await rig.machine.run(700_000)
  await rig.deliver()
  t.equal(rig.store.metrics.damagedRanges, 1)
  t.ok(rig.values().length > 0 && rig.values().length < 200, `${rig.values().length} arrived`)
  t.equal(rig.values().at(-1)?.slice(0, 4), 'e199')
})
