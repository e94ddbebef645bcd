// Proves for adapters/mqtt/name-rules.ts: which client ids and filters are taken, at the edges of each rule. Wills: packet-reader-3.test.ts.

import t from 'tap'
import { filterRefusal, isClientIdAllowed, isWellFormedFilter, levelsOf } from '../../adapters/mqtt/name-rules.ts'

t.test('client ids: bytes, control characters, the empty one', async (t) => {
  for (const id of ['x'.repeat(10), 'é'.repeat(5), ' ', '\ufffd', '\ufeffx', '\u00a0', '__proto__'])
    t.equal(isClientIdAllowed(id, false, 10), true, id)
  for (const id of ['x'.repeat(11), `${'é'.repeat(5)}x`, 'a\n', '\x7f', '\u0085']) t.equal(isClientIdAllowed(id, false, 10), false, id)
  t.equal(isClientIdAllowed('', true, 10), true)
  t.equal(isClientIdAllowed('', false, 10), false)
})

t.test('filters: reserved, shared, too long, with control characters', async (t) => {
  for (const filter of ['#', 'a', 'x'.repeat(1_024), 'a/$b', '+/$share/x', '\ufffd']) t.equal(filterRefusal(filter), null, filter)
  for (const filter of ['$', '$SYS', '$share', '$shared/g/a']) t.equal(filterRefusal(filter), 0x87, filter)
  t.equal(filterRefusal('$share/g/a'), 0x9e)
  for (const filter of ['x'.repeat(1_025), 'a\n', '\u0085']) t.equal(filterRefusal(filter), 0x8f, filter)
})

t.test('filters that are none end the connection, those that are refused do not', async (t) => {
  for (const filter of ['x'.repeat(1_025), 'a\n', '#'.repeat(1_025)]) t.equal(isWellFormedFilter(filter), true, 'filterRefusal says no')
  for (const filter of ['#', '+', 'a/+/#', `#/${'x'.repeat(1_022)}`.slice(2)]) t.equal(isWellFormedFilter(filter), true, filter)
  for (const filter of ['', '#a', '+a', 'a/#b', `#/${'x'.repeat(1_022)}`]) t.equal(isWellFormedFilter(filter), false, filter)
})

t.test('levels', async (t) => {
  for (const [name, levels] of [
    ['', 1],
    ['a', 1],
    ['/', 2],
    ['a/b', 2],
    ['//', 3]
  ] as const)
    t.equal(levelsOf(name), levels, name)
})
