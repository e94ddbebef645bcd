// Opens a data directory for looking only: no lock, no recovery, no write.

import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { runAsWords } from '../adapters/control/accounts.ts'
import { WadiError } from '../runtime/base/errors.ts'
import { DiskError } from '../runtime/io/disk.ts'
import type { dumpRecords as Dump, listSegmentFiles as List, verifyDirectory as Verify } from '../runtime/log/inspect.ts'
import type { dumpJournal as DumpJournal, viewJournal as ViewJournal } from '../runtime/log/inspect-journal.ts'
import type { Inspection } from '../runtime/log/inspection.ts'

export interface OpenInspection {
  readonly inspection: Inspection
  readonly verifyDirectory: typeof Verify
  readonly listSegmentFiles: typeof List
  readonly dumpRecords: typeof Dump
  readonly dumpJournal: typeof DumpJournal
  readonly viewJournal: typeof ViewJournal
}

/** @throws WadiError WADI_DATA_DIR_UNUSABLE when `path` is not a data directory, WADI_NOT_ALLOWED when this user may not read it */
export async function openInspection(path: string): Promise<OpenInspection> {
  const directory = resolve(path)
  const [{ openEdges }, inspect, { dumpJournal, viewJournal }] = await Promise.all([
    import('../gateway/edges.ts'),
    import('../runtime/log/inspect.ts'),
    import('../runtime/log/inspect-journal.ts')
  ])
  const { disk, core, codec } = openEdges()
  const inspection = { disk, core, codec, directory }
  try {
    await inspect.listSegmentFiles(inspection)
    await inspect.checkIsDataDirectory(inspection)
  } catch (cause) {
    if (cause instanceof DiskError && ['EACCES', 'EPERM'].includes((cause.cause as NodeJS.ErrnoException | undefined)?.code ?? '')) {
      throw new WadiError('WADI_NOT_ALLOWED', {
        happened: `This user may not read ${directory} (${cause.message}).`,
        kept: 'Nothing was touched.',
        next: `${runAsWords((await stat(directory).catch(() => null))?.uid)}.`,
        cause
      })
    }
    throw new WadiError('WADI_DATA_DIR_UNUSABLE', {
      happened: `${directory} is not a data directory of Wadi (${cause instanceof Error ? cause.message : String(cause)}).`,
      kept: 'Nothing was touched.',
      next: 'Name the directory that wadi.yaml has as gateway.data.',
      cause
    })
  }
  return { inspection, dumpJournal, viewJournal, ...inspect }
}
