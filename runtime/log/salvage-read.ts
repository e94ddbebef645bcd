// Reading a file whose device may refuse some of it: bytes that cannot be read are handled like wrong bytes at that place. They come as zeros,
// which nothing here takes for data, and the ranges are named. Used by everything in runtime/log that reads.
//
// Invariants: readAt never rejects for what the device says about the bytes; what can be read (in pieces of 4 KiB, asked again once) is read;
// close never rejects, because nothing was written.
// Not for: files that are not there or may not be opened (DiskError), what a missing range means (partition-recovery.ts, recovery.ts).

import { type Disk, DiskError, type DiskFile } from '../io/disk.ts'

const PIECE_BYTES = 4096
const ATTEMPTS = 3

export interface ByteRange {
  readonly startBytes: number
  readonly endBytes: number
}

/** Asks again when the device says no: the first answer of a card that wakes up, or one lost on the bus, is not its last. @throws DiskError */
export async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof DiskError) || error.code === 'ENOENT' || attempt === ATTEMPTS) throw error
    }
  }
}

export class SalvageFile {
  readonly path: string
  /** null: the device refuses to open it, so that all of it is unreadable. */
  readonly #file: DiskFile | null
  readonly #isShared: boolean
  readonly #unreadable: ByteRange[] = []

  constructor(path: string, file: DiskFile | null, options: { isShared: boolean }) {
    this.path = path
    this.#file = file
    this.#isShared = options.isShared
  }

  /** @throws DiskError when there is no such file or it may not be opened; a device that refuses (EIO) gives a file of unreadable bytes */
  static async open(disk: Disk, path: string): Promise<SalvageFile> {
    try {
      return new SalvageFile(path, await patiently(() => disk.open(path, 'read')), { isShared: false })
    } catch (error) {
      if (error instanceof DiskError && error.code === 'EIO') return new SalvageFile(path, null, { isShared: false })
      throw error
    }
  }

  /** The device refuses to open it. */
  get isClosedToUs(): boolean {
    return this.#file === null
  }

  /** null: the device refuses to open it. @throws DiskError */
  async sizeBytes(): Promise<number | null> {
    const file = this.#file
    return file === null ? null : patiently(() => file.sizeBytes())
  }

  /** What could not be read so far, by position; adjoining ranges are one. */
  get unreadable(): readonly ByteRange[] {
    return this.#unreadable
  }

  /** Something in [startBytes, endBytes) was asked for and could not be read. */
  isUnreadable(startBytes: number, endBytes: number): boolean {
    return this.#unreadable.some((range) => range.startBytes < endBytes && range.endBytes > startBytes)
  }

  /** Fills `into`, with zeros where the device refuses; returns the bytes, less than asked only at the end of the file. */
  async readAt(positionBytes: number, into: Uint8Array): Promise<number> {
    if (this.#file === null) return this.#refuse(positionBytes, into)
    try {
      return await this.#file.readAt(positionBytes, into)
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      return this.#readPieces(this.#file, positionBytes, into)
    }
  }

  async #readPieces(file: DiskFile, positionBytes: number, into: Uint8Array): Promise<number> {
    const sizeBytes = await patiently(() => file.sizeBytes())
    const wanted = into.subarray(0, Math.max(0, Math.min(into.byteLength, sizeBytes - positionBytes)))
    for (let at = 0; at < wanted.byteLength; ) {
      const next = Math.min(wanted.byteLength, at + PIECE_BYTES - ((positionBytes + at) % PIECE_BYTES))
      const piece = wanted.subarray(at, next)
      try {
        await patiently(() => file.readAt(positionBytes + at, piece))
      } catch (error) {
        if (!(error instanceof DiskError)) throw error
        this.#refuse(positionBytes + at, piece)
      }
      at = next
    }
    return wanted.byteLength
  }

  #refuse(positionBytes: number, piece: Uint8Array): number {
    piece.fill(0)
    const range = { startBytes: positionBytes, endBytes: positionBytes + piece.byteLength }
    const before = this.#unreadable.findIndex((each) => each.startBytes <= range.endBytes && each.endBytes >= range.startBytes)
    if (before < 0) this.#unreadable.push(range)
    else {
      const { startBytes, endBytes } = this.#unreadable[before] as ByteRange
      this.#unreadable[before] = { startBytes: Math.min(startBytes, range.startBytes), endBytes: Math.max(endBytes, range.endBytes) }
    }
    return piece.byteLength
  }

  async close(): Promise<void> {
    if (this.#isShared) return
    try {
      await this.#file?.close()
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
    }
  }
}

/**
 * Bytes of the file; null when there is none. `untold`: what it is when the device refuses to open it, too, so that nothing of it can be read. A size
 * that is not told is none of 0 bytes: nothing is cut, removed or passed over for it. @throws DiskError
 */
export async function sizeOf(disk: Disk, path: string, { untold }: { untold?: number } = {}): Promise<number | null> {
  try {
    return await patiently(() => disk.fileSizeBytes(path))
  } catch (error) {
    if (!(error instanceof DiskError) || error.code !== 'EIO') throw error
    const file = await SalvageFile.open(disk, path)
    try {
      const bytes = (await file.sizeBytes()) ?? untold
      if (bytes === undefined) throw error
      return bytes
    } finally {
      await file.close()
    }
  }
}

/** Names in the directory; none when there is none. @throws DiskError */
export async function namesIn(disk: Disk, path: string): Promise<string[]> {
  try {
    return await patiently(() => disk.list(path))
  } catch (error) {
    if (error instanceof DiskError && error.code === 'ENOENT') return []
    throw error
  }
}
