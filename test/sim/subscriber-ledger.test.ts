// Proves for subscriber-ledger.ts: what was acknowledged before SUBSCRIBE left is not for that session, but for what the broker may still have of a repeat.

import t from 'tap'
import { Epoch, SubscriberLedger } from './subscriber-ledger.ts'

const NEVER = Number.POSITIVE_INFINITY

/** What is said when a session takes a message that was acknowledged before it subscribed. */
function saidOf({ qos, sentCount }: { qos: 1 | 2; sentCount: number }): readonly string[] {
  const ledger = new SubscriberLedger()
  const times = { sent: 1, life: 1, connection: 1, acked: 5, sentCount }
  const flags = { retain: false, isWill: false, isEmpty: false, isUnstored: false, isUncertain: false }
  ledger.messages.set('c1-0', { id: 'c1-0', publisher: 'c1', number: 0, topic: 'a/1', qos, ...times, ...flags, fate: 'acked' })
  const epoch = new Epoch('c2')
  const plain = { noLocal: false, retainAsPublished: false, retainHandling: 0, id: null, isSoft: false }
  epoch.grants.push({ filter: 'a/1', qos, ...plain, asked: 6, granted: 7, leaving: NEVER, left: NEVER })
  ledger.take(epoch, { packetId: 1, topic: 'a/1', payload: 'c1-0', qos, dup: false, retain: false, subscriptionIds: [] })
  return ledger.violations
}

t.test('what was acknowledged before SUBSCRIBE left is not for that session', async (t) => {
  t.match(saidOf({ qos: 1, sentCount: 1 }), [/it was acknowledged before SUBSCRIBE left/])
})

t.test('of QoS 1 each repeat is a message of its own, and PUBACK may be that of another', async (t) => {
  t.same(saidOf({ qos: 1, sentCount: 2 }), [])
})

t.test('of QoS 2 repeats are one message', async (t) => {
  t.match(saidOf({ qos: 2, sentCount: 2 }), [/it was acknowledged before SUBSCRIBE left/])
})
