// Proves that the fast lane is the same gateway: the same random streams of packets, cut anywhere, through a gateway with the lane and one without it
// give the same events in the same order, the same acknowledgements in the same order, and the same end.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { toOffset } from '../../runtime/base/offset.ts'
import type { Core } from '../../runtime/core/core.ts'
import { nodeClock } from '../../runtime/io/node-clock.ts'
import { createNodeCodec } from '../../runtime/io/node-codec.ts'
import { nodeDisk } from '../../runtime/io/node-disk.ts'
import { nodeRandom } from '../../runtime/io/node-random.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import { LogStore } from '../../runtime/log/log-store.ts'
import { loadTestCore } from '../helpers/core.ts'
import { Prng } from '../sim/prng.ts'
import { textOf } from './controlled-store.ts'
import { cutSomewhere, laneStream } from './lane-streams.ts'
import { publishPacket, type RawClient } from './packets.ts'
import { publish5 } from './packets-5.ts'
import { startGateway, type Test, type TestGateway } from './rig.ts'

const ROUTES = [
  { name: 'decoded', filter: 'json/+dev', topic: 'events', key: '{dev}', value: { decode: 'json' as const } },
  { name: 'keyed', filter: 'd/+dev', topic: 'events', key: '{dev}', headers: { device: '{dev}' } },
  { name: 'loose', filter: 'loose/#rest', topic: 'loose', key: null }
]
const LAST_ID = 65_000

interface Opened {
  readonly gateway: TestGateway
  readonly store: LogStore
  readonly core: Core
}

async function open(t: Test, isLaneOpen: boolean): Promise<Opened> {
  const directory = mkdtempSync(join(tmpdir(), 'wadi-lane-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const core = loadTestCore('debug')
  const edges = { disk: nodeDisk, clock: nodeClock, random: nodeRandom, core, codec: createNodeCodec() }
  const store = await LogStore.open({ ...edges, directory, settings: { journalFileBytes: 4 << 20, commitBytesMax: 256 * 1024 } })
  for (const name of ['events', 'loose', '_wadi.dlq'])
    await store.createTopic(name, { partitionCount: 4, codec: 'none', isForwarded: false })
  const lane = isLaneOpen ? { lane: { core, appends: store.lane } } : {}
  const gateway = await startGateway(t, { realStore: store, routes: ROUTES, ...lane })
  t.teardown(() => store.close())
  return { gateway, store, core }
}

interface Outcome {
  readonly acks: readonly string[]
  readonly completions: readonly string[]
  readonly isClosed: boolean
  readonly reasons: readonly string[]
}

async function play({ gateway }: Opened, seed: number): Promise<Outcome> {
  const { version, packets, endsWrong } = laneStream(seed)
  const last =
    version === 4 ? publishPacket({ topic: 'd/last', qos: 1, packetId: LAST_ID }) : publish5({ topic: 'd/last', qos: 1, packetId: LAST_ID })
  const prng = new Prng(seed)
  const client = gateway.raw()
  for (const piece of cutSomewhere(endsWrong ? packets : [...packets, last], prng)) {
    client.socket.write(piece)
    if (prng.chance(30)) await new Promise((resolve) => setImmediate(resolve))
  }
  const completed = packets.filter((packet) => packet[0] === 0x62).length
  await client.until(
    () => client.isClosed || (client.received.includes(`puback ${LAST_ID}`) && countOf(client, 'pubcomp') === completed),
    `the end of stream ${seed}`
  )
  client.destroy()
  await client.closed()
  return {
    acks: client.received.filter((one) => one.startsWith('puback') || one.startsWith('pubrec')),
    completions: client.received.filter((one) => one.startsWith('pubcomp')),
    isClosed: endsWrong,
    reasons: gateway.events
      .filter(({ clientId }) => clientId === `c${seed}`)
      .map(({ kind, reason, detail }) => `${kind} ${reason} ${detail}`)
      .sort()
  }
}

const countOf = (client: RawClient, name: string): number => client.received.filter((one) => one.startsWith(name)).length

/** A packet that is wrong ends the connection at once: how many answers have left by then is a matter of time. */
function comparable(one: Outcome, other: Outcome): [Outcome, Outcome] {
  if (!one.isClosed || !other.isClosed) return [one, other]
  const common = ({ acks, completions, ...rest }: Outcome): Outcome => ({
    acks: acks.slice(0, Math.min(one.acks.length, other.acks.length)),
    completions: completions.slice(0, Math.min(one.completions.length, other.completions.length)),
    ...rest,
    reasons: rest.reasons.filter((reason) => reason.startsWith('closed'))
  })
  return [common(one), common(other)]
}

/** What is stored of each key, in its order; without a key all of it, sorted. */
async function stored({ store, core }: Opened): Promise<Record<string, readonly string[]>> {
  const found: Record<string, string[]> = {}
  for (const { name, partitions } of store.topics.values()) {
    for (const partition of partitions) {
      for (const { key, text } of await readAll(core, partition)) {
        const place = key === '' ? name : `${name}-${partition.partitionIndex} ${key}`
        found[place] = [...(found[place] ?? []), text]
      }
    }
  }
  for (const name of store.topics.keys()) found[name]?.sort()
  return found
}

async function readAll(core: Core, partition: Partition): Promise<{ key: string; text: string }[]> {
  const records: { key: string; text: string }[] = []
  for (let offset = partition.logStartOffset; offset < partition.highWatermark; ) {
    const { batches, nextOffset } = await partition.read(toOffset(offset), { bytesMax: 1 << 20 })
    for (const { bytes } of batches) {
      for (const { key, value, headers } of core.readRecords(bytes)) {
        const words = headers.map((header) => `${textOf(header.key)}=${textOf(header.value)}`)
        records.push({ key: textOf(key), text: `${textOf(value)} ${words.join(' ')}` })
      }
    }
    offset = nextOffset
  }
  return records
}

t.test('with and without the lane: the same events, the same answers', async (t) => {
  const [withLane, without] = [await open(t, true), await open(t, false)]
  let byLane = 0
  const walked = withLane.core.lane
  const putPlan = walked.putPlan.bind(walked)
  walked.putPlan = (client, plan) => {
    if (plan !== null) byLane++
    return putPlan(client, plan)
  }
  for (let seed = 1; seed <= 150; seed++) {
    const [one, other] = await Promise.all([play(withLane, seed), play(without, seed)])
    if (!t.strictSame(...comparable(one, other), `stream ${seed}`)) return
  }
  const [one, other] = [await stored(withLane), await stored(without)]
  t.strictSame(Object.keys(one).sort(), Object.keys(other).sort())
  for (const place of Object.keys(one)) t.strictSame(one[place], other[place], place)
  t.ok(byLane > 300, 'the lane was used')
  const { received, receivedBytes, stored: storedCount, inFlightCount, inLaneCount } = withLane.gateway.ingest.metrics
  const theirs = without.gateway.ingest.metrics
  t.strictSame(
    { received, receivedBytes, stored: storedCount, inFlightCount, inLaneCount },
    { ...{ received: theirs.received, receivedBytes: theirs.receivedBytes, stored: theirs.stored }, inFlightCount: 0, inLaneCount: 0 }
  )
  t.strictSame(withLane.gateway.ingest.metrics.ackLatency.count, theirs.ackLatency.count)
})
