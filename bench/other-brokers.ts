// Brokers that others wrote, as processes on a free loopback port, never left behind: Mosquitto (Debian package mosquitto) and the NATS server with MQTT
// over JetStream (nats-server). Where one is not installed it is left out, and the bench says so.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from './gateway-process.ts'
import type { LoadedServer } from './mqtt-load.ts'
import { answers, cpuMsOf, residentBytesOf } from './process-facts.ts'

const READY_WITHIN_MS = 15_000
const POLL_MS = 20

export interface OtherBroker extends LoadedServer {
  kill(): Promise<void>
}

export type OtherBrokerKind = 'mosquitto' | 'mosquitto, durable' | 'nats'

interface Command {
  readonly program: string
  readonly args: readonly string[]
}

/** Files are written to `directory`. */
function commandOf(kind: OtherBrokerKind, directory: string, ports: { mqtt: number; own: number }): Command {
  const data = join(directory, 'data')
  mkdirSync(data, { recursive: true })
  const file = join(directory, 'broker.conf')
  if (kind === 'nats') {
    writeFileSync(
      file,
      [
        `server_name: bench`,
        `listen: 127.0.0.1:${ports.own}`,
        `jetstream { store_dir: "${data}" }`,
        `mqtt { listen: 127.0.0.1:${ports.mqtt}, max_ack_pending: 65535 }`
      ].join('\n')
    )
    return { program: 'nats-server', args: ['-c', file] }
  }
  const durable = ['persistence true', `persistence_location ${data}/`, 'autosave_on_changes true', 'autosave_interval 1']
  const lines = [`listener ${ports.mqtt} 127.0.0.1`, 'allow_anonymous true', 'max_inflight_messages 0', 'max_queued_messages 0']
  writeFileSync(file, [...lines, ...(kind === 'mosquitto' ? [] : durable)].join('\n'))
  return { program: 'mosquitto', args: ['-c', file] }
}

export const isInstalled = (kind: OtherBrokerKind): boolean =>
  spawnSync(kind === 'nats' ? 'nats-server' : 'mosquitto', [kind === 'nats' ? '--version' : '-h']).error === undefined

/** @throws Error when it does not come up */
export async function startOtherBroker(kind: OtherBrokerKind, directory: string): Promise<OtherBroker> {
  mkdirSync(directory, { recursive: true })
  const ports = { mqtt: await freePort(), own: await freePort() }
  const { program, args } = commandOf(kind, directory, ports)
  const child = spawn(program, args, { stdio: 'ignore' })
  const giveUpMs = performance.now() + READY_WITHIN_MS
  while (!(await answers(ports.mqtt))) {
    if (child.exitCode !== null || performance.now() > giveUpMs) {
      child.kill('SIGKILL')
      throw new Error(`${program} did not come up`)
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  const { pid = -1 } = child
  return { port: ports.mqtt, cpuMs: () => cpuMsOf(pid), residentBytes: () => residentBytesOf(pid), kill: () => kill(child) }
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await gone
}
