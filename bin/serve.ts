// One gateway for the life of the process: open, say so, wait for a signal or a failure, close in time.

import type { Config } from './config/schema.ts'
import { EXIT } from './exit-code.ts'
import { type Gateway, openGateway } from './gateway.ts'
import { createSay, type Say } from './journal-lines.ts'

/** SIGTERM to exit, whatever a disk or a peer does: the watchdog's limit. */
const CLOSE_WITHIN_MS = 9_500

export interface ServeOptions {
  readonly signal: AbortSignal
  readonly isJson: boolean
  /** Runs when everything is open. */
  readonly onReady?: (gateway: Gateway) => void | Promise<void>
}

/**
 * Returns the exit code: 0 after a signal, 74 when storage had failed for good by then. A failed store keeps the process up:
 * it still serves what it has, and only a person can mend a disk.
 */
export async function serve(config: Config, options: ServeOptions): Promise<number> {
  const say = createSay({ isJson: options.isJson })
  const gateway = await openGateway(config, { say })
  await options.onReady?.(gateway)
  await aborted(options.signal)
  say('info', 'stopping: no new events, finishing what was begun')
  const { failure } = gateway
  await closeInTime(gateway, say)
  return failure ? EXIT.ioError : EXIT.ok
}

/** process.exit can hang on recent Node; after close the loop drains by itself, and SIGKILL is the last resort. */
async function closeInTime(gateway: Gateway, say: Say): Promise<void> {
  const watchdog = setTimeout(() => {
    say('error', `not closed after ${CLOSE_WITHIN_MS} ms: ending at once; everything acknowledged is on the disk`)
    process.kill(process.pid, 'SIGKILL')
  }, CLOSE_WITHIN_MS)
  await gateway.close()
  say('info', 'stopped')
  watchdog.unref() // stays armed while the loop drains, without keeping it alive
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
