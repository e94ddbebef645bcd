// What 3.1.1 alone says of CONNECT, and that MQTT 3.1 is served.

import assert from 'node:assert/strict'
import { connect } from './encode.ts'
import { durable, openRig } from './gateway.ts'
import { runStatements, v4 } from './statements.ts'

const rig = await openRig()

v4('3.1.2-22', 'a password without a user name is refused', async (version) => {
  await rig.open(version).connectRefused(connect(version, { password: 'x' }))
})

v4('3.1.3-8', 'no client id without clean session is answered with code 2 and closed', async (version) => {
  const client = rig.open(version)
  client.send(connect(version, { clientId: '', clean: false }))
  assert.equal((await client.next('connack')).code, 2)
  await client.closed()
})

v4('3.2.2-6', 'where no return code fits the connection is closed without CONNACK', async (version) => {
  for (const flags of [2 | 4 | 0x18, 3]) {
    assert.equal(await rig.open(version).connectRefused(connect(version, { flags, will: { topic: 't/x' } })), undefined)
  }
})

v4('7.1.1-1', 'MQTT 3.1, its predecessor, is served over TCP as well', async () => {
  const topic = rig.topic()
  const clientId = rig.clientId()
  const first = await rig.subscriber(3, topic, 2, durable(3, clientId))
  await first.publish({ topic, payload: 'a', qos: 2 })
  assert.equal((await first.receive()).text, 'a')
  await first.leave()
  await (await rig.connect(4)).publish({ topic, payload: 'b', qos: 1 })
  const second = await rig.connect(3, durable(3, clientId))
  assert.equal((await second.receive()).text, 'b')
  await second.ping()
  await rig.open(3).connectRefused(connect(3, { level: 4 }), 1)
  await rig.open(4).connectRefused(connect(4, { level: 3 }), 1)
})

runStatements('connect-3')
