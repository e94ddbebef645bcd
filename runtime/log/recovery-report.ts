// What a start found, for people, logs and tests. Nothing here changes data.

import type { DroppedRange } from './contract.ts'

export interface RecoveryReport {
  /** False on a new directory and after a clean stop: nothing had to be replayed. */
  wasUnclean: boolean
  replayedCommits: number
  replayedRecords: number
  /** Bytes cut from the ends of segment files; all of them were still in the journal, or never acknowledged. */
  cutBytes: number
  /** Commits of the journal that are missing although later ones are there: damage, not a torn end. */
  missingCommits: number
  /** Bytes that the device refuses to read and nothing else replaces, with what they may have held. */
  unreadable: { path: string; startBytes: number; endBytes: number; meaning: string }[]
  /** Offsets that are gone, by partition. */
  holes: DroppedRange[]
  /** Files that did not verify and were not used. */
  damagedFiles: string[]
  /** One line each, in plain words. */
  notes: string[]
  durationMs: number
}

export function newRecoveryReport(): RecoveryReport {
  return {
    wasUnclean: false,
    replayedCommits: 0,
    replayedRecords: 0,
    cutBytes: 0,
    missingCommits: 0,
    unreadable: [],
    holes: [],
    damagedFiles: [],
    notes: [],
    durationMs: 0
  }
}

/** Of journal and state, and of segments when they were read. */
export function isWithoutDamage({ missingCommits, damagedFiles, unreadable }: RecoveryReport): boolean {
  return missingCommits === 0 && damagedFiles.length === 0 && unreadable.length === 0
}

/** Notes a range, and says it in words. */
export function noteUnreadable(
  report: RecoveryReport,
  path: string,
  range: { startBytes: number; endBytes: number },
  meaning: string
): void {
  report.unreadable.push({ path, startBytes: range.startBytes, endBytes: range.endBytes, meaning })
  report.notes.push(`${path}: bytes ${range.startBytes} to ${range.endBytes - 1} cannot be read: ${meaning}`)
}
