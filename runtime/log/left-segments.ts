// What lies in the directory of a partition that is being made: segments whose topic, or whose larger number of partitions, was in a commit that
// damage took before a state file had it. They hold acknowledged events, and a partition that began at offset 0 would be written over them.
// Invariants: the partition is not visible yet; what it takes in is durable when it is. Not for: partitions that the state names (recovery.ts).

import type { DroppedRange } from './contract.ts'
import type { PartitionLog } from './partition-log.ts'
import { knownPoint } from './partition-recovery.ts'
import { newRecoveryReport, type RecoveryReport } from './recovery-report.ts'

/** Where a new partition begins: behind one of before of the same name, else at 0. */
export interface NewPartition {
  readonly partition: PartitionLog
  readonly start: number
}

/** Takes in what `created` find in their directories, and says so in `report`. @returns what is missing between it. @throws DiskError */
export async function takeInLeftSegments(created: readonly NewPartition[], report: RecoveryReport): Promise<readonly DroppedRange[]> {
  const found = newRecoveryReport()
  for (const { partition, start } of created) {
    await partition.recover(knownPoint(undefined, start), { coverage: [], isJournalWhole: false }, found)
    const { topicName, partitionIndex, logStartOffset, highWatermark } = partition
    if (highWatermark === logStartOffset) continue
    await partition.syncFound() // no journal brings it again: it is durable before it is seen
    report.notes.push(
      `${topicName}-${partitionIndex}: no state file and no commit of the journal named this partition, its segments were there: offsets ${logStartOffset} to ${highWatermark - 1} were taken in`
    )
  }
  report.notes.push(...found.notes)
  report.damagedFiles.push(...found.damagedFiles)
  report.unreadable.push(...found.unreadable)
  report.cutBytes += found.cutBytes
  return found.holes
}
