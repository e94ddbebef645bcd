// The TLS sections of a configuration as the listeners need them. Not for: what may stand in them (schema.ts, tls-rules.ts).

import { resolve } from 'node:path'
import type { IdentityFiles, TlsSettings } from '../../adapters/tls/tls-settings.ts'
import type { Config, TlsSection } from './schema.ts'

export interface TlsListener {
  /** Of the section: mqtt[0].tls, kafka.tls. */
  readonly key: string
  readonly protocol: 'mqtt' | 'kafka'
  readonly settings: TlsSettings
}

/** Those that have TLS, in the order of the file. */
export function tlsListenersOf({ mqtt, kafka }: Pick<Config, 'mqtt' | 'kafka'>): TlsListener[] {
  const listeners = mqtt.flatMap(({ tls }, index): TlsListener[] =>
    tls ? [{ key: mqttTlsKey(index), protocol: 'mqtt', settings: settingsOf(tls) }] : []
  )
  if (kafka?.tls) listeners.push({ key: KAFKA_TLS_KEY, protocol: 'kafka', settings: settingsOf(kafka.tls) })
  return listeners
}

export const KAFKA_TLS_KEY = 'kafka.tls'
export const mqttTlsKey = (index: number): string => `mqtt[${index}].tls`

function settingsOf({ sni, ca, client_certificates, min_version, ...files }: TlsSection): TlsSettings {
  return {
    ...filesOf(files),
    sni: sni.map((one) => ({ host: one.host, ...filesOf(one) })),
    ca,
    clientCertificates: client_certificates,
    minVersion: min_version === '1.3' ? 'TLSv1.3' : 'TLSv1.2'
  }
}

const filesOf = ({ cert, key, key_passphrase }: Pick<TlsSection, 'cert' | 'key' | 'key_passphrase'>): IdentityFiles => ({
  cert,
  key,
  keyPassphrase: key_passphrase
})

/** With every path absolute: a relative one begins at `directory`, that of the file. */
export function withAbsolutePaths(config: Config, directory: string): Config {
  const absolute = (path: string): string => resolve(directory, path)
  const orNull = (path: string | null): string | null => path && absolute(path)
  const files = <F extends Pick<TlsSection, 'cert' | 'key' | 'key_passphrase'>>(section: F): F => ({
    ...section,
    cert: absolute(section.cert),
    key: absolute(section.key),
    key_passphrase: orNull(section.key_passphrase)
  })
  const tls = (section: TlsSection | null): TlsSection | null =>
    section && { ...files(section), ca: orNull(section.ca), sni: section.sni.map(files) }
  return {
    ...config,
    gateway: { ...config.gateway, data: absolute(config.gateway.data) },
    mqtt: config.mqtt.map((listener) => ({ ...listener, tls: tls(listener.tls) })),
    kafka: config.kafka && { ...config.kafka, tls: tls(config.kafka.tls) }
  }
}
