// Proves for adapters/mqtt/property-headers.ts: the properties of a message become the headers of its record, user properties in their order and under
// their own names; none of them can pass for a header of ours, and two different ones never get one name.

import t from 'tap'
import { messageHeaders } from '../../adapters/mqtt/property-headers.ts'
import { HEADER_ERROR, HEADER_MQTT_CLIENT, HEADER_MQTT_TOPIC, HEADER_ROUTE } from '../../runtime/broker/routes.ts'
import { textOf } from './controlled-store.ts'
import { packet } from './packets.ts'
import { block, connect5, publish5, textProperty, uint32, userProperty } from './packets-5.ts'
import { startGateway } from './rig.ts'

const NOW_MS = 1_790_000_000_000

function headersOf(forwarded: Uint8Array, expirySeconds: number | null = null): [string, string][] {
  const headers = messageHeaders({ qos: 1, isRetained: false, properties: { forwarded, expirySeconds } }, NOW_MS)
  return headers.map(({ key, value }) => [Buffer.from(key).toString(), Buffer.from(value ?? []).toString('latin1')])
}

t.test('each property has its header', async (t) => {
  t.same(headersOf(new Uint8Array(0)), [])
  t.same(headersOf(new Uint8Array(0), 0), [['mqtt.expires', `${NOW_MS}`]])
  t.same(headersOf(new Uint8Array(0), 0xffffffff), [['mqtt.expires', `${NOW_MS + 4_294_967_295_000}`]])
  t.same(headersOf(Uint8Array.of(1, 1)), [['mqtt.format', 'text']])
  t.same(headersOf(Uint8Array.of(1, 0)), [], 'bytes are bytes without being called so')
  const all = [
    userProperty('b', '2'),
    textProperty(9, Buffer.from([0, 0xff])),
    textProperty(8, 'a/b'),
    userProperty('a', '1'),
    textProperty(3, 't'),
    userProperty('b', '')
  ]
  t.same(headersOf(Buffer.concat(all), 5), [
    ['mqtt.content-type', 't'],
    ['mqtt.response-topic', 'a/b'],
    ['mqtt.correlation-data', '\0\xff'],
    ['mqtt.expires', `${NOW_MS + 5_000}`],
    ['b', '2'],
    ['a', '1'],
    ['b', '']
  ])
})

t.test('a user property cannot pass for a header of ours', async (t) => {
  const ours = [
    HEADER_MQTT_TOPIC,
    HEADER_MQTT_CLIENT,
    HEADER_ERROR,
    HEADER_ROUTE,
    'wadi.id',
    'wadi.offset',
    'wadi.reason',
    'wadi.source',
    'wadi.cut',
    'wadi.content'
  ]
  ours.push(
    'mqtt.content-type',
    'mqtt.response-topic',
    'mqtt.correlation-data',
    'mqtt.format',
    'mqtt.expires',
    'mqtt.',
    'wadi.',
    'mqtt.user.x'
  )
  for (const name of ours) t.same(headersOf(userProperty(name, 'forged')), [[`mqtt.user.${name}`, 'forged']])
  const free = ['', 'x', 'mqtt', 'wadi', 'MQTT.topic', 'mqttx.topic', 'user.mqtt.topic', '\ufeffmqtt.topic', ' wadi.id', 'wadi\u2024id']
  for (const name of free) t.same(headersOf(userProperty(name, 'v')), [[name, 'v']])
  const names = [...ours, ...free].map((name) => headersOf(userProperty(name, ''))[0]?.[0])
  t.equal(new Set(names).size, names.length, 'each name stays another')
})

t.test('in the log, behind those of the gateway', async (t) => {
  const { raw, store } = await startGateway(t)
  const client = raw().send(connect5({ clientId: 'five' }))
  await client.saw('connack 0')
  const properties = block(userProperty('mqtt.topic', 'forged'), userProperty('wadi.id', 'forged'), textProperty(3, 'text/plain'), [
    2,
    ...uint32(60)
  ])
  client.send(publish5({ topic: 'd/x', qos: 1, properties, payload: 'v' }), packet(0xc0))
  await client.saw('puback 1')
  const [record] = store.recordsOf('events')
  const headers = (record?.headers ?? []).map(({ key, value }) => [textOf(key), textOf(value)])
  t.equal(headers.filter(([name]) => name === 'mqtt.topic').length, 1)
  t.equal(headers.find(([name]) => name === 'mqtt.topic')?.[1], 'd/x')
  t.notOk(headers.some(([name]) => name === 'wadi.id'))
  t.same(
    headers.filter(([name]) => name?.startsWith('mqtt.user.')),
    [
      ['mqtt.user.mqtt.topic', 'forged'],
      ['mqtt.user.wadi.id', 'forged']
    ]
  )
  const expires = Number(headers.find(([name]) => name === 'mqtt.expires')?.[1])
  t.ok(Math.abs(expires - Date.now() - 60_000) < 30_000)
})
