// One canary of canaries.ts against seeds of the simulation, until one of them notices. Used by the test and by the soak.

import { canaries } from './canaries.ts'
import { runParallel } from './run-parallel.ts'

export const CANARY_SEEDS_MAX = 4_000

export interface CanaryVerdict {
  readonly canary: string
  /** The first violation that a seed reported; null: none noticed. */
  readonly caughtBy: string | null
  readonly seeds: number
}

export async function runCanary(canary: string, threads = 1): Promise<CanaryVerdict> {
  let caughtBy: string | null = null
  const { seeds } = await runParallel({
    first: canaries[canary]?.firstSeed ?? 1,
    count: CANARY_SEEDS_MAX,
    threads,
    canary,
    onFailure: (seed, violations) => {
      caughtBy = `seed ${seed}: ${violations[0]}`
    }
  })
  return { canary, caughtBy, seeds }
}
