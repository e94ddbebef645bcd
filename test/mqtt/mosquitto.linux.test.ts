// Proves with what is not from npm: mosquitto_pub publishes at every QoS, mosquitto_sub receives, and a Mosquitto joins as a bridge. Skipped with a visible
// line where they are not installed.

import { execFile, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { textOf } from './controlled-store.ts'
import { startGateway, turns } from './rig.ts'

const run = promisify(execFile)
const PUBLISHER = 'mosquitto_pub'
const SUBSCRIBER = 'mosquitto_sub'
/** Free a moment ago. */
const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
const isInstalled = spawnSync(PUBLISHER, ['--help']).error === undefined

t.test('mosquitto_pub and mosquitto_sub', { skip: isInstalled ? false : 'mosquitto-clients is not installed' }, async (t) => {
  const { port, store } = await startGateway(t)
  const address = ['-h', '127.0.0.1', '-p', `${port}`]
  const received = run(SUBSCRIBER, [...address, '-t', 'd/#', '-q', '1', '-C', '3', '-W', '10'])
  await turns(undefined, 100)
  for (const qos of ['0', '1', '2'])
    await run(PUBLISHER, [...address, '-t', `d/${qos}`, '-m', `qos ${qos}`, '-q', qos, '-i', `pub${qos}`, '-c'])
  await turns(() => store.recordsOf('events').length === 3)
  t.same(
    store.recordsOf('events').map(({ value }) => textOf(value)),
    ['qos 0', 'qos 1', 'qos 2']
  )
  t.same((await received).stdout.trim().split('\n').sort(), ['qos 0', 'qos 1', 'qos 2'])
  t.same(
    [...store.state.keys()].filter((key) => key.startsWith('mqtt.qos2/')),
    [],
    'QoS 2 was completed'
  )
  await t.rejects(run(PUBLISHER, [...address, '-t', 'nobody', '-m', 'x', '-q', '1']), 'an event nobody takes is not acknowledged')
})

for (const [version, lasts] of [
  ['mqttv311', []],
  ['mqttv5', ['-x', '3600']]
] as const) {
  t.test(
    `a session of mosquitto_sub gets what came while it was away, in order (${version})`,
    { skip: isInstalled ? false : 'not installed' },
    async (t) => {
      const { port } = await startGateway(t)
      const address = ['-h', '127.0.0.1', '-p', `${port}`, '-V', version]
      const subscriber = [...address, ...lasts, '-i', 'away', '-c', '-q', '2', '-t', 'd/#']
      await run(SUBSCRIBER, [...subscriber, '-E'])
      const payloads = Array.from({ length: 30 }, (_, index) => `${index}`)
      for (const qos of ['1', '2']) {
        const publisher = run(PUBLISHER, [...address, '-t', 'd/x', '-q', qos, '-l'])
        publisher.child.stdin?.end(payloads.join('\n'))
        await publisher
      }
      const received = await run(SUBSCRIBER, [...subscriber, '-C', '60', '-W', '10'])
      t.same(received.stdout.trim().split('\n'), [...payloads, ...payloads])
    }
  )
}

const BROKER = ['mosquitto', '/usr/sbin/mosquitto'].find((path) => spawnSync(path, ['-h']).error === undefined)

t.test('a Mosquitto as a bridge, as it is by default', { skip: BROKER ? false : 'mosquitto is not installed' }, async (t) => {
  for (const version of ['mqttv311', 'mqttv50']) {
    const { port, store, client } = await startGateway(t)
    const folder = mkdtempSync(join(tmpdir(), 'wadi-bridge-'))
    const ownPort = await freePort()
    const lines = [
      `listener ${ownPort} 127.0.0.1`,
      'allow_anonymous true',
      'connection plant',
      `address 127.0.0.1:${port}`,
      'topic # both 1',
      `bridge_protocol_version ${version}`
    ]
    writeFileSync(join(folder, 'mosquitto.conf'), lines.join('\n'))
    const bridge = spawn(BROKER as string, ['-c', join(folder, 'mosquitto.conf')], { stdio: 'ignore' })
    t.teardown(() => {
      bridge.kill('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    })
    const publish = (): Promise<boolean> =>
      run(PUBLISHER, ['-h', '127.0.0.1', '-p', `${ownPort}`, '-t', 'd/up', '-m', 'up', '-q', '1']).then(Boolean, () => false)
    for (let count = 0; count < 50 && !(await publish()); count++) await turns(undefined, 50)
    await turns(() => store.recordsOf('events').length > 0)
    const received = run(SUBSCRIBER, ['-h', '127.0.0.1', '-p', `${ownPort}`, '-t', 'd/down', '-q', '1', '-C', '1', '-W', '10'])
    await turns(undefined, 100)
    const local = await client()
    await local.publishAsync('d/down', 'down', { qos: 1, retain: true })
    t.equal((await received).stdout.trim(), 'down', version)
    t.match(textOf(store.recordsOf('events')[0]?.value), 'up')
  }
})
