// Question: what does "a PUBACK means it survives pulling the plug" cost, against a broker that keeps everything in memory?
// Canonical load: 4 connections, 100-byte payloads, QoS 1, 200 unacknowledged packets each, from a process of its own.
// Ours is the whole product (`wadi run`, every event synced before its PUBACK); theirs is aedes 1.2.0 alone. Rounds alternate.
// Both ends share this machine: compare the ratio, not the figures.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Build, ownBuild } from './build.ts'
import { GatewayProcess } from './gateway-process.ts'
import { type Bench, compareBuilds, median } from './harness.ts'
import { withDirectory } from './open-store.ts'
import { BenchWorker } from './worker.ts'

const CONNECTIONS = 4
const PAYLOAD_BYTES = 100
const RATIO_MIN = 0.8

/** Acknowledged events per second of one run of the load generator. */
async function measure(port: number, options: { window: number; warmMs: number; measureMs: number }): Promise<number> {
  const load = new BenchWorker<{ acked: number; elapsedMs: number }>('mqtt-load.worker.js', [
    String(port),
    String(CONNECTIONS),
    String(PAYLOAD_BYTES),
    String(options.window)
  ])
  try {
    await load.next()
    load.send({ warmMs: options.warmMs, measureMs: options.measureMs })
    const { acked, elapsedMs } = await load.next()
    return (acked / elapsedMs) * 1_000
  } finally {
    await load.kill()
  }
}

export const ingestBench: Bench = {
  name: 'ingest',
  question: 'durable QoS 1 ingest over MQTT against aedes alone in memory, events per second',
  async run({ isSmoke, builds, figure }) {
    const window = isSmoke ? 10 : 200
    const rounds = isSmoke ? 1 : 5
    const time = isSmoke ? { warmMs: 20, measureMs: 100 } : { warmMs: 1_500, measureMs: 3_000 }
    await withDirectory(async (scratch) => {
      const aedes = new BenchWorker<{ port: number }>('aedes.worker.js', [])
      const gateways = new Map<Build, GatewayProcess>()
      try {
        const { port: aedesPort } = await aedes.next()
        for (const build of builds) {
          const directory = join(scratch, build.name)
          mkdirSync(directory)
          gateways.set(build, await GatewayProcess.start({ directory, build }))
        }
        const rates = new Map<Build, number[]>(builds.map((build) => [build, []]))
        const theirs: number[] = []
        for (let round = 0; round < rounds; round++) {
          for (const [build, { port }] of gateways) rates.get(build)?.push(await measure(port, { window, ...time }))
          theirs.push(await measure(aedesPort, { window, ...time }))
        }
        const rateOf = (build: Build): number => median(rates.get(build) ?? [])
        const ratio = rateOf(ownBuild) / median(theirs)
        const compared = compareBuilds(builds, rateOf, {
          wanted: 'more',
          target: { text: `>= ${RATIO_MIN} x aedes`, isMet: ratio >= RATIO_MIN }
        })
        figure({
          what: 'QoS 1 ingest',
          parameters: { connections: CONNECTIONS, payloadBytes: PAYLOAD_BYTES, window, rounds },
          unit: 'events/s',
          ...compared,
          values: { ...compared.values, aedes: median(theirs) },
          ratios: { 'wadi / aedes': ratio, ...compared.ratios }
        })
      } finally {
        for (const gateway of gateways.values()) await gateway.kill()
        await aedes.kill()
      }
    })
  }
}
