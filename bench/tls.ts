// Question: what does TLS cost, in events and in memory?
// Canonical load: that of ingest (100-byte payloads, QoS 1, 200 unacknowledged packets each) over 1, 10 and 100 connections, to two gateways of one build, with TLS
// 1.3 (EC P-256, no client certificates) and without; rounds alternate. Then 1,000 connections that do nothing on each.
// Both ends share this machine, and the load generator pays for TLS as well: compare the ratio, not the figures.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { issueLeaf, makeCa } from '../adapters/tls/certificate-writer.ts'
import { GatewayProcess, type ProcessMemory } from './gateway-process.ts'
import { type Bench, type BenchContext, median } from './harness.ts'
import { type LoadSample, measureLoad } from './mqtt-load.ts'
import { withDirectory } from './open-store.ts'
import { BenchWorker } from './worker.ts'

const PAYLOAD_BYTES = 100
const CONNECTIONS = [1, 10, 100]
const IDLE_COUNT = 1_000
const RESIDENT_MIB_MAX = 160
const KIB = 1024
const DAY_MS = 86_400_000

interface Files {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

function writeFiles(directory: string): Files {
  const validity = { fromMs: Date.now() - DAY_MS, untilMs: Date.now() + DAY_MS }
  const ca = makeCa({ commonName: 'bench', ...validity })
  const server = issueLeaf(ca, { commonName: 'gateway', purpose: 'server', hosts: ['127.0.0.1'], ...validity })
  const write = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text, { mode: 0o600 })
    return join(directory, name)
  }
  return { ca: write('ca.pem', ca.certificate), cert: write('server.pem', server.certificate), key: write('server.key', server.key) }
}

/** One with TLS and one without, each with an empty directory. */
async function withBoth<T>(isProbed: boolean, work: (plain: GatewayProcess, secure: GatewayProcess, ca: string) => Promise<T>): Promise<T> {
  return withDirectory(async (scratch) => {
    const { ca, cert, key } = writeFiles(scratch)
    const start = (name: string, tls?: { cert: string; key: string }): Promise<GatewayProcess> => {
      mkdirSync(join(scratch, name))
      return GatewayProcess.start({ directory: join(scratch, name), isProbed, tls })
    }
    const plain = await start('plain')
    try {
      const secure = await start('tls', { cert, key })
      return await work(plain, secure, ca).finally(() => secure.kill())
    } finally {
      await plain.kill()
    }
  })
}

async function compareIngest({ isSmoke, figure }: BenchContext, connections: number): Promise<void> {
  const rounds = isSmoke ? 1 : 5
  const load = { connections, payloadBytes: PAYLOAD_BYTES, window: isSmoke ? 10 : 200 }
  const time = isSmoke ? { warmMs: 20, measureMs: 100 } : { warmMs: 1_500, measureMs: 3_000 }
  await withBoth(false, async (plain, secure, ca) => {
    const samples = { plain: [] as LoadSample[], tls: [] as LoadSample[] }
    for (let round = 0; round < rounds; round++) {
      samples.plain.push(await measureLoad(plain, load, time))
      samples.tls.push(await measureLoad(secure, { ...load, ca }, time))
    }
    const parameters = { ...load, rounds }
    const medianOf = (which: 'plain' | 'tls', field: keyof LoadSample): number => median(samples[which].map((sample) => sample[field]))
    const compare = (what: string, unit: string, field: keyof LoadSample): void => {
      const values = { wadi: medianOf('tls', field), 'without TLS': medianOf('plain', field) }
      figure({ what, parameters, unit, values, ratios: { 'with / without': values.wadi / values['without TLS'] } })
    }
    compare('QoS 1 ingest', 'events/s', 'eventsPerSecond')
    if (!Number.isNaN(medianOf('tls', 'cpuUsPerEvent'))) compare('CPU time of the gateway, all threads', 'us/event', 'cpuUsPerEvent')
  })
}

interface IdleSample {
  readonly before: ProcessMemory
  readonly after: ProcessMemory
}

async function measureIdle(gateway: GatewayProcess, count: number, ca: string): Promise<IdleSample> {
  const arrive = (clients: number): BenchWorker<unknown> =>
    new BenchWorker('mqtt-idle.worker.js', [gateway.port, clients, 4, 'connected', ca].map(String))
  const first = arrive(1)
  await first.next().finally(() => first.kill()) // code that the first client loads is not the others'
  const before = await gateway.memoryAfterCollection()
  const clients = arrive(count)
  try {
    await clients.next()
    return { before, after: await gateway.memoryAfterCollection() }
  } finally {
    await clients.kill()
  }
}

async function compareIdle({ isSmoke, figure }: BenchContext): Promise<void> {
  const count = isSmoke ? 10 : IDLE_COUNT
  const rounds = isSmoke ? 1 : 3
  const samples = { plain: [] as IdleSample[], tls: [] as IdleSample[] }
  for (let round = 0; round < rounds; round++) {
    await withBoth(true, async (plain, secure, ca) => {
      samples.plain.push(await measureIdle(plain, count, ''))
      samples.tls.push(await measureIdle(secure, count, ca))
    })
  }
  const parameters = { count, rounds }
  for (const [what, field] of [
    ['heap of an idle connection', 'heapBytes'],
    ['resident for an idle connection', 'residentBytes']
  ] as const) {
    const each = (which: 'plain' | 'tls'): number =>
      median(samples[which].map(({ before, after }) => (after[field] - before[field]) / count / KIB))
    const values = { wadi: each('tls'), 'without TLS': each('plain') }
    figure({ what, parameters, unit: 'KiB', values, ratios: { 'with / without': values.wadi / values['without TLS'] } })
  }
  const whole = median(samples.tls.map(({ after }) => after.residentBytes / KIB / KIB))
  figure({
    what: 'resident with all of them',
    parameters,
    unit: 'MiB',
    values: { wadi: whole },
    ratios: {},
    target: { text: `<= ${RESIDENT_MIB_MAX} MiB`, isMet: whole <= RESIDENT_MIB_MAX }
  })
}

export const tlsBench: Bench = {
  name: 'tls',
  question: 'what TLS costs: durable QoS 1 ingest, memory of connections that do nothing',
  async run(context) {
    for (const connections of context.isSmoke ? [2] : CONNECTIONS) await compareIngest(context, connections)
    await compareIdle(context)
  }
}
