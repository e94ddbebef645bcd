// Proves that `mqtt_limits` of wadi.yaml reaches the broker, and that the log says what finds no room.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import mqtt from 'mqtt'
import t, { type Test } from 'tap'
import { loadConfig } from '../../gateway/config/load.ts'
import type { Gateway } from '../../gateway/contract.ts'
import { openGateway } from '../../gateway/gateway.ts'

async function open(test: Test, limits: string, lines: string[]): Promise<Gateway> {
  const data = mkdtempSync(join(tmpdir(), 'wadi-mqtt-limits-'))
  test.teardown(() => rmSync(data, { recursive: true, force: true }))
  const yaml = `
gateway: { id: g7, data: ${data} }
storage: { journal: { file_size: 4MiB } }
mqtt: [{ listen: "127.0.0.1:0" }]
mqtt_limits: ${limits}
routes: [{ filter: "#rest", topic: events, key: none }]
`
  const log = (level: string, words: string): void => void lines.push(`${level} ${words}`)
  const gateway = await openGateway(loadConfig(yaml, { fileName: 'inline', environment: {} }), { log })
  test.teardown(() => gateway.close())
  return gateway
}

t.test('retained messages and subscriptions are bounded as the file says', async (t) => {
  const lines: string[] = []
  const gateway = await open(t, '{ retained: { messages: 1 }, subscriptions: { client: 1 } }', lines)
  const client = await mqtt.connectAsync(`mqtt://${gateway.addresses.mqtt[0]}`, { clientId: 'z2m' })
  for (const topic of ['z/a', 'z/b', 'z/c']) await client.publishAsync(topic, 'x', { qos: 1, retain: true })
  t.equal((await client.subscribeAsync('z/a')).length, 1)
  await t.rejects(client.subscribeAsync('z/b'))
  await client.endAsync()
  await gateway.close()
  const told = lines.filter((line) => line.includes('not retained')).join('\n')
  t.match(told, /^warn .* of z2m \(127\.0\.0\.1\) (is|are) stored .*"z\/b": there are 1 retained messages/)
  t.match(told, /"z\/c": there are 1 retained messages/, 'not the first topic alone')
})

t.test('what a subscriber that is away does not get is counted in the status, and told in one line', async (t) => {
  const lines: string[] = []
  const gateway = await open(t, '{ queue: { messages: 1 } }', lines)
  const address = `mqtt://${gateway.addresses.mqtt[0]}`
  const subscriber = await mqtt.connectAsync(address, { clientId: 'panel', clean: false })
  await subscriber.subscribeAsync('z/#', { qos: 1 })
  await subscriber.endAsync()
  const publisher = await mqtt.connectAsync(address)
  for (const text of ['1', '2', '3']) await publisher.publishAsync('z/a', text, { qos: 1, retain: text === '3' })
  const status = await gateway.status()
  t.match(status.mqtt, { clients: 1, sessions: 2, retained: 1, refusedRetained: 0, waiting: 1, dropped: 2 })
  await publisher.endAsync()
  await gateway.close()
  const told = lines.filter((line) => line.includes('dropped'))
  t.same(told, ['warn dropped 2 messages for the subscriber panel: it is away and no more may wait (mqtt_limits.queue)'])
})
