// What becomes of the events of one client on one MQTT topic, decided once: the plans of the fast lane, found by the bytes of the topic.
//
//   plan   0 client u32   4 QoS u32   8 topic bytes u32   12 meter u32   16 first part u32   20 number of parts u32 (0 = a slow plan)
//         24 key bytes u32   28 headers bytes u32   32 fixed bytes u32
//         36 topic | key as a field of a record | headers of a record | slack for copies
//   entry  hash u32 | plan u32 (0 = empty)
//
// Invariants: what a plan says is never changed; one that is forgotten is found by nobody, and its place is free when all are forgotten. A search
// looks at PROBES_MAX entries at most, whoever chose the topics.
// Not for: how the bytes of a packet become an event (lane.ts), what a plan says (runtime/broker).

import { writeField } from './batch-builder'
import { copyBytes, varintBytes } from './bytes'
import { RECORD_OVERHEAD_BYTES_MAX } from './grains'
import { HEADERS, INPUT, LANE_INPUT, LANE_INPUT_BYTES, LANE_PLANS, LANE_PLANS_BYTES, LANE_TABLE, LANE_TABLE_ENTRIES } from './memory'

const CLIENT: usize = 0
const QOS: usize = 4
const TOPIC_BYTES: usize = 8
const METER: usize = 12
const PART: usize = 16
const PART_COUNT: usize = 20
const KEY_BYTES: usize = 24
const HEADERS_BYTES: usize = 28
const FIXED_BYTES: usize = 32
const TOPIC: usize = 36
const SLACK_BYTES: u32 = 16
const ENTRY_BYTES: usize = 8
const PROBES_MAX: u32 = 32
/** Of the table at most half is used: searches stay short. */
const PLANS_MAX: u32 = LANE_TABLE_ENTRIES / 2
/** Of a plan that was forgotten: no client has it. */
const NOBODY: u32 = 0xffffffff
const SLASH: u32 = 0x2f
const PLUS: u32 = 0x2b
const HASH_SIGN: u32 = 0x23
const DOLLAR: u32 = 0x24
const MULTIPLIER: u64 = 0x9e3779b97f4a7c15

let seed: u64 = 0
let used: usize = LANE_PLANS
let count: u32 = 0

/** Chosen at random, so that topics that meet in the table cannot be computed beforehand. All plans are forgotten. */
export function seedPlans(value: u64): void {
  seed = value
  forgetPlans()
}

export function forgetPlans(): void {
  if (count > 0) memory.fill(LANE_TABLE, 0, <usize>LANE_TABLE_ENTRIES * ENTRY_BYTES)
  count = 0
  used = LANE_PLANS
}

/** Forgets the plans of all topics that a filter matches. */
export function forgetMatching(filter: usize, filterBytes: u32): void {
  for (let plan = LANE_PLANS; plan < used; plan = behind(plan)) {
    if (load<u32>(plan, CLIENT) == NOBODY) continue
    if (isMatch(filter, filterBytes, plan + TOPIC, load<u32>(plan, TOPIC_BYTES))) store<u32>(plan, NOBODY, CLIENT)
  }
}

/** Source: MQTT 5, 4.7. Names are well formed. */
function isMatch(filter: usize, filterBytes: u32, topic: usize, topicBytes: u32): bool {
  const filterEnd = filter + filterBytes
  const topicEnd = topic + topicBytes
  const wild: u32 = load<u8>(filter)
  if (load<u8>(topic) == DOLLAR && (wild == HASH_SIGN || wild == PLUS)) return false
  while (topic <= topicEnd) {
    const byte: u32 = filter < filterEnd ? load<u8>(filter) : 0
    if (byte == HASH_SIGN) return true
    if (byte == PLUS) {
      filter++
      while (topic < topicEnd && load<u8>(topic) != SLASH) topic++
    } else {
      while (filter < filterEnd && load<u8>(filter) != SLASH) {
        if (topic == topicEnd || load<u8>(topic) != load<u8>(filter)) return false
        filter++
        topic++
      }
      if (topic < topicEnd && load<u8>(topic) != SLASH) return false
    }
    if (topic == topicEnd) {
      if (filter == filterEnd) return true
      return filterEnd - filter == 2 && load<u8>(filter, 1) == HASH_SIGN // a/# matches a
    }
    if (filter == filterEnd) return false
    filter++
    topic++
  }
  return false
}

/** Where the plan behind this one begins. */
// @ts-ignore: decorator
@inline
function behind(plan: usize): usize {
  const bytes: usize = TOPIC + load<u32>(plan, TOPIC_BYTES) + load<u32>(plan, KEY_BYTES) + load<u32>(plan, HEADERS_BYTES) + SLACK_BYTES
  return (plan + bytes + 7) & ~7
}

// @ts-ignore: decorator
@inline
function mix(hash: u64, word: u64): u64 {
  const product = (hash ^ word) * MULTIPLIER
  return product ^ (product >> 29)
}

/** The topic has slack behind it: words are read whole. */
function hashOf(client: u32, qos: u32, topic: usize, topicBytes: u32): u32 {
  let hash = mix(seed, (<u64>client << 32) | (<u64>topicBytes << 1) | qos)
  let at = topic
  const end = topic + topicBytes
  while (at + 8 <= end) {
    hash = mix(hash, load<u64>(at))
    at += 8
  }
  if (at < end) hash = mix(hash, load<u64>(at) & ((<u64>1 << ((end - at) << 3)) - 1))
  return <u32>(mix(hash, seed) >> 32)
}

// @ts-ignore: decorator
@inline
export function isPlanOf(plan: usize, client: u32, qos: u32, topic: usize, topicBytes: u32): bool {
  if (load<u32>(plan, TOPIC_BYTES) != topicBytes || load<u32>(plan, CLIENT) != client || load<u32>(plan, QOS) != qos) return false
  return memory.compare(plan + TOPIC, topic, topicBytes) == 0
}

/** @returns 0 = there is none */
export function findPlan(client: u32, qos: u32, topic: usize, topicBytes: u32): usize {
  const hash = hashOf(client, qos, topic, topicBytes)
  let index = hash & (LANE_TABLE_ENTRIES - 1)
  for (let probes: u32 = 0; probes < PROBES_MAX; probes++) {
    const entry = LANE_TABLE + <usize>index * ENTRY_BYTES
    const plan: usize = load<u32>(entry, 4)
    if (plan == 0) return 0
    if (load<u32>(entry) == hash && isPlanOf(plan, client, qos, topic, topicBytes)) return plan
    index = (index + 1) & (LANE_TABLE_ENTRIES - 1)
  }
  return 0
}

/**
 * Keeps a plan: its topic from the input of the lane, its key from INPUT (-1 = null), its headers from HEADERS (stageHeaders). When there is no room any more
 * all others are forgotten.
 * @returns 1, or 0 when it is too large to be kept
 */
export function putPlan(
  client: u32,
  qos: u32,
  topic: usize,
  topicBytes: u32,
  meter: u32,
  part: u32,
  partCount: u32,
  keyBytes: i32,
  headersBytes: u32
): i32 {
  assert(topic >= LANE_INPUT && topic + topicBytes <= LANE_INPUT + LANE_INPUT_BYTES, 'the topic lies in the input')
  const fieldBytes = varintBytes(keyBytes) + max(keyBytes, 0)
  const bytes = (TOPIC + <u64>topicBytes + <u64>fieldBytes + <u64>headersBytes + SLACK_BYTES + 7) & ~7
  if (bytes > LANE_PLANS_BYTES / 64) return 0
  if (<u64>used + bytes > LANE_PLANS + LANE_PLANS_BYTES || count == PLANS_MAX) forgetPlans()
  const plan = used
  const hash = hashOf(client, qos, topic, topicBytes)
  store<u32>(plan, client, CLIENT)
  store<u32>(plan, qos, QOS)
  store<u32>(plan, topicBytes, TOPIC_BYTES)
  store<u32>(plan, meter, METER)
  store<u32>(plan, part, PART)
  store<u32>(plan, partCount, PART_COUNT)
  store<u32>(plan, fieldBytes, KEY_BYTES)
  store<u32>(plan, headersBytes, HEADERS_BYTES)
  store<u32>(plan, <u32>RECORD_OVERHEAD_BYTES_MAX + fieldBytes + headersBytes, FIXED_BYTES)
  copyBytes(plan + TOPIC, topic, topicBytes)
  copyBytes(writeField(planKey(plan), INPUT, keyBytes), HEADERS, headersBytes)
  used = behind(plan)
  enter(plan, hash)
  return 1
}

/** From now on it is found. */
function enter(plan: usize, hash: u32): void {
  const mask = LANE_TABLE_ENTRIES - 1
  for (let probes: u32 = 0; probes < PROBES_MAX; probes++) {
    const entry = LANE_TABLE + <usize>((hash + probes) & mask) * ENTRY_BYTES
    if (load<u32>(entry, 4) != 0) continue
    store<u32>(entry, hash)
    store<u32>(entry, <u32>plan, 4)
    count++
    return
  }
  // No entry within reach, which half a table hardly ever has: all plans go, this one too; it is asked for again.
  forgetPlans()
}

// @ts-ignore: decorator
@inline
export function planPartCount(plan: usize): u32 {
  return load<u32>(plan, PART_COUNT)
}

// @ts-ignore: decorator
@inline
export function planPart(plan: usize): u32 {
  return load<u32>(plan, PART)
}

// @ts-ignore: decorator
@inline
export function planMeter(plan: usize): u32 {
  return load<u32>(plan, METER)
}

// @ts-ignore: decorator
@inline
export function planFixedBytes(plan: usize): u32 {
  return load<u32>(plan, FIXED_BYTES)
}

// @ts-ignore: decorator
@inline
export function planKeyBytes(plan: usize): u32 {
  return load<u32>(plan, KEY_BYTES)
}

// @ts-ignore: decorator
@inline
export function planHeadersBytes(plan: usize): u32 {
  return load<u32>(plan, HEADERS_BYTES)
}

/** Where the key lies, the headers behind it. */
// @ts-ignore: decorator
@inline
export function planKey(plan: usize): usize {
  return plan + TOPIC + load<u32>(plan, TOPIC_BYTES)
}
