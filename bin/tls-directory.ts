// A directory with the certificates of a site: ca.pem, server.pem and one of each client, each with its key beside it (NAME.key).
//
// Invariants: a key is written with mode 0600, to a file that was not there, and is never printed; a file that is there is never overwritten.
// Not for: what stands in certificates (adapters/tls/certificate-writer.ts).

import { existsSync } from 'node:fs'
import { mkdir, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { KeyAndCertificate, Validity } from '../adapters/tls/certificate-writer.ts'
import { WadiError } from '../runtime/base/errors.ts'

const DAY_MS = 86_400_000
/** Devices' clocks are seldom right to the minute. */
const BEFORE_MS = DAY_MS
/** A clock that was never set says 1970, and what is made then has expired when it is. */
const CLOCK_MIN_MS = Date.UTC(2025, 0)
const KEY_MODE = 0o600
const CERTIFICATE_MODE = 0o644

export const CA_NAME = 'ca'
export const SERVER_NAME = 'server'

export interface PairFiles {
  readonly certificate: string
  readonly key: string
}

export const filesOf = (directory: string, name: string): PairFiles => ({
  certificate: join(directory, `${name}.pem`),
  key: join(directory, `${name}.key`)
})

/** From a day ago on. @throws WadiError WADI_CERTIFICATE_UNUSABLE when the clock of this machine cannot be right */
export function validityFrom(nowMs: number, days: number): Validity {
  if (nowMs < CLOCK_MIN_MS) {
    throw certificateError(
      `The clock of this machine says ${new Date(nowMs).toISOString().slice(0, 10)}, and what is signed now would not be valid when it is right.`,
      'Set the clock, or make the certificates on another machine.'
    )
  }
  return { fromMs: nowMs - BEFORE_MS, untilMs: nowMs + days * DAY_MS }
}

/** Whether both are there. @throws WadiError WADI_CERTIFICATE_UNUSABLE when one is there without the other */
export function hasPair({ certificate, key }: PairFiles): boolean {
  const isThere = [certificate, key].map((path) => existsSync(path))
  if (isThere[0] === isThere[1]) return isThere[0] === true
  const [there, missing] = isThere[0] ? [certificate, key] : [key, certificate]
  throw certificateError(`${there} is there, and ${missing} that belongs to it is not.`, `Put ${missing} back, or move ${there} away.`)
}

/** @throws WadiError WADI_CERTIFICATE_UNUSABLE when there is none, or it cannot be read */
export async function readPair(files: PairFiles, next: string): Promise<KeyAndCertificate> {
  try {
    return { certificate: await readFile(files.certificate, 'latin1'), key: await readFile(files.key, 'latin1') }
  } catch (cause) {
    const { code, path = '' } = cause as NodeJS.ErrnoException
    throw certificateError(`${path} ${code === 'ENOENT' ? 'is not there' : `cannot be read (${code})`}.`, next, cause)
  }
}

/** Key first, so that no certificate is ever without one. @throws WadiError WADI_CERTIFICATE_UNUSABLE when one is there, or cannot be written */
export async function writePair(directory: string, { certificate, key }: PairFiles, pair: KeyAndCertificate): Promise<void> {
  try {
    await mkdir(directory, { recursive: true })
    await writeNew(key, pair.key, KEY_MODE)
    await writeNew(certificate, pair.certificate, CERTIFICATE_MODE)
  } catch (cause) {
    const { code, path = directory } = cause as NodeJS.ErrnoException
    if (code === 'EEXIST') throw certificateError(`${path} is there already, and nothing is overwritten.`, 'Move it away first.', cause)
    throw certificateError(`${path} cannot be written (${code}).`, 'Check the directory and the user.', cause)
  }
}

async function writeNew(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

export function certificateError(happened: string, next: string, cause?: unknown): WadiError {
  return new WadiError('WADI_CERTIFICATE_UNUSABLE', { happened, kept: 'No file was changed.', next, cause })
}
