// Runs worlds one after the other and adds up what they counted: the JSON line of reliability rigs.

import { seeds } from './prng.ts'
import { type Mutation, World, type WorldResult } from './world.ts'

export interface SeedSummary {
  rig: string
  firstSeed: number
  seeds: number
  failedSeeds: number[]
  sent: number
  acked: number
  unknown: number
  read: number
  lost: number
  phantom: number
  altered: number
  reordered: number
  duplicated: number
  refused: number
  recoveryMsMax: number
  simulatedHours: number
  peakRssMiB: number
  reached: Record<string, number>
}

export async function runSeeds(options: {
  first: number
  count: number
  mutation?: Mutation
  /** Stop at the first failure: for canaries. */
  stopAtFailure?: boolean
  onFailure?(result: WorldResult): void
  onProgress?(done: number, count: number): void
}): Promise<SeedSummary> {
  const counts = { sent: 0, acked: 0, unknown: 0, read: 0, lost: 0, phantom: 0, altered: 0, reordered: 0, duplicated: 0, refused: 0 }
  const reached: Record<string, number> = {}
  const failedSeeds: number[] = []
  const list = seeds({ first: options.first, count: options.count })
  let simulatedMs = 0
  let recoveryMsMax = 0
  let peakRss = 0
  let done = 0
  for (const seed of list) {
    const result = await new World(seed, options.mutation).run()
    for (const name of Object.keys(counts) as (keyof typeof counts)[]) counts[name] += result.counts[name]
    for (const [what, count] of result.reached) reached[what] = (reached[what] ?? 0) + count
    simulatedMs += result.simulatedMs
    recoveryMsMax = Math.max(recoveryMsMax, result.recoveryMsMax)
    if (done % 50 === 0) peakRss = Math.max(peakRss, process.memoryUsage.rss())
    done++
    options.onProgress?.(done, list.length)
    if (result.violations.length === 0) continue
    failedSeeds.push(seed)
    options.onFailure?.(result)
    if (options.stopAtFailure) break
  }
  return {
    rig: 'simulation of the whole gateway',
    firstSeed: list[0] ?? options.first,
    seeds: done,
    failedSeeds,
    ...counts,
    recoveryMsMax,
    simulatedHours: Math.round(simulatedMs / 36_000) / 100,
    peakRssMiB: Math.round(peakRss / 1_048_576),
    reached
  }
}
