// Everything one partition shows to a reader, while retention may be at work on it.

import { WadiError } from '../../runtime/base/errors.ts'
import { CONTROL_BIT } from '../../runtime/core/batch-header.ts'
import type { Core } from '../../runtime/core/core.ts'
import type { StoredRecord } from '../../runtime/core/record.ts'
import { DiskError } from '../../runtime/io/disk.ts'
import { readBatchRecords } from '../../runtime/log/batch-codec.ts'
import type { Partition, ReadResult } from '../../runtime/log/contract.ts'
import { simCodec } from './sim-codec.ts'

const READ_BYTES = 64 * 1024

export interface ReadRecord {
  readonly offset: number
  readonly value: string | null
  readonly headers: ReadonlyMap<string, string>
}

export interface ReadPartition {
  readonly start: number
  readonly end: number
  readonly records: readonly ReadRecord[]
  /** Offsets of markers and of batches that cannot be opened. */
  readonly silent: ReadonlySet<number>
}

/** From the log start to the high watermark, as they were when the reading began; begins again when retention was faster. */
export async function readPartition(partition: Partition, core: Core): Promise<ReadPartition> {
  const start = partition.logStartOffset
  const end = partition.highWatermark
  const records: ReadRecord[] = []
  const silent = new Set<number>()
  for (let offset = start; offset < end; ) {
    const result = await readOrRetained(partition, offset)
    if (result === null) return readPartition(partition, core) // retention was faster
    const { batches, nextOffset } = result
    for (const { header, bytes } of batches) {
      const decoded = (header.attributes & CONTROL_BIT) === 0 ? await readBatchRecords(core, simCodec, bytes) : null
      if (decoded === null) for (let at: number = header.baseOffset; at <= header.lastOffset; at++) silent.add(at)
      for (const record of decoded ?? []) {
        if (record.offset < offset || record.offset >= end) continue
        records.push({ offset: record.offset, value: textOf(record.value), headers: headersOf(record) })
      }
    }
    if (nextOffset <= offset) break
    offset = nextOffset
  }
  return { start, end, records, silent }
}

async function readOrRetained(partition: Partition, offset: Partition['highWatermark']): Promise<ReadResult | null> {
  try {
    return await partition.read(offset, { bytesMax: READ_BYTES })
  } catch (error) {
    if (error instanceof WadiError && error.code === 'WADI_OFFSET_OUT_OF_RANGE' && offset < partition.logStartOffset) return null
    if (error instanceof DiskError) return null // once: the fault was planned for one call
    throw error
  }
}

function textOf(bytes: Uint8Array | null): string | null {
  return bytes && Buffer.from(bytes).toString('latin1')
}

function headersOf(record: StoredRecord): Map<string, string> {
  return new Map(record.headers.map(({ key, value }) => [textOf(key) ?? '', textOf(value) ?? '']))
}
