// Proves that MQTT and the real storage fit: events acknowledged over MQTT are in the log after the process is gone, QoS 2 ids
// travel with them through a restart, and keys choose the partition.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { nodeClock } from '../../runtime/io/node-clock.ts'
import { createNodeCodec } from '../../runtime/io/node-codec.ts'
import { nodeDisk } from '../../runtime/io/node-disk.ts'
import { nodeRandom } from '../../runtime/io/node-random.ts'
import { LogStore } from '../../runtime/log/log-store.ts'
import { loadTestCore } from '../helpers/core.ts'
import { readAll } from './lane-rig.ts'
import { publishPacket, pubrelPacket } from './packets.ts'
import { type GatewayOptions, startGateway } from './rig.ts'

const core = loadTestCore()

function open(directory: string): Promise<LogStore> {
  return LogStore.open({
    disk: nodeDisk,
    clock: nodeClock,
    random: nodeRandom,
    core,
    codec: createNodeCodec(),
    directory,
    settings: { journalFileBytes: 4 * 1024 * 1024 }
  })
}

for (const isLaneOpen of [false, true]) {
  t.test(
    `acknowledged over MQTT is in the log after a restart, and a QoS 2 repeat is known; ${isLaneOpen ? 'with' : 'without'} the lane`,
    (t) => restart(t, isLaneOpen)
  )
}

async function restart(t: Test, isLaneOpen: boolean): Promise<void> {
  const laneOf = (store: LogStore): Pick<GatewayOptions, 'lane'> => (isLaneOpen ? { lane: { core, appends: store.lane } } : {})
  const directory = mkdtempSync(join(tmpdir(), 'wadi-mqtt-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const routes = [{ name: 'all', filter: 'd/+dev', topic: 'events', key: '{dev}' }]
  const before = await open(directory)
  await before.createTopic('events', { partitionCount: 4, codec: 'none' })
  const first = await startGateway(t, { realStore: before, routes, ...laneOf(before) })
  const client = await first.raw().connected({ clientId: 'dev', clean: false })
  const count = 500
  client.send(
    ...Array.from({ length: count }, (_, index) =>
      publishPacket({ topic: `d/${index % 7}`, payload: `${index}`, qos: 1, packetId: index + 1 })
    )
  )
  await client.saw(`puback ${count}`)
  t.same(
    client.received.slice(1),
    Array.from({ length: count }, (_, index) => `puback ${index + 1}`),
    'in order'
  )
  client.send(publishPacket({ topic: 'd/once', payload: 'once', qos: 2, packetId: 9 }))
  await client.saw('pubrec 9')
  await first.broker.close()
  await before.close()

  const after = await open(directory)
  t.teardown(() => after.close())
  const second = await startGateway(t, { realStore: after, routes, ...laneOf(after) })
  const again = await second.raw().connected({ clientId: 'dev', clean: false })
  again.send(publishPacket({ topic: 'd/once', payload: 'once', qos: 2, packetId: 9, dup: true }))
  await again.saw('pubrec 9')
  again.send(pubrelPacket(9))
  await again.saw('pubcomp 9')
  t.equal(second.broker.metrics.qos2Repeats, 1)
  t.same(after.listState('mqtt.qos2/'), [])
  const stored = (await Promise.all((after.topics.get('events')?.partitions ?? []).map((partition) => readAll(core, partition)))).flat()
  t.equal(stored.length, count + 1)
  for (let device = 0; device < 7; device++) {
    const values = stored.filter(({ key }) => key === `${device}`).map(({ value }) => Number(value))
    const expected = Array.from({ length: count }, (_, index) => index).filter((index) => index % 7 === device)
    t.same(values, expected, `device ${device} in order, in one partition`)
  }
  await second.broker.close()
}
