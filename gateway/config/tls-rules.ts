// Rules between the keys of a `tls` section. Not for: what stands in the files (gateway/tls-files.ts).

import { isHostName } from '../../adapters/tls/certificate-writer.ts'
import type { Config, TlsSection } from './schema.ts'
import { KAFKA_TLS_KEY, mqttTlsKey } from './tls-config.ts'

type Report = (path: string, message: string) => void

interface Findings {
  readonly problem: Report
  readonly warning: Report
}

/** Nobody gets in without a certificate of the listener's CA. */
export function isClosedByTls(tls: TlsSection | null): boolean {
  return tls?.client_certificates === 'required'
}

export function checkTls({ mqtt, kafka }: Config, findings: Findings): void {
  mqtt.forEach(({ tls, insecure }, index) => {
    if (tls) checkSection(mqttTlsKey(index), tls, findings)
    if (isClosedByTls(tls) && insecure) warnOfInsecure(`mqtt[${index}].insecure`, findings)
  })
  if (!kafka) return
  if (kafka.tls) checkSection(KAFKA_TLS_KEY, kafka.tls, findings)
  if (isClosedByTls(kafka.tls) && kafka.insecure) warnOfInsecure('kafka.insecure', findings)
}

function checkSection(path: string, { ca, client_certificates, sni }: TlsSection, { problem, warning }: Findings): void {
  if (client_certificates !== 'none' && ca === null)
    problem(`${path}.ca`, `is missing: client_certificates is "${client_certificates}", and nobody is named who may sign them`)
  if (client_certificates === 'none' && ca !== null)
    warning(`${path}.ca`, 'has no effect while client_certificates is "none": write optional or required')
  const seen = new Set<string>()
  sni.forEach(({ host }, index) => {
    const name = host.toLowerCase()
    if (!isHostName(host)) problem(`${path}.sni[${index}].host`, `is "${host}", expected a host name, or *. and one`)
    else if (seen.has(name)) problem(`${path}.sni[${index}].host`, `is "${host}", which an entry before it has already`)
    seen.add(name)
  })
}

function warnOfInsecure(path: string, { warning }: Findings): void {
  warning(path, 'has no effect: with client_certificates: required nobody gets in without a certificate')
}
