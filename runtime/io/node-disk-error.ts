// What the operating system says, in the words of runtime/io/disk.ts. Not for: what follows from it.

import { DiskError, type DiskErrorCode } from './disk.ts'

const KNOWN_CODES = new Set<string>(['ENOSPC', 'EDQUOT', 'EFBIG', 'EMFILE', 'EIO', 'EROFS', 'ENOENT', 'EEXIST', 'EACCES'])
/** Other words for a device or a file system that cannot give back what it was given. */
const DEVICE_CODES = new Set<string>(['EUCLEAN', 'EBADMSG', 'ENODATA', 'EREMOTEIO', 'EILSEQ', 'ENXIO'])

/** `error` as Node throws it. */
export function diskError(error: unknown, operation: string, path: string): DiskError {
  const { code, message } = error as NodeJS.ErrnoException
  const known = knownCode(code ?? '')
  return new DiskError(known, { operation, path, detail: known === code ? '' : (code ?? message), cause: error })
}

function knownCode(code: string): DiskErrorCode {
  if (code === 'EPERM') return 'EACCES'
  if (DEVICE_CODES.has(code)) return 'EIO'
  if (code === 'ENFILE') return 'EMFILE'
  return KNOWN_CODES.has(code) ? (code as DiskErrorCode) : 'OTHER'
}
