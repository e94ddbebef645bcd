// Chapter 4.7: names, filters and how they match.

import assert from 'node:assert/strict'
import { publish, subscribe, type Version } from './encode.ts'
import { openRig, type Rig } from './gateway.ts'
import { both, runStatements, v5 } from './statements.ts'

const rig: Rig = await openRig()

/** Not granted: the connection closes, or SUBACK says so. */
async function notGranted(version: Version, filter: string | Uint8Array): Promise<void> {
  const client = await rig.connect(version)
  client.send(subscribe(version, 1, [[filter, 0]]))
  await client.until(() => client.isClosed || client.inbox.length > 0, 'an answer', { endsWithConnection: false })
  const [answer] = client.inbox
  if (answer?.kind === 'suback') assert.ok((answer.codes[0] as number) >= 0x80, `granted ${filter}; ${client.story}`)
  else await client.closed()
}

/** What of `topics` reaches a subscriber to `filter`. */
async function matches(version: Version, filter: string, topics: readonly string[], expected: readonly string[]): Promise<void> {
  const subscriber = await rig.subscriber(version, filter)
  const publisher = await rig.connect(version)
  for (const topic of topics) await publisher.publish({ topic, qos: 1 })
  const got: string[] = []
  for (let index = 0; index < expected.length; index++) got.push((await subscriber.receive()).topic)
  assert.deepEqual(got, expected, filter)
  await subscriber.quiet('publish', 30)
}

both('4.7.1-1', '4.7.0-1', 'wildcards are not part of a topic name', async (version) => {
  for (const topic of ['t/+', 't/#', '#', '+', 't/a#', 't/+a']) {
    await (await rig.connect(version)).send(publish(version, { topic })).refused(0x81, 0x82, 0x90)
  }
})

both('4.7.1-2', '4.7.1-1', '# stands last and alone in its level', async (version) => {
  for (const filter of ['t/#/x', 't/a#', '#a', 't/#a', '##']) await notGranted(version, filter)
  const topic = rig.topic()
  const names = [topic, `${topic}/`, `${topic}/a`, `${topic}/a/b`, `${topic}x`]
  await matches(version, `${topic}/#`, names, names.slice(0, 4))
})

both('4.7.1-3', '4.7.1-2', '+ stands alone in its level, at any place', async (version) => {
  for (const filter of ['t/a+', 't/+a', 'a+/t', '++']) await notGranted(version, filter)
  const topic = rig.topic()
  const names = [topic, `${topic}/`, `${topic}/a`, `${topic}/a/b`, `${topic}/a/b/c`]
  await matches(version, `${topic}/+`, names, [`${topic}/`, `${topic}/a`])
  await matches(version, `${topic}/+/b`, names, [`${topic}/a/b`])
  await matches(version, `+${topic.slice(1)}/+/b/+`, names, [`${topic}/a/b/c`])
  await matches(version, `/+/${topic}/+`, [`/x/${topic}/a`, `x/${topic}/a`, `//${topic}/`], [`/x/${topic}/a`, `//${topic}/`])
})

both('4.7.2-1', '4.7.2-1', 'filters that begin with a wildcard do not match topics that begin with $', async (version) => {
  const client = await rig.connect(version)
  await client.subscribe([
    ['#', 0],
    ['+/monitor/Clients', 0]
  ])
  for (const topic of ['$SYS/monitor/Clients', '$x/y']) {
    const publisher = await rig.connect(version)
    publisher.send(publish(version, { topic, qos: 1, packetId: 1 }))
    await publisher.until(() => publisher.isClosed || publisher.inbox.length > 0, 'an answer', { endsWithConnection: false })
    const [answer] = publisher.inbox
    if (version === 5 && answer) assert.ok([0x87, 0x90].includes(answer.code), publisher.story)
  }
  await client.quiet('pingresp')
  const own = client.received.filter(({ kind, topic }) => kind === 'publish' && topic.startsWith('$'))
  assert.deepEqual(own, [])
})

v5('4.7.2-1', 'a topic that begins with $ may not be published to, and the connection stays', async (version) => {
  const client = await rig.connect(version)
  for (const qos of [1, 2]) {
    const answer = await client.publish({ topic: '$SYS/x', qos })
    assert.ok(answer && [0x87, 0x90].includes(answer.code), client.story)
  }
  await client.ping()
})

both('4.7.3-1', '4.7.3-1', 'names and filters have at least one character', async (version) => {
  await (await rig.connect(version)).send(publish(version, { topic: '', qos: 1 })).refused(0x81, 0x82, 0x90)
  await notGranted(version, '')
  const subscriber = await rig.subscriber(version, '/')
  await (await rig.connect(version)).publish({ topic: '/', payload: 'a slash is one' })
  assert.equal((await subscriber.receive()).text, 'a slash is one')
})

both('4.7.3-2', '4.7.3-2', 'names and filters have no U+0000', async (version) => {
  await (await rig.connect(version)).send(publish(version, { topic: 't/\0', qos: 1 })).refused(0x81, 0x82, 0x90)
  await (await rig.connect(version)).send(subscribe(version, 1, [['t/\0', 0]])).refused(0x81, 0x82, 0x8f)
})

both('4.7.3-3', '4.7.3-3', 'names and filters of the largest length are taken or refused, never cut', async (version) => {
  const long = 'x'.repeat(65_535)
  const watcher = await rig.subscriber(version, '+')
  const client = await rig.connect(version)
  client.send(publish(version, { topic: long, qos: 1, packetId: 1 }))
  await client.until(() => client.isClosed || client.inbox.length > 0, 'an answer', { endsWithConnection: false })
  const packet = watcher.received.find(({ kind }) => kind === 'publish')
  if (packet) assert.equal(packet.topic, long)
  const other = await rig.connect(version)
  other.send(subscribe(version, 1, [[long, 0]]))
  await other.until(() => other.isClosed || other.inbox.length > 0, 'an answer', { endsWithConnection: false })
})

both('4.7.3-4', '4.7.3-4', 'names are compared as they are: no folding, no normal forms, no empty levels left out', async (version) => {
  const topic = rig.topic()
  const names = ['a', 'A', 'é', 'e\u0301', 'a/', '/a', 'a//b', 'a/b', ' a', 'ﬁ', 'fi'].map((name) => `${topic}/${name}`)
  for (const name of names) await matches(version, name, names, [name])
})

runStatements('topics')
