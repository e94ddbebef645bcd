// Proves for runtime/uplink, against the simulated centre and the real storage on a simulated disk: each event reaches the centre once and
// in order, in every single situation that has its own rule. The random mixture of all of them is test/sim/gateway.test.ts.

import t from 'tap'
import { toOffset } from '../../runtime/base/offset.ts'
import type { TopicConfig } from '../../runtime/log/contract.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { HINT_KEY } from '../../runtime/uplink/hint.ts'
import type { Notice } from '../../runtime/uplink/ledger.ts'
import { encodePosition } from '../../runtime/uplink/position.ts'
import type { UplinkSettings } from '../../runtime/uplink/settings.ts'
import { Uplink } from '../../runtime/uplink/uplink.ts'
import { loadTestCore } from '../helpers/core.ts'
import { event, SimMachine } from '../helpers/sim-store.ts'
import { Prng } from '../sim/prng.ts'
import { goodLink, SimCentre, type SimUpstream } from '../sim/sim-centre.ts'
import type { SimProcessClock } from '../sim/sim-clock.ts'
import { simCodec } from '../sim/sim-codec.ts'

const ID = 'edge.test.gateway'
const core = loadTestCore()

class Rig {
  readonly machine: SimMachine
  readonly centre: SimCentre
  readonly notices: Notice[] = []
  store!: LogStore
  uplink!: Uplink
  process!: SimProcessClock
  upstream!: SimUpstream

  constructor(options: { batchBytesMax?: number } = {}) {
    this.machine = new SimMachine(1)
    this.centre = new SimCentre({ clock: this.machine.clock, prng: new Prng(2), ...options })
  }

  async open(topics: Record<string, Partial<TopicConfig>> = { plant: {} }): Promise<void> {
    this.store = await this.machine.open()
    for (const [name, config] of Object.entries(topics))
      if (!this.store.topics.has(name)) await this.machine.settle(this.store.createTopic(name, config))
  }

  start(settings: Partial<UplinkSettings> = {}): void {
    this.process = this.machine.clock.process()
    this.upstream = this.centre.connect(this.process, ID)
    this.uplink = new Uplink({
      store: this.store,
      core,
      codec: simCodec,
      clock: this.process,
      random: new Prng(3),
      upstream: this.upstream,
      settings: { topics: new Map([['plant', 'centre.plant']]), gatewayId: 'g1', ...settings }
    })
    this.uplink.onNotice((notice) => this.notices.push(notice))
    this.uplink.start()
  }

  /** Appends and waits until all are durable. */
  async append(texts: readonly string[], options: { topic?: string; partition?: number; keys?: readonly string[] } = {}): Promise<void> {
    const partition = this.store.topics.get(options.topic ?? 'plant')?.partitions[options.partition ?? 0]
    if (!partition) throw new Error('no partition')
    const done = texts.map(
      (text, index) =>
        new Promise<void>((resolve, reject) => {
          const key = options.keys?.[index]
          this.store.append(partition, event(text, key === undefined ? {} : { key }), (error) => (error ? reject(error) : resolve()))
        })
    )
    await this.machine.settle(Promise.all(done))
  }

  /** The process dies; the disk's cache stays. */
  kill(): void {
    this.process.kill()
    this.machine.kill()
  }

  values(topic = 'centre.plant', partition = 0): (string | null)[] {
    return this.centre.committed(topic, partition).map((record) => record.value)
  }

  noticeKinds(): string[] {
    return this.notices.map((notice) => notice.kind)
  }

  async close(): Promise<void> {
    await this.machine.settle(this.uplink.close({ deadlineMs: 5_000 }))
    await this.machine.settle(this.store.close())
  }
}

const numbers = (count: number, from = 0): string[] => Array.from({ length: count }, (_, index) => `e${from + index}`)

t.test('everything is delivered once, in order, and says where it came from', async (t) => {
  const rig = new Rig()
  await rig.open()
  await rig.append(numbers(500))
  rig.start()
  await rig.machine.run(5_000)
  await rig.append(numbers(20, 500))
  await rig.machine.run(5_000)
  t.same(rig.values(), numbers(520))
  const [first] = rig.centre.committed('centre.plant', 0)
  t.equal(first?.headers.get('wadi.id'), `g1/${rig.store.logId}`)
  t.equal(first?.headers.get('wadi.offset'), 'plant/0/0')
  const status = rig.uplink.status()
  t.match(status, {
    state: 'idle',
    lagEvents: 0,
    lagBytes: 0,
    lagMs: null,
    lastError: null,
    retryAtMs: null,
    counters: { deliveredEvents: 520, failures: 0 }
  })
  t.ok(status.wireBytes.sent > 0)
  await rig.close()
  t.equal(rig.uplink.status().state, 'closed')
  t.equal(rig.process.pendingCount, 0, 'no timer is left')
})

t.test('with other partition counts a key goes where the Kafka partitioner of the centre puts it', async (t) => {
  const rig = new Rig()
  await rig.open({ plant: { partitionCount: 2 } })
  rig.centre.createTopic('centre.plant', 5)
  const keys = Array.from({ length: 60 }, (_, index) => `device-${index % 12}`)
  await rig.append(numbers(60), { keys })
  await rig.append(numbers(60, 60), { keys, partition: 1 })
  rig.start()
  await rig.machine.run(10_000)
  let count = 0
  for (let partition = 0; partition < 5; partition++) {
    for (const record of rig.centre.committed('centre.plant', partition)) {
      count++
      const wanted = (core.murmur2(new TextEncoder().encode(record.key ?? '')) & 0x7fffffff) % 5
      if (wanted !== partition) t.fail(`${record.key} is in ${partition}, belongs to ${wanted}`)
    }
  }
  t.equal(count, 120)
  await rig.close()
})

t.test('several edge topics share one upstream topic and its position', async (t) => {
  const rig = new Rig()
  await rig.open({ plant: {}, meter: {} })
  const settings = {
    topics: new Map([
      ['plant', 'all'],
      ['meter', 'all']
    ])
  }
  await rig.append(numbers(10))
  await rig.append(numbers(10, 10), { topic: 'meter' })
  rig.start(settings)
  await rig.machine.run(5_000)
  rig.kill()
  await rig.open()
  await rig.append(numbers(5, 20))
  rig.start(settings)
  await rig.machine.run(20_000)
  t.same([...rig.values('all')].sort(), numbers(25).sort())
  await rig.close()
})

t.test('after a kill it goes on from the position of the centre, not from the local hint', async (t) => {
  const rig = new Rig()
  await rig.open()
  await rig.append(numbers(100))
  rig.start()
  await rig.machine.run(3_000)
  const stale = rig.store.getState(HINT_KEY)
  rig.kill()
  await rig.open()
  t.ok(stale, 'there was a hint')
  await rig.machine.settle(rig.store.commit([], [{ key: HINT_KEY, value: null }]))
  rig.start()
  await rig.machine.run(5_000)
  t.same(rig.values(), numbers(100))
  await rig.close()
})

for (const name of ['describe', 'init', 'fetch-position', 'add-partitions', 'produce', 'commit-position', 'end']) {
  for (const lost of ['request', 'answer', 'late'] as const) {
    t.test(`the ${lost} of ${name} is lost: each event once`, async (t) => {
      const rig = new Rig()
      await rig.open()
      await rig.append(numbers(50))
      rig.centre.link = { ...goodLink, deadlineMs: 1_000 }
      rig.centre.loseNext = { name, what: lost }
      rig.start()
      await rig.machine.run(10_000)
      for (let round = 0; round < 10; round++) {
        await rig.append(numbers(5, 50 + round * 5))
        await rig.machine.run(2_000)
      }
      await rig.machine.run(60_000)
      t.equal(rig.centre.loseNext, null, 'it was lost')
      t.same(rig.values(), numbers(100))
      t.equal(rig.uplink.status().counters.deliveredEvents, 100)
      await rig.close()
    })

    t.test(`killed after the ${lost} of ${name} was lost: each event once`, async (t) => {
      const rig = new Rig()
      await rig.open()
      await rig.append(numbers(50))
      rig.centre.link = { ...goodLink, deadlineMs: 10_000 }
      rig.centre.loseNext = { name, what: lost }
      rig.start()
      await rig.machine.run(3_000)
      t.equal(rig.centre.loseNext, null, 'it was lost')
      rig.kill()
      await rig.open()
      rig.start()
      await rig.machine.run(30_000)
      t.same(rig.values(), numbers(50))
      await rig.close()
    })
  }
}

t.test('the position expired and the last commit was in doubt: the centre is asked about the batch itself', async (t) => {
  for (const lost of ['request', 'answer'] as const) {
    const rig = new Rig()
    await rig.open()
    await rig.append(numbers(30))
    rig.start()
    await rig.machine.run(3_000)
    await rig.append(numbers(30, 30))
    rig.centre.loseNext = { name: 'end', what: lost }
    rig.centre.link = { ...goodLink, deadlineMs: 60_000 }
    await rig.machine.run(3_000)
    t.equal(rig.centre.loseNext, null)
    rig.kill()
    await rig.machine.run(lost === 'request' ? 120_000 : 1_000) // its transaction times out
    rig.centre.expirePositions()
    rig.centre.expireProducers()
    await rig.open()
    rig.start()
    await rig.machine.run(30_000)
    t.same(rig.values(), numbers(60), `the ${lost} of the commit was lost`)
    t.ok(rig.centre.reached.get(lost === 'answer' ? 'probe:committed' : 'probe:aborted'), 'the probe decided')
    await rig.close()
  }
})

t.test('the position expired and the centre has deleted the batch: sent again, and counted', async (t) => {
  const rig = new Rig()
  await rig.open()
  await rig.append(numbers(30))
  rig.start()
  await rig.machine.run(3_000)
  rig.kill() // the note that it was committed is not written yet
  rig.centre.expirePositions()
  rig.centre.deleteRecords('centre.plant')
  await rig.open()
  rig.start()
  await rig.machine.run(10_000)
  t.equal(rig.uplink.status().counters.undecidedEvents, 30)
  t.ok(rig.noticeKinds().includes('undecided'))
  await rig.close()
})

t.test('the position expired long after a clean stop: the local hint is right', async (t) => {
  const rig = new Rig()
  await rig.open()
  await rig.append(numbers(30))
  rig.start()
  await rig.machine.run(3_000)
  await rig.close()
  rig.centre.expirePositions()
  rig.centre.deleteRecords('centre.plant')
  await rig.open()
  await rig.append(numbers(5, 30))
  rig.start()
  await rig.machine.run(10_000)
  t.same(rig.values(), numbers(35))
  await rig.close()
})

t.test("another log's position is not ours: we start with what we have, and say so", async (t) => {
  const rig = new Rig()
  const foreign = rig.centre.connect(rig.machine.clock, ID)
  rig.centre.createTopic('centre.plant', 1)
  const metadata = encodePosition({ logId: 'ffff', incarnation: 9, nextOffsets: new Map([['plant', [40]]]) })
  await rig.machine.settle(
    (async () => {
      await foreign.initProducer()
      await foreign.addPartitions([{ topicName: 'centre.plant', partitionIndex: 0 }])
      await foreign.commitPosition(new Map([['centre.plant', { committedOffset: 40, metadata }]]))
      await foreign.endTransaction('commit')
    })()
  )
  await rig.open()
  await rig.append(numbers(50))
  rig.start()
  await rig.machine.run(5_000)
  t.same(rig.values(), numbers(50))
  t.same(rig.noticeKinds(), ['other-log'])
  await rig.close()
})

t.test('the centre is ahead of the disk: new events continue behind it and are delivered', async (t) => {
  const rig = new Rig()
  await rig.open()
  await rig.append(numbers(10))
  const metadata = encodePosition({ logId: rig.store.logId, incarnation: 1, nextOffsets: new Map([['plant', [25]]]) })
  const earlier = rig.centre.connect(rig.machine.clock, ID)
  rig.centre.createTopic('centre.plant', 1)
  await rig.machine.settle(
    (async () => {
      await earlier.initProducer()
      await earlier.addPartitions([{ topicName: 'centre.plant', partitionIndex: 0 }])
      await earlier.commitPosition(new Map([['centre.plant', { committedOffset: 25, metadata }]]))
      await earlier.endTransaction('commit')
    })()
  )
  rig.start()
  await rig.machine.run(3_000)
  t.equal(rig.store.topics.get('plant')?.partitions[0]?.highWatermark, 25)
  await rig.append(numbers(5, 25))
  await rig.machine.run(5_000)
  t.same(rig.values(), numbers(5, 25))
  t.equal(rig.centre.committed('centre.plant', 0)[0]?.headers.get('wadi.offset'), 'plant/0/25')
  t.ok(rig.noticeKinds().includes('raised'))
  t.equal(rig.uplink.status().counters.raisedEvents, 15)
  await rig.close()
})

t.test('retention was faster: the hole is counted and the rest is delivered', async (t) => {
  const rig = new Rig()
  await rig.open({ plant: { retentionBytes: 8 * 1024, dropUndelivered: true, codec: 'none' } })
  rig.centre.link = { ...goodLink, isDown: true }
  rig.start()
  for (let round = 0; round < 20; round++) {
    await rig.append(numbers(40, round * 40).map((text) => `${text} ${'x'.repeat(300)}${round}`))
    await rig.machine.run(2_000)
  }
  const partition = rig.store.topics.get('plant')?.partitions[0]
  const start = partition?.logStartOffset ?? toOffset(0)
  t.ok(start > 0, `the log starts at ${start}`)
  rig.centre.link = { ...goodLink }
  await rig.machine.run(120_000)
  t.equal(rig.values().length + rig.uplink.status().counters.lostEvents, 800)
  t.ok(rig.noticeKinds().includes('hole'))
  await rig.close()
})

t.test('an event the centre never takes is put aside; those before and behind it arrive in order', async (t) => {
  const rig = new Rig()
  await rig.open({ plant: {}, '_wadi.dlq': {} })
  rig.centre.refusesValue = (value) => value === 'e77'
  await rig.append(numbers(200))
  rig.start()
  await rig.machine.run(60_000)
  t.same(
    rig.values(),
    numbers(200).filter((text) => text !== 'e77')
  )
  t.equal(rig.uplink.status().counters.parkedEvents, 1)
  const dlq = rig.store.topics.get('_wadi.dlq')?.partitions[0]
  t.equal(dlq?.highWatermark, 1)
  const { batches } = await rig.machine.settle(dlq?.read(toOffset(0), { bytesMax: 1 }) ?? Promise.reject(new Error('no dlq')))
  const [record] = core.readRecords(batches[0] as Uint8Array)
  const headers = new Map(record?.headers.map((header) => [Buffer.from(header.key).toString(), Buffer.from(header.value ?? []).toString()]))
  t.equal(headers.get('wadi.source'), 'plant/0/77')
  t.match(headers.get('wadi.reason'), /INVALID_RECORD/)
  rig.kill()
  await rig.open()
  await rig.append(numbers(3, 200))
  rig.start()
  await rig.machine.run(30_000)
  t.same(rig.values().slice(-3), numbers(3, 200))
  t.equal(rig.store.topics.get('_wadi.dlq')?.partitions[0]?.highWatermark, 1, 'put aside once')
  await rig.close()
})

t.test('without a dead-letter topic that topic stops with words, the others go on', async (t) => {
  const rig = new Rig()
  await rig.open({ plant: {}, meter: {} })
  rig.centre.refusesValue = (value) => value === 'e3'
  await rig.append(numbers(10))
  await rig.append(numbers(10, 100), { topic: 'meter' })
  rig.start({
    topics: new Map([
      ['plant', 'centre.plant'],
      ['meter', 'centre.meter']
    ])
  })
  await rig.machine.run(60_000)
  t.same(rig.values('centre.meter'), numbers(10, 100))
  t.same(rig.values(), numbers(3))
  const plant = rig.uplink.status().topics.find((topic) => topic.edgeTopic === 'plant')
  t.match(plant?.stoppedBecause, /event 3 of partition 0 cannot be delivered/)
  t.equal(plant?.lagEvents, 7)
  rig.centre.refusesValue = () => false
  rig.uplink.resume()
  await rig.machine.run(60_000)
  t.same(rig.values(), numbers(10), 'a person looked, and it goes on')
  await rig.close()
})

t.test('the centre takes only small batches: they are made smaller; an event that is too large alone is put aside', async (t) => {
  const rig = new Rig()
  await rig.open({ plant: {}, '_wadi.dlq': {} })
  rig.centre.createTopic('centre.plant', 1)
  const texts = numbers(100).map((text, index) =>
    index === 50
      ? `${text} ${Buffer.from(new Prng(9).bytes(3_000)).toString('hex')}`
      : `${text} ${Buffer.from(new Prng(index).bytes(60)).toString('hex')}`
  )
  await rig.append(texts)
  rig.start()
  rig.centre.link = { ...goodLink, isDown: true }
  await rig.machine.run(2_000)
  rig.centre.link = { ...goodLink }
  const real = rig.centre.describe.bind(rig.centre)
  rig.centre.describe = (names, count) => real(names, count).map((topic) => ({ ...topic, batchBytesMax: 1_048_588 })) // it says one thing and does another
  rig.centre.setBatchBytesMax('centre.plant', 2_000)
  await rig.machine.run(300_000)
  t.same(
    rig.values(),
    texts.filter((_, index) => index !== 50)
  )
  t.ok((rig.centre.reached.get('fault:too-large') ?? 0) > 0)
  t.equal(rig.uplink.status().counters.parkedEvents, 1)
  await rig.close()
})

t.test('somebody else uses our id: after three fences we stop and try again in five minutes', async (t) => {
  const rig = new Rig()
  await rig.open()
  rig.start()
  await rig.machine.run(1_000)
  const clone = rig.centre.connect(rig.machine.clock, ID)
  for (let round = 0; round < 3; round++) {
    await rig.machine.settle(clone.initProducer())
    await rig.append(numbers(1, round))
    await rig.machine.run(2_000)
  }
  const status = rig.uplink.status()
  t.equal(status.state, 'fenced')
  t.equal(status.counters.fences, 3)
  t.ok((status.retryAtMs ?? 0) - rig.machine.clock.wallMs() > 200_000)
  await rig.machine.run(310_000)
  t.same(rig.values(), numbers(3))
  t.equal(rig.uplink.status().state, 'idle')
  await rig.close()
})

t.test('a topic we may not write is refused alone and tried again', async (t) => {
  const rig = new Rig()
  await rig.open({ plant: {}, meter: {} })
  rig.centre.forbiddenTopics.add('centre.plant')
  await rig.append(numbers(5))
  await rig.append(numbers(5, 10), { topic: 'meter' })
  rig.start({
    topics: new Map([
      ['plant', 'centre.plant'],
      ['meter', 'centre.meter']
    ])
  })
  await rig.machine.run(5_000)
  t.same(rig.values('centre.meter'), numbers(5, 10))
  t.equal(rig.uplink.status().lagEvents, 5)
  rig.centre.forbiddenTopics.clear()
  await rig.machine.run(70_000)
  t.same(rig.values(), numbers(5))
  await rig.close()
})

t.test('all topics refused: state, words and time of the next try', async (t) => {
  const rig = new Rig()
  await rig.open()
  rig.centre.forbiddenTopics.add('centre.plant')
  await rig.append(numbers(5))
  rig.start()
  await rig.machine.run(5_000)
  t.match(rig.uplink.status(), { state: 'refused', lastError: /TOPIC_AUTHORIZATION_FAILED/, lagEvents: 5 })
  rig.centre.forbiddenTopics.clear()
  await rig.machine.run(70_000)
  t.same(rig.values(), numbers(5))
  await rig.close()
})

t.test('while the link is down the status tells lag, age, reason and the next try', async (t) => {
  const rig = new Rig()
  await rig.open()
  rig.centre.link = { ...goodLink, isDown: true }
  rig.start()
  await rig.append(numbers(20))
  await rig.machine.run(120_000)
  const status = rig.uplink.status()
  t.match(status, { state: 'waiting', lagEvents: 20, lastError: 'connection refused', etaMs: null })
  t.ok(status.lagBytes > 0)
  t.ok((status.lagMs ?? 0) > 0)
  t.ok((status.retryAtMs ?? 0) > rig.machine.clock.wallMs())
  rig.centre.link = { ...goodLink }
  rig.uplink.resume()
  await rig.machine.run(2_000)
  t.same(rig.values(), numbers(20), 'resume does not wait for the back-off')
  await rig.close()
})

t.test('paused: nothing is sent; closed while the link is down: within the deadline', async (t) => {
  const rig = new Rig()
  await rig.open()
  rig.start()
  await rig.machine.run(1_000)
  rig.uplink.pause()
  await rig.append(numbers(5))
  await rig.machine.run(60_000)
  t.equal(rig.uplink.status().state, 'paused')
  t.same(rig.values(), [])
  rig.uplink.resume()
  await rig.machine.run(2_000)
  t.same(rig.values(), numbers(5))
  rig.centre.link = { ...goodLink, requestLostPercent: 100, deadlineMs: 100_000 }
  await rig.append(numbers(5, 5))
  await rig.machine.run(200)
  const startedMs = rig.machine.clock.monotonicMs()
  await rig.close()
  t.ok(rig.machine.clock.monotonicMs() - startedMs < 6_000)
})

t.test('a topic that is made later, and partitions added later, are delivered too', async (t) => {
  const rig = new Rig()
  await rig.open({})
  rig.start()
  await rig.machine.run(5_000)
  await rig.machine.settle(rig.store.createTopic('plant', { partitionCount: 1 }))
  await rig.append(numbers(5))
  await rig.machine.run(20_000)
  t.same(rig.values(), numbers(5))
  await rig.close()
})

t.test('one slow or large partition does not keep the others from their turn', async (t) => {
  const rig = new Rig()
  await rig.open({ plant: { partitionCount: 3 } })
  for (let round = 0; round < 20; round++) await rig.append(numbers(50, round * 50).map((text) => `${text} ${'y'.repeat(500)}`))
  await rig.append(numbers(5), { partition: 1 })
  await rig.append(numbers(5), { partition: 2 })
  rig.centre.link = { ...goodLink, delayMs: { min: 500, max: 600 } }
  rig.start({ transactionBytesMax: 64 * 1024, compression: 'none' })
  for (let waited = 0; waited < 60 && rig.values('centre.plant', 2).length < 5; waited++) await rig.machine.run(1_000)
  t.ok(rig.values('centre.plant', 0).length < 1_000, 'the large one is still under way')
  t.same(rig.values('centre.plant', 1), numbers(5))
  t.same(rig.values('centre.plant', 2), numbers(5))
  await rig.machine.run(120_000)
  t.equal(rig.values('centre.plant', 0).length, 1_000)
  await rig.close()
})
