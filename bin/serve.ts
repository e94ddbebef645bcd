// One gateway for the life of the process: open, say so, wait for a signal or a failure, close in time.
//
// Invariants: a signal ends it at any point, a start included; a failure of storage ends it too, unless the configuration says
// serve_reads; SIGHUP, SIGUSR1 and SIGUSR2 end nothing; SIGHUP has the certificates looked at.

import type { Config } from '../gateway/config/schema.ts'
import type { Gateway } from '../gateway/contract.ts'
import { openGateway } from '../gateway/gateway.ts'
import type { Log } from '../gateway/log.ts'
import { EXIT } from './exit-code.ts'
import { YoungSpace } from './heap.ts'
import { createLog } from './log-lines.ts'
import { Progress } from './progress.ts'
import { endNow } from './signals.ts'

/** SIGTERM to exit, whatever a disk or a peer does: the watchdog's limit. */
const CLOSE_WITHIN_MS = 9_500
/** A start that is asked to stop may finish what it is at and close cleanly; after that long it is left where it is. */
const START_ENDS_WITHIN_MS = 2_000
/** For what a command has to clear away. */
const CLEAR_WITHIN_MS = 1_000

export interface ServeOptions {
  readonly signal: AbortSignal
  readonly isJson: boolean
  /** Stop on SIGHUP: it means that the terminal is gone. */
  readonly stopsOnHangup?: boolean
  /** Made before the gateway is loaded, it stays small while that happens. */
  readonly youngSpace?: YoungSpace
  /** About the configuration. */
  readonly warnings?: readonly string[]
  /** Runs when everything is open. */
  readonly onReady?: (gateway: Gateway) => void | Promise<void>
}

/** Returns the exit code: 0 after a signal, 74 when storage had failed for good by then. */
export async function serve(config: Config, options: ServeOptions): Promise<number> {
  const log = createLog({ isJson: options.isJson })
  for (const warning of options.warnings ?? []) log('warn', warning)
  let gateway: Gateway | null = null
  const reload = async (): Promise<boolean | null> => (gateway ? gateway.reloadCertificates() : null)
  const signal = AbortSignal.any([options.signal, hangup(log, options.stopsOnHangup === true, reload)])
  tellUserSignals(log)
  const { youngSpace = new YoungSpace() } = options
  const progress = new Progress({ label: 'recovering', unit: 'bytes' })
  const failed = new AbortController()
  const opening = openGateway(config, {
    log,
    onRecovery: (sample) => (sample ? progress.update(sample) : progress.clear()),
    fatal: () => failed.abort()
  })
  gateway = await Promise.race([opening, aborted(signal)])
  if (!gateway) return endStart(opening, log)
  const unfollow = youngSpace.follow(() => gateway.storedEvents)
  await options.onReady?.(gateway)
  const mayFail = config.storage.on_failure === 'exit'
  await Promise.race([aborted(signal), ...(mayFail ? [aborted(failed.signal)] : [])])
  unfollow()
  const { failure } = gateway
  if (failure && !signal.aborted) log('error', 'stopping because storage failed: a restart reads the disk again (storage.on_failure: exit)')
  else log('info', 'stopping: no new events, finishing what was begun')
  await closeInTime(gateway, log)
  return failure ? EXIT.ioError : EXIT.ok
}

/** Whatever recovery was at, the next start does it again. */
async function endStart(opening: Promise<Gateway>, log: Log): Promise<number> {
  log('info', 'stopping before it was ready; nothing is lost, the next start goes on')
  const patience = new Promise<null>((resolve) => setTimeout(resolve, START_ENDS_WITHIN_MS, null).unref())
  const gateway = await Promise.race([opening.catch(() => undefined), patience])
  if (gateway) await closeInTime(gateway, log)
  // Something may never return from the device: when it keeps the process alive, it ends by the signal that was asked for.
  if (gateway === null) setTimeout(() => endNow('SIGTERM'), CLEAR_WITHIN_MS).unref()
  return EXIT.ok
}

/** process.exit can hang on recent Node; after close the loop drains by itself, and SIGKILL is the last resort. */
async function closeInTime(gateway: Gateway, log: Log): Promise<void> {
  const watchdog = setTimeout(() => {
    log('error', `not closed after ${CLOSE_WITHIN_MS} ms: ending at once; everything acknowledged is on the disk`)
    endNow('SIGKILL')
  }, CLOSE_WITHIN_MS)
  await gateway.close().catch((error: unknown) => {
    if (!gateway.failure) throw error
    log('warn', `the clean stop could not finish: ${(error as Error).message}`)
  })
  log('info', 'stopped')
  watchdog.unref() // stays armed while the loop drains, without keeping it alive
}

/** Aborts on SIGHUP when that is to stop; otherwise it is for certificates, and told where there are none. */
function hangup(log: Log, isStop: boolean, reload: () => Promise<boolean | null>): AbortSignal {
  const controller = new AbortController()
  process.on('SIGHUP', async () => {
    if (isStop) return controller.abort()
    const hasLooked = await reload()
    if (hasLooked === null) log('info', 'SIGHUP: not ready yet; the certificates were read at the start')
    else if (hasLooked) log('info', 'SIGHUP: looked at the certificates. To use a new configuration, restart')
    else log('warn', 'SIGHUP: there are no certificates to look at; nothing changed. To use a new configuration, restart')
  })
  return controller.signal
}

/** What rotates logs sends them. Without a listener Node opens its debugger on the first and ends on the second. */
function tellUserSignals(log: Log): void {
  for (const signal of ['SIGUSR1', 'SIGUSR2'] as const)
    process.on(signal, () => log('warn', `${signal}: it has no meaning here; nothing changed`))
}

function aborted(signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(null)
    else signal.addEventListener('abort', () => resolve(null), { once: true })
  })
}
