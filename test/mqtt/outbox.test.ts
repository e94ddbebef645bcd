// Proves for adapters/mqtt/outbox.ts: order, window, packet ids, repeats after a reconnect, bounds; at random too, against a client that keeps its own books.

import t from 'tap'
import { Message } from '../../adapters/mqtt/message.ts'
import { Outbox, type OutboxLimits, type OutboxLink, type QueueBudget } from '../../adapters/mqtt/outbox.ts'
import type { DeliveryOptions, Qos } from '../../adapters/mqtt/packets.ts'
import { Prng } from '../sim/prng.ts'

const limits: OutboxLimits = {
  queuedPlacesPerClientMax: 1_000,
  queuedPlacesMax: 10_000,
  offlinePerClientMax: 1_000,
  offlinePerClientBytesMax: 1e6,
  offlineBytesMax: 1e6,
  outboundBytesMax: 1e6,
  outboundTotalBytesMax: 1e7,
  retainedCountMax: 5
}
const newBudget = (): QueueBudget => ({ bytes: 0, places: 0, deliveries: 0, deliveriesDropped: 0, offlineDropped: 0 })

class Client implements OutboxLink {
  isWritable = true
  packetBytesMax = Number.POSITIVE_INFINITY
  readonly sent: string[] = []
  onPublish: (options: DeliveryOptions) => void = () => {}

  sendPublish(options: DeliveryOptions): boolean {
    if (options.payload.byteLength > this.packetBytesMax) return false
    this.sent.push(`${options.topic} q${options.qos}${options.packetId ? ` #${options.packetId}` : ''}${options.dup ? ' dup' : ''}`)
    this.onPublish(options)
    return true
  }

  sendPubrel(packetId: number): void {
    this.sent.push(`pubrel #${packetId}`)
  }
}

const message = (topic: string, qos: Qos = 2, payload: Uint8Array = new Uint8Array(10), expirySeconds: number | null = null): Message =>
  new Message(
    { topic, payload, qos, isRetained: false, properties: expirySeconds === null ? null : { forwarded: new Uint8Array(0), expirySeconds } },
    Date.now()
  )
const as = (qos: Qos) => ({ qos, isRetained: false, subscriptionIds: [] })

t.test('the window holds back what the client has not acknowledged, QoS 2 until PUBCOMP', (t) => {
  const budget = newBudget()
  const outbox = new Outbox(limits, budget)
  const client = new Client()
  outbox.attach(client, 2)
  for (const topic of ['a', 'b', 'c', 'd']) outbox.deliver(message(topic), as(topic === 'b' ? 1 : 2))
  t.same(client.sent, ['a q2 #1', 'b q1 #2'])
  outbox.acknowledge(1)
  outbox.complete(2)
  t.equal(client.sent.length, 2, 'answers of the other QoS end nothing')
  t.ok(outbox.receive(1, 0))
  t.same(client.sent.slice(2), ['pubrel #1'])
  outbox.acknowledge(2)
  t.same(client.sent.slice(3), ['c q2 #3'])
  outbox.complete(1)
  t.same(client.sent.slice(4), ['d q2 #4'])
  t.notOk(outbox.receive(9, 0))
  t.ok(outbox.receive(3, 0x80), 'a refusal ends it')
  outbox.receive(4, 0)
  outbox.complete(4)
  t.equal(outbox.size, 0)
  t.equal(budget.bytes, 0)
  t.end()
})

t.test('after a reconnect what is open leaves first, in its order, with its ids', (t) => {
  const outbox = new Outbox(limits, newBudget())
  const client = new Client()
  outbox.attach(client, 3)
  for (const topic of ['a', 'b', 'c', 'd']) outbox.deliver(message(topic), as(2))
  outbox.receive(2, 0)
  outbox.detach()
  outbox.deliver(message('e'), as(1))
  outbox.deliver(message('f'), as(0))
  const again = new Client()
  outbox.attach(again, 2)
  t.same(again.sent, ['a q2 #1 dup', 'pubrel #2'])
  outbox.complete(2)
  t.same(again.sent.slice(2), ['c q2 #3 dup'])
  outbox.detach()
  const third = new Client()
  outbox.attach(third, 100)
  t.same(third.sent, ['a q2 #1 dup', 'c q2 #3 dup', 'd q2 #4', 'e q1 #5'], 'QoS 0 does not wait for an absent client')
  t.end()
})

t.test('an answer to what waits to be repeated ends it', (t) => {
  const outbox = new Outbox(limits, newBudget())
  outbox.attach(new Client(), 10)
  for (const topic of ['a', 'b', 'c']) outbox.deliver(message(topic), as(1))
  outbox.detach()
  const client = new Client()
  outbox.attach(client, 1)
  outbox.acknowledge(2)
  outbox.acknowledge(1)
  t.same(client.sent, ['a q1 #1 dup', 'c q1 #3 dup'])
  t.end()
})

t.test('a socket that wants to be waited for is; a message that is expired or too large for the client is nobody’s', (t) => {
  const budget = newBudget()
  const outbox = new Outbox(limits, budget)
  const client = new Client()
  client.packetBytesMax = 100
  outbox.attach(client, 10)
  client.isWritable = false
  outbox.deliver(message('a'), as(0))
  outbox.deliver(message('old', 1, new Uint8Array(1), 0), as(1))
  outbox.deliver(message('large', 1, new Uint8Array(101)), as(1))
  outbox.deliver(message('b'), as(1))
  t.same(client.sent, [])
  client.isWritable = true
  outbox.pump()
  t.same(client.sent, ['a q0', 'b q1 #2'])
  outbox.acknowledge(2)
  t.equal(outbox.size, 0)
  t.equal(budget.bytes, 0)
  t.end()
})

t.test('what waits is bounded, of one session and of all, and counted', (t) => {
  const budget = newBudget()
  const one = new Outbox({ ...limits, offlinePerClientMax: 3 }, budget)
  for (let count = 0; count < 5; count++) one.deliver(message('a'), as(1))
  t.equal(one.size, 3)
  t.equal(budget.offlineDropped, 2)
  const other = new Outbox({ ...limits, offlineBytesMax: budget.bytes + 300 }, budget)
  for (let count = 0; count < 3; count++) other.deliver(message('a'), as(1))
  t.equal(other.size, 1)
  const client = new Client()
  client.isWritable = false
  const online = new Outbox({ ...limits, outboundBytesMax: 500 }, budget)
  online.attach(client, 10)
  for (let count = 0; count < 5; count++) online.deliver(message('a'), as(count % 2 === 0 ? 0 : 1))
  t.equal(online.size, 2)
  t.equal(budget.deliveriesDropped, 3)
  for (const outbox of [one, other, online]) outbox.clear()
  t.equal(budget.bytes, 0)
  t.end()
})

t.test('what is kept does not keep the read of the socket that it came in', (t) => {
  const outbox = new Outbox(limits, newBudget())
  for (const bytes of [0, 7, 1_024, 1_025]) {
    const view = new Uint8Array(bytes).map((_, index) => index % 256)
    const read = new Uint8Array(64 * 1024)
    read.set(view, 100)
    const kept = message('a', 1, read.subarray(100, 100 + bytes))
    t.equal(outbox.deliver(kept, as(1)), true, `${bytes} bytes wait for the client`)
    kept.own()
    t.not(kept.payload.buffer, read.buffer)
    t.same([...kept.payload], [...view], 'and are what they were')
  }
  outbox.attach(new Client(), 100)
  t.equal(outbox.deliver(message('a', 0), as(0)), false, 'nobody keeps a QoS 0 message that has been sent')
  t.end()
})

t.test('at random: in order, nothing lost, QoS 2 once, ids never shared, no byte left in the sums', (t) => {
  for (let seed = 1; seed <= 300; seed++) {
    const prng = new Prng(seed)
    const budget = newBudget()
    const outbox = new Outbox(limits, budget)
    const got: number[] = []
    /** QoS 2 that the client has received and not completed. */
    const received = new Map<number, string>()
    let open: { type: 'puback' | 'pubrec' | 'pubcomp'; id: number }[] = []
    let client: Client | null = null
    let next = 0
    const connect = (): void => {
      client = new Client()
      open = []
      client.onPublish = ({ topic, qos, packetId }) => {
        if (qos === 1) open.push({ type: 'puback', id: packetId })
        if (qos === 2) open.push({ type: 'pubrec', id: packetId })
        const known = received.get(packetId)
        if (qos === 2 && known !== undefined) t.equal(known, topic, 'an id in use is given to no other message')
        if (qos === 2 && known === undefined) received.set(packetId, topic)
        if (qos < 2 || known === undefined) got.push(Number(topic))
      }
      client.sendPubrel = (packetId) => void open.push({ type: 'pubcomp', id: packetId })
      outbox.attach(client, prng.between(1, 5))
    }
    const answer = (): void => {
      const next = open.shift()
      if (!next || !client) return
      if (next.type === 'puback') outbox.acknowledge(next.id)
      else if (next.type === 'pubrec') outbox.receive(next.id, 0)
      else {
        received.delete(next.id)
        outbox.complete(next.id)
      }
    }
    for (let step = 0; step < 200; step++) {
      const draw = prng.below(100)
      if (draw < 40) outbox.deliver(message(`${next++}`), as(prng.chance(50) ? 1 : 2))
      else if (draw < 85) answer()
      else if (draw < 92 && client) {
        ;(client as Client).isWritable = prng.chance(60)
        outbox.pump()
      } else if (client) {
        outbox.detach()
        client = null
      } else connect()
    }
    if (client) outbox.detach()
    connect()
    while (open.length > 0) answer()
    const firsts = got.filter((value, at) => got.indexOf(value) === at)
    t.same(
      firsts,
      Array.from({ length: next }, (_, index) => index),
      `seed ${seed}: every message, first copies in order`
    )
    t.equal(outbox.size, 0, `seed ${seed}`)
    t.equal(budget.bytes, 0, `seed ${seed}`)
  }
  t.end()
})

t.test('messages that are kept elsewhere wait in number, beside the bytes of the others', (t) => {
  const budget = newBudget()
  const outbox = new Outbox({ ...limits, outboundBytesMax: 500 }, budget)
  const client = new Client()
  client.isWritable = false
  outbox.attach(client, 10)
  for (let count = 0; count < 7; count++) {
    outbox.deliver(message('retained', 1, new Uint8Array(1_000)), { ...as(1), isKeptElsewhere: true })
  }
  outbox.deliver(message('live'), as(0))
  outbox.deliver(message('live'), as(0))
  outbox.deliver(message('live'), as(0))
  t.equal(outbox.size, 7, 'five of them and two others')
  t.equal(budget.deliveriesDropped, 3)
  outbox.clear()
  t.equal(budget.bytes, 0)
  t.end()
})

t.test(
  'what is in flight counts: who acknowledges nothing is sent no more than may be kept, and an absent one leaves room to others',
  (t) => {
    const budget = newBudget()
    const outbox = new Outbox({ ...limits, outboundBytesMax: 10_000, offlinePerClientBytesMax: 3_000 }, budget)
    const client = new Client()
    outbox.attach(client, 500)
    for (let count = 0; count < 20; count++) outbox.deliver(message('large', 1, new Uint8Array(1_000)), as(1))
    t.equal(client.sent.length, 8)
    t.equal(budget.deliveriesDropped, 12)
    t.ok(budget.bytes <= 10_000)
    const absent = new Outbox({ ...limits, offlinePerClientBytesMax: 3_000 }, budget)
    for (let count = 0; count < 20; count++) absent.deliver(message('large', 1, new Uint8Array(1_000)), as(1))
    t.equal(absent.size, 2)
    const huge = new Outbox({ ...limits, outboundBytesMax: 10 }, budget)
    huge.attach(client, 500)
    huge.deliver(message('huge', 1, new Uint8Array(5_000)), as(1))
    huge.deliver(message('second', 1), as(1))
    t.match(client.sent.at(-1), /^huge/, 'one of any size is sent where nothing is kept')
    t.end()
  }
)
