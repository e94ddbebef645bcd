// Proves for adapters/kafka-upstream: the end of the last connection is noticed while nothing is asked. Where a new one can be made nothing is lost.

import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { api } from '../../adapters/kafka-protocol/apis.ts'
import { KafkaUpstream } from '../../adapters/kafka-upstream/kafka-upstream.ts'
import { nodeClock } from '../../runtime/io/node-clock.ts'
import type { UpstreamFault } from '../../runtime/uplink/upstream.ts'
import { FakeBroker } from './fake-broker.ts'

const WAIT_MS_MAX = 10_000

async function connected(t: Test): Promise<{ broker: FakeBroker; upstream: KafkaUpstream; lost: UpstreamFault[] }> {
  const broker = await FakeBroker.start()
  const upstream = new KafkaUpstream({
    brokers: [broker.address],
    transactionalId: 'k',
    groupId: 'k',
    clientId: 'test',
    transactionTimeoutMs: 60_000,
    clock: nodeClock
  })
  t.teardown(async () => {
    await upstream.close()
    await broker.close()
  })
  broker.leads('events')
  broker.script(api.InitProducerId.key, (header) =>
    api.InitProducerId.encodeResponse(header.apiVersion, { producerId: 7n, producerEpoch: 3 }, header)
  )
  const lost: UpstreamFault[] = []
  upstream.onLost((fault) => lost.push(fault))
  await upstream.initProducer()
  return { broker, upstream, lost }
}

async function until(condition: () => boolean): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < WAIT_MS_MAX && !condition(); waitedMs += 10) await delay(10)
  return condition()
}

t.test('the broker dies while nothing is asked: it is told, once', async (t) => {
  const { broker, lost } = await connected(t)
  await broker.close()
  t.ok(await until(() => lost.length > 0))
  t.match(lost, [{ kind: 'unreachable', message: /no broker answers/ }])
})

t.test('a broker that closes what is idle is connected to again, and nothing is told', async (t) => {
  const { broker, upstream, lost } = await connected(t)
  for (let round = 1; round <= 3; round++) {
    broker.hangUp()
    t.ok(await until(() => broker.connectionCount === 1), 'connected again')
  }
  t.same(broker.asked, ['FindCoordinator', 'InitProducerId'], 'and nothing is asked')
  t.same(lost, [])
  await broker.close()
  t.ok(await until(() => lost.length > 0), 'the new connection is watched too')
  await upstream.close()
})

t.test('closed by us: nothing is told', async (t) => {
  const { broker, upstream, lost } = await connected(t)
  await upstream.close()
  t.ok(await until(() => broker.connectionCount === 0))
  await broker.close()
  await delay(50)
  t.same(lost, [])
})
