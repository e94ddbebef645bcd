// Proves that no bytes of one client reach another: mutated sessions over real sockets are answered or closed, nothing is thrown,
// and a well-behaved neighbour publishes throughout.

import t from 'tap'
import { Prng, seeds } from '../sim/prng.ts'
import { textOf } from './controlled-store.ts'
import { startGateway, turns } from './rig.ts'
import { mutate, validSession } from './session.ts'

const ROUNDS = 60

for (const seed of seeds({ count: 4 })) {
  t.test(`a neighbour notices nothing of mutated sessions (SEED=${seed})`, async (t) => {
    const prng = new Prng(seed)
    const { raw, client, store, broker } = await startGateway(t, { unmatched: { action: 'drop' }, limits: { packetBytesMax: 4096 } })
    const neighbour = await client({ clientId: 'neighbour' })
    let hasNeighbourClosed = false
    neighbour.on('close', () => (hasNeighbourClosed = true))
    for (let round = 0; round < ROUNDS; round++) {
      const offender = raw()
      const bytes = mutate(prng, validSession())
      const cut = prng.below(bytes.length)
      offender.send(bytes.subarray(0, cut))
      if (prng.chance(50)) await turns(undefined, 2)
      offender.send(bytes.subarray(cut))
      await neighbour.publishAsync('d/good', `${round}`, { qos: 1 })
      if (prng.chance(50)) await turns(undefined, 3)
      offender.destroy()
    }
    t.notOk(hasNeighbourClosed)
    const good = store.recordsOf('events').filter(({ headers }) => textOf(headers[1]?.value) === 'neighbour')
    t.same(
      good.map(({ value }) => textOf(value)),
      Array.from({ length: ROUNDS }, (_, index) => `${index}`)
    )
    await turns(() => broker.metrics.connections === 1)
    t.equal(broker.metrics.connections, 1, 'nothing of the offenders is left')
  })
}
