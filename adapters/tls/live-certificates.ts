// The certificates of one listener while it runs: those in use, and what is found when the files are looked at again.
//
// Invariants: what is in use changes only for files that fit together; a bad new file leaves everything as it is, is told once, and when nobody asked only after
// it has been as bad at the look before (whoever replaces a certificate and its key does one after the other).
// Not for: when to look, what to say (gateway/tls-doors.ts).

import { digestFiles, type JudgedFiles, judgeFiles, type TlsMaterial } from './certificate-files.ts'
import type { TlsFinding } from './finding.ts'
import type { TlsSettings } from './tls-settings.ts'

/** same: as they were, or not to be told yet. new: in use from now on. kept: `findings` say why the new ones are not used. */
export type Look =
  | { readonly kind: 'same' }
  | { readonly kind: 'new'; readonly findings: readonly TlsFinding[] }
  | { readonly kind: 'kept'; readonly findings: readonly TlsFinding[] }

export class LiveCertificates {
  readonly #settings: TlsSettings
  readonly #use: (material: TlsMaterial) => void
  #inUse: JudgedFiles
  #bad: { readonly digest: string; readonly why: readonly TlsFinding[]; isTold: boolean } | null = null

  /** @param inUse with material @param use hands new material to the handshakes; may throw, then it is as if the files were bad */
  constructor(settings: TlsSettings, inUse: JudgedFiles, use: (material: TlsMaterial) => void) {
    this.#settings = settings
    this.#inUse = inUse
    this.#use = use
  }

  get inUse(): JudgedFiles {
    return this.#inUse
  }

  /** Why the files on disk are not used, from when that is told until they are as those in use, or better. */
  get notUsed(): readonly TlsFinding[] {
    return this.#bad?.isTold ? this.#bad.why : []
  }

  /** Reads the files again. One call at a time. @param isAsked somebody waits for the answer: what is bad is told at once, and again */
  async look(nowMs: number, isAsked: boolean): Promise<Look> {
    const isAsInUse = (await digestFiles(this.#settings)) === this.#inUse.digest
    const found = isAsInUse ? this.#inUse : await judgeFiles(this.#settings, nowMs)
    if (found.digest === this.#inUse.digest) {
      this.#bad = null
      return { kind: 'same' }
    }
    const why = this.#whyNot(found, nowMs)
    if (why === null) {
      this.#inUse = found
      this.#bad = null
      return { kind: 'new', findings: found.findings }
    }
    const isAsBefore = this.#bad?.digest === found.digest
    if (!this.#bad || !isAsBefore) this.#bad = { digest: found.digest, why, isTold: false }
    if (!isAsked && (!isAsBefore || this.#bad.isTold)) return { kind: 'same' }
    this.#bad.isTold = true
    return { kind: 'kept', findings: why }
  }

  /** null = they are in use now. */
  #whyNot({ material, findings, certificates }: JudgedFiles, nowMs: number): readonly TlsFinding[] | null {
    if (!material) return findings.filter(({ severity }) => severity === 'unusable')
    // One that has expired in what is in use too keeps no other from being renewed.
    const isWorse = (setting: string): boolean => {
      const before = this.#inUse.certificates.filter((one) => one.setting === setting)
      const isNew = (serial: string): boolean => before.every((one) => one.serial !== serial)
      const hasExpired = certificates.some((one) => one.setting === setting && one.untilMs < nowMs && isNew(one.serial))
      return hasExpired && before.every(({ untilMs }) => untilMs >= nowMs)
    }
    const worse = findings.filter(({ severity, setting }) => severity === 'expired' && isWorse(setting))
    if (worse.length > 0) return worse
    try {
      this.#use(material)
      return null
    } catch (error) {
      return [{ setting: 'cert', severity: 'unusable', message: `is not taken by OpenSSL: ${(error as Error).message}` }]
    }
  }
}
