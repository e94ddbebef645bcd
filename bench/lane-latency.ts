// Question: how long does a PUBACK take that waits for a sync, in multiples of what the disk takes; beside a flood; and on disks whose sync takes long?
// Canonical load: 10,000 events/s at a fixed rate over 50 connections, 100-byte payloads, `wadi run`. F is one durable write of 8 KiB on the same disk, before
// and after each round. Beside a flood: 10 probes of 100 events/s each, one connection that sends QoS 0 as fast as it can, Mosquitto with the same. With a
// sync of 5, 20, 50 ms (injected): 10 connections with 200 in flight, against in flight / 2F, which is what two commits under way can give.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { nodeDisk } from '../runtime/io/node-disk.ts'
import { GatewayProcess } from './gateway-process.ts'
import { type Bench, type BenchContext, median } from './harness.ts'
import { measureLoad } from './mqtt-load.ts'
import { withDirectory } from './open-store.ts'
import { isInstalled, startOtherBroker } from './other-brokers.ts'
import { BenchWorker } from './worker.ts'

const WRITE_BYTES = 8 * 1024
const WRITES = 200
const OVER_F_P50 = 2.5
const OVER_F_P99_MS = 5
const PROBES_P99_MS = 20
const SYNC_MS = [5, 20, 50]
const SHARE_MIN = 0.9
const IN_FLIGHT = { connections: 10, window: 200 }

interface Latency {
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Durable writes one behind the other. */
async function writeTimes(directory: string): Promise<number[]> {
  const file = await nodeDisk.open(join(directory, 'write-times'), 'create')
  const bytes = new Uint8Array(WRITE_BYTES).fill(1)
  const times: number[] = []
  for (let index = 0; index < WRITES; index++) {
    const startedMs = performance.now()
    await file.writeDurableAt((index % 16) * WRITE_BYTES, bytes)
    if (index >= 16) times.push(performance.now() - startedMs) // the file has its size by then
  }
  await file.close()
  return times.sort((left, right) => left - right)
}

async function latency(port: number, load: readonly number[], time: { warmMs: number; measureMs: number }): Promise<Latency> {
  const worker = new BenchWorker<Latency>('mqtt-latency.worker.js', [port, ...load].map(String))
  try {
    await worker.next()
    worker.send(time)
    await worker.next()
    return await worker.next()
  } finally {
    await worker.kill()
  }
}

const at = (sorted: readonly number[], share: number): number => sorted[Math.floor(sorted.length * share)] ?? Number.NaN

async function openLoop({ isSmoke, figure }: BenchContext): Promise<void> {
  const time = isSmoke ? { warmMs: 50, measureMs: 100 } : { warmMs: 1_000, measureMs: 5_000 }
  const rounds = isSmoke ? 1 : 3
  const load = isSmoke ? [2, 100, 500] : [50, 100, 10_000]
  const samples: (Latency & { f50: number; f99: number })[] = []
  await withDirectory(async (scratch) => {
    const gateway = await GatewayProcess.start({ directory: scratch })
    try {
      for (let round = 0; round < rounds; round++) {
        const before = await writeTimes(scratch)
        const measured = await latency(gateway.port, load, time)
        const all = [...before, ...(await writeTimes(scratch))].sort((left, right) => left - right)
        samples.push({ ...measured, f50: at(all, 0.5), f99: at(all, 0.99) })
      }
    } finally {
      await gateway.kill()
    }
  })
  const of = (field: keyof (typeof samples)[0]): number => median(samples.map((sample) => sample[field]))
  const parameters = { eventsPerSecond: load[2] ?? 0, connections: load[0] ?? 0, rounds }
  const overF = of('p50Ms') / of('f50')
  figure({
    what: 'PUBACK, median',
    ...{ parameters, unit: 'ms', values: { wadi: of('p50Ms'), F: of('f50') }, ratios: { 'wadi / F': overF } },
    target: { text: `<= ${OVER_F_P50} F`, isMet: overF <= OVER_F_P50 }
  })
  figure({
    what: 'PUBACK, p99',
    ...{ parameters, unit: 'ms', values: { wadi: of('p99Ms'), F: of('f99') } },
    target: { text: `<= F + ${OVER_F_P99_MS} ms`, isMet: of('p99Ms') <= of('f99') + OVER_F_P99_MS }
  })
}

async function besideFlood({ isSmoke, figure }: BenchContext): Promise<void> {
  const time = isSmoke ? { warmMs: 50, measureMs: 100 } : { warmMs: 3_000, measureMs: 4_000 }
  const rounds = isSmoke ? 1 : 3
  const [ours, theirs]: [Latency[], Latency[]] = [[], []]
  const measure = async (port: number): Promise<Latency> => {
    const flood = new BenchWorker<unknown>('mqtt-load.worker.js', [port, 1, 100, 200, 0].map(String))
    try {
      await flood.next()
      flood.send({ warmMs: 0, measureMs: time.warmMs + time.measureMs })
      return await latency(port, [10, 100, 1_000], time)
    } finally {
      await flood.kill()
    }
  }
  await withDirectory(async (scratch) => {
    mkdirSync(join(scratch, 'wadi'))
    const gateway = await GatewayProcess.start({ directory: join(scratch, 'wadi') })
    const other = isInstalled('mosquitto') ? await startOtherBroker('mosquitto', join(scratch, 'other')) : null
    try {
      for (let round = 0; round < rounds; round++) {
        ours.push(await measure(gateway.port))
        if (other) theirs.push(await measure(other.port))
      }
    } finally {
      await gateway.kill()
      await other?.kill()
    }
  })
  const p99Of = (samples: readonly Latency[]): number => median(samples.map(({ p99Ms }) => p99Ms))
  figure({
    what: 'PUBACK beside a flood of QoS 0, p99',
    ...{ parameters: { probes: 10, eventsPerSecond: 1_000, rounds }, unit: 'ms' },
    values: { wadi: p99Of(ours), ...(theirs.length > 0 && { mosquitto: p99Of(theirs) }) },
    target: { text: `<= ${PROBES_P99_MS} ms`, isMet: p99Of(ours) <= PROBES_P99_MS }
  })
}

async function slowSyncs({ isSmoke, figure }: BenchContext): Promise<void> {
  const { connections, window } = IN_FLIGHT
  const time = isSmoke ? { warmMs: 20, measureMs: 100 } : { warmMs: 1_000, measureMs: 3_000 }
  for (const syncMs of isSmoke ? [5] : SYNC_MS) {
    const eventsPerSecond = await withDirectory(async (scratch) => {
      const gateway = new BenchWorker<{ port: number }>('slow-gateway.worker.js', [scratch, String(syncMs)])
      const { port } = await gateway.next()
      const unknown = (): number => Number.NaN
      const load = { ...IN_FLIGHT, payloadBytes: 100 }
      return measureLoad({ port, cpuMs: unknown, residentBytes: unknown }, load, time)
        .then((sample) => sample.eventsPerSecond)
        .finally(() => gateway.kill())
    })
    const possible = (connections * window * 1_000) / (2 * syncMs)
    figure({
      what: 'events with a slow sync',
      ...{ parameters: { syncMs, connections, window }, unit: 'events/s', values: { wadi: eventsPerSecond, 'in flight / 2F': possible } },
      ratios: { share: eventsPerSecond / possible },
      target: { text: `>= ${SHARE_MIN} x`, isMet: eventsPerSecond >= SHARE_MIN * possible }
    })
  }
}

export const laneLatencyBench: Bench = {
  name: 'lane-latency',
  question: 'how long a PUBACK takes, in multiples of a durable write; beside a flood; on slow disks',
  async run(context) {
    await openLoop(context)
    await besideFlood(context)
    await slowSyncs(context)
  }
}
