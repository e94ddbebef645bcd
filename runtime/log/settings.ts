// The numbers of storage, with their defaults. Users set them in wadi.yaml (gateway/config); tests make them small.

import type { Core } from '../core/core.ts'
import type { CodecName } from '../io/codec.ts'
import type { JournalOptions } from './journal.ts'
import { BLOCK_BYTES } from './journal-file.ts'

export const KIB = 1024
export const MIB = 1024 * KIB

export interface StorageSettings {
  /** Journal files used in turn; at least 2. */
  readonly journalFileCount: number
  /** Preallocated; a multiple of 4096. */
  readonly journalFileBytes: number
  /** Made before the first start is ready; the rest of each journal file follows while the gateway works. */
  readonly journalFirstFillBytes: number
  /** The first event of a commit waits at most this long for company. 0 = until the end of this turn of the loop. */
  readonly lingerMs: number
  /** Commits are not made larger than this while there is a choice. */
  readonly commitBytesMax: number
  /** One event, encoded, or one batch of a Kafka client. */
  readonly batchBytesMax: number
  /** A tail this large is sealed. */
  readonly sealBytes: number
  /** A tail this old is sealed. */
  readonly sealAgeMs: number
  /** All tails together, as they lie in memory; above it the largest are sealed at once. */
  readonly tailBytesMax: number
  readonly segmentBytes: number
  /** Segments of a topic with a quota or retention_bytes are a fraction of it, but not smaller than this. */
  readonly segmentBytesMin: number
  /** A batch this much younger than the first of its segment begins a new one, so that retention by time can take the old. */
  readonly segmentAgeMs: number
  readonly indexIntervalBytes: number
  /** A journal with data this old is checkpointed. */
  readonly checkpointAgeMs: number
  readonly housekeepingIntervalMs: number
  /** What compaction reads and writes in a second at most. */
  readonly compactionBytesPerSecond: number
  /** A place of a segment that the device refuses to read for so long counts as damaged; until then reading there fails and is tried again. */
  readonly unreadablePatienceMs: number
  /** Whole data directory with its journal; null = as much as the disk has, less freeBytesMin. */
  readonly quotaBytes: number | null
  /** Never touched: the disk is treated as full when less than this is free. 0 = it is filled to the end. */
  readonly freeBytesMin: number
  /** What 'best' means; null = the best the platform has. */
  readonly defaultCodec: CodecName | null
}

export const defaultStorageSettings: StorageSettings = {
  journalFileCount: 2,
  journalFileBytes: 32 * MIB,
  journalFirstFillBytes: 4 * MIB,
  lingerMs: 2,
  commitBytesMax: MIB,
  batchBytesMax: MIB,
  sealBytes: 256 * KIB,
  sealAgeMs: 10_000,
  tailBytesMax: 12 * MIB,
  segmentBytes: 64 * MIB,
  segmentBytesMin: 16 * KIB,
  segmentAgeMs: 86_400_000,
  indexIntervalBytes: 4 * KIB,
  checkpointAgeMs: 300_000,
  housekeepingIntervalMs: 1_000,
  compactionBytesPerSecond: 4 * MIB,
  unreadablePatienceMs: 600_000,
  quotaBytes: null,
  freeBytesMin: 64 * MIB,
  defaultCodec: null
}

/** Commits in whole blocks, at least two to a journal file, and not larger than the core takes. */
export function withinBounds(settings: StorageSettings, core: Pick<Core, 'commitBytesMax'>): StorageSettings {
  const halfJournal = Math.floor((settings.journalFileBytes - BLOCK_BYTES) / 2)
  const commitBytesMax = Math.floor(Math.min(settings.commitBytesMax, halfJournal, core.commitBytesMax) / BLOCK_BYTES) * BLOCK_BYTES
  return { ...settings, commitBytesMax, batchBytesMax: Math.min(settings.batchBytesMax, commitBytesMax - BLOCK_BYTES) }
}

/** What the journal is told. */
export function journalSizes(
  settings: StorageSettings
): Pick<JournalOptions, 'fileCount' | 'fileBytes' | 'firstFillBytes' | 'commitBytesMax'> {
  const { journalFileCount, journalFileBytes, journalFirstFillBytes, commitBytesMax } = settings
  return { fileCount: journalFileCount, fileBytes: journalFileBytes, firstFillBytes: journalFirstFillBytes, commitBytesMax }
}
