// Everything one partition shows to a reader, while retention may be at work on it.

import { WadiError } from '../../runtime/base/errors.ts'
import type { Core } from '../../runtime/core/core.ts'
import { DiskError } from '../../runtime/io/disk.ts'
import { decompressBatch } from '../../runtime/log/batch-codec.ts'
import type { Partition, ReadResult } from '../../runtime/log/contract.ts'
import { simCodec } from './sim-codec.ts'

const READ_BYTES = 64 * 1024

export interface ReadPartition {
  readonly start: number
  readonly end: number
  readonly records: readonly { offset: number; value: string | null }[]
}

/** From the log start to the high watermark, as they were when the reading began; begins again when retention was faster. */
export async function readPartition(partition: Partition, core: Core): Promise<ReadPartition> {
  const start = partition.logStartOffset
  const end = partition.highWatermark
  const records: { offset: number; value: string | null }[] = []
  for (let offset = start; offset < end; ) {
    const result = await readOrRetained(partition, offset)
    if (result === null) return readPartition(partition, core) // retention was faster
    const { batches, nextOffset } = result
    for (const batch of batches) {
      const plain = await decompressBatch(core, simCodec, batch)
      for (const record of core.readRecords(plain)) {
        if (record.offset < offset || record.offset >= end) continue
        records.push({ offset: record.offset, value: record.value && Buffer.from(record.value).toString('latin1') })
      }
    }
    if (nextOffset <= offset) break
    offset = nextOffset
  }
  return { start, end, records }
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
