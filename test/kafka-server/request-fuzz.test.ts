// Proves for adapters/kafka-server: of 100,000 requests, legal, damaged and nonsense, each is answered in words that its client can read or ends its
// connection by name; a good producer and a good consumer beside them notice nothing. A fault that is put in is noticed.

import t from 'tap'
import { WireWriter } from '../../adapters/kafka-protocol/writer.ts'
import { seeds } from '../sim/prng.ts'
import { fuzzRequests } from './request-fuzz.ts'

const REQUESTS = 100_000

t.setTimeout(240_000)

for (const seed of seeds({ count: 1 })) {
  t.test(`${REQUESTS} requests (SEED=${seed})`, async (t) => {
    const { requests, answered, refused, goodEvents, problem } = await fuzzRequests({ count: REQUESTS, seed })
    t.equal(problem, null)
    t.equal(requests, REQUESTS)
    t.ok(answered > REQUESTS / 3, `${answered} were answered`)
    t.ok(refused > REQUESTS / 20, `${refused} ended their connection`)
    t.ok(goodEvents >= 400, `${goodEvents} good events`)
  })
}

t.test('canary: a number that the answer cannot hold', async (t) => {
  const { int16 } = WireWriter.prototype
  t.teardown(() => Object.assign(WireWriter.prototype, { int16 }))
  WireWriter.prototype.int16 = function (value) {
    int16.call(this, value === 3 ? 40_000 : value) // UNKNOWN_TOPIC_OR_PARTITION
  }
  const { problem } = await fuzzRequests({ count: 5_000, seed: 1 })
  t.match(problem, /threw RangeError/)
})
