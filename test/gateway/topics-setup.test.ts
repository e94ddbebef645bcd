// Proves for bin/topics-setup.ts: whether a topic is delivered follows the configuration at every start, also for topics that a template made and
// that no section names: retention asks it before it takes what the centre does not have.

import t from 'tap'
import { payloadDecoders } from '../../adapters/mqtt/payload.ts'
import { readConfig } from '../../gateway/config/load.ts'
import { routesConfigOf } from '../../gateway/config/routes-config.ts'
import type { Config } from '../../gateway/config/schema.ts'
import { setUpTopics, topicConfigOf } from '../../gateway/topics-setup.ts'
import { compileRoutes } from '../../runtime/broker/routes.ts'
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

async function start(machine: SimMachine, config: Config): Promise<LogStore> {
  const store = await machine.open()
  const { table } = compileRoutes(routesConfigOf(config), payloadDecoders)
  await machine.settle(setUpTopics(store, config, [...config.topics.keys(), ...table.topicNames], () => undefined))
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
