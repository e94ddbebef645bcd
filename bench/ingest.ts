// Question: what does "a PUBACK means it survives pulling the plug" cost, against a broker that keeps everything in memory?
// Canonical load: 4 connections, 100-byte payloads, QoS 1, 200 unacknowledged packets each, from a process of its own.
// Ours is the whole product (`wadi run`, every event synced before its PUBACK); theirs is aedes 1.2.0 alone. Rounds alternate.
// Both ends share this machine: compare the ratio, not the figures.

import { GatewayProcess } from './gateway-process.ts'
import { type Bench, median } from './harness.ts'
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
  async run({ isSmoke, figure }) {
    const window = isSmoke ? 10 : 200
    const rounds = isSmoke ? 1 : 5
    const time = isSmoke ? { warmMs: 20, measureMs: 100 } : { warmMs: 1_500, measureMs: 3_000 }
    await withDirectory(async (directory) => {
      const aedes = new BenchWorker<{ port: number }>('aedes.worker.js', [])
      let gateway: GatewayProcess | null = null
      try {
        const { port: aedesPort } = await aedes.next()
        gateway = await GatewayProcess.start({ directory })
        const ours: number[] = []
        const theirs: number[] = []
        for (let round = 0; round < rounds; round++) {
          ours.push(await measure(gateway.port, { window, ...time }))
          theirs.push(await measure(aedesPort, { window, ...time }))
        }
        const ratio = median(ours) / median(theirs)
        figure({
          what: 'QoS 1 ingest',
          parameters: { connections: CONNECTIONS, payloadBytes: PAYLOAD_BYTES, window, rounds },
          unit: 'events/s',
          values: { wadi: median(ours), aedes: median(theirs) },
          ratios: { 'wadi / aedes': ratio },
          target: { text: `>= ${RATIO_MIN} x aedes`, isMet: ratio >= RATIO_MIN }
        })
      } finally {
        await gateway?.kill()
        await aedes.kill()
      }
    })
  }
}
