// A gateway over a real store, with the fast lane or without it.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { toOffset } from '../../runtime/base/offset.ts'
import type { RouteConfig } from '../../runtime/broker/routes.ts'
import type { Core } from '../../runtime/core/core.ts'
import type { Disk } from '../../runtime/io/disk.ts'
import { nodeClock } from '../../runtime/io/node-clock.ts'
import { createNodeCodec } from '../../runtime/io/node-codec.ts'
import { nodeDisk } from '../../runtime/io/node-disk.ts'
import { nodeRandom } from '../../runtime/io/node-random.ts'
import type { Partition, TopicConfig } from '../../runtime/log/contract.ts'
import { LogStore } from '../../runtime/log/log-store.ts'
import type { StorageSettings } from '../../runtime/log/settings.ts'
import { loadTestCore } from '../helpers/core.ts'
import { textOf } from './controlled-store.ts'
import { type GatewayOptions, startGateway, type Test, type TestGateway } from './rig.ts'

export const laneRoutes: RouteConfig[] = [
  { name: 'decoded', filter: 'json/+dev', topic: 'events', key: '{dev}', value: { decode: 'json' } },
  { name: 'keyed', filter: 'd/+dev', topic: 'events', key: '{dev}', headers: { device: '{dev}' } },
  { name: 'loose', filter: 'loose/#rest', topic: 'loose', key: null }
]

export interface LaneGateway {
  readonly gateway: TestGateway
  readonly store: LogStore
  readonly core: Core
  /** Plans that were made for the lane, and those that say that it is not for a topic. */
  readonly plans: { fast: number; slow: number }
}

export interface LaneGatewayOptions extends Pick<GatewayOptions, 'authorizer' | 'limits' | 'ingestLimits' | 'handshakes'> {
  readonly isLaneOpen?: boolean
  readonly disk?: Disk
  readonly settings?: Partial<StorageSettings>
  readonly topic?: Partial<TopicConfig>
}

export async function openLaneGateway(t: Test, options: LaneGatewayOptions = {}): Promise<LaneGateway> {
  const { isLaneOpen = true, disk = nodeDisk, settings, topic, ...others } = options
  const directory = mkdtempSync(join(tmpdir(), 'wadi-lane-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const core = loadTestCore('debug')
  const edges = { disk, clock: nodeClock, random: nodeRandom, core, codec: createNodeCodec() }
  const store = await LogStore.open({
    ...edges,
    directory,
    settings: { journalFileBytes: 4 << 20, commitBytesMax: 256 * 1024, ...settings }
  })
  for (const name of ['events', 'loose', '_wadi.dlq']) {
    await store.createTopic(name, { partitionCount: 4, codec: 'none', isForwarded: false, ...topic })
  }
  const plans = { fast: 0, slow: 0 }
  const { lane } = core
  const putPlan = lane.putPlan.bind(lane)
  lane.putPlan = (client, plan) => {
    plans[plan === null ? 'slow' : 'fast']++
    return putPlan(client, plan)
  }
  const gateway = await startGateway(t, {
    ...{ realStore: store, routes: laneRoutes },
    ...others,
    ...(isLaneOpen && { lane: { core, appends: store.lane } })
  })
  t.teardown(() => store.close())
  return { gateway, store, core, plans }
}

export interface StoredText {
  readonly key: string
  readonly value: string
  readonly headers: string
}

export async function readAll(core: Core, partition: Partition): Promise<StoredText[]> {
  const records: StoredText[] = []
  for (let offset = partition.logStartOffset; offset < partition.highWatermark; ) {
    const { batches, nextOffset } = await partition.read(toOffset(offset), { bytesMax: 1 << 20 })
    for (const { bytes } of batches) {
      for (const { key, value, headers } of core.readRecords(bytes)) {
        const words = headers.map((header) => `${textOf(header.key)}=${textOf(header.value)}`)
        records.push({ key: textOf(key), value: textOf(value), headers: words.join(' ') })
      }
    }
    offset = nextOffset
  }
  return records
}

/** Of all partitions, one behind the other. */
export async function readTopic({ store, core }: LaneGateway, name: string): Promise<StoredText[]> {
  const found: StoredText[] = []
  for (const partition of store.topics.get(name)?.partitions ?? []) found.push(...(await readAll(core, partition)))
  return found
}
