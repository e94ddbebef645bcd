// Proves: SIGKILL under load loses no acknowledged event, makes none twice, keeps the order per device. `npm run test:soak` does it 100 times.

import t from 'tap'
import { seeds } from '../sim/prng.ts'
import { EventLedger } from './event-ledger.ts'
import { runKillLoop } from './kill-loop.ts'

t.test('the ledger catches what it must (canary of the rig)', async (t) => {
  const ledger = new EventLedger()
  const [first, second, third] = [ledger.create('a'), ledger.create('a'), ledger.create('b')]
  for (const payload of [first, second]) ledger.acknowledge(payload)
  const read = (events: [string, string][]) => ledger.judge(events.map(([key, value]) => ({ key, value })))
  t.match(
    read([
      ['a', first],
      ['a', second],
      ['b', third]
    ]),
    { lost: 0, duplicated: 0, phantom: 0, reordered: 0, altered: 0, unknown: 1 }
  )
  t.equal(read([['a', second]]).lost, 1, 'a lost event')
  t.equal(
    read([
      ['a', first],
      ['a', second],
      ['a', second]
    ]).duplicated,
    1,
    'one that is there twice'
  )
  t.equal(
    read([
      ['a', first],
      ['a', second],
      ['a', 'x']
    ]).phantom,
    1,
    'one that nobody sent'
  )
  t.equal(
    read([
      ['a', second],
      ['a', first]
    ]).reordered,
    1,
    'a changed order'
  )
  t.equal(
    read([
      ['b', first],
      ['a', second]
    ]).altered,
    1,
    'a changed key'
  )
})

t.test('a gateway that acknowledges before it writes is caught (canary of the rig)', { timeout: 120_000 }, async (t) => {
  // When a kill comes is chance: a round in which each of them found everything written is possible, four in a row are not.
  let [acked, lost] = [0, 0]
  for (let seed = 1; seed <= 4 && lost === 0; seed++) {
    const round = await runKillLoop({ seed, kills: 6, mutation: 'ack-early' })
    acked += round.acked
    lost += round.lost
  }
  t.ok(lost > 0, `${lost} of ${acked} acknowledged events are lost`)
})

for (const seed of seeds({ count: 1 })) {
  t.test(`kill -9 under MQTT load (SEED=${seed})`, { timeout: 120_000 }, async (t) => {
    const result = await runKillLoop({ seed, kills: 6 })
    t.comment(JSON.stringify(result))
    t.ok(result.acked > 1_000, `load arrived: ${result.acked} acknowledged`)
    t.match(result, { lost: 0, phantom: 0, altered: 0, reordered: 0, duplicated: 0 })
  })
}
