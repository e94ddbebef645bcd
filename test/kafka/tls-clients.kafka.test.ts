// Proves for Kafka over TLS with Kafka's own console tools: with a truststore that keytool made and with PEM files they make a topic, write and read, in TLS 1.2
// and 1.3; without a certificate they stay outside where one is required.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { Handshakes } from '../../adapters/tls/handshakes.ts'
import { makeSite } from '../helpers/site.ts'
import { startCentre } from '../kafka-server/centre.ts'
import { materialOf } from '../tls/rig.ts'
import { resolveKafka } from './kafka-install.ts'

t.setTimeout(600_000)

const run = promisify(execFile)
const TOOL_MS_MAX = 60_000
const PASSWORD = 'changeit'

function tool(classPath: string, mainClass: string, args: readonly string[], input = ''): Promise<{ stdout: string; stderr: string }> {
  const jvm = ['-Xmx128m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', classPath, mainClass]
  const running = run('java', [...jvm, ...args], { timeout: TOOL_MS_MAX })
  running.child.stdin?.end(input)
  return running
}

t.test('TopicCommand, ConsoleProducer and ConsoleConsumer over TLS', async (t) => {
  const classPath = await resolveKafka()
  const site = makeSite(t)
  const settings = site.settings({ clientCertificates: 'required' })
  const handshakes = new Handshakes({ material: await materialOf(settings), clientCertificates: 'required' })
  const { port } = await startCentre(t, { handshakes })
  const server = ['--bootstrap-server', `localhost:${port}`]

  const trust = join(site.directory, 'trust.p12')
  await run('keytool', ['-importcert', '-noprompt', '-alias', 'ca', '-file', `${settings.ca}`, '-keystore', trust, '-storepass', PASSWORD])
  const { certificate, key } = site.issue('historian', 'client')
  const properties = (name: string, lines: readonly string[]): string =>
    site.write(name, ['security.protocol=SSL', 'default.api.timeout.ms=8000', 'request.timeout.ms=8000', ...lines].join('\n'))
  const trusting = ['ssl.truststore.type=PKCS12', `ssl.truststore.location=${trust}`, `ssl.truststore.password=${PASSWORD}`]
  const named = ['ssl.keystore.type=PEM', `ssl.keystore.location=${site.write('historian.pem', `${key}${certificate}`)}`]
  const old = properties('tls12.properties', [...trusting, ...named, 'ssl.enabled.protocols=TLSv1.2', 'ssl.protocol=TLSv1.2'])
  const pem = ['ssl.truststore.type=PEM', `ssl.truststore.location=${settings.ca}`]
  const modern = properties('tls13.properties', [...pem, ...named, 'ssl.enabled.protocols=TLSv1.3', 'ssl.protocol=TLSv1.3'])

  await tool(classPath, 'org.apache.kafka.tools.TopicCommand', [
    ...server,
    '--command-config',
    old,
    '--create',
    '--topic',
    'events',
    '--partitions',
    '2'
  ])
  const lines = Array.from({ length: 500 }, (_, index) => `line ${index} ${'x'.repeat(index)}`)
  for (const [file, half] of [
    [old, lines.slice(0, 250)],
    [modern, lines.slice(250)]
  ] as const) {
    const args = [...server, '--command-config', file, '--topic', 'events']
    await tool(classPath, 'org.apache.kafka.tools.ConsoleProducer', args, `${half.join('\n')}\n`)
  }
  for (const file of [old, modern]) {
    const args = [
      ...server,
      '--command-config',
      file,
      '--topic',
      'events',
      '--from-beginning',
      '--max-messages',
      '500',
      '--timeout-ms',
      '30000'
    ]
    const { stdout } = await tool(classPath, 'org.apache.kafka.tools.consumer.ConsoleConsumer', args)
    t.same(
      stdout
        .split('\n')
        .filter((line) => line !== '')
        .sort(),
      [...lines].sort()
    )
  }
  const nameless = properties('nameless.properties', pem)
  await t.rejects(tool(classPath, 'org.apache.kafka.tools.TopicCommand', [...server, '--command-config', nameless, '--list']))
  t.ok((handshakes.metrics.failed.get('no-client-certificate') ?? 0) > 0)
})
