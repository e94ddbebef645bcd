// Question: what does Kafka's default producer (idempotent, small batches) cost the log: events per second, and bytes written per payload byte?
// Canonical load: records of 100 bytes, straight into the broker of the library (no wire), one batch per producer on its way, until all is sealed,
// checkpointed and closed. Bytes are what the store hands to the device: journal, segments, indexes, state.

import type { Build } from './build.ts'
import { ownBuild } from './build.ts'
import { type Bench, compareBuilds, median } from './harness.ts'
import { withDirectory } from './open-store.ts'
import { BenchWorker } from './worker.ts'

/** Against the build before producers' batches were written together. */
const RATIO_MIN = 1.2
const BYTES_RATIO_MAX = 1

export interface ProducerRun {
  /** While batches are sent. */
  readonly ackedPerSecond: number
  /** Until everything lies in closed segments. */
  readonly storedPerSecond: number
  readonly bytesPerPayloadByte: number
}

interface Load {
  readonly producerCount: number
  readonly recordsPerBatch: number
  readonly recordCount: number
}

const LOADS: readonly Load[] = [
  { producerCount: 200, recordsPerBatch: 1, recordCount: 100_000 },
  { producerCount: 100, recordsPerBatch: 10, recordCount: 400_000 },
  { producerCount: 1, recordsPerBatch: 1, recordCount: 2_000 }
]

function measure(build: Build, { producerCount, recordsPerBatch, recordCount }: Load): Promise<ProducerRun> {
  return withDirectory(async (directory) => {
    const counts = [producerCount, recordsPerBatch, recordCount, recordCount / 10]
    const worker = new BenchWorker<ProducerRun>('producer.worker.js', [`${directory}/data`, ...counts.map(String)], { build })
    return worker.next().finally(() => worker.kill())
  })
}

export const producerBench: Bench = {
  name: 'producer',
  question: "Kafka's default producer into the broker: events per second, bytes written per payload byte",
  async run({ isSmoke, builds, figure }) {
    const rounds = isSmoke ? 1 : 3
    for (const load of isSmoke ? [{ producerCount: 2, recordsPerBatch: 1, recordCount: 40 }] : LOADS) {
      const runs = new Map<Build, ProducerRun[]>(builds.map((build) => [build, []]))
      for (let round = 0; round < rounds; round++) for (const build of builds) runs.get(build)?.push(await measure(build, load))
      const medianOf = (build: Build, what: keyof ProducerRun): number => median((runs.get(build) ?? []).map((run) => run[what]))
      const other = builds.find((build) => build !== ownBuild)
      const ratioOf = (what: keyof ProducerRun): number => (other ? medianOf(ownBuild, what) / medianOf(other, what) : Number.NaN)
      const isOneAtATime = load.producerCount === 1 // bound by the device's sync: no faster, and not slower
      for (const what of ['storedPerSecond', 'ackedPerSecond'] as const) {
        const hasTarget = other !== undefined && !isOneAtATime && what === 'storedPerSecond'
        figure({
          what: what === 'storedPerSecond' ? 'until stored' : 'until acknowledged',
          parameters: { ...load, rounds },
          unit: 'events/s',
          ...compareBuilds(builds, (build) => medianOf(build, what), {
            wanted: 'more',
            ...(hasTarget && { target: { text: `>= ${RATIO_MIN} x`, isMet: ratioOf(what) >= RATIO_MIN } })
          })
        })
      }
      figure({
        what: 'written',
        parameters: { ...load, rounds },
        unit: 'bytes per payload byte',
        ...compareBuilds(builds, (build) => medianOf(build, 'bytesPerPayloadByte'), {
          wanted: 'less',
          ...(other && { target: { text: '<= 1 x', isMet: ratioOf('bytesPerPayloadByte') <= BYTES_RATIO_MAX } })
        })
      })
    }
  }
}
