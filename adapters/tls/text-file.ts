// A file of a TLS listener as it is now: its text and who may read it, or why it cannot be read. Not for: what stands in it (certificate-files.ts).

import { open } from 'node:fs/promises'

/** Larger than any bundle of certificates; what is larger is no such file. */
const BYTES_MAX = 2 * 1024 * 1024
const MAY_OTHERS_READ = 0o004

export type TextFile =
  | { readonly path: string; readonly text: string; readonly mayOthersRead: boolean }
  | { readonly path: string; readonly why: string }

const WHY: Readonly<Record<string, string>> = {
  ENOENT: 'and there is no such file: check the path (a relative one begins at the configuration)',
  ENOTDIR: 'and there is no such file: a part of its path is no directory',
  EISDIR: 'which is a directory: name the file in it',
  EACCES: 'which the user of the gateway may not read: check the owner and mode of the file and of the directories above it',
  EPERM: 'which the user of the gateway may not read: check the owner and mode of the file and of the directories above it'
}

/** Never rejects. */
export async function readTextFile(path: string): Promise<TextFile> {
  try {
    const file = await open(path)
    try {
      const { size, mode } = await file.stat()
      if (size > BYTES_MAX) return { path, why: `which has ${size} bytes: certificates and keys are smaller` }
      return { path, text: await file.readFile('latin1'), mayOthersRead: (mode & MAY_OTHERS_READ) !== 0 }
    } finally {
      await file.close()
    }
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException
    return { path, why: WHY[code] ?? `which cannot be read (${code})` }
  }
}
