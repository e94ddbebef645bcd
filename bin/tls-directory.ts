// A directory with the certificates of a site: ca.pem, server.pem and one of each client, each with its key beside it (NAME.key).
//
// Invariants: a key is written with mode 0600, to a file that was not there, and is never printed; a file that is there is never overwritten.
// Not for: what stands in certificates (adapters/tls/certificate-writer.ts).

import { existsSync } from 'node:fs'
import { mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { KeyAndCertificate, Validity } from '../adapters/tls/certificate-writer.ts'
import type { SigningCa } from '../adapters/tls/signing-ca.ts'
import { WadiError } from '../runtime/base/errors.ts'
import { usageError } from './command.ts'

const DAY_MS = 86_400_000
/** Devices' clocks are seldom right to the minute. */
const BEFORE_MS = DAY_MS
/** A clock that was never set says 1970, and what is made then has expired when it is. */
const CLOCK_MIN_MS = Date.UTC(2025, 0)
const KEY_MODE = 0o600
const CERTIFICATE_MODE = 0o644

/** What a certificate of a gateway or a client is valid for when nobody says. */
export const LEAF_DAYS = 825
const DAYS_MAX = 36_500

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

/** Of --days. @throws WadiError WADI_USAGE */
export function daysOf(days: number): number {
  if (days < 1 || days > DAYS_MAX) throw usageError(`--days is ${days}, expected 1 to ${DAYS_MAX}.`, 'The usual are 90 to 825.')
  return days
}

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

/**
 * The CA that signs.
 * @param next what to do when it is not there
 * @throws WadiError WADI_CERTIFICATE_UNUSABLE when there is none, it cannot be read, or cannot sign what others verify
 */
export async function readCa(files: PairFiles, next: string): Promise<SigningCa> {
  const { signingCaOf } = await import('../adapters/tls/signing-ca.ts')
  const ca = signingCaOf(await readPair(files, next), Date.now())
  if (!('of' in ca)) return ca
  const subject = ca.of === 'fits' ? `${files.certificate} and ${files.key}` : files[ca.of]
  throw certificateError(
    `${subject} ${ca.words}.`,
    'Name a directory whose ca.pem and ca.key are one CA; "wadi tls show FILE" tells what is in one.'
  )
}

/** A certificate is valid no longer than its CA. @returns with how its end is told */
export async function withinCa({ fromMs, untilMs }: Validity, ca: SigningCa): Promise<{ validity: Validity; untilText: string }> {
  const { dateText } = await import('../adapters/tls/certificate-facts.ts')
  if (untilMs <= ca.untilMs) return { validity: { fromMs, untilMs }, untilText: dateText(untilMs) }
  return { validity: { fromMs, untilMs: ca.untilMs }, untilText: `${dateText(ca.untilMs)} (then its CA ends)` }
}

/** @throws WadiError WADI_CERTIFICATE_UNUSABLE when there is none, or it cannot be read */
async function readPair(files: PairFiles, next: string): Promise<KeyAndCertificate> {
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
    await writeNew(certificate, pair.certificate, CERTIFICATE_MODE).catch(async (cause) => {
      await rm(key, { force: true }) // made just now, and nobody's without its certificate
      throw cause
    })
  } catch (cause) {
    const { code, path = directory } = cause as NodeJS.ErrnoException
    if (code === 'EEXIST') throw certificateError(`${path} is there already, and nothing is overwritten.`, 'Move it away first.', cause)
    const next = code === 'ENOSPC' ? 'The disk is full: make room, or name another directory.' : 'Check the directory and the user.'
    throw certificateError(`${path} cannot be written (${code}).`, next, cause)
  }
}

async function writeNew(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode)
  try {
    await file.writeFile(text)
    await file.sync()
  } catch (cause) {
    await rm(path, { force: true }) // half of it, on a disk that is full
    throw Object.assign(cause as NodeJS.ErrnoException, { path })
  } finally {
    await file.close()
  }
}

export function certificateError(happened: string, next: string, cause?: unknown): WadiError {
  return new WadiError('WADI_CERTIFICATE_UNUSABLE', { happened, kept: 'No file was changed.', next, cause })
}
