// The store's errors in words: what happened, what was kept, what to do.

import { formatBytes } from '../base/byte-text.ts'
import { WadiError } from '../base/errors.ts'
import { DiskError } from '../io/disk.ts'

/** The disk's error in the words of a person who starts Wadi. */
export function asStoreError(error: unknown, directory: string): unknown {
  if (!(error instanceof DiskError)) return error
  if (error.code === 'ELOCKED') {
    return new WadiError('WADI_DATA_DIR_LOCKED', {
      happened: `Another process has the data directory ${directory} open.`,
      kept: 'Nothing was touched.',
      next: 'Stop it first; two processes must never share a data directory.',
      cause: error
    })
  }
  if (error.isFull) return noRoomToStart(error)
  return new WadiError('WADI_DATA_DIR_UNUSABLE', {
    happened: `The data directory ${directory} cannot be used (${error.message}).`,
    kept: 'Nothing was deleted.',
    next: 'Check that it exists, is writable for this user and that the device is healthy.',
    cause: error
  })
}

/** For what a file says when it is closed and nothing depends on it. */
export function onlyDisk(error: unknown): void {
  if (!(error instanceof DiskError)) throw error
}

/** For what goes on without room: only a full disk is passed over. */
export function onlyFull(error: unknown): void {
  if (!(error instanceof DiskError && error.isFull)) throw error
}

export function topicUnknown(name: string): WadiError {
  return new WadiError('WADI_TOPIC_UNKNOWN', {
    happened: `There is no topic ${name}.`,
    kept: 'Nothing was changed.',
    next: 'Make it first, or check the name.'
  })
}

export function topicUndelivered(name: string, count: number): WadiError {
  return new WadiError('WADI_TOPIC_UNDELIVERED', {
    happened: `Topic ${name} has ${count === 1 ? '1 event' : `${count} events`} that the centre does not have yet.`,
    kept: 'The topic was not deleted.',
    next: 'Wait until it is delivered (wadi status), take it out of upstream.topics, or say that the events may be lost.',
    facts: { topic: name, events: count }
  })
}

export function recordsUndelivered(place: string, count: number): WadiError {
  return new WadiError('WADI_TOPIC_UNDELIVERED', {
    happened: `${count === 1 ? '1 event' : `${count} events`} of ${place} that should be deleted ${count === 1 ? 'is' : 'are'} not at the centre yet.`,
    kept: 'Nothing was deleted.',
    next: 'Wait until they are delivered (wadi status), or give the topic drop_undelivered.',
    facts: { partition: place, events: count }
  })
}

export function offsetOutOfRange(place: string, offset: number, highWatermark: number): WadiError {
  return new WadiError('WADI_OFFSET_OUT_OF_RANGE', {
    happened: `Offset ${offset} of ${place} is behind the end, ${highWatermark}.`,
    kept: 'The log is unchanged.',
    next: 'Ask for an offset up to the end.',
    facts: { partition: place, offset }
  })
}

export function tooManyDeleted(name: string): WadiError {
  return new WadiError('WADI_QUOTA_EXCEEDED', {
    happened: `Topic ${name} cannot be deleted: the names of 10,000 deleted topics are remembered, because the centre knows offsets of them.`,
    kept: 'The topic was not deleted.',
    next: 'Use names again: a topic of an older name goes on behind its offsets.',
    facts: { topic: name }
  })
}

export function topicBusy(name: string): WadiError {
  return new WadiError('WADI_BUSY', {
    happened: `A topic ${name} was deleted, and the disk does not let go of its directories yet.`,
    kept: 'Nothing was made.',
    next: 'Try again; Wadi goes on removing them by itself.',
    facts: { topic: name }
  })
}

export function quotaExceeded(topicName: string, bytes: number, quotaBytes: number): WadiError {
  return new WadiError('WADI_QUOTA_EXCEEDED', {
    happened: `There is no room for topic ${topicName}: ${formatBytes(bytes)} are stored or on their way, the quota is ${formatBytes(quotaBytes)}.`,
    kept: 'Everything acknowledged is kept; this event was not stored and not acknowledged.',
    next: 'Ingest goes on by itself when the centre has taken the backlog; or raise the quota, or choose what may be dropped (docs/retention.md).',
    facts: { topic: topicName, bytes, quotaBytes }
  })
}

export function reserveReached(topicName: string, freeBytes: number, freeBytesMin: number): WadiError {
  return new WadiError('WADI_DISK_FULL', {
    happened: `There is no room for topic ${topicName}: ${formatBytes(freeBytes)} are free on the device, and ${formatBytes(freeBytesMin)} of them are kept free.`,
    kept: 'Everything acknowledged is kept; this event was not stored and not acknowledged.',
    next: 'Free space on the device, or lower the quotas; devices send again, ingest goes on by itself.',
    facts: { topic: topicName, freeBytes, freeBytesMin }
  })
}

function whatIsFull({ code, path }: DiskError): string {
  return code === 'EMFILE' ? `${path} cannot be opened: this process may not have more files open.` : `No space left for ${path}.`
}

/** Nothing is taken or served, and nobody asks again by himself. */
function noRoomToStart(cause: DiskError): WadiError {
  const isSpace = cause.code !== 'EMFILE'
  return new WadiError('WADI_DISK_FULL', {
    happened: whatIsFull(cause),
    kept: 'Everything stored is kept.',
    next: isSpace
      ? 'Free space on the device, or inodes (df -i), then start Wadi again.'
      : 'Raise the limit of open files (LimitNOFILE), then start Wadi again.',
    cause
  })
}

export function diskFull(cause: DiskError): WadiError {
  const isSpace = cause.code !== 'EMFILE'
  return new WadiError('WADI_DISK_FULL', {
    happened: whatIsFull(cause),
    kept: 'Everything acknowledged is kept; this event was not stored and not acknowledged.',
    next: `${isSpace ? 'Free space or raise the quota' : 'Raise the limit of open files (LimitNOFILE) or allow fewer connections'}; devices send again, ingest goes on by itself.`,
    cause
  })
}

/** What waits for the journal is refused with this; null when it only has to wait. `lack`, `full`: Journal.lack, Upkeep.full. */
export function noJournalRoom(lack: DiskError | null, full: DiskError | null): WadiError | null {
  if (lack !== null && !lack.isFull) return writeFailed('Making a journal file', lack)
  const cause = lack ?? full
  return cause === null ? null : diskFull(cause)
}

export function tooLarge(bytes: number, bytesMax: number): WadiError {
  return new WadiError('WADI_RECORD_TOO_LARGE', {
    happened: `An append of ${bytes} bytes is larger than ${bytesMax} bytes, the most that is taken.`,
    kept: 'It was not stored and not acknowledged.',
    next: 'Send smaller events.',
    facts: { bytes, bytesMax }
  })
}

export function writeFailed(what: string, cause: unknown): WadiError {
  return new WadiError('WADI_LOG_FAILED', {
    happened: `${what} failed (${cause instanceof Error ? cause.message : String(cause)}).`,
    kept: 'Everything acknowledged before is kept and can be read; nothing more is acknowledged.',
    next: 'Check the storage device, then restart Wadi: it reads the disk again.',
    cause
  })
}

export function storeClosed(): WadiError {
  return new WadiError('WADI_CLOSED', {
    happened: 'The log is closing.',
    kept: 'What was acknowledged is kept.',
    next: 'Send again after the restart.'
  })
}

export function topicExists(name: string, other: string): WadiError {
  return new WadiError('WADI_TOPIC_EXISTS', {
    happened: other === name ? `Topic ${name} exists.` : `Topic ${name} differs from ${other} only by case or by "." and "_".`,
    kept: 'Nothing was made.',
    next: 'Use the topic that is there, or another name.'
  })
}
