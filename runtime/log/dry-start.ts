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

/** Time stands still: no housekeeping begins, and a commit does not wait for company. */
const stillClock: Clock = {
  monotonicMs: () => 0,
  wallMs: () => 0,
  after: () => ({ cancel: () => undefined }),
  soon: (callback) => void Promise.resolve().then(callback)
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
  try {
    const settings = { lingerMs: 0, journalFileCount: 2, journalFileBytes: 4 * MIB, unreadablePatienceMs: 0 }
    const store = await LogStore.open({ disk: dry, clock: stillClock, random: sameAlways, core, codec, directory, settings })
    await look(store)
    return store.report
  } catch (error) {
    if (error instanceof WadiError) return error
    throw error
  } finally {
    await dry.closeAll()
  }
}
