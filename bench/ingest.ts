// Question: what does "a PUBACK means it survives pulling the plug" cost, against a broker that keeps everything in memory?
// Canonical load: 4 connections, 100-byte payloads, QoS 1, 200 unacknowledged packets each, from a process of its own; the same with 1, 10 and 100.
// Ours is the whole product (`wadi run`, every event synced before its PUBACK); theirs is aedes 1.2.0 alone. Rounds alternate.
// Both ends share this machine: compare the ratio, not the figures.

import { type Peer, withPeers } from './broker-peers.ts'
import { ownBuild } from './build.ts'
import { type Bench, type BenchContext, compareBuilds, median } from './harness.ts'
import { BenchWorker } from './worker.ts'

const CONNECTIONS = 4
const OTHER_CONNECTIONS = [1, 10, 100]
const PAYLOAD_BYTES = 100
const RATIO_MIN = 0.8
const MIB = 2 ** 20

interface Load {
  readonly connections: number
  readonly window: number
  readonly warmMs: number
  readonly measureMs: number
}

interface Sample {
  readonly eventsPerSecond: number
  /** NaN of aedes, and where /proc does not tell. */
  readonly cpuUsPerEvent: number
  /** At the end of the run. */
  readonly residentBytes: number
}

async function measure({ port, gateway }: Peer, { connections, window, warmMs, measureMs }: Load): Promise<Sample> {
  const load = new BenchWorker<{ acked: number; elapsedMs: number }>(
    'mqtt-load.worker.js',
    [port, connections, PAYLOAD_BYTES, window].map(String)
  )
  try {
    await load.next()
    load.send({ warmMs, measureMs })
    await load.next()
    const beforeMs = gateway?.cpuMs() ?? Number.NaN
    const { acked, elapsedMs } = await load.next()
    const cpuMs = (gateway?.cpuMs() ?? Number.NaN) - beforeMs
    return {
      eventsPerSecond: (acked / elapsedMs) * 1_000,
      cpuUsPerEvent: (cpuMs * 1_000) / Math.max(1, acked),
      residentBytes: gateway?.residentBytes() ?? Number.NaN
    }
  } finally {
    await load.kill()
  }
}

async function compare({ isSmoke, builds, figure }: BenchContext, connections: number): Promise<void> {
  const window = isSmoke ? 10 : 200
  const rounds = isSmoke ? 1 : connections === CONNECTIONS ? 5 : 3
  const time = isSmoke ? { warmMs: 20, measureMs: 100 } : { warmMs: 1_500, measureMs: 3_000 }
  await withPeers(builds, async (peers) => {
    const samples = new Map<Peer, Sample[]>(peers.map((peer) => [peer, []]))
    for (let round = 0; round < rounds; round++) {
      for (const peer of peers) samples.get(peer)?.push(await measure(peer, { connections, window, ...time }))
    }
    const medianOf = (build: Peer['build'], field: keyof Sample): number => {
      const peer = peers.find((one) => one.build === build)
      return median((peer ? samples.get(peer) : undefined)?.map((sample) => sample[field]) ?? [])
    }
    const theirs = medianOf(null, 'eventsPerSecond')
    const ratio = medianOf(ownBuild, 'eventsPerSecond') / theirs
    const target = { text: `>= ${RATIO_MIN} x aedes`, isMet: ratio >= RATIO_MIN }
    const parameters = { connections, payloadBytes: PAYLOAD_BYTES, window, rounds }
    const compared = compareBuilds(builds, (build) => medianOf(build, 'eventsPerSecond'), { wanted: 'more', target })
    figure({
      what: 'QoS 1 ingest',
      parameters,
      unit: 'events/s',
      ...compared,
      values: { ...compared.values, aedes: theirs },
      ratios: { 'wadi / aedes': ratio, ...compared.ratios }
    })
    if (Number.isNaN(medianOf(ownBuild, 'cpuUsPerEvent'))) return
    const cpu = compareBuilds(builds, (build) => medianOf(build, 'cpuUsPerEvent'), { wanted: 'less' })
    figure({ what: 'CPU time of the gateway, all threads', parameters, unit: 'us/event', ...cpu })
    const resident = compareBuilds(builds, (build) => medianOf(build, 'residentBytes') / MIB, { wanted: 'less' })
    figure({ what: 'resident at the end of a run', parameters, unit: 'MiB', ...resident })
  })
}

export const ingestBench: Bench = {
  name: 'ingest',
  question: 'durable QoS 1 ingest over MQTT against aedes alone in memory, events per second',
  async run(context) {
    for (const connections of [CONNECTIONS, ...(context.isSmoke ? [] : OTHER_CONNECTIONS)]) await compare(context, connections)
  }
}
