// The only door to storage. Real: node-disk.ts. Simulated: test/sim/sim-disk.ts (loses, tears, fails from one seed).
// Paths are absolute or relative strings with "/" between names; an implementation never interprets names.
// Not for: caching, retries, formats.

export type DiskErrorCode =
  | 'ENOSPC'
  | 'EDQUOT'
  | 'EFBIG'
  | 'EMFILE'
  | 'EIO'
  | 'EROFS'
  | 'ENOENT'
  | 'EEXIST'
  | 'EACCES'
  | 'ELOCKED'
  | 'OTHER'

const FULL_CODES: ReadonlySet<DiskErrorCode> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'EMFILE'])
/** They put something new on the disk and can be asked again. A sync cannot: the kernel says its error once and forgets the pages. */
const TAKING_OPERATIONS: ReadonlySet<string> = new Set(['write', 'open', 'mkdir', 'truncate', 'rename', 'lock'])
const READING_OPERATIONS: ReadonlySet<string> = new Set(['read', 'open-read', 'list', 'stat', 'statfs'])

/** What the operating system said. Every rejected call of a Disk or DiskFile rejects with this. */
export class DiskError extends Error {
  override readonly name = 'DiskError'
  readonly code: DiskErrorCode
  readonly path: string
  /** 'open-read' is an open for reading only; 'write-sync' the synchronous half of writeDurableAt. */
  readonly operation: string

  constructor(code: DiskErrorCode, context: { operation: string; path: string; detail?: string; cause?: unknown }) {
    super(`${context.operation} ${context.path}: ${code}${context.detail ? ` (${context.detail})` : ''}`, { cause: context.cause })
    this.code = code
    this.path = context.path
    this.operation = context.operation
  }

  /**
   * No space left in the file system, the quota or the file size limit for something new, or no file descriptor (EMFILE, ENFILE): nothing is wrong
   * with the device, and it may be asked again. Never true for a sync, whatever it says: what it did not write is unknown for ever.
   */
  get isFull(): boolean {
    return FULL_CODES.has(this.code) && TAKING_OPERATIONS.has(this.operation)
  }

  /** Asked for something that is there and changed nothing: no reason to stop writing. */
  get isOfReading(): boolean {
    return READING_OPERATIONS.has(this.operation)
  }
}

export interface DiskFile {
  readonly path: string
  /** Fills `into` from `positionBytes`; returns the bytes read, less than asked only at the end of the file. */
  readAt(positionBytes: number, into: Uint8Array): Promise<number>
  /** Hands all of `bytes` to the operating system. Rejects with what was written unknown. `bytes` must not change meanwhile. */
  writeAt(positionBytes: number, bytes: Uint8Array): Promise<void>
  /**
   * writeAt + sync in one trip. Resolves only when the bytes survive a power cut. Rejects with operation 'write' when there was no room for the
   * bytes (isFull: may be asked again), with 'write-sync' in every other case, which is final as for sync.
   */
  writeDurableAt(positionBytes: number, bytes: Uint8Array): Promise<void>
  /** Data and size survive a power cut. A rejection is final for this file: what was written since the last sync is unknown for ever. */
  sync(): Promise<void>
  truncate(sizeBytes: number): Promise<void>
  sizeBytes(): Promise<number>
  close(): Promise<void>
}

export interface DiskLock {
  release(): Promise<void>
}

export interface Disk {
  /** `create` makes the file if absent (then its directory needs syncDirectory); without it an absent file is ENOENT. */
  open(path: string, mode: 'read' | 'write' | 'create'): Promise<DiskFile>
  /** Names in a directory, sorted. ENOENT when it does not exist. */
  list(path: string): Promise<string[]>
  /** Makes the directory and its parents; fine when it exists. */
  makeDirectory(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  /** Removes an empty directory. */
  removeDirectory(path: string): Promise<void>
  /** Entries (creations, renames, removals) of the directory survive a power cut. */
  syncDirectory(path: string): Promise<void>
  /** null when there is no such file. */
  fileSizeBytes(path: string): Promise<number | null>
  /** Bytes still available to us on the file system that holds `path`. */
  freeBytes(path: string): Promise<number>
  /** Held by the kernel for the life of the process. Rejects with ELOCKED when somebody else holds it. */
  lock(directory: string): Promise<DiskLock>
}
