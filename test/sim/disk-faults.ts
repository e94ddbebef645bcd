// What can happen to the world's disk beside power cuts: every error of every operation, once; hints that cannot be read any more; a file
// system that goes read-only. Draws from its own Prng, so that the rest of a seed's life stays as it is.
//
// Nothing drawn here takes an acknowledged event: a single refusal can be tried again or is final, and a hint can be made again. Sectors of
// logs and journals that stay unreadable do take some: test/log/unreadable.test.ts counts them.

import type { DiskErrorCode } from '../../runtime/io/disk.ts'
import { KIB, type StorageSettings } from '../../runtime/log/settings.ts'
import { Prng } from './prng.ts'
import type { SimDisk } from './sim-disk.ts'

const AREA = 0x6469736b // "disk"
const AREA_OF_SIZES = 0x73697a65 // "size"
/** As often as the product asks one way (runtime/log/salvage-read.ts). */
const REFUSALS = 3
const CODES: readonly DiskErrorCode[] = ['EIO', 'ENOSPC', 'EDQUOT', 'EROFS', 'EFBIG', 'EMFILE']
const OPERATIONS = [
  ...['sync', 'write-sync', 'sync-directory', 'write', 'open', 'rename', 'truncate', 'mkdir', 'remove', 'close'],
  ...['read', 'open-read', 'list', 'stat', 'statfs']
] as const

export class DiskFaults {
  readonly #prng: Prng
  readonly #disk: SimDisk
  readonly #isHostile: boolean
  readonly #sizes: Prng
  /** Journals so large that they are being filled while the gateway lives and dies. */
  readonly settings: Partial<StorageSettings>

  constructor(seed: number, disk: SimDisk) {
    this.#prng = new Prng(seed ^ AREA)
    this.#disk = disk
    this.#isHostile = this.#prng.chance(40)
    this.#sizes = new Prng(seed ^ AREA_OF_SIZES)
    const isLarge = this.#prng.chance(25)
    const large = { journalFileBytes: this.#prng.pick([128, 512]) * KIB, journalFirstFillBytes: 36 * KIB }
    this.settings = isLarge ? large : {}
  }

  /** At each disturbance of the world: something more, perhaps. */
  disturb(): void {
    const prng = this.#prng
    if (this.#sizes.chance(5)) this.#refuseSize()
    if (!this.#isHostile || prng.chance(40)) return
    const kind = prng.below(20)
    if (kind === 0) this.#disk.goReadOnly()
    else if (kind <= 3) this.#spoilHint()
    else {
      const operation = kind <= 11 ? prng.pick(['sync', 'write-sync', 'sync-directory'] as const) : prng.pick(OPERATIONS)
      this.#disk.failNext(operation, prng.pick(['', 'journal', 'topics', 'state', '.log', 'index']), prng.pick(CODES))
    }
  }

  /** A device that comes back to itself while a start asks for the size of a file: once one way, or both ways. */
  #refuseSize(): void {
    const pathPart = this.#sizes.pick(['journal', '.log'])
    for (let times = this.#sizes.pick([REFUSALS, 2 * REFUSALS]); times > 0; times--) this.#disk.failNext('stat', pathPart, 'EIO')
  }

  #spoilHint(): void {
    const hints = this.#disk.files().filter(({ path, bytes }) => path.endsWith('index') && bytes.byteLength > 0)
    if (hints.length === 0) return
    const { path, bytes } = this.#prng.pick(hints)
    this.#disk.spoil(path, this.#prng.below(bytes.byteLength))
  }
}
