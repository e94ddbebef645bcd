// Proves for runtime/base/offset.ts: only what can be an offset becomes one.

import t from 'tap'
import { AssertionError } from '../../runtime/base/assert.ts'
import { toOffset } from '../../runtime/base/offset.ts'

t.test('0 and the largest exact integer are offsets', async (t) => {
  t.equal(toOffset(0), 0)
  t.equal(toOffset(Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER)
})

for (const value of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
  t.test(`${value} is not an offset`, async (t) => {
    t.throws(() => toOffset(value), { name: 'AssertionError', constructor: AssertionError })
  })
}
