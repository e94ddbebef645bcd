// Proves for `wadi group`, as its users meet it: groups are listed and described with their lag, a reset shows what it would do and does it with --execute,
// what is in use stays and the exit code says so. It talks to any Kafka listener of a gateway.

import t, { type Test } from 'tap'
import { api } from '../../adapters/kafka-protocol/apis.ts'
import { type Centre, startCentre } from '../kafka-server/centre.ts'
import { WireClient } from '../kafka-server/wire-client.ts'
import { wadi } from './wadi-process.ts'

const encoder = new TextEncoder()
/** Version 0, topic "read", partition 1, no user data. */
const ASSIGNMENT = Uint8Array.from([0, 0, 0, 0, 0, 1, 0, 4, ...encoder.encode('read'), 0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff])

interface World {
  readonly centre: Centre
  readonly run: (...args: string[]) => ReturnType<typeof wadi>
}

/** Topic "read" with ten events in each of two partitions, at times 1000, 1001, …; group "away" at 4 and 6. */
async function world(t: Test): Promise<World> {
  const centre = await startCentre(t)
  const topic = await centre.store.createTopic('read', { partitionCount: 2 })
  for (const partition of topic.partitions)
    for (let at = 0; at < 10; at++)
      await centre.store.commit(
        [{ partition, content: { record: { timestampMs: 1_000 + at, key: null, value: encoder.encode('v'), headers: [] } } }],
        []
      )
  await centre.broker.committedOffsets.commit(
    [4, 6].map((offset, partitionIndex) => ({ groupId: 'away', topicName: 'read', partitionIndex, offset, leaderEpoch: -1, metadata: '' }))
  )
  return { centre, run: (...args) => wadi(t, ...args, '--bootstrap-server', `127.0.0.1:${centre.port}`) }
}

async function join(centre: Centre): Promise<WireClient> {
  const client = new WireClient(centre.port)
  const protocols = [{ name: 'range', metadata: new Uint8Array(6) }]
  const timeouts = { sessionTimeoutMs: 30_000, rebalanceTimeoutMs: 30_000 }
  const joined = await client.call(api.JoinGroup, 3, { groupId: 'here', memberId: '', protocolType: 'consumer', protocols, ...timeouts })
  const { memberId, generationId } = joined
  await client.call(api.SyncGroup, 2, { groupId: 'here', memberId, generationId, assignments: [{ memberId, assignment: ASSIGNMENT }] })
  return client
}

const rowsOf = (text: string): string[] =>
  text
    .trim()
    .split('\n')
    .map((line) => line.trim().replace(/\s+/g, ' '))

t.test('groups are listed with their states, and described with members and lag', async (t) => {
  const { centre, run } = await world(t)
  const client = await join(centre)
  t.match(await run('group', 'list'), { code: 0 })
  t.same(rowsOf((await run('group', 'list')).stdout), ['GROUP PROTOCOL TYPE STATE', 'away - Empty', 'here consumer Stable'])
  t.same(rowsOf((await run('group', 'list', '--state', 'stable', '--json')).stdout), [
    '{"group":"here","protocolType":"consumer","state":"Stable"}'
  ])
  const away = await run('group', 'describe', 'away')
  t.same(rowsOf(away.stdout).slice(2), ['read 0 4 10 6 - - -', 'read 1 6 10 4 - - -'])
  t.match(rowsOf(away.stdout), ['group away, Empty', 'TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST CLIENT-ID'])
  t.match(rowsOf((await run('group', 'describe', 'here')).stdout)[2], /^read 1 - 10 - test-[0-9a-f]{32} \/127\.0\.0\.1 test$/)
  const json = JSON.parse((await run('group', 'describe', 'away', '--json')).stdout)
  t.match(json, {
    group: 'away',
    state: 'Empty',
    partitions: [{ topic: 'read', partition: 0, currentOffset: 4, logEndOffset: 10, lag: 6 }, {}]
  })
  t.match(await run('group', 'describe', 'nobody'), { code: 1, stdout: '', stderr: /There is no group nobody/ })
  client.close()
})

t.test('a reset shows what it would do, and does it with --execute, within what there is', async (t) => {
  const { centre, run } = await world(t)
  const committed = (groupId: string): number[] => centre.broker.committedOffsets.list(groupId).map(({ offset }) => offset)
  const reset = async (...args: string[]): Promise<string[]> => rowsOf((await run('group', 'reset', ...args)).stdout).slice(1)
  const dry = await run('group', 'reset', 'away', '--to-earliest')
  t.match(dry, { code: 0, stderr: /Nothing was changed: --execute does it/ })
  t.same(
    [rowsOf(dry.stdout).slice(1), committed('away')],
    [
      ['read 0 0', 'read 1 0'],
      [4, 6]
    ]
  )
  t.same(await reset('away', '--shift-by=-5', '--execute'), ['read 0 0', 'read 1 1'])
  t.same(committed('away'), [0, 1])
  t.same(await reset('away', '--to-datetime', '@1007', '--execute'), ['read 0 7', 'read 1 7'])
  t.same(await reset('away', '--to-datetime', '1h', '--execute'), ['read 0 10', 'read 1 10'], 'nothing is newer')
  t.same(await reset('away', 'read:1', '--to-offset', '99', '--execute'), ['read 1 10'])
  t.same(await reset('away', 'read:1', '--to-offset', '3', '--execute'), ['read 1 3'])
  t.same(committed('away'), [10, 3])
  t.same(await reset('fresh', 'read', '--to-latest', '--execute'), ['read 0 10', 'read 1 10'], 'also of a group that is not there yet')
  t.same(committed('fresh'), [10, 10])
  t.match(await run('group', 'reset', 'away', 'nothing', '--to-latest'), { code: 64, stderr: /There is no topic "nothing"/ })
  t.match(await run('group', 'reset', 'empty', '--to-latest'), { code: 64, stderr: /no topic is named/ })
  t.match(await run('group', 'reset', 'away'), { code: 64, stderr: /Give one of --to-earliest/ })
  t.match(await run('group', 'reset', 'away', '--to-latest', '--to-offset', '1'), { code: 64, stderr: /more than once/ })
  t.match(await run('group', 'reset', 'new', 'read', '--shift-by', '3'), { code: 64, stderr: /no offset in read:0 that could be shifted/ })
  t.match(await run('group', 'reset', 'away', 'read:99', '--to-latest'), { code: 64, stderr: /There is no partition read:99/ })
  t.match(await run('group', 'reset', 'away', '--shift-by', 'x'), { code: 64, stderr: /--shift-by is "x"/ })
})

t.test('what is in use stays, and the exit code says so', async (t) => {
  const { centre, run } = await world(t)
  const client = await join(centre)
  t.match(await run('group', 'reset', 'here', 'read', '--to-latest', '--execute'), { code: 1, stderr: /here has members/ })
  const deleted = await run('group', 'delete', 'away', 'here', 'nobody')
  t.match(deleted, { code: 1, stdout: 'deleted away\n', stderr: /here stays: NON_EMPTY_GROUP[\s\S]*nobody stays: GROUP_ID_NOT_FOUND/ })
  t.same(
    centre.broker.groupAdmin.list().map(({ groupId }) => groupId),
    ['here']
  )
  client.close()
})

t.test('a listener that is not there, and none that is named, are said', async (t) => {
  t.match(await wadi(t, 'group', 'list', '-b', '127.0.0.1:1'), { code: 69, stderr: /did not answer[\s\S]*--bootstrap-server/ })
  t.match(await wadi(t, 'group', 'list', '-b', 'nonsense'), { code: 64, stderr: /Write HOST:PORT/ })
  t.match(await wadi(t, 'help', 'group'), { code: 0, stdout: /wadi group describe GROUP/ })
})
