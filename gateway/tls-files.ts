// What is wrong with the files that the `tls` sections name, as the configuration calls them. Not for: the sections themselves (config/tls-rules.ts), files that
// change while the gateway runs (tls-doors.ts).

import { type JudgedFiles, judgeFiles } from '../adapters/tls/certificate-files.ts'
import { isHostName } from '../adapters/tls/certificate-writer.ts'
import type { TlsFinding } from '../adapters/tls/finding.ts'
import type { Config } from './config/schema.ts'
import { KAFKA_TLS_KEY, tlsListenersOf } from './config/tls-config.ts'

export interface FileFinding {
  /** mqtt[0].tls.cert */
  readonly path: string
  readonly severity: TlsFinding['severity']
  readonly message: string
}

/** Of all listeners, in the order of the file. Paths are absolute, or begin at the working directory. */
export async function checkTlsFiles(config: Config, nowMs: number): Promise<FileFinding[]> {
  const found: FileFinding[] = []
  for (const { key, settings } of tlsListenersOf(config)) {
    const { findings, own } = await judgeFiles(settings, nowMs)
    for (const { setting, severity, message } of findings) found.push({ path: `${key}.${setting}`, severity, message })
    if (key === KAFKA_TLS_KEY && own) found.push(...kafkaHostFindings(config, own))
  }
  return found
}

/** Kafka clients go on to the address that they are told, and look for its name in the certificate. */
function kafkaHostFindings({ kafka }: Config, own: NonNullable<JudgedFiles['own']>): FileFinding[] {
  const told = kafka?.advertised ?? kafka?.listen
  if (!told || (isHostName(told.host) ? own.checkHost(told.host) : own.checkIP(told.host))) return []
  const message = `is not for ${told.host}, which Kafka clients are told to connect to (${kafka?.advertised ? 'kafka.advertised' : 'kafka.listen'}): they refuse it`
  return [{ path: `${KAFKA_TLS_KEY}.cert`, severity: 'warning', message }]
}
