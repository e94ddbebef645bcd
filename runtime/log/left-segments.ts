// What lies in the directory of a partition that is being made: segments whose topic, or whose larger number of partitions, was in a commit that
// damage took before a state file had it. They hold acknowledged events, and a partition that began at offset 0 would be written over them.
// Invariant: the partition is not visible yet. Not for: partitions that the state names (recovery.ts).

import type { DroppedRange } from './contract.ts'
import type { PartitionLog } from './partition-log.ts'
import { newRecoveryReport, type RecoveryReport } from './recovery-report.ts'

/** Takes in what `partitions` find in their directories, and says so in `report`. @returns what is missing between it. @throws DiskError */
export async function takeInLeftSegments(partitions: readonly PartitionLog[], report: RecoveryReport): Promise<readonly DroppedRange[]> {
  const found = newRecoveryReport()
  for (const partition of partitions) {
    await partition.recover(null, { coverage: [], isJournalWhole: false }, found)
    const { topicName, partitionIndex, logStartOffset, highWatermark } = partition
    if (highWatermark === logStartOffset) continue
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
