// Proves for the whole gateway, to which nobody speaks Kafka: a transaction that a client of an embedded server left open in its directory ends,
// and what it held back is shown; and that it ends in a topic that is full.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t from 'tap'
import { callControl } from '../../adapters/control/control-client.ts'
import { loadConfig } from '../../gateway/config/load.ts'
import { openGateway } from '../../gateway/gateway.ts'
import type { TailEvent } from '../../gateway/tail-feed.ts'
import { openBroker } from '../../runtime/broker/broker.ts'
import type { Core } from '../../runtime/core/core.ts'
import { nodeClock } from '../../runtime/io/node-clock.ts'
import { createNodeCodec } from '../../runtime/io/node-codec.ts'
import { nodeDisk } from '../../runtime/io/node-disk.ts'
import { nodeRandom } from '../../runtime/io/node-random.ts'
import { LogStore } from '../../runtime/log/log-store.ts'
import { loadTestCore } from '../helpers/core.ts'
import { event } from '../helpers/sim-store.ts'

const WAIT_MS_MAX = 20_000
const TIMEOUT_MS = 500

/** One event in a transaction that nobody ends, one behind it. */
async function leaveOpen(directory: string, core: Core): Promise<void> {
  const edges = { disk: nodeDisk, clock: nodeClock, random: nodeRandom, codec: createNodeCodec(), core }
  const store = await LogStore.open({ ...edges, directory, settings: { journalFileBytes: 4 * 2 ** 20 } })
  const { partitions } = await store.createTopic('plant')
  const [partition] = partitions
  if (!partition) throw new Error('no partition')
  const { transactions, appends, close } = openBroker({ ...edges, store })
  const who = await transactions.initProducer({ transactionalId: 'x', timeoutMs: TIMEOUT_MS, expected: null })
  await transactions.addPartitions('x', who, [partition])
  const producer = { ...who, baseSequence: 0, isTransactional: true }
  const records = core.buildBatch([event('undecided')], { baseOffset: 0, producer })
  await appends.append([{ topicName: 'plant', partitionIndex: 0, records }], { isZstdAllowed: true, hasTransactionalId: true })
  await store.commit([{ partition, content: { record: event('behind') } }], [])
  close()
  await store.close()
}

t.test('a transaction left open in the directory ends, and what it held back is shown', async (t) => {
  const directory = await mkdtemp(path.join(tmpdir(), 'wadi-open-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  await leaveOpen(directory, loadTestCore())
  const text = `gateway: { data: ${directory} }\nstorage: { journal: { file_size: 4MiB } }\nmqtt: [{ listen: 127.0.0.1:0 }]\nroutes: [{ filter: "#rest", topic: plant, key: none }]\n`
  const config = loadConfig(text, { fileName: 'wadi.yaml', environment: {} })
  const gateway = await openGateway(config, { log: () => undefined })
  t.teardown(() => gateway.close())
  const shown: string[] = []
  const request = { command: 'tail', patterns: ['plant'], last: 10, isFollowing: true }
  for await (const value of callControl(directory, request, { signal: AbortSignal.timeout(WAIT_MS_MAX) })) {
    shown.push(Buffer.from((value as TailEvent).value ?? '', 'base64').toString())
    if (shown.includes('behind')) break
  }
  t.same(shown, ['behind'])
})

t.test('a transaction ends in a topic that is full, or nothing behind it would ever be delivered or deleted', async (t) => {
  const directory = await mkdtemp(path.join(tmpdir(), 'wadi-open-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const core = loadTestCore()
  const edges = { disk: nodeDisk, clock: nodeClock, random: nodeRandom, codec: createNodeCodec(), core }
  const store = await LogStore.open({ ...edges, directory, settings: { journalFileBytes: 4 * 2 ** 20 } })
  const { partitions } = await store.createTopic('plant', { quotaBytes: 8 * 1024, whenFull: 'reject', codec: 'none' })
  const [partition] = partitions as [(typeof partitions)[number]]
  const { transactions, appends, close } = openBroker({ ...edges, store })
  const who = await transactions.initProducer({ transactionalId: 'x', timeoutMs: WAIT_MS_MAX, expected: null })
  await transactions.addPartitions('x', who, [partition])
  const records = core.buildBatch([event('in it')], { baseOffset: 0, producer: { ...who, baseSequence: 0, isTransactional: true } })
  await appends.append([{ topicName: 'plant', partitionIndex: 0, records }], { isZstdAllowed: true, hasTransactionalId: true })
  await t.rejects(
    async () => {
      for (;;) await store.commit([{ partition, content: { record: event('') } }], [])
    },
    { code: 'WADI_QUOTA_EXCEEDED' }
  )
  t.equal(partition.lastStableOffset, 0)
  t.equal(await transactions.end('x', who, 'commit'), 'NONE')
  t.equal(partition.lastStableOffset, partition.highWatermark)
  close()
  await store.close()
})
