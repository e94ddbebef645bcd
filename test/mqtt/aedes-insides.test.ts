// Proves for adapters/mqtt/aedes-insides.ts: the versions that are installed have every field that is relied on, and a version without one
// is named with it. Whether the fields still mean the same is shown by the other tests of this folder.

import { readFileSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import { Aedes, type Client } from 'aedes'
import t, { type Test } from 'tap'
import { missingInsides, persistenceOf } from '../../adapters/mqtt/aedes-insides.ts'

async function open(t: Test): Promise<{ aedes: Aedes; client: Client }> {
  const aedes = await Aedes.createBroker()
  const client = aedes.handle(new PassThrough())
  t.teardown(() => {
    client.close()
    aedes.close()
  })
  return { aedes, client }
}

t.test('aedes, its persistence and mqtt-packet have every field that the MQTT adapter relies on', async (t) => {
  const { aedes, client } = await open(t)
  const { version } = JSON.parse(readFileSync('node_modules/aedes/package.json', 'utf8')) as { version: string }
  t.same(missingInsides(aedes, client), [], `aedes ${version}: read adapters/mqtt/aedes-insides.ts against its source`)
})

t.test('a version without one of the fields is told by its name', async (t) => {
  const { aedes, client } = await open(t)
  Object.assign(client, { _parsingBatch: undefined, _connectTimer: undefined })
  Object.assign(aedes, { _finishRegisterClient: undefined })
  Object.assign(persistenceOf(aedes), { outgoingEnqueueCombi: undefined })
  t.same(missingInsides(aedes, client), [
    'broker._finishRegisterClient is no function',
    'client._parsingBatch is no number',
    'client._connectTimer is no object',
    'persistence.outgoingEnqueueCombi is no function'
  ])
  Object.assign(aedes, { persistence: undefined })
  t.ok(missingInsides(aedes, client).includes('broker.persistence is no object'))
})
