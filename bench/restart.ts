// Question: does the time to start again after SIGKILL depend on how much is stored?
// Canonical load: 1 GB and 10 GB stored and both journal files full when the kill comes (no checkpoint completed); the process that stored it is
// killed, a new one opens the directory. The page cache is warm: the figure is about work, not about the device.

import { type Build, ownBuild } from './build.ts'
import { type Bench, compareBuilds, median } from './harness.ts'
import { withDirectory } from './open-store.ts'
import { BenchWorker } from './worker.ts'

const GB = 1e9
const JOURNAL_FILE_BYTES = 32 * 2 ** 20 // two of them, the default
const RESTART_S_MAX = 2
const GROWTH_MAX = 1.5
const ROUNDS = 3

interface Filled {
  readonly storedBytes: number
  readonly events: number
}

interface Reopened {
  readonly openMs: number
  readonly sinceStartMs: number
  readonly report: { readonly replayedRecords: number }
}

interface Restart {
  readonly seconds: number
  readonly replayedRecords: number
  readonly storedBytes: number
}

async function measure(build: Build, options: { storedBytes: number; journalFileBytes: number; rounds: number }): Promise<Restart> {
  return withDirectory(async (scratch) => {
    const directory = `${scratch}/data`
    const fill = [directory, `${options.storedBytes}b`, 'full', String(options.journalFileBytes)]
    const filler = new BenchWorker<Filled>('fill.worker.js', fill, { build })
    const { storedBytes } = await filler.next().finally(() => filler.kill())
    const starts: Reopened[] = []
    for (let round = 0; round < options.rounds; round++) {
      const opener = new BenchWorker<Reopened>('reopen.worker.js', [directory], { build })
      starts.push(await opener.next().finally(() => opener.kill()))
    }
    return {
      seconds: median(starts.map(({ sinceStartMs }) => sinceStartMs)) / 1_000,
      replayedRecords: starts[0]?.report.replayedRecords ?? 0,
      storedBytes
    }
  })
}

export const restartBench: Bench = {
  name: 'restart',
  question: 'from the start of the process to an open log after SIGKILL, seconds',
  async run({ isSmoke, builds, figure }) {
    const [smallBytes, largeBytes] = isSmoke ? [1e6, 3e6] : [GB, 10 * GB]
    const options = isSmoke ? { journalFileBytes: 2 ** 20, rounds: 1 } : { journalFileBytes: JOURNAL_FILE_BYTES, rounds: ROUNDS }
    const larges = new Map<Build, Restart>()
    const small = await measure(ownBuild, { ...options, storedBytes: smallBytes })
    for (const build of builds) larges.set(build, await measure(build, { ...options, storedBytes: largeBytes }))
    const large = larges.get(ownBuild) ?? small
    const compared = compareBuilds(builds, (build) => larges.get(build)?.seconds ?? Number.NaN, {
      wanted: 'less',
      target: {
        text: `<= ${RESTART_S_MAX} s and does not grow`,
        isMet: large.seconds <= RESTART_S_MAX && large.seconds <= GROWTH_MAX * small.seconds
      }
    })
    figure({
      what: 'restart after SIGKILL',
      parameters: {
        smallBytes: small.storedBytes,
        largeBytes: large.storedBytes,
        journalFileBytes: options.journalFileBytes,
        replayedSmall: small.replayedRecords,
        replayedLarge: large.replayedRecords
      },
      unit: 's',
      ...compared,
      values: { ...compared.values, 'wadi, a tenth stored': small.seconds },
      ratios: { 'large / small': large.seconds / small.seconds, ...compared.ratios }
    })
  }
}
