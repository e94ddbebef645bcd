// What the next start of a directory would refuse, repair or report, found by starting it on a disk that keeps every change in memory.
// Invariant: changes nothing. Memory: what the journal would bring into segments. Not for: bytes that a start does not look at (inspect.ts).

import { WadiError } from '../base/errors.ts'
import type { Clock } from '../io/clock.ts'
import type { Random } from '../io/random.ts'
import { DryDisk } from './dry-disk.ts'
import type { Inspection } from './inspection.ts'
import { LogStore } from './log-store.ts'
import type { RecoveryReport } from './recovery-report.ts'
import { MIB } from './settings.ts'

const HOUSEKEEPING_NEVER_MS = Number.POSITIVE_INFINITY
/** What fails so often is not waited for. */
const TRIES = 10

/**
 * Time stands still: no housekeeping begins, and a commit does not wait for company. What waits to be tried again is tried at once, a few times:
 * then `onEndless` is called.
 */
function stillClock(onEndless: () => void): Clock {
  let tries = 0
  const soon = (callback: () => void): void => void Promise.resolve().then(callback)
  const after: Clock['after'] = (delayMs, callback) => {
    if (delayMs !== HOUSEKEEPING_NEVER_MS) soon(tries++ < TRIES ? callback : onEndless)
    return { cancel: () => undefined }
  }
  return { monotonicMs: () => 0, wallMs: () => 0, after, soon }
}

const sameAlways: Random = { bytes: (count) => new Uint8Array(count), fraction: () => 0 }

/**
 * The report of the start, or the error by which it is refused. `look` sees the store as the start leaves it, and may read from it.
 * @throws what is no error of the directory
 */
export async function dryStart(
  { disk, core, codec, directory }: Inspection,
  look: (store: LogStore) => Promise<void> = async () => undefined
): Promise<RecoveryReport | WadiError> {
  const dry = new DryDisk(disk)
  const start = async (clock: Clock): Promise<RecoveryReport> => {
    const journal = { journalFileCount: 2, journalFileBytes: 4 * MIB, lingerMs: 0 }
    const settings = { ...journal, unreadablePatienceMs: 0, housekeepingIntervalMs: HOUSEKEEPING_NEVER_MS }
    const store = await LogStore.open({ disk: dry, clock, random: sameAlways, core, codec, directory, settings })
    await look(store)
    return store.report
  }
  try {
    return await new Promise((resolve, reject) => {
      start(stillClock(() => reject(endless(directory)))).then(resolve, reject)
    })
  } catch (error) {
    if (error instanceof WadiError) return error
    throw error
  } finally {
    await dry.closeAll()
  }
}

function endless(directory: string): WadiError {
  return new WadiError('WADI_DATA_DIR_UNUSABLE', {
    happened: `The start of ${directory} waits for room in the journal, and what would make room cannot be read.`,
    kept: 'Nothing was touched.',
    next: 'Check that the device is healthy and that all files in it may be read.'
  })
}
