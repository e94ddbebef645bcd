// Proves for adapters/mqtt/mqtt-properties.ts: what is forwarded is byte for byte what came, in order, in memory of its own; readForwarded() gives it back;
// limits are exact. Which property may stand where: packet-reader-5.test.ts.

import t from 'tap'
import { type PropertyOwner, readForwarded, readProperties } from '../../adapters/mqtt/mqtt-properties.ts'
import { WireCursor } from '../../adapters/mqtt/wire-cursor.ts'
import { Prng, seeds } from '../sim/prng.ts'
import { block, numbered, textProperty, uint32, userProperty } from './packets-5.ts'

const LIMITS = { propertyBytesMax: 4096, userPropertiesMax: 64 }

/** Read from the middle of a larger piece, as properties are. */
function readBlock(bytes: Uint8Array, owner: PropertyOwner = 'publish', limits = LIMITS) {
  const chunk = Buffer.concat([Buffer.alloc(100, 0xff), bytes, Buffer.from('behind')])
  const cursor = new WireCursor()
  cursor.set(chunk, 100, chunk.length)
  const read = readProperties(cursor, owner, limits)
  return { ...read, rest: cursor.rest().toString(), chunk }
}

function faultOf(bytes: Uint8Array, limits: typeof LIMITS): unknown {
  try {
    return readBlock(bytes, 'publish', limits)
  } catch (fault) {
    return fault
  }
}

t.test('an empty block', async (t) => {
  const { message, values, rest } = readBlock(block())
  t.equal(message, null)
  t.equal(values.size, 0)
  t.equal(rest, 'behind')
})

t.test('what goes on to subscribers is what came, without expiry and alias', async (t) => {
  const first = userProperty('ä', '')
  const last = textProperty(9, Buffer.from([0, 0xff]))
  const bytes = block(first, [2, ...uint32(0xfffffffe)], [35, 0, 3], [1, 0], last)
  const { message, values, rest, chunk } = readBlock(bytes)
  const expected = Buffer.concat([first, Buffer.from([1, 0]), last])
  t.same(Buffer.from(message?.forwarded ?? []), expected)
  t.equal(message?.expirySeconds, 0xfffffffe)
  t.equal(values.get(35), 3)
  t.equal(rest, 'behind')
  chunk.fill(0)
  t.same(Buffer.from(message?.forwarded ?? []), expected, 'in memory of its own')
  t.equal(message?.forwarded.buffer.byteLength, expected.length, 'and no more of it')
  t.same(readBlock(block([2, 0, 0, 0, 1])).message, { forwarded: new Uint8Array(0), expirySeconds: 1 }, 'expiry alone')
  t.equal(readBlock(block([35, 0, 1])).message, null, 'an alias is not for subscribers')
  t.equal(readBlock(block([24, 0, 0, 0, 1]), 'will').message, null, 'nor is the delay of a will')
  t.equal(readBlock(block(userProperty('a', 'b')), 'connect').message, null, 'nor what is said to the server')
  t.same(Buffer.from(readBlock(block(first), 'will').message?.forwarded ?? []), first)
})

t.test('the limits are exact', async (t) => {
  const limits = { propertyBytesMax: 20, userPropertiesMax: 2 }
  t.ok(readBlock(block(userProperty('n', 'x'.repeat(14))), 'publish', limits))
  t.match(faultOf(block(userProperty('n', 'x'.repeat(15))), limits), { reason: 'properties', reasonCode: 0x95 })
  t.ok(readBlock(block(...numbered(2)), 'publish', limits))
  const small = [userProperty('', ''), userProperty('', ''), userProperty('', '')]
  t.match(faultOf(block(...small), limits), { reason: 'properties', reasonCode: 0x97 })
})

t.test('readForwarded: nothing, and each', async (t) => {
  const none = { contentType: null, responseTopic: null, correlationData: null, isText: false, userProperties: [] }
  t.same(readForwarded(new Uint8Array(0)), none)
  t.same(readForwarded(Uint8Array.of(1, 0)), none)
  t.same(readForwarded(Uint8Array.of(1, 1)), { ...none, isText: true })
  t.same(readForwarded(textProperty(3, '')), { ...none, contentType: '' })
  t.same(readForwarded(textProperty(8, 'a/b')), { ...none, responseTopic: 'a/b' })
  t.same(readForwarded(textProperty(9, Buffer.from([7]))), { ...none, correlationData: Buffer.from([7]) })
  const inPage = Buffer.concat([Buffer.from('before'), userProperty('\ufeffn', 'v'), Buffer.from('behind')])
  t.same(readForwarded(inPage.subarray(6, -6)).userProperties, [['\ufeffn', 'v']], 'of a view')
})

const texts = ['', 'a', 'ä€𝄞', '\ufeff', 'x'.repeat(300)]

for (const seed of seeds({ count: 5 })) {
  t.test(`round trip: random properties in random order (SEED=${seed})`, async (t) => {
    const prng = new Prng(seed)
    for (let round = 0; round < 500; round++) {
      const expected = {
        contentType: prng.chance(40) ? prng.pick(texts) : null,
        responseTopic: prng.chance(40) ? prng.pick(['a', 'ä/b']) : null,
        correlationData: prng.chance(40) ? Buffer.from(prng.bytes(prng.below(300))) : null,
        isText: prng.chance(40),
        userProperties: Array.from({ length: prng.below(6) }, () => [prng.pick(texts), prng.pick(texts)] as [string, string])
      }
      const { contentType, responseTopic, correlationData, isText, userProperties } = expected
      const own: Uint8Array[] = []
      if (contentType !== null) own.push(textProperty(3, contentType))
      if (responseTopic !== null) own.push(textProperty(8, responseTopic))
      if (correlationData !== null) own.push(textProperty(9, correlationData))
      if (isText) own.push(Uint8Array.of(1, 1))
      const parts: Uint8Array[] = userProperties.map(([name, value]) => userProperty(name, value))
      for (const part of own) parts.splice(prng.between(0, parts.length), 0, part)
      const { message } = readBlock(block(...parts), prng.pick(['publish', 'will'] as const))
      const forwarded = message?.forwarded ?? new Uint8Array(0)
      if (!t.same(Buffer.from(forwarded), Buffer.concat(parts)) || !t.same(readForwarded(forwarded), expected)) return
    }
  })
}
