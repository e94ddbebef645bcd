// The files of the state snapshot: everything small and durable in one file, written whole at each checkpoint (docs/decisions/0012-whole-snapshots.md).
// docs/formats/state.md has the bytes, snapshot-codec.ts makes and reads them.
// Invariants: a new name, synced, renamed, directory synced; the generation before stays until then. A snapshot that does not
// verify is never used; the one before is, and that is reported. Newer formats are refused untouched. However much state there is, the
// event loop is free again after a slice of it: appends and keep-alives do not wait for a checkpoint.

import { WadiError } from '../base/errors.ts'
import type { Core } from '../core/core.ts'
import type { Clock } from '../io/clock.ts'
import { type Disk, DiskError } from '../io/disk.ts'
import { parseStateFileName, STATE_DIRECTORY, stateFileName } from './layout.ts'
import { namesIn, SalvageFile, sizeOf } from './salvage-read.ts'
import type { WriteMeter } from './segment.ts'
import {
  decodeSnapshot,
  encodeSnapshot,
  type SnapshotHead,
  STATE_FORMAT_VERSION,
  type StateEntry,
  type StateSnapshot
} from './snapshot-codec.ts'

const MAGIC = 0x57414453 // "WADS"
const HEADER_BYTES = 16
const KEPT_GENERATIONS = 2

export interface LoadedSnapshot {
  readonly number: number
  readonly snapshot: StateSnapshot
  readonly bytes: number
  /** Newer files that did not verify. */
  readonly damaged: readonly string[]
}

/**
 * `state`: each key once, of the moment of the call; keys and values are not changed meanwhile.
 * @returns bytes of the file. @throws DiskError
 */
export async function writeSnapshot(
  place: { disk: Disk; core: Core; clock: Clock; meter: WriteMeter; directory: string; number: number },
  head: SnapshotHead,
  state: readonly StateEntry[]
): Promise<number> {
  const { disk, core, clock, number } = place
  const directory = `${place.directory}/${STATE_DIRECTORY}`
  const payload: Uint8Array[] = []
  for (const slice of encodeSnapshot(head, state)) {
    payload.push(slice)
    await turn(clock)
  }
  const payloadBytes = payload.reduce((sum, { byteLength }) => sum + byteLength, 0)
  const header = new Uint8Array(HEADER_BYTES)
  const view = new DataView(header.buffer)
  view.setUint32(0, MAGIC)
  view.setUint32(4, STATE_FORMAT_VERSION)
  view.setUint32(8, payloadBytes)

  const temporary = `${directory}/next.tmp`
  const file = await disk.open(temporary, 'create')
  try {
    await file.truncate(0)
    let crc = core.crc32c(header.subarray(0, 12))
    let at = HEADER_BYTES
    for (const slice of payload) {
      crc = core.crc32c(slice, crc)
      await file.writeAt(at, slice)
      at += slice.byteLength
    }
    view.setUint32(12, crc)
    await file.writeAt(0, header)
    await file.sync()
  } finally {
    await file.close()
  }
  await disk.rename(temporary, `${directory}/${stateFileName(number)}`)
  await disk.syncDirectory(directory)
  place.meter.onWrite('state', HEADER_BYTES + payloadBytes)
  place.meter.onSync()
  await removeOlder(disk, directory, number)
  return HEADER_BYTES + payloadBytes
}

/** What else waits in the event loop runs first. */
function turn(clock: Clock): Promise<void> {
  return new Promise((resolve) => clock.soon(resolve))
}

/** What cannot be listed or removed now is tried again with the next snapshot: this one is durable. */
async function removeOlder(disk: Disk, directory: string, number: number): Promise<void> {
  try {
    for (const name of await disk.list(directory)) {
      const other = parseStateFileName(name)
      if (other !== null && other <= number - KEPT_GENERATIONS) await disk.remove(`${directory}/${name}`)
    }
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
  }
}

/** The newest snapshot that verifies and can be read; null when there is none at all. @throws WadiError WADI_FORMAT_NEWER, WADI_STATE_DAMAGED */
export async function loadSnapshot(disk: Disk, core: Core, root: string): Promise<LoadedSnapshot | null> {
  const directory = `${root}/${STATE_DIRECTORY}`
  const numbers = (await namesIn(disk, directory)).flatMap((name) => parseStateFileName(name) ?? []).sort((a, b) => b - a)
  const damaged: string[] = []
  for (const number of numbers) {
    const path = `${directory}/${stateFileName(number)}`
    const sizeBytes = (await sizeOf(disk, path, { untold: 0 })) ?? 0
    const file = await SalvageFile.open(disk, path)
    try {
      const bytes = new Uint8Array(sizeBytes)
      const content = bytes.subarray(0, await file.readAt(0, bytes))
      const snapshot = verified(core, path, content)
      if (snapshot) return { number, snapshot, bytes: content.byteLength, damaged }
      damaged.push(path)
    } finally {
      await file.close()
    }
  }
  if (damaged.length === 0) return null
  throw new WadiError('WADI_STATE_DAMAGED', {
    happened: `No state file in ${directory} verifies (${damaged.length} tried, newest ${stateFileName(numbers[0] as number)}).`,
    kept: 'Nothing was touched: journal and segments are as they were.',
    next: 'Run `wadi log verify` on the directory; restore the state file from a copy, or start with a new directory and keep this one.',
    facts: { directory, damaged: damaged.length }
  })
}

/** null when it does not verify. @throws WadiError WADI_FORMAT_NEWER */
function verified(core: Core, path: string, content: Uint8Array): StateSnapshot | null {
  if (content.byteLength < HEADER_BYTES) return null
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength)
  if (view.getUint32(0) !== MAGIC) return null
  const payload = content.subarray(HEADER_BYTES)
  if (payload.byteLength !== view.getUint32(8)) return null
  if (core.crc32c(payload, core.crc32c(content.subarray(0, 12))) !== view.getUint32(12)) return null
  const version = view.getUint32(4)
  if (version > STATE_FORMAT_VERSION) {
    throw new WadiError('WADI_FORMAT_NEWER', {
      happened: `${path} has state format ${version}; this Wadi knows up to ${STATE_FORMAT_VERSION}.`,
      kept: 'Nothing was touched.',
      next: 'Start the newer Wadi that wrote it.',
      facts: { version }
    })
  }
  return decodeSnapshot(version, payload)
}
