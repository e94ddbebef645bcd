// Kafka's DeleteRecords: the log of a partition starts at an offset that a client names.
//
// Invariants: durable before it is visible; what the centre should get and does not have stays, unless its topic has dropUndelivered (docs/retention.md), and
// is counted then; the log starts in a segment, never in the tail. The offset may lie in the middle of a batch: the commit says where that begins, because
// behind a power cut the journal has to bring it again whole (topic-recovery.ts).
// Not beside a round of retention: both move the log start (Upkeep.alone). Not for: files, which go with the next round (retention-round.ts).

import type { WadiError } from '../base/errors.ts'
import { type Offset, toOffset } from '../base/offset.ts'
import { DiskError } from '../io/disk.ts'
import type { Partition } from './contract.ts'
import type { PartitionLog } from './partition-log.ts'
import type { Removals } from './removals.ts'
import { verdictFor } from './retention.ts'
import { diskFull, offsetOutOfRange, recordsUndelivered, topicUnknown, writeFailed } from './store-errors.ts'
import type { StoredTopic } from './stored-topic.ts'

export interface RecordDeletionHost {
  readonly removals: Removals
  /** What is in the tail becomes part of a segment. @throws DiskError */
  seal(partition: PartitionLog): Promise<void>
  /** From now on the store only reads. */
  fail(error: WadiError): WadiError
}

/** `own`: what the handle stands for; null when its topic is deleted. @returns where the log starts. @throws WadiError as Store.deleteRecords */
export async function deleteRecords(
  host: RecordDeletionHost,
  { handle, own }: { handle: Partition; own: { readonly topic: StoredTopic; readonly partition: PartitionLog } | null },
  offset: Offset
): Promise<Offset> {
  if (own === null || own.topic.isEnding) throw topicUnknown(handle.topicName)
  const { topic, partition } = own
  const place = `${partition.topicName}-${partition.partitionIndex}`
  if (offset > partition.highWatermark) throw offsetOutOfRange(place, offset, partition.highWatermark)
  if (offset <= partition.logStartOffset) return partition.logStartOffset
  const undelivered = host.removals.undeliveredBelow(topic, partition, offset)
  if (undelivered > 0 && verdictFor(topic.config, 'undelivered', 'age') !== 'delete') throw recordsUndelivered(place, undelivered)
  const batchOffset = await beginOfBatch(host, partition, offset).catch((error: unknown) => {
    throw refusalOf(host, error)
  })
  if (partition.isDeleted) throw topicUnknown(topic.name)
  const refusal = await host.removals.remove(topic, partition, { until: offset, batchOffset, reason: 'deletion' })
  if (refusal) throw refusal
  if (partition.isDeleted) throw topicUnknown(topic.name)
  partition.notify()
  return partition.logStartOffset
}

/** First offset of the sealed batch that holds `offset`; `offset` itself when nothing does. */
async function beginOfBatch(host: RecordDeletionHost, partition: PartitionLog, offset: number): Promise<number> {
  if (offset >= partition.sealedEndOffset) await host.seal(partition)
  if (offset === partition.highWatermark) return offset
  const { batches } = await partition.read(toOffset(offset), { bytesMax: 1 })
  return Math.min(offset, batches[0]?.header.baseOffset ?? offset)
}

/** What the device refused is final, as everywhere, unless only room is missing or it was of reading. */
function refusalOf(host: RecordDeletionHost, error: unknown): unknown {
  if (!(error instanceof DiskError)) return error
  if (error.isFull) return diskFull(error)
  const told = writeFailed('Deleting records', error)
  return error.isOfReading ? told : host.fail(told)
}
