// Question: is a limit of memory a limit of memory, when what fills it is small?
// Canonical load: tails of one-event batches of 87 bytes in 64 partitions; MQTT events of 26 bytes from 20 connections while the disk
// does not answer. The process may grow by half as much again as the limit says (heap and outside of it, after a collection).

import { type Build, ownBuild } from './build.ts'
import type { Bench } from './harness.ts'
import { withDirectory } from './open-store.ts'
import { BenchWorker } from './worker.ts'

const MIB = 2 ** 20
const CONNECTIONS = 20
const PAYLOAD_BYTES = 26
/** More than fills a socket's buffers. */
const WINDOW = 6_000
const MEASURE_MS = 600_000
export const GROWTH_MAX = 1.5

export interface Growth {
  readonly limitBytes: number
  readonly grownBytes: number
  readonly residentGrownBytes: number
  readonly count: number
}

/** What a process grows by when this limit is reached. @throws Error when the worker ends */
export async function measureGrowth(what: 'tail' | 'ingest', options: { limitMib: number; build?: Build }): Promise<Growth> {
  const { limitMib, build = ownBuild } = options
  return withDirectory(async (directory) => {
    const worker = new BenchWorker<{ port: number } | Growth>('limits.worker.js', [what, `${directory}/data`, String(limitMib)], {
      build,
      nodeFlags: ['--expose-gc']
    })
    let load: BenchWorker<unknown> | null = null
    try {
      const first = await worker.next()
      if (!('port' in first)) return first
      load = new BenchWorker('mqtt-load.worker.js', [first.port, CONNECTIONS, PAYLOAD_BYTES, WINDOW].map(String))
      await load.next()
      load.send({ warmMs: 0, measureMs: MEASURE_MS })
      return (await worker.next()) as Growth
    } finally {
      await load?.kill()
      await worker.kill()
    }
  })
}

export const limitsBench: Bench = {
  name: 'limits',
  question: 'growth of the process when a limit of memory is filled with small events, over that limit',
  async run({ isSmoke, builds, figure }) {
    for (const what of ['tail', 'ingest'] as const) {
      for (const limitMib of isSmoke ? [1] : what === 'tail' ? [4, 12] : [8, 16]) {
        const values: Record<string, number> = {}
        const ratios: Record<string, number> = {}
        for (const build of builds) {
          const { grownBytes, residentGrownBytes, limitBytes } = await measureGrowth(what, { limitMib, build })
          values[build.name] = grownBytes / MIB
          values[`${build.name} resident`] = residentGrownBytes / MIB
          ratios[`${build.name} / limit`] = grownBytes / limitBytes
        }
        const growth = ratios[`${ownBuild.name} / limit`] ?? Number.NaN
        figure({
          what: `${what} at its limit`,
          parameters: { limitMib },
          unit: 'MiB',
          values,
          ratios,
          target: { text: `<= ${GROWTH_MAX} x the limit`, isMet: growth <= GROWTH_MAX }
        })
      }
    }
  }
}
