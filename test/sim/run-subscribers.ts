// Many seeds of subscriber-sessions.ts over several threads, with or without a canary: a thread of its own for each share, as a canary stays in its thread.
// A seed is noticed that breaks a promise; with a canary only where it does not without one.

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { seeds } from './prng.ts'
import { subscriberCanaries } from './subscriber-canaries.ts'
import { SubscriberWorld } from './subscriber-sessions.ts'

interface Share {
  readonly seeds: readonly number[]
  /** Name of a canary; the first seed that notices it ends the share. */
  readonly canary?: string
}

export interface SubscriberRun {
  readonly seeds: number
  readonly failed: ReadonlyMap<number, readonly string[]>
  readonly reached: ReadonlyMap<string, number>
}

async function lived(seed: number): Promise<SubscriberWorld> {
  const world = new SubscriberWorld(seed)
  await world.run()
  return world
}

async function runShare({ seeds, canary }: Share): Promise<SubscriberRun> {
  subscriberCanaries[canary ?? '']?.install()
  const failed = new Map<number, readonly string[]>()
  const reached = new Map<string, number>()
  let count = 0
  for (const seed of seeds) {
    const { ledger, reached: here } = await lived(seed)
    count++
    for (const [what, times] of here) reached.set(what, (reached.get(what) ?? 0) + times)
    if (ledger.violations.length > 0) failed.set(seed, ledger.violations)
    if (canary !== undefined && failed.size > 0) break
  }
  return { seeds: count, failed, reached }
}

function inThread(share: Share): Promise<SubscriberRun> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(import.meta.filename, { workerData: share })
    worker.on('message', resolve)
    worker.on('error', reject)
  })
}

export async function runSubscribers({
  first = 1,
  count,
  threads
}: {
  first?: number
  count: number
  threads: number
}): Promise<SubscriberRun> {
  const list = seeds({ first, count })
  const shares = Array.from({ length: Math.min(threads, list.length) }, (_, index) => list.filter((__, at) => at % threads === index))
  const runs = await Promise.all(shares.map((share) => inThread({ seeds: share })))
  const reached = new Map<string, number>()
  for (const run of runs) for (const [what, times] of run.reached) reached.set(what, (reached.get(what) ?? 0) + times)
  return { seeds: list.length, failed: new Map(runs.flatMap(({ failed }) => [...failed])), reached }
}

/** @returns what the first seed says that notices it, and how many it took; null: none did */
export async function runSubscriberCanary(
  canary: string,
  countMax: number
): Promise<{ readonly caughtBy: string | null; readonly seeds: number }> {
  for (let from = 1; from <= countMax; ) {
    const rest = Array.from({ length: countMax - from + 1 }, (_, index) => from + index)
    const { failed } = await inThread({ seeds: rest, canary })
    const [found] = failed
    if (!found) break
    const [seed, violations] = found
    const { failed: without } = await inThread({ seeds: [seed] })
    if (without.size === 0) return { caughtBy: `seed ${seed}: ${violations[0]}`, seeds: seed }
    from = seed + 1
  }
  return { caughtBy: null, seeds: countMax }
}

if (!isMainThread && parentPort) parentPort.postMessage(await runShare(workerData as Share))
