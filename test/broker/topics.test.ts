import t from 'tap'
import { topicNameFault } from '../../runtime/base/topic-names.ts'
import { Rig } from './rig.ts'

const none = new Map<string, string | null>()
/** How a refused promise is called. */
const faultOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'NONE',
    (error: { fault?: string }) => error.fault
  )

const plain = { partitionCount: -1, replicationFactor: -1, settings: none }

t.test("names follow Kafka's alphabet", (t) => {
  for (const name of ['a', 'A.b-c_d9', 'x'.repeat(249)]) t.equal(topicNameFault(name), null, name)
  for (const name of ['', '.', '..', 'a b', 'a/b', 'ü', 'x'.repeat(250)]) t.type(topicNameFault(name), 'string', name)
  t.end()
})

t.test('names that differ only in "." and "_" are refused', async (t) => {
  const { topics } = new Rig().broker
  await topics.create({ name: 'a.b', ...plain })
  t.equal(await faultOf(topics.create({ name: 'a_b', ...plain })), 'INVALID_TOPIC_EXCEPTION')
  t.equal(await faultOf(topics.create({ name: 'a.b', ...plain })), 'TOPIC_ALREADY_EXISTS')
})

t.test('counts and settings are taken or refused by name', async (t) => {
  const { topics } = new Rig({ partitionCountDefault: 4, partitionCountMax: 10 }).broker
  t.equal((await topics.create({ name: 'default', ...plain })).partitions.length, 4)
  const settings = new Map([
    ['retention.ms', '-1'],
    ['retention.bytes', '4096'],
    ['compression.type', 'zstd'],
    ['cleanup.policy', 'delete']
  ])
  t.match((await topics.create({ name: 'set', partitionCount: 2, replicationFactor: 1, settings })).config, {
    partitionCount: 2,
    retentionMs: null,
    retentionBytes: 4096,
    codec: 'zstd',
    isForwarded: false
  })
  const refused = (overrides: object) => topics.create({ name: 'x', ...plain, ...overrides })
  t.equal(await faultOf(refused({ partitionCount: 0 })), 'INVALID_PARTITIONS')
  t.equal(await faultOf(refused({ partitionCount: 11 })), 'INVALID_PARTITIONS')
  t.equal(await faultOf(refused({ replicationFactor: 3 })), 'INVALID_REPLICATION_FACTOR')
  for (const setting of [
    ['cleanup.policy', 'keep'],
    ['retention.ms', 'x'],
    ['retention.ms', ''],
    ['no.such', '1']
  ] as const) {
    t.equal(await faultOf(refused({ settings: new Map([setting]) })), 'INVALID_CONFIG')
  }
})

t.test('two who ensure the same topic at once get one topic', async (t) => {
  const { topics } = new Rig().broker
  const [one, other] = await Promise.all([topics.ensure('a'), topics.ensure('a')])
  t.equal(one, other)
})
