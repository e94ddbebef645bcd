// Proves for runtime/base/errors.ts: docs/errors.md has exactly the codes of the catalogue, says of each whether it is retried,
// and an error carries its whole story to people and to machines.

import { readFileSync } from 'node:fs'
import t from 'tap'
import { AssertionError, assert } from '../../runtime/base/assert.ts'
import { type ErrorCode, errorCatalogue } from '../../runtime/base/error-catalogue.ts'
import { WadiError } from '../../runtime/base/errors.ts'

const sections = new Map(
  readFileSync('docs/errors.md', 'utf8')
    .split(/^## /m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf('\n')), section])
)

t.test('docs/errors.md and the catalogue have the same codes in the same order', async (t) => {
  t.same([...sections.keys()], Object.keys(errorCatalogue))
  t.same(Object.keys(errorCatalogue), Object.keys(errorCatalogue).toSorted(), 'sorted, so that a code is found')
})

t.test('each section says what happened, what was kept, what to do, and whether it is retried', async (t) => {
  for (const [code, section] of sections) {
    for (const part of ['- **Happened:** ', '- **Kept:** ', '- **Do:** ']) t.ok(section.includes(`\n${part}`), `${code}: ${part}`)
    const { retriable } = errorCatalogue[code as ErrorCode]
    t.match(section, retriable ? '\nRetried: yes.\n' : '\nRetried: no.\n', code)
  }
})

t.test('an error tells its story to people in the message and to machines in fields', async (t) => {
  const cause = new Error('ENOSPC')
  const facts = { freeBytes: 4096 }
  const error = new WadiError('WADI_DISK_FULL', {
    happened: 'The disk is full.',
    kept: 'All is kept.',
    next: 'Free space.',
    facts,
    cause
  })
  t.equal(error.message, 'WADI_DISK_FULL: The disk is full. All is kept. Free space.')
  t.equal(error.code, 'WADI_DISK_FULL')
  t.equal(error.cause, cause)
  t.same(error.facts, { freeBytes: 4096 })
  facts.freeBytes = 0
  t.same(error.facts, { freeBytes: 4096 }, 'a copy')
  t.ok(Object.isFrozen(error.facts))
  t.equal(error.retriable, true)
  t.equal(new WadiError('WADI_USAGE', { happened: '', kept: '', next: '' }).retriable, false)
})

t.test('a broken invariant is an AssertionError, not an error a user meets', async (t) => {
  t.throws(() => assert(false, 'offsets go up'), new AssertionError('offsets go up'))
  t.doesNotThrow(() => assert(true, 'never'))
})
