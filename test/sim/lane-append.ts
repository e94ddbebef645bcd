// An event that comes by the fast lane, without sockets: the bytes of its PUBLISH through the core into the store.

import type { Core } from '../../runtime/core/core.ts'
import type { AppendDone, LaneAppends, Partition, Topic } from '../../runtime/log/contract.ts'
import { publishPacket } from '../mqtt/packets.ts'

export interface LaneEvent {
  readonly topic: Topic
  readonly partition: Partition
  /** Key of the record, and of the plan. */
  readonly deviceName: string
  readonly value: string
  readonly timestampMs: number
}

const CLIENT = 1
const NO_BYTES = new Uint8Array(0)

/** @returns false when the lane does not take it now: nothing was done */
export function appendByLane(core: Core, appends: LaneAppends, event: LaneEvent, done: AppendDone): boolean {
  return appendAllByLane(core, appends, { ...event, values: [event.value] }, done) === 1
}

/** Several in one walk; `done` gets the offset of the last. @returns how many of them, the first ones */
export function appendAllByLane(
  { lane }: Core,
  appends: LaneAppends,
  event: Omit<LaneEvent, 'value'> & { readonly values: readonly string[] },
  done: AppendDone
): number {
  const { topic, partition, deviceName, values, timestampMs } = event
  const first = appends.partsOf(topic)
  if (first === null || appends.begin(1 << 20) !== 'open') return 0
  const place = `${topic.number}/${partition.partitionIndex}/${deviceName}`
  lane.load(NO_BYTES, Buffer.concat(values.map((payload) => publishPacket({ topic: place, payload, qos: 1, packetId: 1 }))), 0)
  const feed = { client: CLIENT, isV5: false, packetBytesMax: 1 << 16, acksMax: values.length, timestampMs }
  const plan = { meter: 0, part: first + partition.partitionIndex, partCount: 1, key: new TextEncoder().encode(deviceName), headers: [] }
  for (let stop = lane.feed(feed); stop !== 'done'; stop = lane.feed(feed)) {
    if (stop === 'miss') lane.putPlan(CLIENT, plan)
    else if (stop !== 'no-batch' || appends.openPart(lane.part) !== 'open') break
  }
  const { events } = lane
  if (events > 0) appends.end((error, [end]) => done(error, ((end?.endOffset ?? 1) - 1) as Parameters<AppendDone>[1]))
  return events
}
