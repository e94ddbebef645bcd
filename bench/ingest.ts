// Question: what does "a PUBACK means it survives pulling the plug" cost, against a broker that keeps everything in memory?
// Canonical load: 4 connections, 100-byte payloads, QoS 1, 200 unacknowledged packets each, from a process of its own; the same with 1, 10 and 100.
// Ours is the whole product (`wadi run`, every event synced before its PUBACK); theirs is aedes 1.2.0 alone. Rounds alternate.
// Both ends share this machine: compare the ratio, not the figures.

import { type Peer, withPeers } from './broker-peers.ts'
import { ownBuild } from './build.ts'
import { type Bench, type BenchContext, compareBuilds, median } from './harness.ts'
import { type LoadedServer, type LoadSample, measureLoad } from './mqtt-load.ts'

const CONNECTIONS = 4
const OTHER_CONNECTIONS = [1, 10, 100]
const PAYLOAD_BYTES = 100
const RATIO_MIN = 0.8
const MIB = 2 ** 20

/** CPU and memory of aedes are not asked for. */
const serverOf = ({ port, gateway }: Peer): LoadedServer => ({
  port,
  cpuMs: () => gateway?.cpuMs() ?? Number.NaN,
  residentBytes: () => gateway?.residentBytes() ?? Number.NaN
})

async function compare({ isSmoke, builds, figure }: BenchContext, connections: number): Promise<void> {
  const window = isSmoke ? 10 : 200
  const rounds = isSmoke ? 1 : connections === CONNECTIONS ? 5 : 3
  const time = isSmoke ? { warmMs: 20, measureMs: 100 } : { warmMs: 1_500, measureMs: 3_000 }
  await withPeers(builds, async (peers) => {
    const samples = new Map<Peer, LoadSample[]>(peers.map((peer) => [peer, []]))
    for (let round = 0; round < rounds; round++) {
      for (const peer of peers)
        samples.get(peer)?.push(await measureLoad(serverOf(peer), { connections, payloadBytes: PAYLOAD_BYTES, window }, time))
    }
    const medianOf = (build: Peer['build'], field: keyof LoadSample): number => {
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
