// Question: what does delivering cost the flash at a trickle: commits and bytes written, against the same events without uplink?
// Canonical load: one event of 100 bytes a second for ten minutes (--minutes), each delivered before the next one comes. The minutes are
// simulated (trickle.worker.ts), the counts are the store's own: they do not depend on the machine.

import { ownBuild } from './build.ts'
import type { Bench } from './harness.ts'
import { BenchWorker } from './worker.ts'

const MINUTES = 10
const TIMES_MAX = 1.1

interface Cost {
  readonly commits: number
  readonly syncs: number
  readonly writtenBytes: number
}

export const trickleBench: Bench = {
  name: 'trickle',
  question: 'one event a second: commits and bytes to the device with uplink, over the same without',
  async run({ isSmoke, builds, minutes = isSmoke ? 0.1 : MINUTES, figure }) {
    const costs = new Map<string, Cost>()
    for (const build of builds) {
      for (const mode of ['alone', 'uplink'] as const) {
        const worker = new BenchWorker<Cost>('trickle.worker.js', [String(minutes), mode], { build })
        costs.set(`${build.name} ${mode}`, await worker.next().finally(() => worker.kill()))
      }
    }
    for (const what of ['commits', 'syncs', 'writtenBytes'] as const) {
      const values = Object.fromEntries([...costs].map(([name, cost]) => [name, cost[what]]))
      const timesOf = (name: string): number => (values[`${name} uplink`] ?? Number.NaN) / (values[`${name} alone`] ?? Number.NaN)
      const times = timesOf(ownBuild.name)
      figure({
        what: what === 'writtenBytes' ? 'bytes to the device' : what,
        parameters: { minutes, eventsPerSecond: 1 },
        unit: what === 'writtenBytes' ? 'bytes' : '',
        values,
        ratios: Object.fromEntries(builds.map(({ name }) => [`${name} uplink / alone`, timesOf(name)])),
        ...(what !== 'syncs' && { target: { text: `<= ${TIMES_MAX} x without uplink`, isMet: times <= TIMES_MAX } })
      })
    }
  }
}
