// Mutated packets through a PacketReader alone: it never throws, never goes on for ever, gives nothing that was not sent, and gives the same in pieces.
// Used by packet-reader-fuzz.test.ts and, with many more, by test/soak.ts.

import { PacketReader } from '../../adapters/mqtt/packet-reader.ts'
import type { ClientPacket, ProtocolVersion } from '../../adapters/mqtt/packets.ts'
import { Prng } from '../sim/prng.ts'
import { connectPacket, packet, string } from './packets.ts'
import { connect5 } from './packets-5.ts'
import { type Reading, smallLimits, TOPIC_ALIAS_MAX, wordsOf } from './reading.ts'
import { flipped, mutatedWill, mutatePacket } from './session.ts'
import { mutatedConnect5, mutatePacket5 } from './session-5.ts'

export interface FuzzResult {
  readonly packets: number
  /** That the reader stopped; the others passed, or want more bytes. */
  readonly stopped: number
  readonly passed: number
  /** What went wrong first, with the bytes; null = nothing. */
  readonly problem: string | null
}

const CONNECTS: Readonly<Record<ProtocolVersion, Buffer>> = {
  3: packet(0x10, string('MQIsdp'), [3, 2], [0, 0], string('raw')),
  4: connectPacket(),
  5: connect5()
}

export function fuzzReader({ version, count, seed }: { version: ProtocolVersion; count: number; seed: number }): FuzzResult {
  const prng = new Prng(seed)
  let stopped = 0
  let passed = 0
  for (let done = 0; done < count; done++) {
    const bytes = mutatedBytes(prng, version)
    const whole = tryRead([bytes])
    if (typeof whole === 'string') return { packets: done, stopped, passed, problem: `${whole}: ${bytes.toString('hex')}` }
    const problem = problemOf(whole, bytes) ?? otherInPieces(prng, whole, bytes)
    if (problem) return { packets: done, stopped, passed, problem: `${problem}: ${bytes.toString('hex')}` }
    if (whole.fault) stopped++
    else passed += whole.packets.length
  }
  return { packets: count, stopped, passed, problem: null }
}

/** A CONNECT that is good and a packet that is not, or a CONNECT that is not. */
function mutatedBytes(prng: Prng, version: ProtocolVersion): Buffer {
  if (prng.chance(10)) return version === 5 ? mutatedConnect5(prng) : mutatedWill(prng, 'x')
  const mutated = version === 5 ? mutatePacket5(prng) : mutatePacket(prng)
  const worse = prng.chance(20) ? cutOrPadded(prng, mutated) : mutated
  return Buffer.concat([CONNECTS[version], prng.chance(10) ? flipped(prng, worse, 0) : worse])
}

/** Bytes taken out or put in: what lies behind moves. */
function cutOrPadded(prng: Prng, bytes: Buffer): Buffer {
  const at = prng.below(bytes.length)
  const more = prng.chance(50) ? prng.bytes(prng.below(6)) : new Uint8Array(0)
  return Buffer.concat([bytes.subarray(0, at), more, bytes.subarray(at + prng.below(4))])
}

function tryRead(chunks: readonly Uint8Array[]): Reading | string {
  const reader = new PacketReader(smallLimits, { topicAliasMaximum: TOPIC_ALIAS_MAX })
  const packets: ClientPacket[] = []
  const bytes = chunks.reduce((sum, { length }) => sum + length, 0)
  try {
    for (const chunk of chunks) {
      reader.push(chunk)
      for (let found = reader.next(); found !== null; found = reader.next()) {
        packets.push(found)
        if (packets.length * 2 > bytes) return 'more packets than bytes' // the shortest has two
      }
    }
  } catch (error) {
    return `threw ${error}`
  }
  return { packets, fault: reader.fault }
}

/** What passed cannot be more than was sent, and is what the reader promises. */
function problemOf({ packets }: Reading, bytes: Buffer): string | null {
  let payloadBytes = 0
  for (const found of packets) {
    if (found.type === 'publish') payloadBytes += found.payload.length + found.topic.length + (found.properties?.forwarded.length ?? 0)
    if (found.type === 'publish' && /[\u0000-\u001f\u007f-\u009f+#]/.test(found.topic)) return `the topic ${JSON.stringify(found.topic)}`
    if (found.type === 'publish' && found.topic === '' && found.topicAlias === null) return 'an empty topic'
    if (found.type === 'publish' && found.qos > 0 !== found.packetId > 0) return `QoS ${found.qos} with packet id ${found.packetId}`
    if (
      (found.type === 'subscribe' && found.subscriptions.length === 0) ||
      ('packetId' in found && found.type !== 'publish' && found.packetId === 0)
    ) {
      return `${found.type} without a filter or a packet id`
    }
  }
  return payloadBytes > bytes.length ? `${payloadBytes} bytes out of ${bytes.length}` : null
}

function otherInPieces(prng: Prng, whole: Reading, bytes: Buffer): string | null {
  const chunks: Uint8Array[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = prng.between(0, 12)
    chunks.push(bytes.subarray(at, at + length))
    at += length
  }
  const pieces = tryRead(chunks)
  if (typeof pieces === 'string') return pieces
  const expected = wordsOf(whole)
  const got = wordsOf(pieces)
  return got === expected ? null : `in pieces of ${chunks.map(({ length }) => length)}\n${got}\ninstead of\n${expected}\n`
}
