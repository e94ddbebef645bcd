// Starts on a disk without a free byte, for a while: of files that are there, everything else is refused for want of room. At some of them the
// configuration asks for more journal files, at others a journal file lies there whose making was cut short. None of them may be refused for want of room, unless a fault was planned for it or nothing is stored yet.
// Draws from its own Prng, so that the rest of a seed's life stays as it is. Not for: a disk that fills while the gateway lives (world.ts).

import { WadiError } from '../../runtime/base/errors.ts'
import { JOURNAL_DIRECTORY } from '../../runtime/log/layout.ts'
import { KIB, type StorageSettings } from '../../runtime/log/settings.ts'
import { Prng } from './prng.ts'
import type { SimClock } from './sim-clock.ts'
import type { SimDisk } from './sim-disk.ts'

const AREA = 0x66756c6c // "full"
const SHORT_AREA = 0x73686f72 // "shor"
/** Of these no commit fits a journal file: with the header block it takes 20 KiB, 12 in the smallest worlds. */
const SHORT_BYTES = [8, 9, 10, 11].map((size) => size * KIB)
const JOURNAL_FILES_MAX = 5

export class FullStarts {
  readonly reached = new Map<string, number>()
  readonly #prng: Prng
  readonly #isDrawn: boolean
  #journalFileCount = 2
  #hasStarted = false
  #plannedFaults = 0
  readonly #shortFiles: Prng
  readonly #hasShortFiles: boolean

  constructor(seed: number) {
    this.#shortFiles = new Prng(seed ^ SHORT_AREA)
    this.#hasShortFiles = this.#shortFiles.chance(30)
    this.#prng = new Prng(seed ^ AREA)
    this.#isDrawn = this.#prng.chance(25)
  }

  /** What the configuration says at this start. A quota of the directory is meant for two journal files. */
  settings({ quotaBytes }: Partial<StorageSettings>): Partial<StorageSettings> {
    return this.#isDrawn && quotaBytes == null ? { journalFileCount: this.#journalFileCount } : {}
  }

  /** @returns what is wrong with it; null when nothing is */
  onStarted(disk: SimDisk, error: unknown): string | null {
    const isOfFault = plannedFaults(disk) > this.#plannedFaults
    const isRefused = error instanceof WadiError && error.code === 'WADI_DISK_FULL'
    if (isRefused && this.#hasStarted && !isOfFault) return `a full disk refused the start: ${error.message}`
    if (error === null) this.#hasStarted = true
    return null
  }

  beforeStart(disk: SimDisk, clock: SimClock, { directory, quotaBytes }: { directory: string } & Partial<StorageSettings>): void {
    this.#plannedFaults = plannedFaults(disk)
    if (this.#hasShortFiles && this.#hasStarted && quotaBytes == null)
      this.#leaveShortFile(disk, clock, `${directory}/${JOURNAL_DIRECTORY}`)
    if (this.#isDrawn) this.#journalFileCount = Math.max(this.#journalFileCount, this.#prng.pick([2, 2, 3, 4]))
    if (!this.#isDrawn || this.#prng.chance(50) || disk.capacityBytes !== Number.POSITIVE_INFINITY) return
    this.#count('start-on-full-disk')
    fill(disk, clock, { freeBytes: 0, forMs: this.#prng.between(500, 6_000) })
  }

  /** The next journal file, of zeros or with the header that an older version wrote all the same; there is no room for the rest of it, for a while. */
  #leaveShortFile(disk: SimDisk, clock: SimClock, journal: string): void {
    const prng = this.#shortFiles
    const files = disk.files().filter(({ path }) => path.startsWith(`${journal}/`))
    const [first] = files
    if (!first || files.length >= JOURNAL_FILES_MAX || prng.chance(40)) return
    const bytes = new Uint8Array(prng.pick(SHORT_BYTES))
    if (prng.chance(50)) bytes.set(first.bytes.subarray(0, 4 * KIB))
    const index = Array.from({ length: JOURNAL_FILES_MAX }, (_, at) => at).find(
      (at) => !files.some(({ path }) => path === `${journal}/${at}.journal`)
    )
    disk.leave(`${journal}/${index}.journal`, bytes)
    this.#count('short-journal-file')
    if (disk.capacityBytes === Number.POSITIVE_INFINITY)
      fill(disk, clock, { freeBytes: prng.pick([0, 2 * KIB, 30 * KIB]), forMs: prng.between(500, 6_000) })
  }

  #count(what: string): void {
    this.reached.set(what, (this.reached.get(what) ?? 0) + 1)
  }
}

function fill(disk: SimDisk, clock: SimClock, { freeBytes, forMs }: { freeBytes: number; forMs: number }): void {
  const full = disk.usedBytes + freeBytes
  disk.capacityBytes = full
  clock.after(forMs, () => {
    if (disk.capacityBytes === full) disk.capacityBytes = Number.POSITIVE_INFINITY
  })
}

function plannedFaults(disk: SimDisk): number {
  let count = 0
  for (const [what, times] of disk.reached) if (what.startsWith('planned:')) count += times
  return count
}
