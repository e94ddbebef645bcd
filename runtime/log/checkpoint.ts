// Checkpoint: what a journal file holds is brought into synced segments and a durable snapshot; then the file is free.
//
//   1  seal every partition with data of commits ≤ upTo      (buffered)
//   2  sync every dirty segment and its indexes, close those that were rolled
//   3  sync directories with new or removed files
//   4  write the snapshot (new name, sync, rename, sync directory)
//   5  release the journal
//   6  remove the empty files of deleted segments
//
// Invariants: a journal file is released only after 1-4 succeeded. A failed sync in 2-4, whatever it says, is final for the store
// (reliability: the page cache cannot be believed after it); a write without room is not: the checkpoint is tried again.

import type { PartitionLog } from './partition-log.ts'
import type { RecoveryPoint } from './snapshot-codec.ts'

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
  const points: RecoveryPoint[] = []
  const superfluous: { partition: PartitionLog; retired: readonly string[] }[] = []
  for (const partition of target.partitions) {
    const synced = await partition.sync()
    if (synced === null) continue // its topic was deleted meanwhile
    points.push(synced.point)
    superfluous.push({ partition, retired: synced.retired })
  }
  await target.writeSnapshot(upTo, points)
  target.release(upTo)
  for (const { partition, retired } of superfluous) await partition.removeRetired(retired)
}
