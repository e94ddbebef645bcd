// Signals of the command line. The first SIGINT or SIGTERM asks to stop, the second ends the process at once, whatever it is doing.
//
// Ending at once is left to the kernel (the signal's default action): process.exit waits for the thread pool, where a call to a dead
// device may never return. Nothing needs a clean end: the next start reads the disk.

import { EXIT } from './exit-code.ts'

const lastSteps = new Set<() => void>()

/** `step` runs before the process is ended by force: synchronous, short. Returns the way to take it back. */
export function beforeForcedEnd(step: () => void): () => void {
  lastSteps.add(step)
  return () => lastSteps.delete(step)
}

/** Ends the process without waiting for anything. */
export function endNow(signal: 'SIGINT' | 'SIGTERM' | 'SIGKILL'): void {
  runLastSteps()
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
}

/** What stands before any forced end. Never throws. */
export function runLastSteps(): void {
  for (const step of lastSteps) {
    try {
      step()
    } catch {} // nobody is left to tell
  }
  lastSteps.clear()
}

/** Aborts on the first SIGINT or SIGTERM, or when the process that started us with a channel is gone. */
export function interruption(): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (!controller.signal.aborted) return controller.abort()
      process.exitCode = EXIT.interrupted
      endNow(signal)
    })
  }
  if (process.channel) {
    process.once('disconnect', () => controller.abort())
    process.channel.unref()
  }
  return controller.signal
}
