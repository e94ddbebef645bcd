// Mutated packets through the core's lane alone: what it takes is what the packet reader would have read there, byte for byte, and never more.
// Used by lane-fuzz.test.ts and, with many more, by test/soak.ts.

import { PacketReader } from '../../adapters/mqtt/packet-reader.ts'
import type { ClientPacket } from '../../adapters/mqtt/packets.ts'
import { PublishTopics } from '../../adapters/mqtt/publish-topics.ts'
import type { Core } from '../../runtime/core/core.ts'
import { Prng } from '../sim/prng.ts'
import { connectPacket, publishPacket } from './packets.ts'
import { connect5, publish5 } from './packets-5.ts'
import { smallLimits, TOPIC_ALIAS_MAX } from './reading.ts'
import { flipped, mutatePacket } from './session.ts'
import { mutatePacket5 } from './session-5.ts'

export interface LaneFuzzResult {
  readonly packets: number
  /** That the lane took. */
  readonly taken: number
  /** What went wrong first, with the bytes; null = nothing. */
  readonly problem: string | null
}

const ROOM_BYTES = 1 << 20
const NO_BYTES = new Uint8Array(0)

export function fuzzLane(core: Core, { version, count, seed }: { version: 4 | 5; count: number; seed: number }): LaneFuzzResult {
  const prng = new Prng(seed)
  let [packets, taken] = [0, 0]
  for (let client = 1; packets < count; client++) {
    const stream: Buffer[] = []
    for (let left = prng.between(1, 12); left > 0; left--) stream.push(onePacket(prng, version))
    packets += stream.length
    const whole = Buffer.concat(stream)
    const bytes = prng.chance(20) ? whole.subarray(0, prng.below(whole.length + 1)) : whole
    const walked = walk(core, { client: client & 0xff, version, bytes, cut: prng.chance(50) ? prng.below(bytes.length + 1) : bytes.length })
    taken += walked.values.length
    const problem = walked.problem ?? problemOf(walked, version, bytes)
    if (problem) return { packets, taken, problem: `${problem}: ${bytes.toString('hex')}` }
  }
  return { packets, taken, problem: null }
}

function onePacket(prng: Prng, version: 4 | 5): Buffer {
  if (prng.chance(30)) return version === 4 ? mutatePacket(prng) : mutatePacket5(prng)
  const fields = {
    topic: prng.pick(['a', 'd/x', 'ä/€', 'd/good/not']),
    payload: prng.bytes(prng.pick([0, 3, 40, 200])),
    packetId: prng.between(1, 300)
  }
  const qos = prng.below(2)
  const whole = version === 4 ? publishPacket({ ...fields, qos, dup: qos > 0 && prng.chance(20) }) : publish5({ ...fields, qos })
  return prng.chance(15) ? flipped(prng, whole, 0) : whole
}

interface Walked {
  readonly consumed: number
  readonly stop: string
  readonly ids: readonly number[]
  readonly values: readonly string[]
  readonly problem: string | null
}

/** The bytes up to `cut` as the head, the others as the chunk. */
function walk(core: Core, { client, version, bytes, cut }: { client: number; version: 4 | 5; bytes: Buffer; cut: number }): Walked {
  const { lane, pool, commit } = core
  pool.clear()
  lane.beginWalk({ roomBytes: ROOM_BYTES, recordBytesMax: 64 * 1024 })
  lane.load(bytes.subarray(0, cut), bytes, cut)
  const feed = { client, isV5: version === 5, packetBytesMax: smallLimits.packetBytesMax, acksMax: 0xffffffff, timestampMs: 1 }
  const topics = new PublishTopics(smallLimits)
  let batch: number | null = null
  let stop = lane.feed(feed)
  while (stop === 'miss' || stop === 'no-batch') {
    if (stop === 'miss')
      lane.putPlan(client, isTopic(topics, lane.topic) ? { meter: 1, part: 7, partCount: 1, key: null, headers: [] } : null)
    else lane.openPart(7, (batch = pool.openBatch()) ?? -1, { roomBytes: ROOM_BYTES, batchBytes: 100 })
    stop = lane.feed(feed)
  }
  const acks = Buffer.from(lane.acks)
  const ids = Array.from({ length: lane.ackCount }, (_, index) => acks.readUInt16BE(index * 4 + 2))
  const isRight = ids.every((_, index) => acks.readUInt16BE(index * 4) === 0x4002)
  const values: string[] = []
  if (batch !== null && lane.events > 0) {
    commit.begin()
    const added = commit.addPooled({ topicNumber: 1, partitionIndex: 0, baseOffset: 0 }, batch)
    const copy = added && new Uint8Array(added)
    if (!copy || core.checkBatch(copy) !== null) return { consumed: lane.at, stop, ids, values, problem: 'a batch that is none' }
    for (const { value } of core.readRecords(copy)) values.push(Buffer.from(value ?? NO_BYTES).toString('hex'))
  }
  const problem = !isRight
    ? 'acknowledgements that are none'
    : values.length !== lane.events
      ? `${values.length} of ${lane.events} events`
      : null
  return { consumed: lane.at, stop, ids, values, problem }
}

function isTopic(topics: PublishTopics, bytes: Uint8Array): boolean {
  try {
    return topics.read(Buffer.from(bytes), 0, bytes.byteLength) !== ''
  } catch {
    return false
  }
}

function problemOf({ consumed, stop, ids, values }: Walked, version: 4 | 5, bytes: Buffer): string | null {
  const found: ClientPacket[] = []
  const reader = new PacketReader(smallLimits, { topicAliasMaximum: TOPIC_ALIAS_MAX })
  reader.push(Buffer.concat([version === 4 ? connectPacket() : connect5(), bytes.subarray(0, consumed)]))
  for (let packet = reader.next(); packet !== null; packet = reader.next()) found.push(packet)
  const publishes = found.slice(1).flatMap((packet) => (packet.type === 'publish' ? [packet] : []))
  if (reader.fault) return `took what the reader refuses: ${reader.fault.message}`
  if (publishes.length !== found.length - 1) return 'took something else than PUBLISH'
  if (publishes.some(({ retain, qos, properties }) => retain || qos > 1 || properties !== null)) return 'took what is not for it'
  const read = publishes.map(({ payload }) => Buffer.from(payload).toString('hex'))
  if (read.join() !== values.join()) return `took ${values} where ${read} stand`
  const readIds = publishes.flatMap(({ qos, packetId }) => (qos > 0 ? [packetId] : []))
  if (readIds.join() !== ids.join()) return `acknowledges ${ids} instead of ${readIds}`
  return stop === 'done' && consumed !== bytes.length ? 'done before the end' : null
}
