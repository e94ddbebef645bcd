// Question: what do consumers cost that wait for more data (fetch.min.bytes), while others write?
// Canonical load: 100 consumers that wait for all of 50 partitions, and commits that write one, or all, of the partitions. A figure is the processor time of
// a commit with the waiting consumers, less that of one without, as a share of one core at 1,000 commits a second: 1 is a core that does nothing else.

import { type Build, ownBuild } from './build.ts'
import { type Bench, compareBuilds, median } from './harness.ts'
import { withDirectory } from './open-store.ts'
import { BenchWorker } from './worker.ts'

const CONSUMERS = 100
const PARTITIONS = 50
const COMMITS_PER_SECOND = 1_000
const SHARE_MAX = 0.15

interface Load {
  readonly perCommit: number
  readonly commits: number
}

function measure(build: Build, consumers: number, { perCommit, commits }: Load): Promise<number> {
  return withDirectory(async (directory) => {
    const args = [`${directory}/data`, ...[consumers, PARTITIONS, perCommit, commits].map(String)]
    const worker = new BenchWorker<{ microsPerCommit: number }>('waiting.worker.js', args, { build })
    return worker
      .next()
      .then(({ microsPerCommit }) => microsPerCommit)
      .finally(() => worker.kill())
  })
}

export const waitingBench: Bench = {
  name: 'waiting',
  question: 'consumers that wait for fetch.min.bytes: their share of a core at 1,000 commits a second',
  async run({ isSmoke, builds, figure }) {
    const rounds = isSmoke ? 1 : 3
    const consumers = isSmoke ? 2 : CONSUMERS
    const loads = isSmoke ? [{ perCommit: 1, commits: 5 }] : [1, PARTITIONS].map((perCommit) => ({ perCommit, commits: 400 }))
    for (const load of loads) {
      const shares = new Map<Build, number[]>(builds.map((build) => [build, []]))
      for (let round = 0; round < rounds; round++) {
        for (const build of builds) {
          const micros = (await measure(build, consumers, load)) - (await measure(build, 0, load))
          shares.get(build)?.push((micros * COMMITS_PER_SECOND) / 1_000_000)
        }
      }
      const shareOf = (build: Build): number => median(shares.get(build) ?? [])
      figure({
        what: 'waiting consumers',
        parameters: { consumers, partitions: PARTITIONS, writtenPartitions: load.perCommit, rounds },
        unit: 'of a core',
        ...compareBuilds(builds, shareOf, {
          wanted: 'less',
          target: { text: `<= ${SHARE_MAX}`, isMet: shareOf(ownBuild) <= SHARE_MAX }
        })
      })
    }
  }
}
