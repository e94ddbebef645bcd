// Every message in every version: what was written is read back; whatever is cut, stretched or made up is refused by name.

import t, { type Test } from 'tap'
import type { Api } from '../../adapters/kafka-protocol/api.ts'
import { api } from '../../adapters/kafka-protocol/apis.ts'
import { decodeRequestHeader, FrameSplitter } from '../../adapters/kafka-protocol/frame.ts'
import { ProtocolError, type ProtocolErrorReason } from '../../adapters/kafka-protocol/protocol-error.ts'
import { WireReader } from '../../adapters/kafka-protocol/reader.ts'
import { joinChunks, WireWriter } from '../../adapters/kafka-protocol/writer.ts'
import { createPrng, randomStruct } from './random-message.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 2 ** 31)
const ROUNDS = 6
const LENGTH_BYTES = 4

interface Loose {
  [name: string]: string | undefined
}
type LooseApi = Api<Loose, Loose>
const apis = Object.values(api) as unknown as LooseApi[]

t.comment(`SEED=${SEED}`)

/** `part` as far as `whole` has it: a decoded message also holds the defaults of fields its version does not have. */
function restrict(whole: unknown, part: unknown): unknown {
  if (ArrayBuffer.isView(whole)) return Buffer.from(whole as Uint8Array).toString('hex')
  if (Array.isArray(part)) return Array.isArray(whole) ? whole.map((item, index) => restrict(item, part[index])) : whole
  if (part === null || typeof part !== 'object' || ArrayBuffer.isView(part)) return whole
  const record = whole as Record<string, unknown>
  return Object.fromEntries(Object.entries(part).map(([name, value]) => [name, restrict(record[name], value)]))
}

function frameOf(chunks: Uint8Array[]): Uint8Array {
  const bytes = joinChunks(chunks)
  const length = Buffer.from(bytes).readInt32BE(0)
  if (length !== bytes.byteLength - LENGTH_BYTES) throw new Error(`frame says ${length}, has ${bytes.byteLength - LENGTH_BYTES}`)
  return bytes.subarray(LENGTH_BYTES)
}

function eachVersion(visit: (known: LooseApi, version: number) => void): void {
  for (const known of apis) for (let version = known.minVersion; version <= known.maxVersion; version++) visit(known, version)
}

t.test('every request and response of every version is read back as it was written', async (t) => {
  const prng = createPrng(SEED)
  eachVersion((known, version) => {
    for (let round = 0; round < ROUNDS; round++) {
      const request = randomStruct(prng, known.fields.request, version) as Loose
      const frame = frameOf(known.encodeRequest(version, request, { correlationId: round, clientId: round % 2 === 0 ? 'wadi' : null }))
      const header = decodeRequestHeader(frame)
      const decoded = known.decodeRequest(version, frame, header.bodyAt)
      const story = `${known.name} v${version} SEED=${SEED}`
      if (header.api?.key !== known.key || header.apiVersion !== version || header.correlationId !== round) t.fail(`header of ${story}`)
      t.same(restrict(decoded, request), restrict(request, request), `request ${story}`)
      const response = randomStruct(prng, known.fields.response, version) as Loose
      const answer = known.decodeResponse(version, frameOf(known.encodeResponse(version, response, { correlationId: 7 })))
      t.equal(answer.correlationId, 7)
      t.same(restrict(answer.response, response), restrict(response, response), `response ${story}`)
    }
  })
})

function refuses(t: Test, reason: ProtocolErrorReason, work: () => unknown): void {
  try {
    work()
    t.fail(`accepted, should have been refused as ${reason}`)
  } catch (error) {
    t.ok(error instanceof ProtocolError && error.reason === reason, `refused as ${reason}: ${error}`)
  }
}

t.test('a draft that leaves everything out is a legal message in every version', async (t) => {
  eachVersion((known, version) => {
    const frame = frameOf(known.encodeRequest(version, {}, { correlationId: 1, clientId: null }))
    known.decodeRequest(version, frame, decodeRequestHeader(frame).bodyAt)
    known.decodeResponse(version, frameOf(known.encodeResponse(version, {}, { correlationId: 1 })))
  })
  t.pass()
})

t.test('a message that ends early is a ProtocolError, at every byte', async (t) => {
  const prng = createPrng(SEED + 1)
  eachVersion((known, version) => {
    const frame = frameOf(known.encodeResponse(version, randomStruct(prng, known.fields.response, version) as Loose, { correlationId: 1 }))
    const step = Math.max(1, Math.floor(frame.byteLength / 200))
    for (let end = 0; end < frame.byteLength; end += step) {
      try {
        known.decodeResponse(version, frame.subarray(0, end))
        t.fail(`${known.name} v${version} read from ${end} of ${frame.byteLength} bytes SEED=${SEED}`)
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error
      }
    }
  })
  t.pass()
})

t.test('changed bytes are read or refused, never anything else', async (t) => {
  const prng = createPrng(SEED + 2)
  eachVersion((known, version) => {
    const original = frameOf(
      known.encodeRequest(version, randomStruct(prng, known.fields.request, version) as Loose, { correlationId: 1, clientId: 'c' })
    )
    for (let round = 0; round < 20; round++) {
      const frame = Buffer.from(original)
      for (let change = 0; change < 3; change++) frame[Math.floor(prng.next() * frame.byteLength)] = Math.floor(prng.next() * 256)
      try {
        known.decodeRequest(version, frame, decodeRequestHeader(original).bodyAt)
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error
      }
    }
  })
  t.pass()
})

t.test('a count that cannot be true is refused before anything is allocated', async (t) => {
  for (const isCompact of [true, false]) {
    for (const count of [2 ** 31 - 2, 1_000_000, 100]) {
      const writer = new WireWriter()
      writer.count(count, isCompact)
      writer.raw(Buffer.alloc(60))
      const reader = new WireReader(joinChunks(writer.finish()))
      refuses(t, 'length', () => reader.count(isCompact, 1))
    }
  }
  const negative = new WireWriter()
  negative.int32(-2)
  refuses(t, 'length', () => new WireReader(joinChunks(negative.finish())).count(false, 1))
  const honest = new WireWriter()
  honest.int32(1_000_001)
  honest.raw(Buffer.alloc(1_000_001))
  refuses(t, 'length', () => new WireReader(joinChunks(honest.finish())).count(false, 1))
})

t.test('strings, bytes and numbers refuse impossible lengths', async (t) => {
  refuses(t, 'length', () => new WireReader(Buffer.from([0xff, 0xfe])).string(false))
  refuses(t, 'truncated', () => new WireReader(Buffer.from([0x7f, 0xff, 1])).string(false))
  refuses(t, 'truncated', () => new WireReader(Buffer.from([0x7f, 0xff, 0xff, 0xff, 1])).bytes(false))
  refuses(t, 'length', () => new WireReader(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 1])).uvarint())
  refuses(t, 'length', () => new WireReader(Buffer.from([0xff, 0xff, 0xff, 0xff, 0x7f])).uvarint())
  t.equal(new WireReader(Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f])).uvarint(), 0xffffffff)
  refuses(t, 'value', () => new WireReader(Buffer.alloc(8, 0x7f)).int64())
})

t.test('unknown tagged fields are skipped, wrong sizes refused', async (t) => {
  const frame = frameOf(api.EndTxn.encodeResponse(3, { errorCode: 5 }, { correlationId: 9 }))
  t.equal(frame[frame.byteLength - 1], 0, 'no tagged fields so far')
  const withTags = Buffer.concat([frame.subarray(0, -1), Buffer.from([2, 40, 3, 1, 2, 3, 41, 0])])
  t.equal(api.EndTxn.decodeResponse(3, withTags).response.errorCode, 5)
  refuses(t, 'truncated', () => api.EndTxn.decodeResponse(3, Buffer.concat([frame.subarray(0, -1), Buffer.from([1, 40, 9, 1])])))
})

t.test('null where none may be is refused by the name of the field', async (t) => {
  const body = Buffer.from([0xff, 0xff])
  refuses(t, 'value', () => api.FindCoordinator.decodeRequest(0, body))
  t.throws(() => api.FindCoordinator.decodeRequest(0, body), /key/)
})

t.test('an unknown version is a ProtocolError; ApiVersions newer than ours is told apart', async (t) => {
  refuses(t, 'version', () => api.Produce.encodeRequest(12, {}, { correlationId: 1, clientId: null }))
  const header = decodeRequestHeader(Buffer.from([0, 18, 0, 99, 0, 0, 0, 3, 0, 1, 0x61, 0xff]))
  t.match(header, { apiKey: 18, apiVersion: 99, correlationId: 3, clientId: 'a', api: null })
  t.equal(decodeRequestHeader(Buffer.from([3, 0xe7, 0, 0, 0, 0, 0, 3, 0xff, 0xff])).api, null, 'an unknown key')
})

t.test('ApiVersions is answered with response header version 0 in every version', async (t) => {
  for (let version = 0; version <= 4; version++) {
    const frame = frameOf(api.ApiVersions.encodeResponse(version, { errorCode: 35 }, { correlationId: 1 }))
    t.equal(Buffer.from(frame).readInt16BE(4), 35, `error code straight behind the correlation id in v${version}`)
  }
})

t.test('large record sets are not copied', async (t) => {
  const records = Buffer.alloc(100_000)
  const chunks = api.Produce.encodeRequest(
    9,
    { topicData: [{ name: 'a', partitionData: [{ index: 0, records }] }] },
    { correlationId: 1, clientId: null }
  )
  t.ok(chunks.includes(records))
})

t.test('a stream is cut into the same frames however it arrives', async (t) => {
  const prng = createPrng(SEED + 3)
  const sent = Array.from({ length: 40 }, (_, index) => Buffer.alloc(Math.floor(prng.next() * 200), index))
  const stream = Buffer.concat(sent.map((body) => Buffer.concat([Buffer.from([0, 0, 0, body.byteLength]), body])))
  for (const chunkBytesMax of [1, 3, 7, 64, 1000, stream.byteLength]) {
    const splitter = new FrameSplitter(200)
    const frames: string[] = []
    for (let at = 0; at < stream.byteLength; ) {
      const end = at + 1 + Math.floor(prng.next() * chunkBytesMax)
      for (const frame of splitter.push(stream.subarray(at, end))) frames.push(Buffer.from(frame).toString('hex'))
      at = end
    }
    t.same(
      frames,
      sent.map((body) => body.toString('hex')),
      `chunks up to ${chunkBytesMax} bytes`
    )
    t.equal(splitter.pendingBytes, 0)
  }
  refuses(t, 'frame', () => new FrameSplitter(200).push(Buffer.from([0, 0, 0, 201])))
  refuses(t, 'frame', () => new FrameSplitter(200).push(Buffer.from([0xff, 0, 0, 0])))
})

t.test('a few bytes of the next frame do not keep the memory of the one before', async (t) => {
  const splitter = new FrameSplitter(1_000)
  const chunk = Buffer.alloc(4 + 900 + 6)
  chunk.writeInt32BE(900, 0)
  chunk.writeInt32BE(4, 904)
  chunk.set([1, 2], 908)
  splitter.add(chunk)
  t.equal(splitter.take()?.byteLength, 900)
  chunk.fill(0xff) // a view of it would see this
  splitter.add(Buffer.from([3, 4]))
  t.same([...(splitter.take() ?? [])], [1, 2, 3, 4])
  t.equal(splitter.pendingBytes, 0)
})
