// Proves for runtime/uplink: whatever the configuration does to topics between two starts, or while it runs, each event reaches the centre once;
// any number of partitions has room in a position; and what is delivered is noted without commits of its own.

import t from 'tap'
import { decodePosition, encodePosition } from '../../runtime/uplink/position.ts'
import { goodLink } from '../sim/sim-link.ts'
import { numbers, Rig } from './rig.ts'

const both = new Map([
  ['plant', 'all'],
  ['meter', 'all']
])

function sortedValues(rig: Rig, topic: string): (string | null)[] {
  return [...rig.values(topic)].sort()
}

type Ending = 'closed' | 'killed' | 'killed, local notes lost'

/** The gateway ends, and its store is open again. */
async function restart(rig: Rig, ending: Ending): Promise<void> {
  if (ending === 'closed') await rig.close()
  else rig.kill()
  await rig.open({ plant: {}, meter: {} })
  if (ending !== 'killed, local notes lost') return
  const notes = rig.store.listState('uplink/').map((key) => ({ key, value: null }))
  await rig.machine.settle(rig.store.commit([], notes))
}

/** Of two edge topics of one upstream topic one is taken away and comes back. */
async function takeAwayAndBringBack(rig: Rig, ending: Ending): Promise<void> {
  await rig.open({ plant: {}, meter: {} })
  rig.start({ topics: both })
  await rig.deliver(numbers(10))
  await rig.deliver(numbers(10, 100), { topic: 'meter' })
  await restart(rig, ending)
  rig.start({ topics: new Map([['plant', 'all']]) })
  await rig.deliver(['one'])
  await rig.append(['while it was away'], { topic: 'meter' })
  await restart(rig, ending)
  rig.start({ topics: both })
  await rig.machine.run(30_000)
}

const takenAwayAndBack = [...numbers(10), ...numbers(10, 100), 'one', 'while it was away'].sort()

t.test('canary: a position that holds only what is delivered now is noticed', async (t) => {
  const rig = new Rig()
  const real = rig.centre.commitPosition.bind(rig.centre)
  rig.centre.commitPosition = (id, producer, positions) => {
    const forgetful = [...positions].map(([name, position]) => {
      const branches = decodePosition(position.pieces) ?? []
      const cut = branches.map((branch) => ({ ...branch, nextOffsets: new Map([...branch.nextOffsets].slice(-1)) }))
      return [name, { ...position, pieces: encodePosition(cut) }] as const
    })
    real(id, producer, new Map(forgetful))
  }
  await takeAwayAndBringBack(rig, 'killed, local notes lost')
  t.not(rig.values('all').length, takenAwayAndBack.length)
  await rig.close()
})

for (const ending of ['closed', 'killed', 'killed, local notes lost'] as const) {
  const stop = (rig: Rig): Promise<void> => restart(rig, ending)

  t.test(`${ending}: of two edge topics of one upstream topic one is taken away and comes back: nothing is sent again`, async (t) => {
    const rig = new Rig()
    await takeAwayAndBringBack(rig, ending)
    t.same(sortedValues(rig, 'all'), takenAwayAndBack)
    await rig.close()
  })

  // Where an edge topic was before it moved is only in the local notes.
  if (ending === 'killed, local notes lost') continue

  t.test(`${ending}: an edge topic moves to an upstream topic that has a position already: it goes on where it was`, async (t) => {
    const rig = new Rig()
    await rig.open({ plant: {}, meter: {} })
    rig.start({
      topics: new Map([
        ['plant', 'centre.plant'],
        ['meter', 'centre.meter']
      ])
    })
    await rig.deliver(numbers(10))
    await rig.deliver(numbers(10, 100), { topic: 'meter' })
    await stop(rig)
    const moved = new Map([
      ['plant', 'centre.meter'],
      ['meter', 'centre.meter']
    ])
    rig.start({ topics: moved })
    await rig.deliver(numbers(3, 10))
    t.same(rig.values('centre.plant'), numbers(10))
    t.same(sortedValues(rig, 'centre.meter'), [...numbers(10, 100), ...numbers(3, 10)].sort())
    await stop(rig)
    rig.start({ topics: new Map([...moved, ['plant', 'centre.plant']]) })
    await rig.deliver(numbers(3, 20))
    t.same(rig.values('centre.plant'), [...numbers(10), ...numbers(3, 20)], 'and back again')
    t.same(sortedValues(rig, 'centre.meter'), [...numbers(10, 100), ...numbers(3, 10)].sort())
    await rig.close()
  })
}

t.test(
  'moved away and back, and the centre has forgotten the position of the place between: what is older is no word on where it is',
  async (t) => {
    const rig = new Rig()
    const settings = (meter: string): { topics: ReadonlyMap<string, string> } => ({
      topics: new Map([
        ['plant', 'all'],
        ['meter', meter]
      ])
    })
    await rig.open({ plant: {}, meter: {} })
    rig.start(settings('all'))
    await rig.deliver(numbers(3))
    await rig.deliver(numbers(3), { topic: 'meter' })
    await restart(rig, 'closed')
    rig.start(settings('elsewhere'))
    await rig.deliver(numbers(7, 10), { topic: 'meter' })
    rig.centre.expirePositions()
    await rig.deliver(numbers(3, 20)) // the position of `all` is there again, with how far `meter` had come there
    await rig.deliver(['since the note'], { topic: 'meter' })
    rig.centre.expirePositions()
    await rig.deliver(numbers(3, 30))
    await restart(rig, 'killed')
    rig.start(settings('all'))
    await rig.append(['back'], { topic: 'meter' })
    await rig.machine.run(30_000)
    t.same(rig.values('elsewhere'), [...numbers(7, 10), 'since the note'])
    t.same(rig.values('all'), [...numbers(3), ...numbers(3), ...numbers(3, 20), ...numbers(3, 30), 'back'])
    t.equal(rig.uplink.status().counters.undecidedEvents, 0)
    await rig.close()
  }
)

t.test('a topic that may not be read any more is no reason to stop: the notes tell where its edge topic was', async (t) => {
  const rig = new Rig()
  await rig.open()
  rig.start()
  await rig.deliver(numbers(10))
  await rig.close()
  const real = rig.centre.fetchPosition.bind(rig.centre)
  const { UpstreamFault } = await import('../../runtime/uplink/upstream.ts')
  rig.centre.fetchPosition = (id, counts) => {
    if (counts.has('centre.plant')) throw new UpstreamFault('refused', 'TOPIC_AUTHORIZATION_FAILED')
    return real(id, counts)
  }
  await rig.open()
  rig.start({ topics: new Map([['plant', 'elsewhere']]) })
  await rig.deliver(['new'])
  t.same(rig.values('elsewhere'), ['new'])
  await rig.close()
})

t.test('a topic with the most partitions there can be is delivered, at large offsets too', async (t) => {
  const rig = new Rig()
  await rig.open({ plant: { partitionCount: 1000 } })
  rig.start()
  await rig.append(['first'], { partition: 0 })
  await rig.append(['last'], { partition: 999 })
  await rig.machine.run(10_000)
  for (const topic of rig.store.topics.values())
    for (const partition of topic.partitions) rig.store.setDelivered(partition, partition.highWatermark)
  t.same([...rig.values('centre.plant', 0), ...rig.values('centre.plant', 999)], ['first', 'last'])
  const pieces = (await rig.machine.settle(rig.upstream.fetchPosition(new Map([['centre.plant', 9]])))).get('centre.plant')?.pieces ?? []
  t.ok(pieces.every((piece) => piece.length <= 4096))
  rig.kill()
  await rig.open()
  await rig.append(['again'], { partition: 999 })
  rig.start()
  await rig.machine.run(20_000)
  t.same(rig.values('centre.plant', 999), ['last', 'again'])
  t.equal(rig.uplink.status().lagEvents, 0)
  await rig.close()
})

t.test('ten edge topics of a hundred partitions each share an upstream topic of one partition', async (t) => {
  const rig = new Rig()
  const names = Array.from({ length: 10 }, (_, index) => `${'long-name-'.repeat(20)}${index}`)
  await rig.open(Object.fromEntries(names.map((name) => [name, { partitionCount: 100 }])))
  rig.centre.createTopic('all', 1)
  const settings = { topics: new Map(names.map((name) => [name, 'all'])) }
  rig.start(settings)
  await rig.machine.run(2_000)
  for (const [index, name] of names.entries()) await rig.append([`e${index}`], { topic: name, partition: index * 7 })
  await rig.machine.run(10_000)
  rig.kill()
  await rig.open()
  for (const [index, name] of names.entries()) await rig.append([`f${index}`], { topic: name, partition: index * 7 })
  rig.start(settings)
  await rig.machine.run(30_000)
  const expected = names.flatMap((_, index) => [`e${index}`, `f${index}`])
  t.same(sortedValues(rig, 'all'), expected.sort())
  const pieces = (await rig.machine.settle(rig.upstream.fetchPosition(new Map([['all', 9]])))).get('all')?.pieces ?? []
  t.ok(pieces.length > 1, `${pieces.length} pieces`)
  await rig.close()
})

t.test('a topic that a device makes does not end a pause, a back-off or a fence', async (t) => {
  const rig = new Rig()
  await rig.open({ plant: {} })
  rig.start()
  await rig.machine.run(1_000)
  const makeTopic = async (name: string): Promise<void> => {
    await rig.machine.settle(rig.store.createTopic(name, {}))
    rig.uplink.addTopic(name, `centre.${name}`)
    await rig.append(['x'], { topic: name })
    await rig.machine.run(2_000)
  }
  rig.uplink.pause()
  await rig.machine.run(1_000)
  await makeTopic('a')
  t.equal(rig.uplink.status().state, 'paused')
  t.same(rig.values('centre.a'), [])
  rig.uplink.resume()
  await rig.machine.run(10_000)
  t.same(rig.values('centre.a'), ['x'], 'it is delivered when the pause ends')

  const clone = rig.centre.connect(rig.machine.clock, 'edge.test.gateway')
  for (let round = 0; round < 3; round++) {
    await rig.machine.settle(clone.initProducer())
    await rig.append([`fence${round}`])
    await rig.machine.run(3_000)
  }
  t.equal(rig.uplink.status().state, 'fenced')
  await makeTopic('b')
  t.equal(rig.uplink.status().state, 'fenced')
  await rig.machine.run(310_000)
  t.same(rig.values('centre.b'), ['x'])

  rig.centre.link = { ...goodLink, isDown: true }
  await rig.append(['y'])
  await rig.machine.run(60_000)
  const { retryAtMs } = rig.uplink.status()
  await makeTopic('c')
  if ((retryAtMs ?? 0) > rig.machine.clock.wallMs())
    t.ok(Math.abs((rig.uplink.status().retryAtMs ?? 0) - (retryAtMs ?? 0)) <= 2, 'the next try is when it was')
  rig.centre.link = { ...goodLink }
  await rig.machine.run(120_000)
  t.same(rig.values('centre.c'), ['x'])
  await rig.close()
})

t.test('at one event a second the uplink adds no commits to those of the events', async (t) => {
  const rig = new Rig()
  await rig.open()
  rig.start()
  await rig.deliver(['first'])
  const before = rig.store.metrics.commits
  for (let second = 0; second < 120; second++) {
    await rig.append([`s${second}`])
    await rig.machine.run(1_000)
  }
  t.equal(rig.uplink.status().counters.deliveredEvents, 121)
  t.equal(rig.store.metrics.commits - before, 120)
  await rig.machine.run(900_000)
  t.ok(rig.store.metrics.commits - before <= 121, 'one note in a long pause')
  rig.kill()
  rig.centre.expirePositions()
  await rig.open()
  rig.start()
  await rig.machine.run(10_000)
  t.equal(rig.values().length, 121)
  t.equal(rig.uplink.status().counters.undecidedEvents, 0)
  t.ok((rig.centre.reached.get('read-committed') ?? 0) <= 1, 'what was noted in the pause is exact: one look behind it')
  await rig.close()
})
