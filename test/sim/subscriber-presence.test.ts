// Proves for subscriber-presence.ts: what a client did not get an answer to neither makes a session last longer than it has to, nor shorter than it may.

import t from 'tap'
import { type Presence, SessionPresence } from './subscriber-presence.ts'

const EXPIRY_SECONDS = 30

/** A session whose connection ended at 10 s, and what is expected of it at `sentMs`. */
function ended(): { presence: SessionPresence; at(sentMs: number): Presence } {
  const presence = new SessionPresence()
  presence.connecting(EXPIRY_SECONDS, false)
  presence.connected(EXPIRY_SECONDS, false)
  presence.closed(10_000, true)
  const at = (sentMs: number): Presence => presence.expected({ isClean: false, sentMs, nowMs: sentMs, servesSinceMs: 0, life: 1 })
  return { presence, at }
}

t.test('a session is there until its expiry has passed from the end of its connection', async (t) => {
  const { at } = ended()
  t.equal(at(39_000), 'must')
  t.equal(at(41_000), 'may', 'timers are late')
  t.equal(at(43_000), 'must-not')
})

t.test('a CONNECT without CONNACK may have begun its time anew, or not', async (t) => {
  const { presence, at } = ended()
  presence.connecting(EXPIRY_SECONDS, false)
  presence.closed(35_000, true)
  t.equal(at(39_000), 'must')
  t.equal(at(41_000), 'may')
  t.equal(at(64_000), 'may')
  t.equal(at(68_000), 'must-not')
})

t.test('a CONNECT without CONNACK that asked for less may have shortened it', async (t) => {
  const { presence, at } = ended()
  presence.connecting(3, false)
  presence.closed(20_000, true)
  t.equal(at(21_000), 'may')
  t.equal(at(53_000), 'must-not')
})
