// wadi config check --deep: would the gateway find on this machine what the file asks for? Looks and leaves everything as it is:
// nothing is written, and the cluster is asked only which requests it knows and where its brokers are.
// Not for: what stands in the file (gateway/config/).

import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { createConnection, createServer } from 'node:net'
import { dirname } from 'node:path'
import { groupIdOf, userName } from '../adapters/control/accounts.ts'
import { CONTROL_SOCKET, socketAddress } from '../adapters/control/control-path.ts'
import { whyNoGroup } from '../adapters/control/group-access.ts'
import { api } from '../adapters/kafka-protocol/apis.ts'
import { Connection } from '../adapters/kafka-upstream/connection.ts'
import type { Address } from '../gateway/config/address.ts'
import type { Config } from '../gateway/config/schema.ts'
import { lackOfRoom } from '../gateway/journal-room.ts'
import { formatBytes } from '../runtime/base/byte-text.ts'
import type { Disk } from '../runtime/io/disk.ts'
import { nodeClock } from '../runtime/io/node-clock.ts'
import { nodeDisk } from '../runtime/io/node-disk.ts'
import { UpstreamFault } from '../runtime/uplink/upstream.ts'
import { EXIT } from './exit-code.ts'

const BROKER_MS_MAX = 5000

export interface Finding {
  /** The key of wadi.yaml that asks for it. */
  readonly path: string
  readonly message: string
  /** A warning does not keep the gateway from its work. */
  readonly severity: 'good' | 'warning' | 'problem'
}

/** The exit code of the first problem. */
export function exitOfFindings(findings: readonly Finding[]): number {
  const first = findings.find(({ severity }) => severity === 'problem')
  if (!first) return EXIT.ok
  return first.path === 'gateway.data' ? EXIT.cannotCreate : EXIT.unavailable
}

/** In the order of the file. `config.gateway.data` is absolute. `disk`: what it lies on. */
export async function* deepCheck(config: Config, disk: Disk = nodeDisk): AsyncGenerator<Finding> {
  const directory = config.gateway.data
  const isRunning = await isGatewayIn(directory)
  yield await lookAtDirectory(config, disk, isRunning)
  if (config.control.group !== null) yield await lookAtGroup(config.control.group, directory)
  const listeners: [string, Address][] = config.mqtt.map(({ listen }, index) => [`mqtt[${index}].listen`, listen])
  if (config.kafka) listeners.push(['kafka.listen', config.kafka.listen])
  for (const [path, address] of listeners) yield await tryAddress(path, address, isRunning)
  if (config.upstream) yield* askBrokers(config.upstream.brokers)
}

/** Without locking it: that would write. */
async function isGatewayIn(directory: string): Promise<boolean> {
  const address = await socketAddress(directory, CONTROL_SOCKET).catch(() => null)
  if (!address) return false
  try {
    return await new Promise<boolean>((resolve) => {
      const socket = createConnection(address.path)
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
  } finally {
    await address.release()
  }
}

async function lookAtDirectory(config: Config, disk: Disk, isRunning: boolean): Promise<Finding> {
  const directory = config.gateway.data
  const path = 'gateway.data'
  const found = await nearestThatExists(directory)
  const place = found.path === directory ? directory : `${directory} is not there yet, and ${found.path}`
  if (!found.isDirectory) return { path, severity: 'problem', message: `${place} is not a directory` }
  try {
    await access(found.path, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    const why =
      (error as NodeJS.ErrnoException).code === 'EROFS'
        ? 'is on a file system that is read-only'
        : `may not be written by the user ${userName(process.geteuid?.() ?? -1)}`
    return { path, severity: 'problem', message: `${place} ${why}` }
  }
  const free = `${formatBytes(await disk.freeBytes(found.path))} free`
  if (isRunning) return { path, severity: 'warning', message: `${directory} is in use: a gateway runs in it (${free})` }
  const can = found.path === directory ? 'can be written' : 'can be written: the directory is made at the first start'
  const lack = await lackOfRoom(config, disk)
  if (lack !== null) return { path, severity: 'warning', message: `${place} has too little room: ${lack}` }
  return { path, severity: 'good', message: `${place} ${can} (${free})` }
}

async function lookAtGroup(group: string, directory: string): Promise<Finding> {
  const path = 'control.group'
  const id = groupIdOf(group)
  const why = id === null ? 'this machine has no such group' : await whyNoGroup(directory, id)
  if (why !== null) return { path, severity: 'warning', message: `members of ${group} could not ask the gateway: ${why}` }
  return { path, severity: 'good', message: `members of ${group} may ask the gateway` }
}

async function nearestThatExists(path: string): Promise<{ path: string; isDirectory: boolean }> {
  for (let at = path; ; at = dirname(at)) {
    const stats = await stat(at).catch(() => null)
    if (stats) return { path: at, isDirectory: stats.isDirectory() }
    if (dirname(at) === at) return { path: at, isDirectory: false }
  }
}

const LISTEN_WORDS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is taken by another process',
  EADDRNOTAVAIL: 'is no address of this machine',
  EACCES: 'may not be used by this user (ports below 1024 need a right of their own)',
  ENOTFOUND: 'has a name that nobody knows'
}

async function tryAddress(path: string, { host, port }: Address, isRunning: boolean): Promise<Finding> {
  const name = `${host}:${port}`
  if (port === 0) return { path, severity: 'good', message: `${name} takes a free port` }
  const code = await new Promise<string | null>((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)))
  })
  if (code === null) return { path, severity: 'good', message: `${name} is free` }
  if (code === 'EADDRINUSE' && isRunning)
    return { path, severity: 'warning', message: `${name} is taken, perhaps by the gateway that runs` }
  return { path, severity: 'problem', message: `${name} ${LISTEN_WORDS[code] ?? `cannot be used (${code})`}` }
}

/** One that answers is enough to begin with: it names the others, and those are what clients talk to from then on. */
async function* askBrokers(brokers: readonly Address[]): AsyncGenerator<Finding> {
  const answers = await Promise.all(brokers.map(askBroker))
  const isReachable = answers.some((answer) => typeof answer !== 'string')
  const named = new Map<string, { address: Address; by: number }>()
  for (const [index, answer] of answers.entries()) {
    const path = `upstream.brokers[${index}]`
    const name = nameOf(brokers[index])
    if (typeof answer === 'string') {
      yield { path, severity: isReachable ? 'warning' : 'problem', message: `${name} does not answer: ${answer}` }
      continue
    }
    yield { path, severity: 'good', message: `${name} answers as a Kafka broker does` }
    for (const address of answer) if (!named.has(nameOf(address))) named.set(nameOf(address), { address, by: index })
  }
  for (const address of brokers) named.delete(nameOf(address))
  for (const [name, { address, by }] of named) {
    const answer = await askBroker(address)
    const path = `upstream.brokers[${by}]`
    const says = `says that the cluster is to be reached at ${name}, which`
    if (typeof answer !== 'string') yield { path, severity: 'good', message: `${says} answers` }
    else yield { path, severity: 'problem', message: `${says} does not answer: ${answer} (advertised.listeners of that broker)` }
  }
}

const nameOf = (address: Address | undefined): string => `${address?.host}:${address?.port}`

/** The brokers that it names, or why it does not answer. */
async function askBroker({ host, port }: Address): Promise<readonly Address[] | string> {
  const limits = { requestTimeoutMs: BROKER_MS_MAX, dialTimeoutMs: BROKER_MS_MAX, clock: nodeClock }
  const connection = new Connection({ host, port, clientId: 'wadi-check', ...limits, wireBytes: { sent: 0, received: 0 } })
  try {
    await connection.open()
    const { brokers } = await connection.request(api.Metadata, () => ({ topics: [], allowAutoTopicCreation: false }))
    return brokers
  } catch (error) {
    if (!(error instanceof UpstreamFault)) throw error
    if (/ENOTFOUND|EAI_AGAIN/.test(error.message)) return `nobody knows the name ${host}`
    if (error.message.includes('ECONNREFUSED')) return 'nothing listens there (ECONNREFUSED)'
    return error.message
  } finally {
    connection.close()
  }
}
