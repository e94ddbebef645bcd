// wadi dev: a gateway to play with. Loopback, no file, gone when it stops (unless --data keeps it).

import { existsSync, rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseAddress } from '../../gateway/config/address.ts'
import { type Command, usageError } from '../command.ts'
import { beforeForcedEnd } from '../signals.ts'
import { paint, print } from '../terminal.ts'

const MQTT_PORT = 1883
const PORTS_TRIED = 100

export const dev: Command = {
  name: 'dev',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary: 'A gateway to try things with: no file needed, loopback only',
  details: 'Every MQTT topic goes to the topic "events", keyed by its name. Without --data everything is removed when it stops.',
  options: [
    { name: 'data', value: 'DIR', doc: 'keep the data here' },
    { name: 'port', short: 'p', value: 'PORT', doc: `MQTT port (default: ${MQTT_PORT}, or the next one that is free)` },
    { name: 'upstream', value: 'HOST:PORT', doc: 'deliver to this Kafka cluster' }
  ],
  examples: ['wadi dev', 'wadi dev --data ./data --port 1883 --upstream 127.0.0.1:9092'],

  async run(input) {
    const asked = input.text('port') === undefined ? null : input.count('port', 0)
    const upstream = input.text('upstream')
    if (asked !== null && asked > 65_535) throw usageError(`--port is ${asked}.`, 'The largest port is 65535.')
    if (upstream !== undefined && 'why' in parseAddress(upstream)) throw usageError(`--upstream is "${upstream}".`, 'Write host:port.')
    const port = asked ?? (await freePort())
    const kept = input.text('data')
    const directory = kept === undefined ? await mkdtemp(join(tmpdir(), 'wadi-dev-')) : resolve(kept)
    const removal = { recursive: true, force: true, maxRetries: 3 }
    if (kept === undefined) beforeForcedEnd(() => removeNow(directory))
    try {
      const { loadConfig } = await import('../../gateway/config/load.ts')
      const config = loadConfig(JSON.stringify(devConfig(directory, port, upstream)), { fileName: 'wadi dev', environment: {} })
      const { serve } = await import('../serve.ts')
      return await serve(config, {
        signal: input.signal,
        isJson: false,
        stopsOnHangup: process.stdout.isTTY,
        onReady: ({ addresses }) => introduce(directory, addresses.mqtt[0] ?? '')
      })
    } finally {
      if (kept === undefined) await rm(directory, removal)
    }
  }
}

/** 0 = any: when none of the first is free. */
async function freePort(): Promise<number> {
  for (let port = MQTT_PORT; port < MQTT_PORT + PORTS_TRIED; port++) if (await isFree(port)) return port
  return 0
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** Calls that are under way may still make a file; there are only a few of them. */
function removeNow(directory: string): void {
  for (let attempt = 0; attempt < 20 && existsSync(directory); attempt++) {
    try {
      rmSync(directory, { recursive: true, force: true })
    } catch {} // not empty: once more
  }
}

function devConfig(directory: string, port: number, upstream: string | undefined): object {
  return {
    gateway: { id: 'wadi-dev', data: directory },
    storage: { journal: { file_size: '8MiB' } },
    mqtt: [{ listen: `127.0.0.1:${port}` }],
    routes: [{ name: 'everything', filter: '#name', topic: 'events', key: '{name}' }],
    ...(upstream === undefined ? {} : { upstream: { brokers: [upstream] } })
  }
}

async function introduce(directory: string, mqttAddress: string): Promise<void> {
  const [host, port] = [mqttAddress.slice(0, mqttAddress.lastIndexOf(':')), mqttAddress.slice(mqttAddress.lastIndexOf(':') + 1)]
  await print(`
${paint('bold', 'MQTT')}  mqtt://${mqttAddress}      ${paint('bold', 'data')}  ${directory}

  mosquitto_sub -h ${host} -p ${port} -v -t '#'
  mosquitto_pub -h ${host} -p ${port} -q 1 -t plant/a/temperature -m 21.5
  wadi tail --data ${directory}
  wadi status --data ${directory}

Ctrl-C stops it.

`)
}
