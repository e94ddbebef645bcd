// Proves for the MQTT server: whatever one connection sends, others notice nothing. Beside every case stand a good 3.1.1 and a good MQTT 5
// client, each subscribed to everything under h/ and to their own topics: their messages go round before, during and after, whole and in
// order, and the strict decoder looks at all that the hostile ones got through to them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Packet } from './decode.ts'
import type { Version } from './encode.ts'
import { openRig } from './gateway.ts'
import { hostileCases } from './hostile-cases.ts'
import type { RawClient } from './raw-client.ts'

const rig = await openRig({ limits: { connectTimeoutMs: 2_000, drainTimeoutMs: 500 } })

class Neighbours {
  readonly clients: readonly RawClient[]
  readonly #collected = new Map<RawClient, string[]>()
  #round = 0

  constructor(clients: readonly RawClient[]) {
    this.clients = clients
    for (const client of clients) this.#collected.set(client, [])
  }

  static async start(): Promise<Neighbours> {
    const clients = await Promise.all(([4, 5] as Version[]).map((version) => rig.connect(version, { keepAlive: 60 })))
    for (const client of clients) {
      await client.subscribe([
        ['h/#', 0],
        ['good/+', 1]
      ])
    }
    return new Neighbours(clients)
  }

  /** Each publishes, both get both. */
  async roundTrip(): Promise<void> {
    const payload = `${++this.#round}`
    await Promise.all(this.clients.map((client, index) => client.publish({ topic: `good/${index}`, payload, qos: 1 })))
    for (const client of this.clients) {
      for (const index of this.clients.keys()) {
        const isIt = (packet: Packet): boolean => packet.topic === `good/${index}`
        const { text } = await client.receive(isIt)
        assert.equal(text, payload, `client of version ${client.version}`)
      }
      await client.ping()
      assert.ok(!client.isClosed)
      client.inbox.length = 0
      client.received.length = 1
    }
  }
}

const neighbours = await Neighbours.start()
await neighbours.roundTrip()

for (const { name, versions, run } of hostileCases) {
  for (const version of versions) {
    test(`${name} (${version === 5 ? '5.0' : '3.1.1'})`, { timeout: 20_000 }, async () => {
      const attack = run(rig, version)
      await neighbours.roundTrip()
      await attack
      await neighbours.roundTrip()
    })
  }
}

test('afterwards no connection is left but those of the neighbours', async () => {
  for (const client of rig.clients) if (!neighbours.clients.includes(client)) client.drop()
  const isAlone = (): boolean => rig.gateway.broker.metrics.connections === neighbours.clients.length
  for (let turn = 0; turn < 300 && !isAlone(); turn++) await new Promise((resolve) => setTimeout(resolve, 10))
  assert.equal(rig.gateway.broker.metrics.connections, neighbours.clients.length)
  assert.ok(hostileCases.length >= 55, `${hostileCases.length} cases`)
})
