// Proves for runtime/broker/ingest.ts: an event is done only after its commit; refusals have a code, a counter and store nothing;
// what is in flight is bounded.

import t from 'tap'
import { payloadDecoders } from '../../adapters/mqtt/payload.ts'
import { WadiError } from '../../runtime/base/errors.ts'
import { Ingest, type IngestLimits } from '../../runtime/broker/ingest.ts'
import { LatencyHistogram } from '../../runtime/broker/latency.ts'
import { compileRoutes, type RouteConfig, type RoutesConfig } from '../../runtime/broker/routes.ts'
import type { Clock } from '../../runtime/io/clock.ts'
import { nodeClock } from '../../runtime/io/node-clock.ts'
import { loadTestCore } from '../helpers/core.ts'
import { ControlledStore, diskFull, headersOf, textOf } from '../mqtt/controlled-store.ts'

const core = loadTestCore()
const route: RouteConfig = { name: 'r', filter: 'd/+dev/#', topic: 'events', key: '{dev}' }
const strict: RouteConfig = { name: 'strict', filter: 'json/+dev', topic: 'events', key: '{dev}', value: { decode: 'json' } }

async function rig(
  options: { routes?: RouteConfig[]; rest?: Partial<RoutesConfig>; limits?: Partial<IngestLimits>; canCreate?: boolean; clock?: Clock } = {}
) {
  const store = new ControlledStore()
  const creation: { calls: string[]; error: WadiError | null } = { calls: [], error: null }
  await store.createTopic('events', { partitionCount: 3 })
  await store.createTopic('_wadi.dlq')
  const { table } = compileRoutes(
    { routes: options.routes ?? [route, strict], unmatched: { action: 'reject' }, deadLetter: '_wadi.dlq', ...options.rest },
    payloadDecoders
  )
  const ingest = new Ingest({
    store: store.asStore(),
    core,
    clock: options.clock ?? nodeClock,
    table,
    limits: options.limits ?? {},
    ...(options.canCreate && {
      createTopic: (name: string) => {
        creation.calls.push(name)
        return creation.error ? Promise.reject(creation.error) : store.createTopic(name)
      }
    })
  })
  const outcomes: string[] = []
  const accept = (mqttTopic: string, payload = 'v', name = payload): void =>
    ingest.accept(
      { mqttTopic, clientId: 'c', payload: Buffer.from(payload), qos: 1, state: [{ key: `s/${name}`, value: Buffer.from('1') }] },
      (error, place) => outcomes.push(`${name} ${error ? (error as WadiError).code : place ? 'stored' : 'dropped'}`)
    )
  return { store, ingest, accept, outcomes, creation }
}

const settled = async (isTrue: () => boolean): Promise<void> => {
  for (let turn = 0; turn < 1000 && !isTrue(); turn++) await new Promise((resolve) => setImmediate(resolve))
}

t.test('nothing is done before its commit, then everything in order and with its state', async (t) => {
  const { store, ingest, accept, outcomes } = await rig()
  store.isHeld = true
  for (const name of ['1', '2', '3']) accept('d/x', name)
  await settled(() => false)
  t.same(outcomes, [], 'the disk stands still')
  t.match(ingest.metrics, { received: 3, inFlightCount: 3, stored: 0 })
  store.release()
  await settled(() => outcomes.length === 3)
  t.same(outcomes, ['1 stored', '2 stored', '3 stored'])
  t.match(ingest.metrics, { stored: 3, inFlightCount: 0, inFlightBytes: 0 })
  t.equal(ingest.metrics.ackLatency.count, 3)
  t.same(
    store.recordsOf('events').map(({ value }) => textOf(value)),
    ['1', '2', '3'],
    'one key, one partition, in order'
  )
  t.same([...store.state.keys()], ['s/1', 's/2', 's/3'])
})

t.test('a refused commit is told, counted, and leaves nothing', async (t) => {
  const { store, ingest, accept, outcomes } = await rig()
  store.refusal = diskFull()
  accept('d/x')
  await settled(() => outcomes.length === 1)
  t.same(outcomes, ['v WADI_DISK_FULL'])
  t.equal(ingest.metrics.rejected.get('WADI_DISK_FULL'), 1)
  t.same(ingest.metrics.refused.list, [{ topic: 'events', reason: 'WADI_DISK_FULL', count: 1 }])
  t.equal(ingest.metrics.inFlightBytes, 0)
  store.refusal = null
  accept('d/x', 'again')
  await settled(() => outcomes.length === 2)
  t.equal(outcomes[1], 'again stored', 'goes on when there is space')
})

t.test('an event without a route is refused, or dropped and counted', async (t) => {
  const reject = await rig()
  reject.accept('other')
  t.same(reject.outcomes, ['v WADI_RECORD_INVALID'])
  t.equal(reject.ingest.metrics.rejected.get('unmatched'), 1)
  const drop = await rig({ rest: { unmatched: { action: 'drop' } } })
  drop.accept('other')
  t.same(drop.outcomes, ['v dropped'])
  t.equal(drop.ingest.metrics.dropped, 1)
  t.equal(drop.store.commitCount, 0)
})

t.test('what cannot be mapped is stored as a dead letter with its reason', async (t) => {
  const { store, ingest, accept, outcomes } = await rig()
  accept('json/x', 'not json')
  await settled(() => outcomes.length === 1)
  t.same(outcomes, ['not json stored'])
  const [dead] = store.recordsOf('_wadi.dlq')
  t.equal(textOf(dead?.value), 'not json')
  t.match(dead && headersOf(dead), {
    'wadi.error': /^payload-undecodable: not json: /,
    'mqtt.topic': 'json/x',
    'mqtt.client': 'c',
    'wadi.route': 'strict'
  })
  t.equal(ingest.metrics.deadLettered.get('payload-undecodable'), 1)
})

t.test('without the dead-letter topic such an event is refused, not lost', async (t) => {
  const { accept, outcomes } = await rig({ rest: { deadLetter: 'absent' } })
  accept('json/x', 'not json')
  t.same(outcomes, ['not json WADI_TOPIC_UNKNOWN'])
})

t.test('an event that is too large is refused with its size', async (t) => {
  const { accept, outcomes, store } = await rig({ limits: { recordBytesMax: 1000 } })
  accept('d/x', 'x'.repeat(1000), 'large')
  t.same(outcomes, ['large WADI_RECORD_TOO_LARGE'])
  t.equal(store.commitCount, 0)
})

t.test('what is in flight is bounded, and those who wait hear when there is room', async (t) => {
  const { store, ingest, accept, outcomes } = await rig({ limits: { inFlightBytesMax: 10_000 } })
  store.isHeld = true
  for (let index = 0; index < 20; index++) accept('d/x', 'x'.repeat(1000), `${index}`)
  t.ok(outcomes.length > 8 && outcomes.every((outcome) => outcome.endsWith('WADI_BUSY')), 'refused at once')
  t.ok(ingest.metrics.inFlightBytes <= 10_000)
  t.ok(ingest.isOverloaded)
  let isReadable = false
  ingest.onceReadable(() => {
    isReadable = true
  })
  await settled(() => false)
  t.notOk(isReadable)
  store.release()
  await settled(() => isReadable)
  t.ok(isReadable)
  t.notOk(ingest.isOverloaded)
  await settled(() => outcomes.length === 20)
  t.equal(outcomes.length, 20, 'every event was answered')
})

t.test('a disk that is fast is given what fills two commits, a slow one more; who waits comes in turn', async (t) => {
  const { store, ingest, accept, outcomes } = await rig({ limits: { inFlightCountMin: 4 } })
  store.isHeld = true
  for (let index = 0; index < 3; index++) accept('d/x', `${index}`, `${index}`)
  t.notOk(ingest.isOverloaded)
  accept('d/x', '3', '3')
  t.ok(ingest.isOverloaded, 'four are on their way')
  store.writeMs = 0.1
  t.notOk(ingest.isOverloaded, 'a write takes so long that 20 belong to it')
  store.writeMs = 0
  accept('d/x', '4', '4')
  t.same(outcomes, [], 'none is refused')
  const called: string[] = []
  const takeTwo = (name: string) => (): void => {
    called.push(name)
    for (let index = 0; index < 2; index++) accept('d/x', name, name)
    if (called.length < 6) ingest.onceReadable(takeTwo(name))
  }
  for (const name of ['a', 'b', 'c']) ingest.onceReadable(takeTwo(name))
  store.release()
  await settled(() => called.length >= 6)
  t.same(called.slice(0, 6), ['a', 'b', 'c', 'a', 'b', 'c'], 'one that waits again stands behind those that were not called yet')
  await settled(() => outcomes.length === 5 + 2 * called.length)
  t.equal(outcomes.length, 5 + 2 * called.length, 'every event was answered')
})

t.test('a topic that a template made, and that was deleted, leaves its place to another', async (t) => {
  const routes: RouteConfig[] = [{ name: null, filter: 's/+site', topic: 'site.{site}', key: null }]
  const { store, accept, outcomes } = await rig({ routes, canCreate: true, limits: { createdTopicsMax: 2 } })
  for (let index = 0; index < 6; index++) {
    accept(`s/${index}`, `${index}`)
    await settled(() => outcomes.length === index + 1)
    store.deleteTopic(`site.${index}`)
  }
  t.same(store.recordsOf('_wadi.dlq'), [])
})

t.test('who waits to read hears also when what filled the memory waited for a topic that was not made', async (t) => {
  const routes: RouteConfig[] = [{ name: null, filter: 's/+site', topic: 'site.{site}', key: null }]
  const { accept, outcomes, ingest, creation } = await rig({ routes, canCreate: true, limits: { inFlightBytesMax: 10_000 } })
  creation.error = diskFull()
  for (let index = 0; index < 5; index++) accept('s/a', 'x'.repeat(200), `${index}`)
  t.ok(ingest.isOverloaded)
  let isReadable = false
  ingest.onceReadable(() => {
    isReadable = true
  })
  await settled(() => outcomes.length === 5)
  t.ok(outcomes.every((outcome) => outcome.endsWith('WADI_DISK_FULL')))
  await settled(() => isReadable)
  t.ok(isReadable)
})

t.test('a templated topic is created once, keeps the order, and is capped', async (t) => {
  const routes: RouteConfig[] = [{ name: null, filter: 's/+site', topic: 'site.{site}', key: null }]
  const { store, accept, outcomes, ingest } = await rig({ routes, canCreate: true, limits: { createdTopicsMax: 2 } })
  for (const name of ['1', '2', '3']) accept('s/a', name)
  await settled(() => outcomes.length === 3)
  t.same(
    store.recordsOf('site.a').map(({ value }) => textOf(value)),
    ['1', '2', '3']
  )
  accept('s/b', '4')
  accept('s/c', '5')
  await settled(() => outcomes.length === 5)
  t.equal(store.recordsOf('site.b').length, 1)
  t.match(headersOf(store.recordsOf('_wadi.dlq')[0] as never), { 'wadi.error': 'topic-unknown: site.c' })
  t.equal(ingest.metrics.inFlightBytes, 0)
  const fixed = await rig({ routes })
  fixed.accept('s/a')
  await settled(() => fixed.outcomes.length === 1)
  t.equal(fixed.store.recordsOf('_wadi.dlq').length, 1, 'nobody may create topics: dead letter')
})

t.test('a creation that fails gives its place back, is tried again at a bounded rate, and a full disk loses no event', async (t) => {
  let nowMs = 5_000
  const clock: Clock = { ...nodeClock, monotonicMs: () => nowMs }
  const routes: RouteConfig[] = [{ name: null, filter: 's/+site', topic: 'site.{site}', key: null }]
  const { store, accept, outcomes, creation } = await rig({ routes, canCreate: true, clock, limits: { createdTopicsMax: 3 } })
  creation.error = diskFull()
  for (let round = 0; round < 20; round++) {
    accept('s/a', `a${round}`)
    await settled(() => outcomes.length === round + 1)
  }
  t.same(new Set(outcomes.map((outcome) => outcome.split(' ')[1])), new Set(['WADI_DISK_FULL']), 'the device keeps them')
  t.equal(store.commitCount, 0, 'no dead letter of what is only late')
  t.equal(creation.calls.length, 1, 'one topic is not tried again at once')
  for (const name of ['b', 'c', 'd', 'e', 'f']) accept(`s/${name}`, name)
  await settled(() => outcomes.length === 25)
  t.same(creation.calls, ['site.a', 'site.b', 'site.c'], 'nor are many')
  t.equal(store.recordsOf('_wadi.dlq').length, 0)
  creation.error = null
  nowMs += 61_000
  outcomes.length = 0
  for (const name of ['a', 'b', 'c']) accept(`s/${name}`, name)
  await settled(() => outcomes.length === 3)
  t.same(outcomes, ['a stored', 'b stored', 'c stored'], 'failures used up nothing')
  for (const name of ['a', 'b', 'c']) t.equal(store.recordsOf(`site.${name}`).length, 1)
})

t.test('an event whose topic cannot be is a dead letter', async (t) => {
  const routes: RouteConfig[] = [{ name: null, filter: 's/+site', topic: 'site.{site}', key: null }]
  const { store, accept, outcomes, creation } = await rig({ routes, canCreate: true })
  creation.error = new WadiError('WADI_TOPIC_EXISTS', { happened: 'Too alike.', kept: 'All.', next: 'Another name.' })
  for (const name of ['1', '2']) {
    accept('s/a', name)
    await settled(() => outcomes.length === Number(name))
  }
  t.same(outcomes, ['1 stored', '2 stored'])
  t.equal(store.recordsOf('_wadi.dlq').length, 2)
  t.equal(creation.calls.length, 1)
})

t.test('quantiles of the histogram are right within a fifth', async (t) => {
  const histogram = new LatencyHistogram()
  t.equal(histogram.quantileMs(0.5), 0)
  for (let ms = 1; ms <= 1000; ms++) histogram.record(ms)
  for (const quantile of [0.01, 0.5, 0.9, 0.99]) {
    const exact = quantile * 1000
    const told = histogram.quantileMs(quantile)
    t.ok(told >= exact && told <= exact * 1.2, `p${quantile * 100}: ${told} for ${exact}`)
  }
  t.equal(histogram.quantileMs(1), 1000)
})
