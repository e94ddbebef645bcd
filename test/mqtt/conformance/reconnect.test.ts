// Proves for the MQTT server: no acknowledged message is lost, doubled or overtaken, however slow the commits are, while subscribers leave
// and come back, fight over an id, or come back all at once. Both versions; raw sockets.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { RecordInput } from '../../../runtime/core/record.ts'
import { headersOf } from '../controlled-store.ts'
import type { Packet } from './decode.ts'
import { ack, connect, disconnect, publish, type Version } from './encode.ts'
import { durable, FORBIDDEN, openRig, type Rig } from './gateway.ts'
import { LateStore } from './late-store.ts'
import { type RawClient, sleep } from './raw-client.ts'

const VERSIONS: readonly Version[] = [4, 5]
const nameOf = (version: Version): string => (version === 5 ? '5.0' : '3.1.1')
const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => `${index}`)

/** Acknowledges everything that comes, at once, as long as it is connected. */
function acknowledgeAll(client: RawClient, got: Packet[]): void {
  client.socket.on('data', () => {
    for (const packet of client.inbox.splice(0)) {
      if (packet.kind === 'publish') {
        got.push(packet)
        if (packet.qos > 0) client.send(ack(packet.qos === 1 ? 'puback' : 'pubrec', packet.packetId))
      } else if (packet.kind === 'pubrel') client.send(ack('pubcomp', packet.packetId))
    }
  })
}

async function until(isTrue: () => boolean, what: () => string, waitMs = 10_000): Promise<void> {
  const endMs = Date.now() + waitMs
  while (!isTrue()) {
    if (Date.now() > endMs) throw new Error(what())
    await sleep(5)
  }
}

const rigs = new Map<number, Rig>()
for (const delayMs of [0, 3, 20]) rigs.set(delayMs, await openRig({ store: new LateStore(delayMs) }))
const rig = rigs.get(0) as Rig

for (const version of VERSIONS) {
  for (const isDurable of [false, true]) {
    for (const [delayMs, late] of rigs) {
      const session = isDurable ? 'persistent' : 'clean'
      test(`loss: commits ${delayMs} ms late, ${session} subscriber to # (${nameOf(version)})`, { timeout: 20_000 }, async () => {
        const clientId = late.clientId()
        const prefix = late.topic()
        const subscriber = await late.subscriber(version, '#', 1, isDurable ? durable(version, clientId) : { clientId })
        const got: Packet[] = []
        acknowledgeAll(subscriber, got)
        const publishers = [await late.connect(version), await late.connect(version)]
        for (let index = 0; index < 100; index++) {
          const qos = index % 2
          for (const [number, publisher] of publishers.entries()) {
            publisher.send(publish(version, { topic: `${prefix}/${number}/${qos}`, payload: `${index >> 1}`, qos, packetId: index + 1 }))
          }
        }
        for (const publisher of publishers) for (let index = 0; index < 50; index++) await publisher.next('puback')
        const of = (number: number, qos: number): string[] =>
          got.filter(({ topic }) => topic === `${prefix}/${number}/${qos}`).map(({ text }) => text)
        await until(
          () => of(0, 1).length + of(1, 1).length >= 100,
          () => `QoS 1: ${of(0, 1).length} and ${of(1, 1).length} of 50 arrived`
        )
        await sleep(50)
        for (const number of [0, 1]) {
          assert.deepEqual(of(number, 1), numbers(50), `QoS 1 of publisher ${number}`)
          assert.deepEqual(of(number, 0), numbers(50), `QoS 0 of publisher ${number}`)
        }
        await subscriber.leave()
      })
    }
  }
}

/** Publishes 0 … count - 1 with not more than ten open, until told to stop. */
async function publishMany(publisher: RawClient, topic: string, qos: number, from: number, to: number): Promise<void> {
  let next = from
  const worker = async (): Promise<void> => {
    while (next < to) await publisher.publish({ topic, payload: `${next++}`, qos })
  }
  await Promise.all(Array.from({ length: qos === 1 ? 10 : 1 }, worker))
}

const QUEUED = 500
const ALL = 800

for (const version of VERSIONS) {
  for (const qos of [1, 2]) {
    test(`reconnect: ${QUEUED} queued, the publisher goes on, QoS ${qos} (${nameOf(version)})`, { timeout: 30_000 }, async () => {
      const topic = rig.topic()
      const clientId = rig.clientId()
      const publisher = await rig.connect(version)
      await (await rig.subscriber(version, topic, 2, durable(version, clientId))).leave()
      await publishMany(publisher, topic, qos, 0, QUEUED)
      const running = publishMany(publisher, topic, qos, QUEUED, ALL)
      const got: Packet[] = []
      const subscriber = rig.open(version)
      acknowledgeAll(subscriber, got)
      subscriber.send(connect(version, durable(version, clientId)))
      await running
      await until(
        () => new Set(got.map(({ text }) => text)).size === ALL,
        () => `${new Set(got.map(({ text }) => text)).size} of ${ALL} arrived`
      )
      await sleep(50)
      const texts = got.map(({ text }) => Number(text))
      const inversions = texts.filter((value, index) => index > 0 && value < (texts[index - 1] as number)).length
      assert.equal(texts.length - new Set(texts).size, 0, 'duplicates')
      assert.equal(inversions, 0, 'inversions')
      assert.equal(subscriber.fault, null)
    })

    test(`reconnect: the connection breaks five times in the middle, QoS ${qos} (${nameOf(version)})`, { timeout: 30_000 }, async () => {
      const topic = rig.topic()
      const clientId = rig.clientId()
      const publisher = await rig.connect(version)
      await (await rig.subscriber(version, topic, 2, durable(version, clientId))).leave()
      const running = publishMany(publisher, topic, qos, 0, 400)
      const got: Packet[] = []
      for (let round = 0; round < 6; round++) {
        const subscriber = rig.open(version)
        acknowledgeAll(subscriber, got)
        subscriber.send(connect(version, durable(version, clientId)))
        const before = got.length
        if (round < 5)
          await until(
            () => got.length >= before + 30 || new Set(got.map(({ text }) => text)).size === 400, // a quick one may have had all before
            () => `${got.length - before} of 30 in round ${round}`
          )
        if (round < 5) await subscriber.vanish()
      }
      await running
      await until(
        () => new Set(got.map(({ text }) => text)).size === 400,
        () => `${new Set(got.map(({ text }) => text)).size} of 400 arrived`
      )
      const firsts = [...new Set(got.map(({ text }) => Number(text)))]
      assert.deepEqual(
        firsts,
        [...firsts].sort((a, b) => a - b),
        'the first copy of each comes in order'
      )
      const again = got.filter(({ text }, index) => got.findIndex((other) => other.text === text) < index)
      assert.ok(
        again.every(({ dup }) => dup),
        'what comes again says so'
      )
    })
  }

  test(`takeover: two clients fight over one id for a second (${nameOf(version)})`, { timeout: 20_000 }, async () => {
    const topic = rig.topic()
    const clientId = rig.clientId()
    const before = rig.gateway.broker.metrics.connections
    await (await rig.subscriber(version, topic, 1, durable(version, clientId))).leave()
    let isOver = false
    let takeovers = 0
    const fighter = async (): Promise<void> => {
      while (!isOver) {
        const client = rig.open(version)
        client.send(connect(version, durable(version, clientId)))
        await client.closed()
        takeovers++
      }
    }
    const fighters = [fighter(), fighter()]
    const publisher = await rig.connect(version)
    const endMs = Date.now() + 1_000
    let count = 0
    while (Date.now() < endMs) await publisher.publish({ topic, payload: `${count++}`, qos: 1 })
    isOver = true
    const last = rig.open(version)
    const got: Packet[] = []
    acknowledgeAll(last, got)
    last.send(connect(version, durable(version, clientId)))
    await sleep(100)
    const winner = last.isClosed ? rig.open(version) : last
    if (winner !== last) {
      acknowledgeAll(winner, got)
      winner.send(connect(version, durable(version, clientId)))
    }
    await Promise.all(fighters)
    await publisher.publish({ topic, payload: 'after', qos: 1 })
    await until(
      () => got.some(({ text }) => text === 'after'),
      () => 'the session is gone'
    )
    assert.ok(takeovers > 10, `${takeovers} takeovers`)
    await publisher.leave()
    await winner.leave()
    await until(
      () => rig.gateway.broker.metrics.connections <= before,
      () => `${rig.gateway.broker.metrics.connections} connections are left`
    )
  })

  test(`storm: 300 clients come back at once (${nameOf(version)})`, { timeout: 30_000 }, async () => {
    const prefix = rig.topic()
    const ids = Array.from({ length: 300 }, () => rig.clientId())
    const before = rig.gateway.broker.metrics.connections
    const first = await Promise.all(ids.map((clientId) => rig.subscriber(version, `${prefix}/${clientId}`, 1, durable(version, clientId))))
    for (const client of first) client.drop()
    await until(
      () => rig.gateway.broker.metrics.connections <= before,
      () => 'they are not gone'
    )
    const publisher = await rig.connect(version)
    for (const clientId of ids) await publisher.publish({ topic: `${prefix}/${clientId}`, payload: clientId, qos: 1 })
    const second = ids.map((clientId) => {
      const client = rig.open(version)
      client.send(connect(version, durable(version, clientId)))
      return client
    })
    const messages = await Promise.all(second.map((client) => client.receive()))
    assert.deepEqual(
      messages.map(({ text }) => text),
      ids
    )
    assert.ok(second.every((client) => client.received[0]?.sessionPresent))
    for (const client of second) client.send(disconnect())
    await Promise.all(second.map((client) => client.closed()))
    await publisher.leave()
    await until(
      () => rig.gateway.broker.metrics.connections <= before,
      () => `${rig.gateway.broker.metrics.connections} connections are left`
    )
  })
}

for (const version of VERSIONS) {
  test(`a QoS 2 PUBLISH that is sent again while its commit is under way is one message (${nameOf(version)})`, async () => {
    const late = rigs.get(20) as Rig
    const topic = late.topic()
    const clientId = late.clientId()
    const watcher = await late.subscriber(version, topic, 2)
    const first = await late.connect(version, durable(version, clientId))
    const message = { topic, payload: 'once', qos: 2, packetId: 5 }
    first.send(publish(version, message))
    await first.quiet('pubrec', 5)
    const second = late.open(version)
    second.send(connect(version, durable(version, clientId)), publish(version, { ...message, dup: true }))
    await second.next('pubrec')
    second.send(ack('pubrel', 5))
    await second.next('pubcomp')
    assert.equal((await watcher.receive()).text, 'once')
    await watcher.quiet()
    const isIt = ({ value }: RecordInput): boolean => value !== null && Buffer.from(value).toString() === 'once'
    const stored = late.gateway.store.recordsOf('events').filter((record) => isIt(record) && headersOf(record)['mqtt.topic'] === topic)
    assert.equal(stored.length, 1)
  })
}

test('acknowledgements leave in order, although some are refused at once and others wait for the disk (5.0)', async () => {
  const late = rigs.get(20) as Rig
  const topic = late.topic()
  const client = await late.connect(5)
  const ids = numbers(30).map((number) => Number(number) + 1)
  const topicOf = (packetId: number): string => (packetId % 3 === 0 ? `${FORBIDDEN}/x` : topic)
  client.send(...ids.map((packetId) => publish(5, { topic: topicOf(packetId), qos: 1, packetId })))
  for (const packetId of ids) {
    const answer = await client.next('puback')
    assert.deepEqual([answer.packetId, answer.code >= 0x80], [packetId, packetId % 3 === 0])
  }
})

for (const [from, to] of [
  [4, 5],
  [5, 4],
  [3, 5]
] as [Version, Version][]) {
  test(`a session of MQTT level ${from} goes on with level ${to}`, async () => {
    const topic = rig.topic()
    const clientId = rig.clientId()
    await (await rig.subscriber(from, topic, 2, durable(from, clientId))).leave()
    const publisher = await rig.connect(from)
    for (const qos of [1, 2]) await publisher.publish({ topic, payload: `q${qos}`, qos })
    const second = rig.open(to)
    assert.equal((await second.connect(durable(to, clientId))).sessionPresent, true)
    for (const qos of [1, 2]) assert.equal((await second.receive()).text, `q${qos}`)
  })
}

after(() => rigs.clear())
