// Question: how long do appends and keep-alives wait while a checkpoint writes much state?
// Canonical load: 50,000 packet ids of QoS 2 and 10,000 committed offsets of groups; 250 checkpoints, of each the longest time in which the
// event loop did not turn. Beside it the same without a checkpoint: what the machine does to any process.

import type { Build } from './build.ts'
import { type Bench, compareBuilds } from './harness.ts'
import { withDirectory } from './open-store.ts'
import { BenchWorker } from './worker.ts'

const PAUSE_MS_MAX = 10
/** Enough that the p99 is not the longest of all. */
const CHECKPOINTS = 250

interface Pauses {
  readonly pausesMs: readonly number[]
  readonly quietMs: readonly number[]
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

async function measure(build: Build, checkpoints: number): Promise<Pauses> {
  return withDirectory(async (directory) => {
    const worker = new BenchWorker<Pauses>('checkpoint.worker.js', [`${directory}/data`, String(checkpoints)], { build })
    return worker.next().finally(() => worker.kill())
  })
}

export const checkpointBench: Bench = {
  name: 'checkpoint',
  question: 'longest pause of the event loop in a checkpoint with 60,000 values of state, milliseconds',
  async run({ isSmoke, builds, figure }) {
    const checkpoints = isSmoke ? 3 : CHECKPOINTS
    const measured = new Map<Build, Pauses>()
    for (const build of builds) measured.set(build, await measure(build, checkpoints))
    const p99 = (build: Build): number => percentile(measured.get(build)?.pausesMs ?? [], 0.99)
    const compared = compareBuilds(builds, p99, { wanted: 'less' })
    const own = [...measured.entries()].find(([{ name }]) => name === 'wadi')?.[1]
    const pauseMs = percentile(own?.pausesMs ?? [], 0.99)
    figure({
      what: 'longest pause in a checkpoint, p99',
      parameters: { checkpoints, values: 60_000 },
      unit: 'ms',
      ...compared,
      target: { text: `<= ${PAUSE_MS_MAX} ms`, isMet: pauseMs <= PAUSE_MS_MAX },
      values: {
        ...compared.values,
        'wadi, median': percentile(own?.pausesMs ?? [], 0.5),
        'without a checkpoint, p99': percentile(own?.quietMs ?? [], 0.99)
      }
    })
  }
}
