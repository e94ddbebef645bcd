// Proves for gateway/topics-setup.ts: whether a topic is delivered follows the configuration at every start, also for topics that a template made and
// that no section names: retention asks it before it takes what the centre does not have.

import t from 'tap'
import { payloadDecoders } from '../../adapters/mqtt/payload.ts'
import { readConfig } from '../../gateway/config/load.ts'
import { routesConfigOf } from '../../gateway/config/routes-config.ts'
import type { Config } from '../../gateway/config/schema.ts'
import type { Log } from '../../gateway/log.ts'
import { TopicsSetup, type TopicsSetupOptions, topicConfigOf } from '../../gateway/topics-setup.ts'
import { compileRoutes } from '../../runtime/broker/routes.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { appendText, SimMachine } from '../helpers/sim-store.ts'

const TEXT = `gateway: { id: g1, data: /data }
mqtt: [ { listen: "127.0.0.1:1883" } ]
routes:
  - { filter: "plant/+line/#", topic: "line-{line}", key: none }
`
const DAY_MS = 86_400_000

function configOf(text: string): Config {
  const read = readConfig(text, { fileName: 'wadi.yaml', environment: {} })
  if (!('config' in read) || !read.config) throw new Error(JSON.stringify(read.problems))
  return read.config
}

const alone = configOf(TEXT)
const connected = configOf(`${TEXT}upstream: { brokers: ["kafka:9092"] }\n`)

function setupOf(machine: SimMachine, options: Omit<TopicsSetupOptions, 'clock' | 'makeTopic'>): TopicsSetup {
  return new TopicsSetup({ ...options, clock: machine.clock, makeTopic: (name, config) => options.store.createTopic(name, config) })
}

async function start(machine: SimMachine, config: Config): Promise<LogStore> {
  const store = await machine.open()
  const { table } = compileRoutes(routesConfigOf(config), payloadDecoders)
  const names = [...config.topics.keys(), ...table.topicNames]
  await machine.settle(setupOf(machine, { store, config, names, log: () => undefined }).run())
  return store
}

t.test('an upstream is added: what a templated topic takes in from then on is not deleted before it is delivered', async (t) => {
  const machine = new SimMachine(1, { settings: { segmentAgeMs: 1_000 } })
  let store = await start(machine, alone)
  await machine.settle(store.createTopic('line-1', topicConfigOf(alone, 'line-1')))
  await machine.settle(store.close())
  store = await start(machine, connected)
  const topic = store.topics.get('line-1')
  t.equal(topic?.config.isForwarded, true)
  const [partition] = topic?.partitions ?? []
  if (!partition) throw new Error('no partition')
  for (let index = 0; index < 20; index++) await machine.settle(appendText(store, partition, `e${index}`))
  await machine.run(60_000)
  machine.clock.jumpWall(8 * DAY_MS)
  await machine.run(10_000)
  t.equal(partition.logStartOffset, 0)
  await machine.settle(store.close())
})

t.test('the upstream is taken away: retention need not wait for a centre any more', async (t) => {
  const machine = new SimMachine(2)
  let store = await start(machine, connected)
  await machine.settle(store.createTopic('line-1', topicConfigOf(connected, 'line-1')))
  await machine.settle(store.close())
  store = await start(machine, alone)
  t.equal(store.topics.get('line-1')?.config.isForwarded, false)
  await machine.settle(store.close())
})

t.test('what is made and what grows is told, with the part of the configuration that names it', async (t) => {
  const machine = new SimMachine(3)
  const store = await machine.open()
  const lines: string[] = []
  const setUp = (topics: string): Promise<void> => {
    const config = configOf(`mqtt: [ { listen: "127.0.0.1:1883" } ]
routes: [ { filter: "a/#", topic: routed, key: "{mqtt.client}" } ]
unmatched: { action: topic, topic: rest }
topics: { ${topics} }
`)
    const names = ['routed', 'rest', '_wadi.dlq', ...config.topics.keys()]
    const log: Log = (level, message) => void lines.push(`${level} ${message}`)
    return machine.settle(setupOf(machine, { store, config, names, log }).run())
  }
  await setUp('routed: { partitions: 2 }, other: {}')
  t.same(lines.splice(0), [
    'info made topic routed with 2 partitions, which routes[0] names',
    'info made topic rest with 1 partition, which unmatched.topic names',
    'info made topic _wadi.dlq with 1 partition, which dead_letter.topic names',
    'info made topic other with 1 partition, which topics names'
  ])
  await setUp('routed: { partitions: 5 }, other: { retention: 1d }')
  t.same(lines.splice(0), ['warn topic routed has 5 partitions now, 2 before: a key may be in another one than its older events'])
  await setUp('routed: { partitions: 3 }, other: { retention: 1d }')
  t.same(lines, ['warn topic routed keeps its 5 partitions: partitions are never taken away'])
  await machine.settle(store.close())
})

t.test('a topic that is made where segments lie says how many events it has taken in', async (t) => {
  const machine = new SimMachine(4)
  const before = await machine.open()
  const { partitions } = await machine.settle(before.createTopic('copied', { codec: 'none' }))
  await machine.settle(appendText(before, partitions[0] as Partition, 'kept'))
  await machine.settle(before.close())
  const segment = machine.disk.files().find(({ path }) => path.endsWith('copied-0/00000000000000000000.log'))
  await machine.settle(machine.disk.makeDirectory('/data/topics/left-0'))
  const file = await machine.settle(machine.disk.open('/data/topics/left-0/00000000000000000000.log', 'create'))
  await machine.settle(file.writeAt(0, segment?.bytes.slice() ?? new Uint8Array()))
  await machine.settle(file.close())
  const store = await machine.open()
  const lines: string[] = []
  const config = configOf('mqtt: [ { listen: "127.0.0.1:1883" } ]\nroutes: [ { filter: "a/#", topic: left, key: none } ]\n')
  const log: Log = (level, message) => void lines.push(`${level} ${message}`)
  await machine.settle(setupOf(machine, { store, config, names: ['left'], log }).run())
  t.same(lines.slice(0, 2), [
    'info made topic left with 1 partition, which routes[0] names',
    'warn topic left was not known, and its segments were there: 1 event is taken in'
  ])
  await machine.settle(store.close())
})

t.test('a disk without room: limits hold at once, the rest waits, and all of it is written when there is room', async (t) => {
  const machine = new SimMachine(5, { settings: { segmentAgeMs: 1_000 } })
  let store = await start(machine, alone)
  await machine.settle(store.createTopic('line-1', topicConfigOf(alone, 'line-1')))
  const config = configOf(
    `${TEXT}upstream: { brokers: ["kafka:9092"] }\ntopics: { wide: { partitions: 3 }, line-1: { partitions: 2, retention: 5d } }\n`
  )
  const names = ['wide', 'line-1']
  const lines: string[] = []
  const setup = setupOf(machine, { store, config, names, log: (level, message) => void lines.push(`${level} ${message}`) })
  for (let write = 0; write < 40; write++) machine.disk.refuseNext('write-sync', 'journal')
  await machine.settle(setup.run())
  t.match(setup.waiting, [
    { name: 'wide', change: 'made' },
    { name: 'line-1', change: 'altered' }
  ])
  t.match(lines, [/^warn topic wide is not made yet: No space/, /^warn topic line-1 is not altered yet/])
  t.match(store.topics.get('line-1'), {
    config: { isForwarded: true, retentionMs: 5 * DAY_MS, partitionCount: 1 },
    partitions: { length: 1 }
  })
  await machine.run(600_000)
  t.same(setup.waiting, [])
  t.match(lines.slice(2), [
    /^info made topic wide with 3 partitions, which topics names$/,
    /^warn topic line-1 has 2 partitions now, 1 before/
  ])
  machine.powerCut()
  store = await machine.open()
  t.match(store.topics.get('line-1')?.config, { isForwarded: true, retentionMs: 5 * DAY_MS, partitionCount: 2 })
  t.match(store.topics.get('wide')?.config, { partitionCount: 3 })
  await machine.settle(store.close())
})

t.test('a waiting topic that is refused for another reason is told and waits no more; the others are made', async (t) => {
  const machine = new SimMachine(6)
  const store = await machine.open()
  const config = configOf(`${TEXT}topics: { plant.a: {}, other: {} }\n`)
  const lines: string[] = []
  const log: Log = (level, message) => void lines.push(`${level} ${message}`)
  const setup = setupOf(machine, { store, config, names: ['plant.a', 'other'], log })
  for (let write = 0; write < 40; write++) machine.disk.refuseNext('write-sync', 'journal')
  await machine.settle(setup.run())
  t.match(setup.waiting, [{ name: 'plant.a' }, { name: 'other' }])
  const taken = await machine.settle(
    (async () => {
      for (;;) {
        const made = await store.createTopic('plant_a', {}).catch(() => null)
        if (made) return made
      }
    })()
  )
  t.equal(taken.name, 'plant_a')
  await machine.run(600_000)
  t.same(setup.waiting, [])
  t.same([...store.topics.keys()].sort(), ['other', 'plant_a'])
  t.match(lines.slice(2), [/^warn topic plant\.a is not made until the next start: .*plant_a/, /^info made topic other with 1 partition/])
  await machine.settle(store.close())
})
