// Question: what does a client cost that does nothing: connected, and as the session that it left behind?
// Canonical load: 1,000 connections of MQTT 3.1.1 and of 5, keep-alive, one subscription with a filter of its own; 10,000 absent clients with a
// persistent session and one subscription. `wadi run` on an empty directory. The heap and the resident size after a collection, less what they were
// before. Builds before MQTT 5 are not asked about it.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Build, ownBuild } from './build.ts'
import { GatewayProcess, type ProcessMemory } from './gateway-process.ts'
import { type Bench, type BenchContext, compareBuilds, median } from './harness.ts'
import { withDirectory } from './open-store.ts'
import { BenchWorker } from './worker.ts'

const KIB = 1024
const MIB = KIB * KIB
const QUESTIONS = [
  { kind: 'connected', version: 4, count: 1_000, kibMax: 10 },
  { kind: 'connected', version: 5, count: 1_000, kibMax: 10 },
  { kind: 'offline', version: 4, count: 10_000, kibMax: 2 },
  { kind: 'offline', version: 5, count: 10_000, kibMax: 2 }
] as const

interface Sample {
  readonly before: ProcessMemory
  readonly after: ProcessMemory
}

/** null when the build does not take such clients. */
async function measure(build: Build, { kind, version, count }: { kind: string; version: number; count: number }): Promise<Sample | null> {
  return withDirectory(async (scratch) => {
    const directory = join(scratch, build.name)
    mkdirSync(directory)
    const gateway = await GatewayProcess.start({ directory, build, isProbed: true })
    const arrive = (clients: number): BenchWorker<unknown> =>
      new BenchWorker('mqtt-idle.worker.js', [gateway.port, clients, version, kind].map(String))
    const first = arrive(1)
    let clients: BenchWorker<unknown> | null = null
    try {
      await first.next() // code that the first client loads is not the others'
      await first.kill()
      const before = await gateway.memoryAfterCollection()
      clients = arrive(count)
      await clients.next()
      return { before, after: await gateway.memoryAfterCollection() }
    } catch (error) {
      if (build !== ownBuild && version === 5) return null
      throw error
    } finally {
      await first.kill()
      await clients?.kill()
      await gateway.kill()
    }
  })
}

async function compare({ isSmoke, builds, figure }: BenchContext, question: (typeof QUESTIONS)[number]): Promise<void> {
  const { kind, version, kibMax } = question
  const count = isSmoke ? 10 : question.count
  const rounds = isSmoke ? 1 : 3
  const samples = new Map<Build, Sample[]>(builds.map((build) => [build, []]))
  for (let round = 0; round < rounds; round++) {
    for (const build of builds) {
      const sample = await measure(build, { kind, version, count })
      if (sample) samples.get(build)?.push(sample)
    }
  }
  const asked = builds.filter((build) => samples.get(build)?.length === rounds)
  const medianOf = (build: Build, of: (sample: Sample) => number): number => median(samples.get(build)?.map(of) ?? [])
  const perClient = (field: keyof ProcessMemory) => (sample: Sample) => (sample.after[field] - sample.before[field]) / count / KIB
  const what = `${kind === 'connected' ? 'an idle connection' : 'an absent session'}, MQTT ${version === 5 ? '5' : '3.1.1'}`
  const parameters = { count, rounds }
  const heapKib = medianOf(ownBuild, perClient('heapBytes'))
  figure({
    what: `heap of ${what}`,
    parameters,
    unit: 'KiB',
    ...compareBuilds(asked, (build) => medianOf(build, perClient('heapBytes')), {
      wanted: 'less',
      target: { text: `<= ${kibMax} KiB`, isMet: heapKib <= kibMax }
    })
  })
  const resident = compareBuilds(asked, (build) => medianOf(build, perClient('residentBytes')), { wanted: 'less' })
  figure({ what: `resident for ${what}`, parameters, unit: 'KiB', ...resident })
  const whole = compareBuilds(asked, (build) => medianOf(build, ({ after }) => after.residentBytes / MIB), { wanted: 'less' })
  figure({ what: `resident with all of them: ${what}`, parameters, unit: 'MiB', ...whole })
  if (question !== QUESTIONS[0]) return
  const idle = compareBuilds(asked, (build) => medianOf(build, ({ before }) => before.residentBytes / MIB), { wanted: 'less' })
  figure({ what: 'resident without clients', parameters: { rounds }, unit: 'MiB', ...idle })
}

export const connectionsBench: Bench = {
  name: 'connections',
  question: 'memory of clients that do nothing, after a collection',
  async run(context) {
    for (const question of QUESTIONS) await compare(context, question)
  }
}
