// Proves for storage on a real file system: a commit costs exactly one flush of the device, however many partitions it touches, and
// with 50 partitions of 300 bytes at most 1.5 device bytes per payload byte.
// How: ext4 on a loop device of its own, the kernel's counters around the commits. Needs root and a kernel that mounts.

import t from 'tap'
import { measureCommits } from '../../bench/device.ts'
import { withLoopDevice } from '../../bench/loop-device.ts'

for (const partitionCount of [1, 10, 50]) {
  t.test(`${partitionCount} partitions: one flush per commit`, async (t) => {
    const why = await withLoopDevice(async (mounted) => {
      const cost = await measureCommits(`${mounted.directory}/data`, {
        partitionCount,
        commitCount: 60,
        counters: () => mounted.counters()
      })
      t.equal(cost.flushesPerCommit, 1)
      if (partitionCount === 50) t.ok(cost.bytesPerPayloadByte <= 1.5, `${cost.bytesPerPayloadByte} device bytes per payload byte`)
      else t.ok(cost.bytesPerPayloadByte > 0)
    })
    if (why) t.pass('not tried', { skip: why })
  })
}
