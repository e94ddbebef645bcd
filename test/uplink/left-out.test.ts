// Proves for runtime/uplink: a topic of the centre that does not take its events stops alone. All others go on, the status and a notice say why,
// it goes on by itself when it is cured, and nothing is lost or sent twice. So for every step of a transaction that may fail for one topic.

import t from 'tap'
import { UpstreamFault } from '../../runtime/uplink/upstream.ts'
import { TOPIC_FAILURES, type TopicFailure } from '../sim/topic-failures.ts'
import { numbers, Rig } from './rig.ts'

t.setTimeout(120_000)

const topics = new Map([
  ['plant', 'centre.plant'],
  ['meter', 'centre.meter']
])
const failures = Object.keys(TOPIC_FAILURES) as TopicFailure[]

async function openBoth(settings: Parameters<Rig['start']>[0] = {}): Promise<Rig> {
  const rig = new Rig()
  await rig.open({ plant: {}, meter: {} })
  rig.start({ topics, ...settings })
  await rig.machine.run(3_000)
  return rig
}

function reasonOf(rig: Rig, edgeTopic: string): string | null | undefined {
  return rig.uplink.status().topics.find((topic) => topic.edgeTopic === edgeTopic)?.stoppedBecause
}

/** Topics of the centre that each request carries events for, from now on. */
function recordCarried({ centre }: Rig): string[][] {
  const carried: string[][] = []
  const { produce } = centre
  centre.produce = (id, producer, targets) => {
    carried.push(targets.map(({ topicName }) => topicName))
    return produce.call(centre, id, producer, targets)
  }
  return carried
}

const aboutTopics = (rig: Rig): string[] => rig.noticeKinds().filter((kind) => kind === 'left-out' || kind === 'let-in')

for (const failure of failures) {
  t.test(`${failure}: one topic fails while it is delivered to; the other flows, and the first goes on when it is cured`, async (t) => {
    const rig = await openBoth()
    await rig.deliver(numbers(3), { topic: 'meter' })
    rig.centre.failingTopics.set('centre.meter', failure)
    await rig.append(numbers(3, 3), { topic: 'meter' })
    for (let minute = 0; minute < 10; minute++) await rig.append(numbers(5, minute * 5)).then(() => rig.machine.run(60_000))
    t.same(rig.values('centre.plant'), numbers(50))
    t.same(rig.values('centre.meter'), numbers(3))
    t.match(reasonOf(rig, 'meter'), TOPIC_FAILURES[failure].says)
    t.equal(reasonOf(rig, 'plant'), null)
    t.equal(rig.uplink.status().state, 'idle')
    t.same(aboutTopics(rig), ['left-out'])
    rig.centre.failingTopics.clear()
    await rig.append(numbers(2, 6), { topic: 'meter' })
    await rig.machine.run(130_000)
    t.same(rig.values('centre.meter'), numbers(8))
    t.equal(reasonOf(rig, 'meter'), null)
    t.same(aboutTopics(rig), ['left-out', 'let-in'])
    await rig.deliver(numbers(5, 50))
    t.same(rig.values('centre.plant'), numbers(55))
    t.equal(rig.uplink.status().lagEvents, 0)
    await rig.close()
  })

  t.test(`${failure}: from the start, with more waiting than one transaction holds; also over a restart`, async (t) => {
    const rig = new Rig()
    rig.centre.failingTopics.set('centre.meter', failure)
    await rig.open({ plant: {}, meter: {} })
    const many = numbers(400).map((text) => `${text} ${'y'.repeat(500)}`)
    await rig.append(many)
    await rig.append(many, { topic: 'meter' })
    const settings = { topics, transactionBytesMax: 64 * 1024, compression: 'none' } as const
    rig.start(settings)
    await rig.machine.run(60_000)
    t.same(rig.values('centre.plant'), many)
    rig.kill()
    await rig.open()
    rig.start(settings)
    await rig.deliver(['plant goes on'])
    await rig.machine.run(10_000)
    t.same(rig.values('centre.plant'), [...many, 'plant goes on'])
    rig.centre.failingTopics.clear()
    await rig.machine.run(130_000)
    t.same(rig.values('centre.meter'), many)
    await rig.close()
  })

  t.test(`${failure}: every topic fails: the uplink says so, and goes on with each that is cured`, async (t) => {
    const rig = await openBoth()
    for (const name of topics.values()) rig.centre.failingTopics.set(name, failure)
    await rig.append(numbers(3))
    await rig.append(numbers(3), { topic: 'meter' })
    await rig.machine.run(200_000)
    t.not(rig.uplink.status().state, 'idle')
    t.match(rig.uplink.status().lastError, TOPIC_FAILURES[failure].says)
    rig.centre.failingTopics.delete('centre.meter')
    await rig.machine.run(200_000)
    t.same([rig.values('centre.plant'), rig.values('centre.meter')], [[], numbers(3)])
    rig.centre.failingTopics.clear()
    await rig.machine.run(200_000)
    t.same([rig.values('centre.plant'), rig.values('centre.meter')], [numbers(3), numbers(3)])
    await rig.close()
  })
}

t.test('a topic that is deleted at the centre and may not be made by us: the other flows; made by hand it goes on', async (t) => {
  const rig = new Rig()
  for (const name of topics.values()) rig.centre.createTopic(name, 1)
  await rig.open({ plant: {}, meter: {} })
  rig.start({ topics, createTopics: false })
  await rig.deliver(numbers(3), { topic: 'meter' })
  rig.centre.deleteTopic('centre.meter')
  await rig.append(['after it'], { topic: 'meter' })
  for (let minute = 0; minute < 10; minute++) await rig.append([`e${minute}`]).then(() => rig.machine.run(60_000))
  t.same(rig.values('centre.plant'), numbers(10))
  t.match(reasonOf(rig, 'meter'), /UNKNOWN_TOPIC_OR_PARTITION/)
  rig.centre.createTopic('centre.meter', 1)
  await rig.machine.run(130_000)
  t.same(rig.values('centre.meter'), ['after it'])
  t.equal(reasonOf(rig, 'meter'), null)
  rig.uplink.pause()
  await rig.machine.run(1_000)
  rig.uplink.resume()
  await rig.deliver(['more'])
  t.same(
    rig.notices.filter(({ kind }) => kind === 'recreated').map(({ facts }) => facts),
    [{ topic: 'centre.meter' }],
    'told once, although it was gone while others went on'
  )
  await rig.close()
})

t.test('a topic that may not be described tells its reason too, and a notice when it is let in', async (t) => {
  const rig = new Rig()
  rig.centre.forbiddenTopics.add('centre.meter')
  await rig.open({ plant: {}, meter: {} })
  rig.start({ topics })
  await rig.deliver(numbers(3))
  t.match(reasonOf(rig, 'meter'), /TOPIC_AUTHORIZATION_FAILED/)
  await rig.machine.run(300_000)
  t.same(aboutTopics(rig), ['left-out'])
  rig.centre.forbiddenTopics.clear()
  await rig.machine.run(70_000)
  t.equal(reasonOf(rig, 'meter'), null)
  t.same(aboutTopics(rig), ['left-out', 'let-in'])
  await rig.close()
})

t.test('while a topic is left out it costs the others no transaction: each try carries its events alone', async (t) => {
  const rig = await openBoth()
  const carried = recordCarried(rig)
  rig.centre.failingTopics.set('centre.meter', 'policy')
  await rig.append(['x'], { topic: 'meter' })
  await rig.machine.run(2_000)
  for (let second = 0; second < 300; second++) await rig.append([`e${second}`]).then(() => rig.machine.run(1_000))
  t.same(rig.values('centre.plant'), numbers(300))
  const tries = carried.filter((names) => names.includes('centre.meter'))
  t.ok(tries.length >= 4 && tries.length <= 7, `tried ${tries.length} times in five minutes`)
  t.ok(tries.slice(1).every((names) => names.length === 1))
  await rig.close()
})

t.test(
  'a topic that failed in a transaction, and once when the centre was asked about it, is let in by a transaction of its own only',
  async (t) => {
    const rig = await openBoth()
    const carried = recordCarried(rig)
    rig.centre.failingTopics.set('centre.meter', 'policy')
    await rig.append(['x'], { topic: 'meter' })
    await rig.machine.run(2_000)
    rig.centre.forbiddenTopics.add('centre.meter')
    await rig.machine.run(70_000)
    rig.centre.forbiddenTopics.clear()
    for (let second = 0; second < 200; second++) await rig.append([`e${second}`]).then(() => rig.machine.run(1_000))
    t.same(rig.values('centre.plant'), numbers(200))
    t.ok(
      carried
        .filter((names) => names.includes('centre.meter'))
        .slice(1)
        .every((names) => names.length === 1)
    )
    t.same(aboutTopics(rig), ['left-out'])
    rig.centre.failingTopics.clear()
    await rig.machine.run(130_000)
    t.same(rig.values('centre.meter'), ['x'])
    t.same(aboutTopics(rig), ['left-out', 'let-in'])
    await rig.close()
  }
)

t.test('a topic on trial that kills the connection each time does not keep the others from their turn', async (t) => {
  const rig = await openBoth()
  rig.centre.failingTopics.set('centre.meter', 'policy')
  await rig.append(['x'], { topic: 'meter' })
  await rig.machine.run(2_000)
  rig.centre.failingTopics.clear()
  const { produce } = rig.centre
  rig.centre.produce = (id, producer, targets) => {
    if (targets.some(({ topicName }) => topicName === 'centre.meter')) throw new UpstreamFault('in-doubt', 'the connection was lost')
    return produce.call(rig.centre, id, producer, targets)
  }
  for (let minute = 0; minute < 10; minute++) await rig.append([`e${minute}`]).then(() => rig.machine.run(60_000))
  t.same(rig.values('centre.plant'), numbers(10))
  rig.centre.produce = produce.bind(rig.centre)
  await rig.machine.run(130_000)
  t.same(rig.values('centre.meter'), ['x'])
  await rig.close()
})

t.test('one former topic that may not be described does not hide where an edge topic was on another one', async (t) => {
  const rig = await openBoth()
  await rig.deliver(numbers(3, 10), { topic: 'meter' })
  await rig.deliver(numbers(3)) // no commit carries the note of it any more
  rig.kill()
  await rig.open()
  const { fetchPosition } = rig.centre
  rig.centre.fetchPosition = (id, counts) => {
    const named = new Map([...counts.keys()].filter((name) => name === 'centre.meter').map((name) => [name, 'TOPIC_AUTHORIZATION_FAILED']))
    if (named.size > 0) throw new UpstreamFault('refused', 'TOPIC_AUTHORIZATION_FAILED', { topics: named })
    return fetchPosition.call(rig.centre, id, counts)
  }
  rig.centre.deleteRecords('centre.plant') // only the position tells
  rig.start({
    topics: new Map([
      ['plant', 'new.plant'],
      ['meter', 'new.meter']
    ])
  })
  await rig.deliver(['new'])
  t.same(rig.values('new.plant'), ['new'])
  await rig.close()
})

t.test('resume tries again at once what is left out', async (t) => {
  const rig = await openBoth()
  rig.centre.failingTopics.set('centre.meter', 'no-write')
  await rig.deliver(['x'], { topic: 'meter' })
  rig.centre.failingTopics.clear()
  rig.uplink.resume()
  await rig.machine.run(3_000)
  t.same(rig.values('centre.meter'), ['x'])
  await rig.close()
})

t.test('of several topics that are left out each has its turn alone: one that goes on failing does not keep the others out', async (t) => {
  const rig = new Rig()
  await rig.open({ plant: {}, meter: {}, alarm: {} })
  rig.start({ topics: new Map([...topics, ['alarm', 'centre.alarm']]), backoff: { firstMs: 200, capMs: 5_000 } })
  await rig.machine.run(3_000)
  for (const name of ['centre.plant', 'centre.meter']) rig.centre.failingTopics.set(name, 'server-error')
  for (const topic of ['plant', 'meter', 'alarm']) await rig.append(['x'], { topic })
  await rig.machine.run(60_000)
  t.same([rig.values('centre.plant'), rig.values('centre.meter'), rig.values('centre.alarm')], [[], [], ['x']])
  rig.centre.failingTopics.delete('centre.plant')
  await rig.machine.run(60_000)
  t.same([rig.values('centre.plant'), rig.values('centre.meter')], [['x'], []])
  rig.centre.failingTopics.set('centre.plant', 'server-error')
  await rig.append(['y'], { topic: 'plant' })
  const before = rig.uplink.status().counters.failures
  await rig.machine.run(300_000)
  const failures = rig.uplink.status().counters.failures - before
  t.ok(failures > 20 && failures < 300, `${failures} tries in five minutes: none at once after one that failed`)
  rig.centre.failingTopics.clear()
  await rig.machine.run(60_000)
  t.same([rig.values('centre.plant'), rig.values('centre.meter')], [['x', 'y'], ['x']])
  await rig.close()
})
