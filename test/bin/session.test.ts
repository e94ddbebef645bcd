// Proves for `wadi session`: it shows the MQTT sessions of a running gateway and ends them; kill -9 does not bring an ended one back; what its subscription covered takes the
// fast lane again; wrong words, ids that are not there and patterns where an id is wanted are told as such.

import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import t, { type Test } from 'tap'
import { askControl } from '../../adapters/control/control-client.ts'
import { SessionTable } from '../../bin/session-text.ts'
import { connect, publish, type Running, startGateway, temporary, wadi } from './wadi-process.ts'

async function reader(test: Test, { port }: Running, clientId: string, options: IClientOptions = {}): Promise<MqttClient> {
  const client = await mqtt.connectAsync({ host: '127.0.0.1', port, clientId, clean: false, reconnectPeriod: 0, ...options })
  client.on('error', () => undefined)
  test.teardown(() => client.end(true))
  return client
}

const objects = (stdout: string): Record<string, unknown>[] =>
  stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))

async function laneEvents(test: Test, { data }: Running): Promise<number> {
  const { stdout } = await wadi(test, 'metrics', '--data', data)
  return Number(/^wadi_ingest_fast_lane_events_total(?:\{.*\})? (\d+)/m.exec(stdout)?.[1])
}

t.test('from the list to the end, and over kill -9', { timeout: 180_000 }, async (t) => {
  const directory = await temporary(t)
  const running = await startGateway(t, directory)
  const session = (...words: string[]) => wadi(t, 'session', ...words, '--data', running.data)
  t.match(await session('list'), { code: 0, stdout: /^CLIENT +STATE .*ADDRESS\n$/, stderr: '' })
  const forgotten = await reader(t, running, 'old dashboard')
  await forgotten.subscribeAsync('plant/#', { qos: 1 })
  await forgotten.endAsync()
  const five = await reader(t, running, 'five', { protocolVersion: 5, properties: { sessionExpiryInterval: 3_600 } })
  await five.subscribeAsync('other/#', { qos: 2, rap: true })
  const publisher = await connect(t, running.port)
  await publish(publisher, 4)
  t.equal(await laneEvents(t, running), 0, 'a subscription keeps them off the fast lane')

  const table = (await session('list', '*d*')).stdout
  t.match(table, /^CLIENT +STATE +SINCE +MQTT +EXPIRY +SUBSCRIPTIONS +QUEUED +BYTES +ADDRESS\n/)
  t.match(table, /\n"old dashboard" +absent +\d{4}-\S+Z +3\.1\.1 +never +1 +4 +32 +-\n/)
  t.match((await session('list', '--connected', 'five')).stdout, /\nfive +connected +\S+Z +5 +1h00m +1 +0 +0 +127\.0\.0\.1\n$/)
  t.match(objects((await session('list', '--json', '--absent')).stdout), [
    { clientId: 'old dashboard', queuedMessages: 4, remoteAddress: null }
  ])
  t.match(objects((await session('list', '--json', '--topic', 'other/a')).stdout), [{ clientId: 'five' }])
  t.match((await session('show', 'five')).stdout, /^client +five\nstate +connected since [\s\S]*\nother\/# +2 +retain-as-published\n$/)
  t.match(objects((await session('show', 'old dashboard', '--json')).stdout), [{ filters: [{ filter: 'plant/#', qos: 1 }] }])

  const closed = new Promise((resolve) => five.once('disconnect', ({ reasonCode }) => resolve(reasonCode)))
  const ended = await session('end', 'old dashboard', 'nobody', 'five')
  t.equal(await closed, 0x98)
  t.match(ended, { code: 1, stderr: /WADI_SESSION_UNKNOWN[\s\S]*"nobody"/ })
  t.match(
    ended.stdout,
    /^ended "old dashboard": 1 subscription, 4 messages \(32 B of memory\) discarded\nended five: disconnected from 127\.0\.0\.1, /
  )
  running.process.child.kill('SIGKILL')
  t.match((await running.process.exited).stderr, /ended the session of old dashboard, as it was asked to/)

  const again = await startGateway(t, directory)
  t.same(objects((await session('list', '--json')).stdout), [])
  await publish(await connect(t, again.port), 4)
  t.equal(await laneEvents(t, again), 4)
  const back = await reader(t, again, 'old dashboard')
  const taken: string[] = []
  back.on('message', (topic) => taken.push(topic))
  await back.subscribeAsync('plant/nothing', { qos: 1 })
  t.same(taken, [], 'nothing waited for it')
})

t.test('wrong words, and who is not there', { timeout: 120_000 }, async (t) => {
  const running = await startGateway(t, await temporary(t))
  const session = (...words: string[]) => wadi(t, 'session', ...words, '--data', running.data)
  for (const clientId of ['press-1', 'press-2']) await reader(t, running, clientId)
  t.match(await session('list', '--absent', '--connected'), { code: 64, stderr: /exclude each other/ })
  t.match(await session('list', '--topic', 'plant/#'), { code: 64, stderr: /"plant\/#" is a filter/ })
  t.match(await session('list', 'a', 'b'), { code: 64, stderr: /does not know what to do with "b"/ })
  t.match(await session('end'), { code: 64, stderr: /needs CLIENT_ID/ })
  t.match(await session('end', 'press-*'), {
    code: 1,
    stdout: '',
    stderr: /A whole client id is wanted; as a pattern it is that of 2 sessions/
  })
  t.match(await session('end', 'Press-1'), { code: 1, stdout: '', stderr: /capitals and spaces count\. Did you mean "press-1"\?/ })
  t.match(await session('show', 'x'), { code: 1, stdout: '', stderr: /WADI_SESSION_UNKNOWN/ })
  t.equal(objects((await session('list', '--json')).stdout).length, 2, 'nothing was ended')
  t.match(await wadi(t, 'session', 'list', '--data', '/nowhere'), { code: 69, stderr: /WADI_UNAVAILABLE/ })
  t.match(await wadi(t, 'session'), { code: 64, stderr: /"wadi session list" or "wadi session show" or "wadi session end"/ })
})

t.test('who may look may not end: the socket of the group does not take it', { timeout: 60_000 }, async (t) => {
  const running = await startGateway(t, await temporary(t))
  await reader(t, running, 'press-1')
  await t.rejects(askControl(running.data, { command: 'end-session', clientId: 'press-1' }), {
    code: 'WADI_USAGE',
    message: /is not known/
  })
  t.match(await askControl(running.data, { command: 'session', clientId: 'press-1' }), { clientId: 'press-1', isConnected: true })
})

t.test('pages of one table: as wide as those before, one head', async (t) => {
  const table = new SessionTable()
  const facts = (clientId: string) => ({
    ...{ clientId, isConnected: false, sinceMs: 0, version: null, expirySeconds: 0, subscriptions: 1 },
    ...{ queuedMessages: 0, queuedBytes: 0, hasWill: false, remoteAddress: null }
  })
  const pages = [table.page([facts('a-long-client-id')]), table.page([facts('b')]), table.page([])]
  const lines = pages.join('').trimEnd().split('\n')
  t.equal(lines.length, 3)
  t.equal(new Set(lines.map((line) => line.search(/STATE|absent/))).size, 1)
})
