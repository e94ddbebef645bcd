// Proves with a client that is not from npm: mosquitto_pub publishes at every QoS, and mosquitto_sub receives. Skipped with a visible
// line where Mosquitto's clients are not installed.

import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { textOf } from './controlled-store.ts'
import { startGateway, turns } from './rig.ts'

const run = promisify(execFile)
const PUBLISHER = 'mosquitto_pub'
const SUBSCRIBER = 'mosquitto_sub'
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
