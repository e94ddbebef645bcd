// Proves for what a running gateway says of its devices and its link, in the log and in `wadi status`: who, from where, what, once.

import { randomBytes } from 'node:crypto'
import { connect as connectSocket } from 'node:net'
import mqtt from 'mqtt'
import t, { type Test } from 'tap'
import type { StatusReport } from '../../gateway/status-report.ts'
import { connect, startGateway, temporary, type Process as WadiProcess, wadi } from './wadi-process.ts'

t.setTimeout(120_000)

interface Line {
  readonly level: string
  readonly message: string
}

const linesOf = ({ stderr }: WadiProcess): Line[] =>
  stderr
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line)

const said = (process: WadiProcess, pattern: RegExp): Promise<Line> =>
  process.until(() => linesOf(process).find(({ message }) => pattern.test(message)))

const open = async (test: Test, port: number, options: object): Promise<mqtt.MqttClient> => {
  const client = await mqtt.connectAsync({ host: '127.0.0.1', port, protocolVersion: 4, reconnectPeriod: 0, ...options })
  client.on('error', () => undefined)
  test.teardown(() => client.end(true))
  return client
}

const reportOf = async (test: Test, data: string): Promise<StatusReport> =>
  JSON.parse((await wadi(test, 'status', '--json', '--data', data)).stdout) as StatusReport

/** A CONNECT, and what comes behind its answer. Resolves when the gateway has hung up. */
const sendRaw = (port: number, connect: (number[] | string)[], behind: number[] = [], localAddress = '127.0.0.1'): Promise<void> =>
  new Promise((resolve) => {
    const bytes = Buffer.concat(connect.map((part) => Buffer.from(part as string)))
    const socket = connectSocket({ port, host: '127.0.0.1', localAddress }, () => socket.write(bytes))
    socket.on('error', () => undefined).on('close', () => resolve())
    socket.once('data', () => socket.write(Buffer.from(behind)))
  })

t.test('a reason is given once; MQTT 5 is served, another version is said not to be', async (t) => {
  const { process, port } = await startGateway(t, await temporary(t), { mqtt: [{ listen: '127.0.0.1:0', limits: { packet: '1KiB' } }] })
  await sendRaw(port, [[0x10, 14, 0, 4], 'MQTT', [4, 2, 0, 0, 0, 2], 'c1'], [0x30, 0xff, 0xff, 0x03])
  t.match(await said(process, /packet-too-large/), {
    level: 'warn',
    message: /^closed the connection of c1 \(127\.0\.0\.1\): packet-too-large, \d+ bytes, at most 1024$/
  })
  await open(t, port, { protocolVersion: 5, clientId: 'v5' })
  await sendRaw(port, [[0x10, 15, 0, 4], 'MQTT', [6, 2, 0, 0, 0, 0, 2], 'v6'])
  t.match(await said(process, /protocol-version/), {
    message: /^closed the connection of a client \(127\.0\.0\.1\): protocol-version, protocol level 6 of MQTT$/
  })
  t.match(process.stderr, /^\{"level":/, 'the level is in front')
})

t.test('one client id twice: who took over, and from where', { skip: process.platform !== 'linux' }, async (t) => {
  const { process, port } = await startGateway(t, await temporary(t))
  await open(t, port, { clientId: 'twin' })
  await sendRaw(port, [[0x10, 16, 0, 4], 'MQTT', [4, 2, 0, 0, 0, 4], 'twin'], [0xe0, 0], '127.0.0.2')
  t.match(await said(process, /took over/), {
    level: 'warn',
    message: /^client twin took over: 127\.0\.0\.2 is connected with this id now, 127\.0\.0\.1 was closed$/
  })
})

t.test('an MQTT topic that no route takes is named with its client, in the log and in the status', async (t) => {
  const { process, port, data } = await startGateway(t, await temporary(t))
  const client = await open(t, port, { clientId: 'lost-1' })
  client.publish('nobody/takes', 'x', { qos: 1 }, () => undefined)
  t.match(await said(process, /unmatched/), {
    message: /^closed the connection of lost-1 \(127\.0\.0\.1\): unmatched, No route takes the MQTT topic "nobody\/takes"\.$/
  })
  t.match((await reportOf(t, data)).ingest, {
    unmatchedEvents: 1,
    unmatchedTopics: [{ mqttTopic: 'nobody/takes', clientId: 'lost-1', events: 1 }]
  })
  t.match((await wadi(t, 'status', '--data', data)).stdout, /no route takes nobody\/takes: 1 event, last of client lost-1\n/)
})

t.test('what is dropped because no route takes it is counted by topic, of a bounded number of topics', async (t) => {
  const { process, port, data } = await startGateway(t, await temporary(t), { unmatched: { action: 'drop' } })
  const client = await open(t, port, { clientId: 'chatty' })
  for (let n = 0; n < 30; n++) await client.publishAsync(`nobody/${n}`, 'x', { qos: 1 })
  await client.publishAsync('nobody/0', 'x', { qos: 0 })
  await client.publishAsync('plant/a/b', 'x', { qos: 1 })
  const { ingest } = await reportOf(t, data)
  t.match(ingest, { unmatchedEvents: 31, unmatchedTopics: [{ mqttTopic: 'nobody/0', clientId: 'chatty', events: 2 }] })
  t.equal(ingest.unmatchedTopics.length, 20)
  t.match((await wadi(t, 'status', '--data', data)).stdout, /31 unmatched[\s\S]*nobody\/0: 2 events[\s\S]*and 15 more MQTT topics/)
  t.match(await said(process, /no route takes/), { level: 'warn', message: /"nobody\/0" of chatty: its events are dropped/ })
  t.equal(linesOf(process).filter(({ message }) => message.startsWith('no route takes')).length, 20)
})

t.test('what a full topic refuses is counted by topic and reason', async (t) => {
  const topics = { telemetry: { quota: '256KiB', when_full: 'reject' } }
  const { process, port, data } = await startGateway(t, await temporary(t), { topics })
  const client = await open(t, port, { clientId: 'full-1' })
  for (let n = 0; n < 40; n++) client.publish('plant/a/b', randomBytes(20_000), { qos: 1 }, () => undefined)
  t.match(await said(process, /KiB are stored or on their way, the quota is 256\.0 KiB\./), { level: 'warn' })
  const { ingest } = await reportOf(t, data)
  const [refused] = ingest.refusedTopics
  t.match(refused, { topic: 'telemetry', reason: 'WADI_QUOTA_EXCEEDED' })
  t.equal(refused?.events, ingest.refusedEvents)
  t.match((await wadi(t, 'status', '--data', data)).stdout, /refused for telemetry: \d+ events?, WADI_QUOTA_EXCEEDED\n/)
})

t.test('a message of MQTT 5 that is refused is told once a minute, and its connection stays', async (t) => {
  const { process, port } = await startGateway(t, await temporary(t))
  const client = await open(t, port, { clientId: 'v5', protocolVersion: 5 })
  for (let n = 0; n < 3; n++) await t.rejects(client.publishAsync('nobody/x', 'x', { qos: 1 }), { code: 0x90 })
  const { message } = await said(process, /^refused a message/)
  t.match(message, /^refused a message of v5 \(127\.0\.0\.1\): unmatched, 0x90, No route takes the MQTT topic "nobody\/x"\.$/)
  await client.publishAsync('plant/a/b', 'x', { qos: 1 })
  t.equal(linesOf(process).filter((line) => line.message.startsWith('refused a message')).length, 1)
})

t.test('a client without an id: no header is made up; a topic with an empty part goes to the dead letters', async (t) => {
  const routes = [{ filter: 'dyn/+name', topic: 'dyn-{name}', key: 'none' }]
  const { process, port, data } = await startGateway(t, await temporary(t), { routes, topics: {} })
  const client = await open(t, port, { clientId: '' })
  await client.publishAsync('dyn/a', 'x', { qos: 1 })
  await client.publishAsync('dyn/', 'y', { qos: 1 })
  const events = (await wadi(t, 'tail', '--no-follow', '--data', data)).stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { topic: string; headers: Record<string, string> })
  t.same(
    events.map(({ topic, headers }) => [topic, headers]),
    [
      ['dyn-a', { 'mqtt.topic': 'dyn/a' }],
      [
        '_wadi.dlq',
        { 'wadi.error': 'topic-invalid: a wildcard of the filter is empty here', 'mqtt.topic': 'dyn/', 'wadi.route': 'dyn/+name' }
      ]
    ]
  )
  t.match(await said(process, /made topic dyn-a/), { level: 'info' })
})

t.test('a clean stop with the link down is no warning', async (t) => {
  const { process, port } = await startGateway(t, await temporary(t), { upstream: { brokers: ['127.0.0.1:1'] } })
  const client = await connect(t, port)
  await client.publishAsync('plant/a/b', 'x', { qos: 1 })
  await said(process, /^uplink waiting/)
  const before = linesOf(process).length
  process.child.kill('SIGTERM')
  await process.exited
  t.same(
    linesOf(process)
      .slice(before)
      .filter(({ level }) => level !== 'info'),
    []
  )
  t.equal(linesOf(process).at(-1)?.message, 'stopped')
})
