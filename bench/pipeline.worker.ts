// A Kafka listener of one build, on a store whose syncs take so many milliseconds. Says { port }, then, each time it is asked, how many commits there were.
// Arguments: directory, milliseconds of a sync, partitions.

import * as listener from '../adapters/kafka-server/listener.ts'
import { openBroker } from '../runtime/broker/broker.ts'
import { nodeClock } from '../runtime/io/node-clock.ts'
import { createNodeCodec } from '../runtime/io/node-codec.ts'
import { nodeRandom } from '../runtime/io/node-random.ts'
import { loadTestCore } from '../test/helpers/core.ts'
import { openStore } from './open-store.ts'
import { slowDisk } from './slow-disk.ts'
import { tell } from './worker.ts'

const [directory = '', syncMs = '5', partitionCount = '1'] = process.argv.slice(2)
const core = loadTestCore()
const store = await openStore(directory, { freeBytesMin: 0 }, slowDisk(Number(syncMs)))
await store.createTopic('readings', { partitionCount: Number(partitionCount) })
const edges = { store, core, clock: nodeClock, random: nodeRandom, codec: createNodeCodec() }
/** Builds before the broker was opened beside it do that themselves. */
const opensBroker = !('KafkaListener' in listener)
const served = opensBroker ? edges : { broker: openBroker(edges), clusterId: store.logId }
const { address } = await listener.createKafkaListener(served as Parameters<typeof listener.createKafkaListener>[0])
tell({ port: address.port })
process.on('message', () => tell({ commits: store.metrics.commits }))
process.on('disconnect', () => process.exit(0))
