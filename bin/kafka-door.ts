// A gateway's Kafka listener, as `wadi group` asks it: --bootstrap-server HOST:PORT, else what the configuration says that clients reach it by.
// Everything is said over the Kafka port, in the versions that both sides know: it works on any gateway that clients reach.
// Not for: the control socket (target.ts).

import type { Connection } from '../adapters/kafka-upstream/connection.ts'
import { WadiError } from '../runtime/base/errors.ts'
import { type CommandInput, type OptionSpec, usageError } from './command.ts'
import { CONFIG_PLACES, configFile, readConfigFile } from './target.ts'

const ADDRESS = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/
const TIMEOUT_MS = 30_000

export const kafkaOptions: readonly OptionSpec[] = [
  { name: 'bootstrap-server', short: 'b', value: 'HOST:PORT', doc: 'the Kafka listener of the gateway (default: the one in wadi.yaml)' },
  { name: 'config', short: 'c', value: 'FILE', doc: `configuration that names it (default: ${CONFIG_PLACES})` }
]

/** @throws WadiError WADI_USAGE, WADI_CONFIG_INVALID, WADI_UNAVAILABLE when it is not reached or does not answer */
export async function askKafka<T>(input: CommandInput, ask: (kafka: Connection) => Promise<T>): Promise<T> {
  const { host, port } = await addressOf(input)
  const { Connection } = await import('../adapters/kafka-upstream/connection.ts')
  const { nodeClock } = await import('../runtime/io/node-clock.ts')
  const { UpstreamFault } = await import('../runtime/uplink/upstream.ts')
  const kafka = new Connection({
    host,
    port,
    clientId: 'wadi',
    requestTimeoutMs: TIMEOUT_MS,
    dialTimeoutMs: TIMEOUT_MS,
    clock: nodeClock,
    wireBytes: { sent: 0, received: 0 }
  })
  const giveUp = (): void => kafka.close()
  input.signal.addEventListener('abort', giveUp, { once: true })
  try {
    await kafka.open()
    return await ask(kafka)
  } catch (cause) {
    if (!(cause instanceof UpstreamFault)) throw cause
    throw new WadiError('WADI_UNAVAILABLE', {
      happened: `The Kafka listener of the gateway at ${host}:${port} did not answer: ${cause.message}.`,
      kept: cause.kind === 'in-doubt' ? 'What was asked for may have been done.' : 'Nothing was changed.',
      next: 'Start the gateway with a "kafka" section, or name the listener with --bootstrap-server HOST:PORT.',
      cause
    })
  } finally {
    input.signal.removeEventListener('abort', giveUp)
    kafka.close()
  }
}

async function addressOf(input: CommandInput): Promise<{ host: string; port: number }> {
  const named = input.text('bootstrap-server')
  if (named !== undefined) {
    const [, inBrackets, plain, port] = ADDRESS.exec(named) ?? []
    const host = inBrackets ?? plain
    if (host !== undefined && Number(port) > 0 && Number(port) < 65_536) return { host, port: Number(port) }
    throw usageError(`--bootstrap-server is "${named}".`, 'Write HOST:PORT, an IPv6 address in brackets.')
  }
  const path = input.text('config') ?? configFile()
  const kafka = path === null ? null : (await readConfigFile(path)).config.kafka
  if (kafka) return kafka.advertised ?? kafka.listen
  const why = path === null ? 'There is no configuration' : `${path} has no "kafka" section`
  throw usageError(`${why} to tell where Kafka clients reach the gateway.`, 'Name it with --bootstrap-server HOST:PORT.')
}
