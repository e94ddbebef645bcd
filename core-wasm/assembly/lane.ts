// The fast lane: PUBLISH packets of QoS 0 and 1 out of what a socket gave, into the record pool, without an object for each.
//
//   view   0 at u32   4 room u32   8 events u32   12 acks u32   16 payload bytes f64   24 parts touched u32   28 meters touched u32
//         32 topic u32   36 topic bytes u32   40 QoS u32   44 part u32   48 recordBytesMax u32
//   part   0 serial u32   4 slot u32   8 room u32   12 records of this walk u32   16 bytes of this walk u32   20 turn u32
//
// A walk is laneBeginWalk, then laneFeed until it says DONE, MORE, OTHER or FULL; MISS and NO_BATCH are answered in between (lanePutPlan, laneOpenPart), and
// the walk goes on where it stopped.
//
// Invariants:
//   L1  What lies before `at` is done with: a packet is taken whole, with its acknowledgement, or not at all.
//   L2  Nothing irregular is judged here. It is OTHER, and whoever reads packets one by one (adapters/mqtt/packet-reader.ts) says what it is.
//   L3  A part is good only for the pool that its slot was opened in.
//   L4  A topic that is found by its bytes was checked when its plan was made.
// Not for: what a topic means, when to stop, who is answered (runtime/broker, adapters/mqtt).
// Source: MQTT 3.1.1 and 5.0, 2.2 and 3.3.

import { batchCount, openRecord } from './batch-builder'
import { copyBytes, load16, varintBytes, writeVarint } from './bytes'
import { RECORD_OVERHEAD_BYTES_MAX } from './grains'
import {
  findPlan,
  isPlanOf,
  planFixedBytes,
  planHeadersBytes,
  planKey,
  planKeyBytes,
  planMeter,
  planPart,
  planPartCount
} from './lane-plans'
import {
  LANE_ACKS,
  LANE_ACKS_BYTES,
  LANE_INPUT,
  LANE_INPUT_BYTES,
  LANE_METERS,
  LANE_PARTS,
  LANE_PARTS_MAX,
  LANE_TOUCHED_METERS,
  LANE_TOUCHED_PARTS,
  LANE_VIEW
} from './memory'
import { growSlot, poolSerial, slotAt } from './record-pool'

const AT: usize = 0
const ROOM: usize = 4
const EVENTS: usize = 8
const ACKS: usize = 12
const PAYLOAD_BYTES: usize = 16
const PARTS_TOUCHED: usize = 24
const METERS_TOUCHED: usize = 28
const TOPIC: usize = 32
const TOPIC_BYTES: usize = 36
const QOS: usize = 40
const PART: usize = 44
const RECORD_BYTES_MAX: usize = 48

const PART_BYTES: usize = 32
const PART_SLOT: usize = 4
const PART_ROOM: usize = 8
const PART_RECORDS: usize = 12
const PART_WALK_BYTES: usize = 16
const PART_TURN: usize = 20

/** All of the input is taken. */
const DONE: i32 = 0
/** What is left is the beginning of a packet that may be taken when it is whole. */
const MORE: i32 = 1
/** What is left begins with a packet that is not taken here. */
const OTHER: i32 = 2
/** The topic has no plan. */
const MISS: i32 = 3
/** The part has no open batch with room. */
const NO_BATCH: i32 = 4
/** No room for the event in this commit. */
const FULL: i32 = 5

const PUBLISH: u32 = 0x30
const DUP: u32 = 8
const PUBACK: u32 = 0x0240 // 0x40, 2 in memory

/** Forgets what was counted in the last walk. */
export function beginWalk(room: u32, recordBytesMax: u32): void {
  for (let i: u32 = 0, n = load<u32>(LANE_VIEW, PARTS_TOUCHED); i < n; i++) {
    const part = partAt(load<u32>(LANE_TOUCHED_PARTS + (<usize>i << 2)))
    store<u32>(part, 0, PART_RECORDS)
    store<u32>(part, 0, PART_WALK_BYTES)
  }
  for (let i: u32 = 0, n = load<u32>(LANE_VIEW, METERS_TOUCHED); i < n; i++) {
    store<u32>(LANE_METERS + (<usize>load<u32>(LANE_TOUCHED_METERS + (<usize>i << 2)) << 2), 0)
  }
  memory.fill(LANE_VIEW, 0, RECORD_BYTES_MAX)
  store<u32>(LANE_VIEW, room, ROOM)
  store<u32>(LANE_VIEW, recordBytesMax, RECORD_BYTES_MAX)
}

// @ts-ignore: decorator
@inline
function partAt(part: u32): usize {
  assert(part < LANE_PARTS_MAX, 'there is such a part')
  return LANE_PARTS + <usize>part * PART_BYTES
}

/** The records of a part go into this slot of the pool until it has taken `room` bytes. The batch itself takes `batchBytes` of the walk's room. */
export function openPart(part: u32, slot: u32, room: u32, batchBytes: u32): void {
  const left = load<u32>(LANE_VIEW, ROOM)
  store<u32>(LANE_VIEW, left - min(left, batchBytes), ROOM)
  const at = partAt(part)
  store<u32>(at, poolSerial())
  store<u32>(at, slot, PART_SLOT)
  store<u32>(at, room, PART_ROOM)
}

/** No record goes there until it is opened again. */
export function closePart(part: u32): void {
  store<u32>(partAt(part), poolSerial() - 1)
}

// @ts-ignore: decorator
@inline
function stop(at: usize, why: i32): i32 {
  store<u32>(LANE_VIEW, <u32>(at - LANE_INPUT), AT)
  return why
}

/**
 * Takes packets from LANE_INPUT + at up to LANE_INPUT + end; `acksMax` events of QoS 1 at most in the whole walk.
 * Its client has answered CONNECT; packets are at most `packetBytesMax` long, larger ones are OTHER.
 */
export function feed(client: u32, isV5: i32, end: u32, packetBytesMax: u32, acksMax: u32, timestamp: f64): i32 {
  assert(end <= LANE_INPUT_BYTES, 'the input ends in its region')
  const limit = LANE_INPUT + end
  const timestampMs = <i64>timestamp
  const recordBytesMax = load<u32>(LANE_VIEW, RECORD_BYTES_MAX)
  const serial = poolSerial()
  let at = LANE_INPUT + <usize>load<u32>(LANE_VIEW, AT)
  let plan: usize = 0
  while (at < limit) {
    const first: u32 = load<u8>(at)
    const qos: u32 = (first >> 1) & 3
    if ((first & 0xf1) != PUBLISH || qos > 1 || (first & 0x0e) == DUP) return stop(at, OTHER)
    // --- the remaining length, of at most three bytes
    let ptr = at + 1
    if (ptr == limit) return stop(at, MORE)
    let byte: u32 = load<u8>(ptr++)
    let length = byte & 0x7f
    if (byte >= 0x80) {
      if (ptr == limit) return stop(at, MORE)
      byte = load<u8>(ptr++)
      length |= (byte & 0x7f) << 7
      if (byte >= 0x80) {
        if (ptr == limit) return stop(at, MORE)
        byte = load<u8>(ptr++)
        length |= byte << 14
        if (byte >= 0x80) return stop(at, OTHER)
      }
      if (byte == 0) return stop(at, OTHER) // not in its shortest form
    }
    const next = ptr + length
    if (<u32>(next - at) > packetBytesMax) return stop(at, OTHER)
    if (next > limit) return stop(at, MORE)
    // --- topic, packet id, no properties
    if (length < 3) return stop(at, OTHER)
    const topicBytes = load16(ptr)
    const topic = ptr + 2
    const payload = topic + topicBytes + (qos << 1) + (isV5 ? 1 : 0)
    if (topicBytes == 0 || payload > next) return stop(at, OTHER)
    if (isV5 && load<u8>(payload - 1) != 0) return stop(at, OTHER)
    let packetId: u32 = 0
    if (qos != 0) {
      packetId = load<u16>(topic + topicBytes)
      if (packetId == 0 || load<u32>(LANE_VIEW, ACKS) == acksMax) return stop(at, OTHER)
    }
    // --- what becomes of it
    if (plan == 0 || !isPlanOf(plan, client, qos, topic, topicBytes)) {
      plan = findPlan(client, qos, topic, topicBytes)
      if (plan == 0) {
        store<u32>(LANE_VIEW, <u32>(topic - LANE_INPUT), TOPIC)
        store<u32>(LANE_VIEW, topicBytes, TOPIC_BYTES)
        store<u32>(LANE_VIEW, qos, QOS)
        return stop(at, MISS)
      }
    }
    const partCount = planPartCount(plan)
    if (partCount == 0) return stop(at, OTHER)
    const payloadBytes = <u32>(next - payload)
    const bytes = planFixedBytes(plan) + payloadBytes
    if (bytes > recordBytesMax) return stop(at, OTHER)
    const room = load<u32>(LANE_VIEW, ROOM)
    if (bytes > room) return stop(at, FULL)
    let partNumber = planPart(plan)
    const firstPart = partAt(partNumber)
    if (partCount > 1) partNumber += load<u32>(firstPart, PART_TURN) % partCount
    const part = partAt(partNumber)
    if (load<u32>(part) != serial || load<u32>(part, PART_ROOM) < bytes) {
      store<u32>(LANE_VIEW, partNumber, PART)
      return stop(at, NO_BATCH)
    }
    if (!addEvent(plan, slotAt(load<u32>(part, PART_SLOT)), timestampMs, payload, payloadBytes)) return stop(at, FULL)
    // --- taken
    if (partCount > 1) store<u32>(firstPart, load<u32>(firstPart, PART_TURN) + 1, PART_TURN)
    count(part, partNumber, planMeter(plan), bytes)
    store<u32>(LANE_VIEW, room - bytes, ROOM)
    store<f64>(LANE_VIEW, load<f64>(LANE_VIEW, PAYLOAD_BYTES) + <f64>payloadBytes, PAYLOAD_BYTES)
    if (qos != 0) {
      const acks = load<u32>(LANE_VIEW, ACKS)
      assert((acks << 2) + 4 <= LANE_ACKS_BYTES, 'there is room for every acknowledgement of an input')
      store<u32>(LANE_ACKS + (<usize>acks << 2), (packetId << 16) | PUBACK)
      store<u32>(LANE_VIEW, acks + 1, ACKS)
    }
    at = next
  }
  return stop(at, DONE)
}

/** @returns false when the pool has no room: nothing was added */
// @ts-ignore: decorator
@inline
function addEvent(plan: usize, slot: usize, timestampMs: i64, payload: usize, payloadBytes: u32): bool {
  const keyBytes = planKeyBytes(plan)
  const headersBytes = planHeadersBytes(plan)
  const body = keyBytes + varintBytes(payloadBytes) + payloadBytes + headersBytes
  const delta = batchCount(slot)
  let to = openRecord(slot, timestampMs, delta, body)
  if (to == 0) {
    if (!growSlot(slot, RECORD_OVERHEAD_BYTES_MAX + body)) return false
    to = openRecord(slot, timestampMs, delta, body)
    assert(to != 0, 'the record fits its grain')
  }
  const key = planKey(plan)
  copyBytes(to, key, keyBytes)
  to = writeVarint(to + keyBytes, payloadBytes)
  copyBytes(to, payload, payloadBytes)
  copyBytes(to + payloadBytes, key + keyBytes, headersBytes)
  return true
}

// @ts-ignore: decorator
@inline
function count(part: usize, partNumber: u32, meter: u32, bytes: u32): void {
  const records = load<u32>(part, PART_RECORDS)
  if (records == 0) {
    const touched = load<u32>(LANE_VIEW, PARTS_TOUCHED)
    store<u32>(LANE_TOUCHED_PARTS + (<usize>touched << 2), partNumber)
    store<u32>(LANE_VIEW, touched + 1, PARTS_TOUCHED)
  }
  store<u32>(part, records + 1, PART_RECORDS)
  store<u32>(part, load<u32>(part, PART_WALK_BYTES) + bytes, PART_WALK_BYTES)
  store<u32>(part, load<u32>(part, PART_ROOM) - bytes, PART_ROOM)
  const metered = LANE_METERS + (<usize>meter << 2)
  const hits = load<u32>(metered)
  if (hits == 0) {
    const touched = load<u32>(LANE_VIEW, METERS_TOUCHED)
    store<u32>(LANE_TOUCHED_METERS + (<usize>touched << 2), meter)
    store<u32>(LANE_VIEW, touched + 1, METERS_TOUCHED)
  }
  store<u32>(metered, hits + 1)
  store<u32>(LANE_VIEW, load<u32>(LANE_VIEW, EVENTS) + 1, EVENTS)
}
