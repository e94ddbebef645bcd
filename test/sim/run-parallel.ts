// runSeeds over several threads: seeds are independent, so the sum does not depend on how they are shared out.

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { canaries } from './canaries.ts'
import { runSeeds, type SeedSummary } from './run-seeds.ts'

interface Share {
  readonly first: number
  readonly count: number
  /** Name of a canary: its mutation is in force, and the first failure ends the share. */
  readonly canary?: string
}

type Message =
  | { kind: 'failed'; seed: number; violations: readonly string[] }
  | { kind: 'progress'; done: number }
  | { kind: 'end'; summary: SeedSummary }

export interface ParallelOptions extends Share {
  readonly threads: number
  onFailure?(seed: number, violations: readonly string[]): void
  onProgress?(done: number): void
}

export async function runParallel(options: ParallelOptions): Promise<SeedSummary> {
  if (process.env.SEED !== undefined && options.canary === undefined) {
    return runSeeds({ ...options, onFailure: (result) => options.onFailure?.(result.seed, result.violations), onProgress: () => undefined })
  }
  const threads = Math.max(1, Math.min(options.threads, options.count))
  const done = new Array<number>(threads).fill(0)
  const shares = Array.from({ length: threads }, (_, index): Share => {
    const from = Math.floor((options.count * index) / threads)
    return {
      first: options.first + from,
      count: Math.floor((options.count * (index + 1)) / threads) - from,
      ...(options.canary && { canary: options.canary })
    }
  })
  const summaries = await Promise.all(
    shares.map((share, index) =>
      runShare(share, (message) => {
        if (message.kind === 'failed') options.onFailure?.(message.seed, message.violations)
        if (message.kind !== 'progress') return
        done[index] = message.done
        options.onProgress?.(done.reduce((left, right) => left + right, 0))
      })
    )
  )
  return summaries.reduce(add)
}

function runShare(share: Share, onMessage: (message: Message) => void): Promise<SeedSummary> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(import.meta.filename, { workerData: share })
    let summary: SeedSummary | null = null
    worker.on('message', (message: Message) => {
      if (message.kind === 'end') summary = message.summary
      else onMessage(message)
    })
    worker.on('error', reject)
    worker.on('exit', () => (summary ? resolve(summary) : reject(new Error('a worker ended without a summary'))))
  })
}

function add(left: SeedSummary, right: SeedSummary): SeedSummary {
  const sum = { ...left, reached: { ...left.reached } }
  for (const name of [
    'seeds',
    'sent',
    'acked',
    'unknown',
    'read',
    'lost',
    'phantom',
    'altered',
    'reordered',
    'duplicated',
    'refused'
  ] as const) {
    sum[name] = left[name] + right[name]
  }
  sum.simulatedHours = Math.round((left.simulatedHours + right.simulatedHours) * 100) / 100
  sum.recoveryMsMax = Math.max(left.recoveryMsMax, right.recoveryMsMax)
  sum.peakRssMiB = Math.max(left.peakRssMiB, right.peakRssMiB)
  sum.failedSeeds = [...left.failedSeeds, ...right.failedSeeds]
  for (const [what, count] of Object.entries(right.reached)) sum.reached[what] = (sum.reached[what] ?? 0) + count
  return sum
}

if (!isMainThread && parentPort) {
  const port = parentPort
  const post = (message: Message): void => port.postMessage(message)
  const { first, count, canary } = workerData as Share
  const mutation = canary === undefined ? undefined : canaries[canary]
  const summary = await runSeeds({
    first,
    count,
    ...(mutation && { mutation, stopAtFailure: true }),
    onFailure: (result) => post({ kind: 'failed', seed: result.seed, violations: result.violations }),
    onProgress: (done) => {
      if (done % 100 === 0) post({ kind: 'progress', done })
    }
  })
  post({ kind: 'end', summary })
}
