// Commands that ask a gateway as any Kafka client does: over its Kafka listener, whose address the running gateway tells, or --bootstrap-server names.

import { type ClientTls, Connection } from '../adapters/kafka-upstream/connection.ts'
import { parseAddress } from '../gateway/config/address.ts'
import type { StatusReport } from '../gateway/status-report.ts'
import { WadiError } from '../runtime/base/errors.ts'
import { visibleLine } from '../runtime/base/visible-line.ts'
import { nodeClock } from '../runtime/io/node-clock.ts'
import { UpstreamFault } from '../runtime/uplink/upstream.ts'
import { type CommandInput, usageError } from './command.ts'
import { dataDirectoryOf } from './target.ts'
import { note, print } from './terminal.ts'

const TIMEOUT_MS = 30_000

export type KafkaAdmin = Pick<Connection, 'request'>

/** @throws WadiError WADI_UNAVAILABLE when nobody answers there, or the gateway has no Kafka listener; WADI_USAGE */
export async function withKafka<T>(input: CommandInput, work: (admin: KafkaAdmin) => Promise<T>): Promise<T> {
  const tls = await tlsOf(input)
  const address = await addressOf(input, tls !== undefined)
  const parsed = parseAddress(address, '127.0.0.1:9092')
  if (!('value' in parsed)) throw usageError(`--bootstrap-server ${parsed.why}.`, 'Write HOST:PORT, an IPv6 address in brackets.')
  const limits = { requestTimeoutMs: TIMEOUT_MS, dialTimeoutMs: TIMEOUT_MS }
  const connection = new Connection({
    ...parsed.value,
    ...limits,
    tls,
    clientId: 'wadi',
    clock: nodeClock,
    wireBytes: { sent: 0, received: 0 }
  })
  const stop = (): void => connection.close()
  input.signal.addEventListener('abort', stop, { once: true })
  try {
    await connection.open()
    return await work(connection)
  } catch (error) {
    if (!(error instanceof UpstreamFault)) throw error
    const { tlsAdvice } = await import('./kafka-tls.ts')
    const advice = tlsAdvice(error.message, tls)
    throw new WadiError('WADI_UNAVAILABLE', {
      happened: `The Kafka listener at ${address} ${advice ? 'and we did not agree' : 'did not answer'}: ${error.message}.`,
      kept: error.kind === 'in-doubt' ? 'What was asked for may have been done.' : 'What was answered before is done, and nothing else.',
      next: advice ?? 'Check that the gateway runs, or name its listener with --bootstrap-server HOST:PORT.',
      cause: error
    })
  } finally {
    input.signal.removeEventListener('abort', stop)
    connection.close()
  }
}

/** undefined = without TLS. @throws WadiError WADI_USAGE, WADI_CERTIFICATE_UNUSABLE */
async function tlsOf(input: CommandInput): Promise<ClientTls | undefined> {
  const [ca, cert, key] = ['ca', 'cert', 'key'].map((name) => input.text(name))
  if ((cert === undefined) !== (key === undefined)) throw usageError('--cert and --key belong together.', 'Give both, or neither.')
  if (ca === undefined && cert !== undefined)
    throw usageError('--cert needs --ca.', 'Name the CA that has signed the certificate of the gateway.')
  if (ca === undefined) return undefined
  const { readClientTls } = await import('./kafka-tls.ts')
  return readClientTls({ ca, cert, key })
}

/** A listener of every address has no name that could stand in its certificate. */
const EVERY_ADDRESS = /^(0\.0\.0\.0|\[?::\]?):/

async function addressOf(input: CommandInput, hasTls: boolean): Promise<string> {
  const named = input.text('bootstrap-server')
  if (named !== undefined) return named
  const { askControl } = await import('../adapters/control/control-client.ts')
  const directory = await dataDirectoryOf(input)
  const { kafka } = (await askControl(directory, { command: 'status' }, { signal: input.signal })) as StatusReport
  if (kafka?.isTls && !hasTls) {
    throw usageError(
      `The Kafka listener at ${kafka.listener} has TLS.`,
      'Name the CA of its certificate with --ca FILE, and where it asks for one a certificate of ours with --cert FILE --key FILE.'
    )
  }
  if (kafka) return kafka.isTls ? kafka.listener.replace(EVERY_ADDRESS, 'localhost:') : kafka.listener
  throw new WadiError('WADI_UNAVAILABLE', {
    happened: 'This gateway has no Kafka listener.',
    kept: 'Nothing was changed.',
    next: 'Add kafka: { listen: "127.0.0.1:9092" } to wadi.yaml and start it again.'
  })
}

export interface TopicAnswer {
  readonly name: string
  readonly errorCode: number
  readonly errorMessage: string | null
}

/** Says on stderr what was refused, and on stdout what was `done`. @returns whether anything was refused */
export async function sayRefusals(answers: readonly TopicAnswer[], done?: (name: string) => string): Promise<boolean> {
  const { kafkaError } = await import('../adapters/kafka-protocol/error-codes.ts')
  const refused = answers.filter(({ errorCode }) => errorCode !== 0)
  for (const { name, errorCode, errorMessage } of refused) {
    const fault = kafkaError(errorCode).name
    const words = errorMessage?.startsWith(`${fault}: `)
      ? errorMessage
      : [fault, errorMessage ?? ''].filter((part) => part !== '').join(': ')
    note(visibleLine(`topic ${name}: ${words}`))
  }
  const names = new Set(answers.map(({ name }) => name))
  for (const { name } of refused) names.delete(name)
  if (done) for (const name of names) await print(`${visibleLine(done(name))}\n`)
  return refused.length > 0
}
