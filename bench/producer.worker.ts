// One run of idempotent producers into the broker of a library, in a process of its own, so that another build can be asked. Says a ProducerRun.
// Arguments: directory, count of producers, records per batch, count of records in all, count of records to warm up with.
// A producer has one batch on its way; the clock runs until all is acknowledged, sealed, checkpointed and closed.

import { openBroker } from '../runtime/broker/broker.ts'
import { nodeClock } from '../runtime/io/node-clock.ts'
import { createNodeCodec } from '../runtime/io/node-codec.ts'
import { nodeRandom } from '../runtime/io/node-random.ts'
import { loadTestCore } from '../test/helpers/core.ts'
import { quietCounters } from './device.ts'
import { sensorPayload } from './harness.ts'
import type { DeviceCounters } from './loop-device.ts'
import { openStore } from './open-store.ts'
import type { ProducerRun } from './producer.ts'
import { tell } from './worker.ts'

const PARTITION_COUNT = 4
const RECORD_BYTES = 100

const [directory = '', ...counts] = process.argv.slice(2)
const [producerCount = 1, recordsPerBatch = 1, recordCount = 0, warmCount = 0] = counts.map(Number)

const core = loadTestCore()
const store = await openStore(directory, { freeBytesMin: 0 })
await store.createTopic('readings', { partitionCount: PARTITION_COUNT })
const broker = openBroker({ store, core, clock: nodeClock, random: nodeRandom, codec: createNodeCodec() })
const sequences = new Map<number, number>()

/** Every batch of a producer, encoded before the clock runs. */
function batchesOf(producer: number, count: number): Uint8Array[] {
  const batches: Uint8Array[] = []
  for (let left = count; left > 0; left -= recordsPerBatch) {
    const baseSequence = sequences.get(producer) ?? 0
    const records = Array.from({ length: recordsPerBatch }, (_, index) => ({
      timestampMs: nodeClock.wallMs(),
      key: null,
      value: sensorPayload(baseSequence + index, RECORD_BYTES),
      headers: []
    }))
    const fields = { producerId: BigInt(1_000 + producer), producerEpoch: 0, baseSequence, isTransactional: false }
    batches.push(core.buildBatch(records, { baseOffset: 0, producer: fields }).slice())
    sequences.set(producer, baseSequence + recordsPerBatch)
  }
  return batches
}

async function produce(producer: number, batches: readonly Uint8Array[]): Promise<void> {
  const place = { topicName: 'readings', partitionIndex: producer % PARTITION_COUNT }
  for (const records of batches) {
    const [outcome] = await broker.appends.append([{ ...place, records }], { isZstdAllowed: true, hasTransactionalId: false })
    if (outcome?.fault !== 'NONE') throw new Error(`a batch was refused: ${outcome?.fault}`)
  }
}

function plan(count: number): { producer: number; batches: Uint8Array[] }[] {
  return Array.from({ length: producerCount }, (_, producer) => ({ producer, batches: batchesOf(producer, count / producerCount) }))
}

function counters(): DeviceCounters {
  const { writtenBytes, syncs } = store.metrics
  return { writtenBytes: Object.values(writtenBytes).reduce((sum, bytes) => sum + bytes, 0), flushes: syncs }
}

const run = (load: ReturnType<typeof plan>): Promise<unknown> =>
  Promise.all(load.map(({ producer, batches }) => produce(producer, batches)))
await run(plan(warmCount))
await store.flush()
const load = plan(recordCount)
const sentCount = load.reduce((sum, { batches }) => sum + batches.length * recordsPerBatch, 0)
const before = await quietCounters(counters)
const startMs = performance.now()
await run(load)
const ackedMs = performance.now() - startMs
broker.close()
await store.close()
const elapsedMs = performance.now() - startMs
const writtenBytes = counters().writtenBytes - before.writtenBytes
const result: ProducerRun = {
  ackedPerSecond: (sentCount / ackedMs) * 1_000,
  storedPerSecond: (sentCount / elapsedMs) * 1_000,
  bytesPerPayloadByte: writtenBytes / (sentCount * RECORD_BYTES)
}
tell(result)
process.on('disconnect', () => process.exit(0))
