// Proves for adapters/mqtt/session-facts.ts: a pattern means what its regular expression means, whatever stands in it; many sessions are looked through in
// turns, in the order of the client ids, and what has ended meanwhile is left out.

import t from 'tap'
import { matchesPattern, type SessionFacts, selectSessions } from '../../adapters/mqtt/session-facts.ts'
import { Prng } from '../sim/prng.ts'

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

t.test('a pattern against the regular expression that it stands for', async (t) => {
  const prng = new Prng(Number(process.env.SEED ?? 7))
  const word = (letters: string): string => Array.from({ length: prng.below(7) }, () => letters[prng.below(letters.length)]).join('')
  let matches = 0
  for (let round = 0; round < 20_000; round++) {
    const [text, pattern] = [word('ab.'), word('ab.**')]
    const expected = new RegExp(`^${pattern.split('*').map(escaped).join('.*')}$`).test(text)
    if (expected) matches++
    if (matchesPattern(text, pattern) !== expected) t.fail(`"${pattern}" on "${text}" should be ${expected}`)
  }
  t.ok(matches > 500, `${matches} of them match`)
})

t.test('a pattern that would take a regular expression years', async (t) => {
  t.notOk(matchesPattern('a'.repeat(128), `${'a*'.repeat(60)}b`))
})

const factsOf = (clientId: string): SessionFacts => ({
  ...{ clientId, isConnected: clientId.endsWith('0'), sinceMs: 0, version: 4, expirySeconds: null, subscriptions: 1 },
  ...{ queuedMessages: 0, queuedBytes: 0, hasWill: false, remoteAddress: null }
})

t.test('ten thousand sessions: others have their turns, and what ended meanwhile is not there', async (t) => {
  const clientIds = Array.from({ length: 10_000 }, (_, index) => `d${String(index).padStart(5, '0')}`)
  const ended = new Set<string>()
  let others = 0
  const timer = setInterval(() => {
    others++
    ended.add(clientIds[9_000 + others] as string)
  }, 0)
  t.teardown(() => clearInterval(timer))
  const seen: string[] = []
  for await (const { clientId } of selectSessions(clientIds, (id) => (ended.has(id) ? null : factsOf(id)), {
    pattern: 'd0*',
    isConnected: false
  }))
    seen.push(clientId)
  t.ok(others > 0, `others had ${others} turns`)
  t.same(
    seen,
    clientIds.filter((id) => !id.endsWith('0') && !(ended.has(id) && !seen.includes(id)))
  )
  t.ok(seen.length < 9_000, 'some ended meanwhile')
})
