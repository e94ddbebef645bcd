// The files of the state snapshot: everything small and durable in one file, written whole at each checkpoint (docs/decisions/0012-whole-snapshots.md).
// docs/formats/state.md has the bytes, snapshot-codec.ts makes and reads them.
// Invariants: a new name, synced, renamed, directory synced; the generation before stays until then. A snapshot that does not
// verify is never used; the one before is, and that is reported. Newer formats are refused untouched. However much state there is, the
// event loop is free again after a slice of it, which is made, written and forgotten: appends and keep-alives do not wait for a checkpoint.
// Nothing that a file says of its size is believed before it verifies.

import { assert } from '../base/assert.ts'
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
  type StateImage,
  type StateSnapshot
} from './snapshot-codec.ts'

const MAGIC = 0x57414453 // "WADS"
const HEADER_BYTES = 16
const CRC_AT = 12
const KEPT_GENERATIONS = 2
/** Far above what areas can hold together (state-area.ts): a file that says more is none. */
const PAYLOAD_BYTES_MAX = 1024 ** 3
const PIECE_BYTES = 1024 * 1024

export interface LoadedSnapshot {
  readonly number: number
  readonly snapshot: StateSnapshot
  readonly bytes: number
  /** Newer files that did not verify. */
  readonly damaged: readonly string[]
}

/**
 * `image` does not change meanwhile.
 * @returns bytes of the file. @throws DiskError
 */
export async function writeSnapshot(
  place: { disk: Disk; core: Core; clock: Clock; meter: WriteMeter; directory: string; number: number },
  head: SnapshotHead,
  image: StateImage
): Promise<number> {
  const { disk, core, clock, number } = place
  const directory = `${place.directory}/${STATE_DIRECTORY}`
  const header = headerOf(await payloadBytesOf(clock, encodeSnapshot(head, image)))
  let endBytes = HEADER_BYTES
  const temporary = `${directory}/next.tmp`
  const file = await disk.open(temporary, 'create')
  try {
    await file.truncate(0)
    let crc = core.crc32c(header.subarray(0, CRC_AT))
    for (const slice of encodeSnapshot(head, image)) {
      crc = core.crc32c(slice, crc)
      await file.writeAt(endBytes, slice)
      endBytes += slice.byteLength
    }
    header.writeUInt32BE(crc, CRC_AT)
    await file.writeAt(0, header)
    await file.sync()
  } finally {
    await file.close()
  }
  await disk.rename(temporary, `${directory}/${stateFileName(number)}`)
  await disk.syncDirectory(directory)
  place.meter.onWrite('state', endBytes)
  place.meter.onSync()
  await removeOlder(disk, directory, number)
  return endBytes
}

/** The checksum begins with the length: it is counted first, for which everything is made once more. That is less than to hold all of it. */
async function payloadBytesOf(clock: Clock, slices: Iterable<Uint8Array>): Promise<number> {
  let bytes = 0
  for (const { byteLength } of slices) {
    bytes += byteLength
    await turn(clock)
  }
  assert(bytes <= PAYLOAD_BYTES_MAX, `a state of ${bytes} bytes`)
  return bytes
}

function headerOf(payloadBytes: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt32BE(MAGIC, 0)
  header.writeUInt32BE(STATE_FORMAT_VERSION, 4)
  header.writeUInt32BE(payloadBytes, 8)
  return header
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
      const snapshot = await readSnapshot(core, file, sizeBytes)
      if (snapshot) return { number, snapshot, bytes: sizeBytes, damaged }
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

/** null when it does not verify: then no more of it was held than a piece. @throws WadiError WADI_FORMAT_NEWER */
async function readSnapshot(core: Core, file: SalvageFile, sizeBytes: number): Promise<StateSnapshot | null> {
  const header = Buffer.alloc(HEADER_BYTES)
  if ((await file.readAt(0, header)) < HEADER_BYTES || header.readUInt32BE(0) !== MAGIC) return null
  const payloadBytes = header.readUInt32BE(8)
  if (sizeBytes !== HEADER_BYTES + payloadBytes || payloadBytes > PAYLOAD_BYTES_MAX) return null
  const crc = header.readUInt32BE(CRC_AT)
  if ((await crcOf(core, file, header, payloadBytes)) !== crc) return null
  const version = header.readUInt32BE(4)
  if (version > STATE_FORMAT_VERSION) throw formatNewer(file.path, version)
  const payload = new Uint8Array(payloadBytes)
  await file.readAt(HEADER_BYTES, payload)
  const isSame = core.crc32c(payload, core.crc32c(header.subarray(0, CRC_AT))) === crc // the device may refuse a part of it this time
  return isSame ? decodeSnapshot(version, payload) : null
}

/** What the header should have as its checksum; null when there is less. */
async function crcOf(core: Core, file: SalvageFile, header: Uint8Array, payloadBytes: number): Promise<number | null> {
  const room = new Uint8Array(Math.min(PIECE_BYTES, payloadBytes))
  let crc = core.crc32c(header.subarray(0, CRC_AT))
  for (let at = 0; at < payloadBytes; at += PIECE_BYTES) {
    const piece = room.subarray(0, Math.min(PIECE_BYTES, payloadBytes - at))
    if ((await file.readAt(HEADER_BYTES + at, piece)) < piece.byteLength) return null
    crc = core.crc32c(piece, crc)
  }
  return crc
}

function formatNewer(path: string, version: number): WadiError {
  return new WadiError('WADI_FORMAT_NEWER', {
    happened: `${path} has state format ${version}; this Wadi knows up to ${STATE_FORMAT_VERSION}.`,
    kept: 'Nothing was touched.',
    next: 'Start the newer Wadi that wrote it.',
    facts: { version }
  })
}
