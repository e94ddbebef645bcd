// Fills one limit of memory with small events and says what the process grew by: { limitBytes, grownBytes, residentBytes, heldBytes, count }.
// Needs --expose-gc. Arguments: 'tail' | 'ingest', directory, MiB of the limit.
//   tail    batches of one event of 26 bytes in 64 partitions, until twice the limit was stored; the largest growth seen on the way
//   ingest  says { port } first; events over MQTT, none of which becomes durable; ends when nothing more is taken
// Growth is the heap and what lies outside of it (after a collection each time), against the same process before the first event.

import * as mqttListener from '../adapters/mqtt/listener.ts'
import * as mqttBroker from '../adapters/mqtt/mqtt-broker.ts'
import { payloadDecoders } from '../adapters/mqtt/payload.ts'
import { Ingest } from '../runtime/broker/ingest.ts'
import { compileRoutes } from '../runtime/broker/routes.ts'
import type { Disk } from '../runtime/io/disk.ts'
import { nodeClock } from '../runtime/io/node-clock.ts'
import { createNodeCodec } from '../runtime/io/node-codec.ts'
import { nodeDisk } from '../runtime/io/node-disk.ts'
import { loadTestCore } from '../test/helpers/core.ts'
import { openStore } from './open-store.ts'
import { tell } from './worker.ts'

const MIB = 2 ** 20
const HOUR_MS = 3_600_000
const TAIL_PARTITIONS = 64
const VALUE_BYTES = 18
const BATCH_BYTES = 87
const SETTLE_MS = 250
const SETTLED_ROUNDS = 4
/** A load that is starved by other processes has half a minute to fill what it is to fill. */
const ROUNDS_MAX = 120

const [what = 'tail', directory = '', limitMib = '8'] = process.argv.slice(2)
const limitBytes = Number(limitMib) * MIB

function collect(): { heldBytes: number; residentBytes: number } {
  globalThis.gc?.()
  const { heapUsed, external, rss } = process.memoryUsage()
  return { heldBytes: heapUsed + external, residentBytes: rss }
}

async function fillTail(): Promise<void> {
  const settings = { lingerMs: 0, tailBytesMax: limitBytes, sealBytes: 2 ** 30, sealAgeMs: HOUR_MS, checkpointAgeMs: HOUR_MS }
  const store = await openStore(directory, { ...settings, freeBytesMin: 0 })
  const topic = await store.createTopic('readings', { partitionCount: TAIL_PARTITIONS })
  const rounds = Math.ceil((2 * limitBytes) / (BATCH_BYTES * TAIL_PARTITIONS))
  const before = collect()
  let largest = before
  for (let round = 0; round < rounds; round++) {
    const value = Buffer.alloc(VALUE_BYTES, round)
    const record = { timestampMs: nodeClock.wallMs(), key: null, value, headers: [] }
    await store.commit(
      topic.partitions.map((partition) => ({ partition, content: { record } })),
      []
    )
    if (round % Math.ceil(rounds / 64) !== 0) continue
    const now = collect()
    if (now.heldBytes > largest.heldBytes) largest = now
  }
  say(before, largest, rounds * TAIL_PARTITIONS)
}

/** The real disk, until durable writes are held back for ever. */
function heldDisk(isHeld: () => boolean): Disk {
  return {
    ...nodeDisk,
    async open(path, mode) {
      const file = await nodeDisk.open(path, mode)
      return new Proxy(file, {
        get(target, name) {
          const member: unknown = Reflect.get(target, name, target)
          if (typeof member !== 'function') return member
          if (/^write/.test(String(name)) && isHeld()) return () => new Promise<void>(() => undefined)
          return member.bind(target)
        }
      })
    }
  }
}

async function fillIngest(): Promise<void> {
  let isHeld = false
  const disk = heldDisk(() => isHeld)
  const store = await openStore(directory, { freeBytesMin: 0, sealAgeMs: HOUR_MS, checkpointAgeMs: HOUR_MS }, disk)
  await store.createTopic('readings', { partitionCount: 4 })
  const core = loadTestCore()
  const routes = [{ name: null, filter: 'bench/+client/#rest', topic: 'readings', key: '{client}' }]
  const { table } = compileRoutes({ routes, unmatched: { action: 'reject' }, deadLetter: 'readings' }, payloadDecoders)
  const ingest = new Ingest({ store, core, clock: nodeClock, table, limits: { inFlightBytesMax: limitBytes } })
  const port = await listen({ ingest, store, core })
  const before = collect()
  isHeld = true
  tell({ port })
  let lastCount = -1
  for (let settled = 0, round = 0; settled < SETTLED_ROUNDS && round < ROUNDS_MAX; round++) {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
    const { inFlightCount, inFlightBytes } = ingest.metrics
    settled = inFlightBytes > limitBytes / 2 && inFlightCount === lastCount ? settled + 1 : 0
    lastCount = inFlightCount
  }
  say(before, collect(), lastCount)
}

interface OneListener {
  start(): Promise<void>
  readonly address: { readonly port: number } | null
}

/** Builds before 0.2 had a broker for each listener: `--against` measures them with this file too. */
async function listen(parts: {
  ingest: Ingest
  store: Awaited<ReturnType<typeof openStore>>
  core: ReturnType<typeof loadTestCore>
}): Promise<number> {
  const { createMqttListener } = mqttBroker as unknown as { createMqttListener?: (options: object) => OneListener }
  if (createMqttListener) {
    const listener = createMqttListener({ port: 0, ...parts })
    await listener.start()
    return listener.address?.port ?? 0
  }
  const listener = new mqttListener.Listener({ port: 0 })
  await listener.bind()
  const broker = mqttBroker.createMqttBroker({ ...parts, codec: createNodeCodec() })
  await broker.start()
  broker.addListener(listener)
  return broker.addresses[0]?.port ?? 0
}

function say(before: ReturnType<typeof collect>, now: ReturnType<typeof collect>, count: number): void {
  const grownBytes = now.heldBytes - before.heldBytes
  tell({ limitBytes, grownBytes, residentGrownBytes: now.residentBytes - before.residentBytes, count })
}

await (what === 'tail' ? fillTail() : fillIngest())
process.on('disconnect', () => process.exit(0))
setInterval(() => undefined, 60_000)
