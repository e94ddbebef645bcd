// Commits one behind the other, on a disk that syncs nothing, while consumers wait for more bytes than come. Says { microsPerCommit }: processor time.
// Arguments: directory, consumers that wait, partitions (each consumer waits for all), partitions that one commit writes, commits.

import { openBroker } from '../runtime/broker/broker.ts'
import { nodeClock } from '../runtime/io/node-clock.ts'
import { createNodeCodec } from '../runtime/io/node-codec.ts'
import { nodeRandom } from '../runtime/io/node-random.ts'
import { loadTestCore } from '../test/helpers/core.ts'
import { sensorPayload } from './harness.ts'
import { openStore } from './open-store.ts'
import { slowDisk } from './slow-disk.ts'
import { tell } from './worker.ts'

const NEVER_MS = 3_600_000
const WARM_COMMITS = 20

const [directory = '', ...counts] = process.argv.slice(2)
const [consumers = 0, partitionCount = 1, perCommit = 1, commits = 1] = counts.map(Number)

const core = loadTestCore()
const store = await openStore(directory, { freeBytesMin: 0, lingerMs: 0 }, slowDisk(null))
const { partitions } = await store.createTopic('readings', { partitionCount })
const broker = openBroker({ store, core, clock: nodeClock, random: nodeRandom, codec: createNodeCodec() })
const places = partitions.map(({ partitionIndex }) => ({
  topicName: 'readings',
  partitionIndex,
  fetchOffset: 0,
  bytesMax: 2 ** 20,
  leaderEpoch: -1
}))
const request = { places, isolation: 'read_committed', maxWaitMs: NEVER_MS, bytesMin: 2 ** 30, bytesMax: 2 ** 30 } as const
for (let consumer = 0; consumer < consumers; consumer++) void broker.fetches.fetch(request)

async function commit(at: number): Promise<void> {
  const record = { timestampMs: nodeClock.wallMs(), key: null, value: sensorPayload(at, 100), headers: [] }
  const appends = Array.from({ length: perCommit }, (_, index) => {
    const partition = partitions[(at * perCommit + index) % partitions.length]
    if (!partition) throw new Error('no partition')
    return { partition, content: { record } }
  })
  await store.commit(appends, [])
}

for (let at = 0; at < WARM_COMMITS; at++) await commit(at)
const before = process.cpuUsage()
for (let at = 0; at < commits; at++) await commit(at)
const { user, system } = process.cpuUsage(before)
tell({ microsPerCommit: (user + system) / commits })
process.on('disconnect', () => process.exit(0))
setInterval(() => undefined, NEVER_MS)
