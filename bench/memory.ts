// Question: how much memory does the gateway hold when idle, and with ten million undelivered events behind it?
// Canonical load: `wadi run` on an empty directory; then on one with 10 M events of 100 bytes and a centre that does not answer.
// The figure is the largest resident size seen while it settles.

import { type Build, ownBuild } from './build.ts'
import { freePort, GatewayProcess } from './gateway-process.ts'
import { type Bench, compareBuilds } from './harness.ts'
import { withDirectory } from './open-store.ts'
import { BenchWorker } from './worker.ts'

const MIB = 2 ** 20
const IDLE_MIB_MAX = 64
const BACKLOG_MIB_MAX = 96
const SAMPLE_MS = 50

async function largestResidentBytes(gateway: GatewayProcess, watchMs: number): Promise<number> {
  let largest = 0
  for (const untilMs = performance.now() + watchMs; performance.now() < untilMs; ) {
    largest = Math.max(largest, gateway.residentBytes())
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS))
  }
  return largest
}

/** NaN where /proc does not tell. */
async function measure(build: Build, options: { backlogEvents: number; watchMs: number }): Promise<number> {
  const { backlogEvents, watchMs } = options
  return withDirectory(async (directory) => {
    if (backlogEvents > 0) {
      const filler = new BenchWorker<unknown>('fill.worker.js', [`${directory}/data`, `${backlogEvents}e`], { build })
      await filler.next().finally(() => filler.kill())
    }
    const upstream = backlogEvents > 0 ? { upstream: `127.0.0.1:${await freePort()}` } : {}
    const gateway = await GatewayProcess.start({ directory, build, ...upstream })
    try {
      return (await largestResidentBytes(gateway, watchMs)) / MIB
    } finally {
      await gateway.kill()
    }
  })
}

export const memoryBench: Bench = {
  name: 'memory',
  question: 'resident memory of the gateway, MiB',
  async run({ isSmoke, builds, figure, skip }) {
    const watchMs = isSmoke ? 100 : 15_000
    for (const backlogEvents of isSmoke ? [0, 2_000] : [0, 10_000_000]) {
      const mib = new Map<Build, number>()
      for (const build of builds) mib.set(build, await measure(build, { backlogEvents, watchMs }))
      const ours = mib.get(ownBuild) ?? Number.NaN
      if (Number.isNaN(ours)) return skip('resident memory', 'needs /proc')
      const mibMax = backlogEvents > 0 ? BACKLOG_MIB_MAX : IDLE_MIB_MAX
      figure({
        what: backlogEvents > 0 ? 'with a backlog' : 'idle',
        parameters: { backlogEvents },
        unit: 'MiB',
        ...compareBuilds(builds, (build) => mib.get(build) ?? Number.NaN, {
          wanted: 'less',
          target: { text: `<= ${mibMax} MiB`, isMet: ours <= mibMax }
        })
      })
    }
  }
}
