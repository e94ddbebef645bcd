// Proves that the fast lane is the same gateway: the same random streams of packets, cut anywhere, through a gateway with the lane and one without it
// give the same events in the same order, the same acknowledgements in the same order, and the same end.

import t from 'tap'
import { Prng } from '../sim/prng.ts'
import { type LaneGateway, openLaneGateway, readAll } from './lane-rig.ts'
import { cutSomewhere, laneStream } from './lane-streams.ts'
import { publishPacket, type RawClient } from './packets.ts'
import { publish5 } from './packets-5.ts'
import { turns } from './rig.ts'

const LAST_ID = 65_000

interface Outcome {
  readonly acks: readonly string[]
  readonly completions: readonly string[]
  readonly isClosed: boolean
  readonly reasons: readonly string[]
}

async function play({ gateway }: LaneGateway, seed: number): Promise<Outcome> {
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
      .filter(({ clientId, reason }) => clientId === `c${seed}` && reason !== 'connection-lost') // our own end
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
async function stored({ store, core }: LaneGateway): Promise<Record<string, readonly string[]>> {
  const found: Record<string, string[]> = {}
  for (const { name, partitions } of store.topics.values()) {
    for (const partition of partitions) {
      for (const { key, value, headers } of await readAll(core, partition)) {
        const place = key === '' ? name : `${name}-${partition.partitionIndex} ${key}`
        found[place] = [...(found[place] ?? []), `${value} ${headers}`]
      }
    }
  }
  for (const name of store.topics.keys()) found[name]?.sort()
  return found
}

t.test('with and without the lane: the same events, the same answers', async (t) => {
  const [withLane, without] = [await openLaneGateway(t), await openLaneGateway(t, { isLaneOpen: false })]
  for (let seed = 1; seed <= 150; seed++) {
    const [one, other] = await Promise.all([play(withLane, seed), play(without, seed)])
    if (!t.strictSame(...comparable(one, other), `stream ${seed}`)) return
  }
  const isDone = ({ gateway }: LaneGateway): boolean => gateway.ingest.metrics.inLaneCount + gateway.ingest.metrics.inFlightCount === 0
  t.ok(await turns(() => isDone(withLane) && isDone(without)))
  const [one, other] = [await stored(withLane), await stored(without)]
  t.strictSame(Object.keys(one).sort(), Object.keys(other).sort())
  for (const place of Object.keys(one)) t.strictSame(one[place], other[place], place)
  t.ok(withLane.plans.fast > 300, 'the lane was used')
  const { received, receivedBytes, stored: storedCount, inFlightCount, inLaneCount } = withLane.gateway.ingest.metrics
  const theirs = without.gateway.ingest.metrics
  t.strictSame(
    { received, receivedBytes, stored: storedCount, inFlightCount, inLaneCount },
    { ...{ received: theirs.received, receivedBytes: theirs.receivedBytes, stored: theirs.stored }, inFlightCount: 0, inLaneCount: 0 }
  )
  t.strictSame(withLane.gateway.ingest.metrics.ackLatency.count, theirs.ackLatency.count)
})
