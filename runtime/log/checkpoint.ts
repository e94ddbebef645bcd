// Checkpoint: what a journal file holds is brought into synced segments and a durable snapshot; then the file is free.
//
//   1  seal every partition with data of commits ≤ upTo      (buffered)
//   2  sync every dirty segment and its indexes, close those that were rolled
//   3  sync directories with new or removed files
//   4  write the snapshot (new name, sync, rename, sync directory)
//   5  release the journal
//
// Invariants: a journal file is released only after 1-4 succeeded. A failed sync in 2-4, whatever it says, is final for the store
// (reliability: the page cache cannot be believed after it); a write without room is not: the checkpoint is tried again. What waits for a sync
// or for the snapshot (isDirectoryDirty, retired) is forgotten only after it.

import { DiskError } from '../io/disk.ts'
import { type PartitionLog, withPartition } from './partition-log.ts'
import type { RecoveryPoint } from './state-snapshot.ts'

export interface CheckpointTarget {
  readonly partitions: Iterable<PartitionLog>
  seal(partition: PartitionLog): Promise<void>
  /** Writes the snapshot with replayAfter = upTo. */
  writeSnapshot(upTo: number, points: readonly RecoveryPoint[]): Promise<void>
  release(upTo: number): void
}

export async function runCheckpoint(target: CheckpointTarget, upTo: number): Promise<void> {
  for (const partition of target.partitions) {
    const oldest = partition.tail.oldestSequence
    if (oldest !== null && oldest <= upTo) await target.seal(partition)
  }
  const synced: SyncedPartition[] = []
  for (const partition of target.partitions) synced.push(await syncPartition(partition))
  await target.writeSnapshot(
    upTo,
    synced.map(({ point }) => point)
  )
  target.release(upTo)
  for (const { partition, retired } of synced) await removeRetired(partition, retired)
}

/** One that cannot be removed now is tried again behind the next checkpoint: it is empty. */
async function removeRetired(partition: PartitionLog, retired: readonly string[]): Promise<void> {
  for (const path of retired) {
    try {
      await partition.env.disk.remove(path)
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      if (error.code !== 'ENOENT') continue
    }
    partition.retired = partition.retired.filter((other) => other !== path)
  }
}

interface SyncedPartition {
  readonly partition: PartitionLog
  readonly point: RecoveryPoint
  /** Files of deleted segments that the point's log start makes superfluous. */
  readonly retired: readonly string[]
}

/** Steps 2 and 3 for one partition, serialised with its seals. */
function syncPartition(partition: PartitionLog): Promise<SyncedPartition> {
  return withPartition(partition, async () => {
    const active = partition.activeSegment
    for (const segment of partition.segments) {
      if (segment !== active && segment.isOpen) await segment.finish()
      else if (segment.isDirty) await segment.sync()
    }
    if (partition.isDirectoryDirty) {
      await partition.env.disk.syncDirectory(partition.directory)
      await partition.env.disk.syncDirectory(partition.directory.slice(0, partition.directory.lastIndexOf('/')))
      partition.isDirectoryDirty = false // only now; nobody else works on this partition meanwhile
    }
    const point: RecoveryPoint = [
      partition.topicNumber,
      partition.partitionIndex,
      partition.logStartOffset,
      active?.baseOffset ?? -1,
      active?.syncedBytes ?? 0,
      active?.nextOffset ?? partition.sealedEndOffset,
      partition.deliveredOffset
    ]
    return { partition, point, retired: [...partition.retired] }
  })
}
