// The simulation has to catch what it is there for: each of these breaks one promise in one place, and some seed must notice. A canary
// that stays green means that the rig is broken, not that the product is well.

import t from 'tap'
import type { Core } from '../../runtime/core/core.ts'
import type { Upstream } from '../../runtime/uplink/upstream.ts'
import { runSeeds } from './run-seeds.ts'
import type { Mutation } from './world.ts'

const SEEDS_MAX = 400

t.setTimeout(600_000)

/** `wrapped` with some members replaced; the others keep their `this`. */
function withMembers<T extends object>(wrapped: T, members: Partial<T>): T {
  return new Proxy(wrapped, {
    get(target, name) {
      if (name in members) return members[name as keyof T]
      const value = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    }
  })
}

const canaries: Record<string, Mutation> = {
  'the sync is removed': { lie: 'sync-skipped' },
  'the acknowledgement leaves before the sync': { ackEarly: true },
  'the CRC is not checked': {
    wrapCore: (core: Core) => withMembers(core, { verifyCommit: () => true, checkBatch: () => null })
  },
  'the directory sync is skipped': { lie: 'directory-sync-skipped' },
  'the position is taken from the local hint': {
    wrapUpstream: (upstream: Upstream) => withMembers(upstream, { fetchPosition: async () => new Map(), probe: async () => 'aborted' as const })
  }
}

for (const [name, mutation] of Object.entries(canaries)) {
  t.test(`caught: ${name}`, async (t) => {
    let caught = ''
    const summary = await runSeeds({
      first: 1,
      count: SEEDS_MAX,
      mutation,
      stopAtFailure: true,
      onFailure: (result) => {
        caught = `seed ${result.seed}: ${result.violations[0]}`
      }
    })
    t.comment(JSON.stringify({ canary: name, verdict: caught ? 'caught' : 'MISSED', seeds: summary.seeds, by: caught }))
    t.not(caught, '', `no seed below ${SEEDS_MAX} noticed`)
  })
}
