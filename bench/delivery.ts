// Question: how fast do local subscribers get what others publish, when every message is durable before anybody gets it?
// Canonical load: 4 connections publish 100-byte payloads with QoS 1 as fast as they are acknowledged; one subscriber of everything with QoS 1, one with
// QoS 0, 20 with QoS 1. Ours is the whole product (`wadi run`, every event synced); theirs is aedes 1.2.0 alone in memory. Rounds alternate.
// Ours never waits for subscribers, aedes does: what we publish beyond what they take is stored, and dropped for them.
// All ends share this machine: compare the ratio, not the figures.

import { type Peer, withPeers } from './broker-peers.ts'
import { ownBuild } from './build.ts'
import { type Bench, type BenchContext, compareBuilds, median } from './harness.ts'
import { BenchWorker } from './worker.ts'

const CONNECTIONS = 4
const PAYLOAD_BYTES = 100
const RATIO_MIN = 0.8
const QUESTIONS = [
  { what: 'to one subscriber, QoS 1', subscribers: 1, qos: 1 },
  { what: 'to one subscriber, QoS 0', subscribers: 1, qos: 0 },
  { what: 'to 20 subscribers of one filter, QoS 1', subscribers: 20, qos: 1 }
] as const

interface Load {
  readonly subscribers: number
  readonly qos: number
  readonly window: number
  readonly warmMs: number
  readonly measureMs: number
}

interface Sample {
  /** Of all subscribers. */
  readonly receivedPerSecond: number
  readonly publishedPerSecond: number
  /** Of all its threads, for each message that was published: the append and every delivery. NaN of aedes, and where /proc does not tell. */
  readonly cpuUsPerPublished: number
}

async function measure({ port, gateway }: Peer, { subscribers, qos, window, warmMs, measureMs }: Load): Promise<Sample> {
  const subscriber = new BenchWorker<{ received: number; elapsedMs: number }>(
    'mqtt-subscriber.worker.js',
    [port, subscribers, qos].map(String)
  )
  const load = new BenchWorker<{ acked: number; elapsedMs: number }>(
    'mqtt-load.worker.js',
    [port, CONNECTIONS, PAYLOAD_BYTES, window].map(String)
  )
  try {
    await subscriber.next()
    await load.next()
    load.send({ warmMs, measureMs })
    subscriber.send({ warmMs, measureMs })
    await load.next() // it is warm
    const beforeMs = gateway?.cpuMs() ?? Number.NaN
    const published = await load.next()
    const cpuMs = (gateway?.cpuMs() ?? Number.NaN) - beforeMs
    const received = await subscriber.next()
    return {
      receivedPerSecond: (received.received / received.elapsedMs) * 1_000,
      publishedPerSecond: (published.acked / published.elapsedMs) * 1_000,
      cpuUsPerPublished: (cpuMs * 1_000) / Math.max(1, published.acked)
    }
  } finally {
    await load.kill()
    await subscriber.kill()
  }
}

async function compare({ isSmoke, builds, figure }: BenchContext, { what, subscribers, qos }: (typeof QUESTIONS)[number]): Promise<void> {
  const window = isSmoke ? 10 : 200
  const rounds = isSmoke ? 1 : 5
  const time = isSmoke ? { warmMs: 20, measureMs: 100 } : { warmMs: 1_500, measureMs: 3_000 }
  await withPeers(builds, async (peers) => {
    const samples = new Map<Peer, Sample[]>(peers.map((peer) => [peer, []]))
    for (let round = 0; round < rounds; round++) {
      for (const peer of peers) samples.get(peer)?.push(await measure(peer, { subscribers, qos, window, ...time }))
    }
    const medianOf = (build: Peer['build'], field: keyof Sample): number => {
      const peer = peers.find((one) => one.build === build)
      return median((peer ? samples.get(peer) : undefined)?.map((sample) => sample[field]) ?? [])
    }
    const theirs = medianOf(null, 'receivedPerSecond')
    const ratio = medianOf(ownBuild, 'receivedPerSecond') / theirs
    const target = { text: `>= ${RATIO_MIN} x aedes`, isMet: ratio >= RATIO_MIN }
    const parameters = { connections: CONNECTIONS, payloadBytes: PAYLOAD_BYTES, window, rounds }
    const compared = compareBuilds(builds, (build) => medianOf(build, 'receivedPerSecond'), { wanted: 'more', target })
    figure({
      what,
      parameters,
      unit: 'messages/s',
      ...compared,
      values: { ...compared.values, aedes: theirs, 'wadi published': medianOf(ownBuild, 'publishedPerSecond') },
      ratios: { 'wadi / aedes': ratio, ...compared.ratios }
    })
    if (Number.isNaN(medianOf(ownBuild, 'cpuUsPerPublished'))) return
    const cpu = compareBuilds(builds, (build) => medianOf(build, 'cpuUsPerPublished'), { wanted: 'less' })
    figure({ what: `${what}: CPU time of the gateway`, parameters, unit: 'us/published message', ...cpu })
  })
}

export const deliveryBench: Bench = {
  name: 'delivery',
  question: 'messages to local subscribers against aedes alone in memory, messages per second',
  async run(context) {
    for (const question of QUESTIONS) await compare(context, question)
  }
}
