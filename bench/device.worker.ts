// One run of measureCommits() in a process of its own, so that another build can be asked. Says its DeviceCost.
// Arguments: directory, name of the block device whose counters count ('-': what the store says it writes), the load as JSON.

import type { LogStore } from '../runtime/log/log-store.ts'
import { type CommitLoad, measureCommits } from './device.ts'
import { type DeviceCounters, readCounters } from './loop-device.ts'
import { tell } from './worker.ts'

const [directory = '', device = '-', load = '{}'] = process.argv.slice(2)
const counters = ({ metrics }: LogStore): DeviceCounters => {
  if (device !== '-') return readCounters(device)
  return { writtenBytes: Object.values(metrics.writtenBytes).reduce((sum, bytes) => sum + bytes, 0), flushes: metrics.syncs }
}
tell(await measureCommits(directory, { ...(JSON.parse(load) as Omit<CommitLoad, 'counters'>), counters }))
process.on('disconnect', () => process.exit(0))
