// Proves for runtime/uplink, against the simulated centre and the real storage on a simulated disk: each event reaches the centre once and
// in order, in every single situation that has its own rule. The random mixture of all of them is test/sim/gateway.test.ts.

import t from 'tap'
import { toOffset } from '../../runtime/base/offset.ts'
import { encodePosition, NO_BEGINNINGS } from '../../runtime/uplink/position.ts'
import { loadTestCore } from '../helpers/core.ts'
import { Prng } from '../sim/prng.ts'
import { goodLink } from '../sim/sim-link.ts'
import { ID, numbers, Rig } from './rig.ts'

const core = loadTestCore()

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

t.test('after a kill it goes on from the position of the centre, not from the local notes', async (t) => {
  const rig = new Rig()
  await rig.open()
  await rig.append(numbers(100))
  rig.start()
  await rig.machine.run(3_000)
  rig.kill()
  await rig.open()
  const notes = rig.store.listState('uplink/')
  t.ok(notes.length > 0, 'there were notes')
  await rig.machine.settle(
    rig.store.commit(
      [],
      notes.map((key) => ({ key, value: null }))
    )
  )
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

t.test('the position expired and the last commit was in doubt: the centre is read for what it has', async (t) => {
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
    t.ok(rig.centre.reached.get(lost === 'answer' ? 'read-back:committed' : 'read-back:aborted'), 'it was read')
    t.equal(rig.uplink.status().counters.undecidedEvents, 0)
    await rig.close()
  }
})

t.test('the position expired after many transactions that no note of ours tells of: each event once', async (t) => {
  const rig = new Rig()
  await rig.open({ plant: { partitionCount: 2 }, meter: {} })
  const settings = {
    topics: new Map([
      ['plant', 'centre.plant'],
      ['meter', 'centre.plant']
    ])
  }
  rig.start(settings)
  await rig.machine.run(1_000)
  rig.store.note = () => undefined // nothing travels with the events
  for (let round = 0; round < 20; round++) {
    await rig.append(numbers(3, round * 10), { partition: round % 2 })
    await rig.append(numbers(3, round * 10 + 5), { topic: 'meter' })
    await rig.machine.run(1_000)
  }
  rig.kill()
  rig.centre.expirePositions()
  rig.centre.expireProducers()
  await rig.open()
  await rig.append(['last'])
  rig.start(settings)
  await rig.machine.run(30_000)
  const sent = Array.from({ length: 20 }, (_, round) => [...numbers(3, round * 10), ...numbers(3, round * 10 + 5)]).flat()
  t.same([...rig.values(), ...rig.values('centre.plant', 1)].sort(), [...sent, 'last'].sort())
  t.equal(rig.uplink.status().counters.undecidedEvents, 0)
  await rig.close()
})

t.test(
  'the link is away until the centre has forgotten the position and deleted the events: this process knows what it delivered',
  async (t) => {
    const rig = new Rig()
    await rig.open()
    rig.start()
    await rig.deliver(numbers(3))
    await rig.append(numbers(3, 3)) // delivered within a second of the last note
    await rig.machine.run(500)
    t.same(rig.values(), numbers(6))
    rig.centre.link = { ...goodLink, isDown: true }
    await rig.append(numbers(4, 6))
    await rig.machine.run(120_000)
    rig.centre.expirePositions()
    rig.centre.expireProducers()
    rig.centre.deleteRecords('centre.plant')
    rig.centre.link = { ...goodLink }
    await rig.machine.run(120_000)
    t.same(rig.values(), numbers(10))
    t.equal(rig.uplink.status().counters.undecidedEvents, 0)
    await rig.close()
  }
)

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

t.test('the position expired long after a clean stop: the delivery notes are right', async (t) => {
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
  const pieces = encodePosition([
    { logId: 'ffff', branchId: '', starts: [], nextOffsets: new Map([['plant', [40]]]), beginnings: NO_BEGINNINGS }
  ])
  await rig.machine.settle(
    (async () => {
      await foreign.initProducer()
      await foreign.addPartitions([{ topicName: 'centre.plant', partitionIndex: 0 }])
      await foreign.commitPosition(new Map([['centre.plant', { committedOffset: 40, pieces }]]))
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
  t.equal(rig.uplink.status().counters.deadLetterEvents, 1)
  const dlq = rig.store.topics.get('_wadi.dlq')?.partitions[0]
  t.equal(dlq?.highWatermark, 1)
  const { batches } = await rig.machine.settle(dlq?.read(toOffset(0), { bytesMax: 1 }) ?? Promise.reject(new Error('no dlq')))
  const [record] = core.readRecords(batches[0]?.bytes as Uint8Array)
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

t.test('many events that the centre never takes, on a bad link: each is put aside once', async (t) => {
  const rig = new Rig({ batchBytesMax: 2_000 })
  await rig.open({ plant: {}, '_wadi.dlq': {} })
  const isPoison = (index: number): boolean => [20, 22, 24, 60, 61, 100, 102, 150, 200, 202].includes(index)
  const texts = numbers(250).map(
    (text, index) => `${text} ${Buffer.from(new Prng(index).bytes(isPoison(index) ? 2_500 : 120)).toString('hex')}`
  )
  for (let at = 0; at < texts.length; at += 25) await rig.append(texts.slice(at, at + 25))
  rig.centre.link = { ...goodLink, answerLostPercent: 8, requestLostPercent: 8, deadlineMs: 500 }
  rig.start({ transactionBytesMax: 3_000 })
  await rig.machine.run(2_000_000)
  rig.centre.link = { ...goodLink }
  await rig.machine.run(600_000)
  t.same(
    rig.values(),
    texts.filter((_, index) => !isPoison(index))
  )
  t.equal(rig.store.topics.get('_wadi.dlq')?.partitions[0]?.highWatermark, 10)
  await rig.close()
})

t.test('without a dead-letter topic that topic stops with a reason, the others go on', async (t) => {
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
  t.equal(rig.uplink.status().counters.deadLetterEvents, 1)
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

t.test('all topics refused: state, reason and time of the next try', async (t) => {
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
  const startedMs = rig.machine.clock.wallMs()
  rig.start()
  await rig.append(numbers(20))
  await rig.machine.run(120_000)
  const status = rig.uplink.status()
  t.ok(Math.abs(status.sinceMs - startedMs) <= 1, 'not up since the start: tries do not count')
  t.match(status, { state: 'waiting', lagEvents: 20, lastError: 'connection refused', etaMs: null })
  t.ok(status.lagBytes > 0)
  t.ok((status.lagMs ?? 0) > 0)
  t.ok((status.retryAtMs ?? 0) > rig.machine.clock.wallMs())
  rig.centre.link = { ...goodLink }
  rig.uplink.resume()
  await rig.machine.run(2_000)
  t.same(rig.values(), numbers(20), 'resume does not wait for the back-off')
  const upSinceMs = rig.uplink.status().sinceMs
  await rig.deliver(numbers(5, 20))
  t.ok(
    Math.abs(rig.uplink.status().sinceMs - upSinceMs) <= 1,
    `up since then, whatever is sent: ${rig.uplink.status().sinceMs - upSinceMs} ms`
  )
  rig.centre.link = { ...goodLink, isDown: true }
  await rig.append(['later'])
  await rig.machine.run(1_000)
  const downSinceMs = rig.uplink.status().sinceMs
  t.ok(downSinceMs > upSinceMs)
  await rig.machine.run(120_000)
  t.equal(rig.uplink.status().sinceMs, downSinceMs, 'and down since it was last up')
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
