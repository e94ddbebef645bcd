// Proves for MQTT over TLS with what is not from npm: mosquitto_pub and mosquitto_sub with and without a certificate, in TLS 1.2 and 1.3; what openssl s_client is
// offered, resumes and is refused; what openssl and Java's keytool say of the certificates that "wadi tls" writes. Skipped with a visible line where they are
// not installed.

import { execFile, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { Handshakes } from '../../adapters/tls/handshakes.ts'
import type { TlsSettings } from '../../adapters/tls/tls-settings.ts'
import { makeSite, type Site } from '../helpers/site.ts'
import { materialOf } from '../tls/rig.ts'
import { textOf } from './controlled-store.ts'
import { startGateway, type TestGateway, turns } from './rig.ts'

const run = promisify(execFile)
const has = (command: string, ...args: string[]): boolean => spawnSync(command, args).error === undefined
const noMosquitto = has('mosquitto_pub', '--help') ? false : 'mosquitto-clients is not installed'
const noOpenssl = has('openssl', 'version') ? false : 'openssl is not installed'
const noKeytool = has('keytool', '-help') ? false : 'no Java is installed'

async function start(
  t: { teardown(work: () => unknown): void },
  site: Site,
  settings: Partial<TlsSettings> = {}
): Promise<TestGateway & { details: string[] }> {
  const details: string[] = []
  const all = site.settings(settings)
  const handshakes = new Handshakes({
    material: await materialOf(all),
    clientCertificates: all.clientCertificates,
    protocols: ['mqtt'],
    onFailure: ({ reason, detail }) => details.push(`${reason}, ${detail}`)
  })
  return { ...(await startGateway(t, { handshakes })), details }
}

const caOf = (site: Site): string => join(site.directory, 'ca.pem')

function clientFiles(site: Site): { cert: string; key: string } {
  const { certificate, key } = site.issue('press-7', 'client')
  return { cert: site.write('press-7.pem', certificate), key: site.write('press-7.key', key) }
}

t.test('mosquitto_pub and mosquitto_sub, with a certificate and without', { skip: noMosquitto }, async (t) => {
  const site = makeSite(t)
  const { cert, key } = clientFiles(site)
  const { port, otherPort, store, details, events } = await start(t, site, { clientCertificates: 'required' })
  const at = ['-h', 'localhost', '-p', `${port}`, '--cafile', caOf(site)]
  const own = ['--cert', cert, '--key', key]
  for (const [version, protocol] of [
    ['tlsv1.2', 'mqttv311'],
    ['tlsv1.3', 'mqttv5']
  ] as const) {
    const how = ['--tls-version', version, '-V', protocol]
    const received = run('mosquitto_sub', [...at, ...own, ...how, '-t', 'd/#', '-q', '1', '-C', '1', '-W', '10'])
    await turns(undefined, 150)
    await run('mosquitto_pub', [...at, ...own, ...how, '-t', 'd/x', '-m', version, '-q', '2', '--tls-alpn', 'mqtt'])
    t.equal((await received).stdout.trim(), version)
    await t.rejects(run('mosquitto_pub', [...at, ...how, '-t', 'd/x', '-m', 'nobody', '-q', '1']))
  }
  t.same(
    store.recordsOf('events').map(({ value }) => textOf(value)),
    ['tlsv1.2', 'tlsv1.3']
  )
  t.match(details, [/^no-client-certificate/, /^no-client-certificate/])
  await t.rejects(run('mosquitto_pub', ['-h', 'localhost', '-p', `${port}`, '-t', 'd/x', '-m', 'plain', '-q', '1']))
  t.match(details.at(-1), /^not-tls/)
  await t.rejects(
    run('mosquitto_pub', ['-h', 'localhost', '-p', `${otherPort}`, '--cafile', caOf(site), '-t', 'd/x', '-m', 'x', '-q', '1'])
  )
  t.match(events.at(-1), { detail: /it begins TLS, and this address has none/ })
  const stranger = makeSite(t, 'elsewhere')
  await t.rejects(run('mosquitto_pub', ['-h', 'localhost', '-p', `${port}`, '--cafile', caOf(stranger), '-t', 'd/x', '-m', 'x', '-q', '1']))
  t.match(details.at(-1), /^refused-by-client, it does not trust/)
})

/** What openssl s_client says, with nothing sent. */
async function client(port: number, ...args: readonly string[]): Promise<string> {
  const child = run('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, ...args], { timeout: 20_000 })
  child.child.stdin?.end()
  return child.then(
    ({ stdout, stderr }) => stdout + stderr,
    ({ stdout, stderr }: { stdout: string; stderr: string }) => stdout + stderr
  )
}

t.test('openssl: what is offered, and what is not', { skip: noOpenssl }, async (t) => {
  const site = makeSite(t)
  const { port } = await start(t, site)
  const trusting = ['-CAfile', caOf(site), '-verify_return_error']
  const modern = await client(port, ...trusting, '-tls1_3', '-alpn', 'mqtt')
  t.match(modern, /Verify return code: 0 \(ok\)/)
  t.match(modern, /ALPN protocol: mqtt/)
  t.match(await client(port, ...trusting, '-tls1_2'), /Verify return code: 0 \(ok\)/)
  for (const cipher of ['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-ECDSA-CHACHA20-POLY1305'])
    t.match(await client(port, ...trusting, '-tls1_2', '-cipher', cipher), new RegExp(`Cipher is ${cipher}`))
  for (const cipher of ['ECDHE-ECDSA-AES128-SHA', 'AES128-SHA', 'ECDHE-ECDSA-AES128-SHA256', 'NULL', 'aNULL'])
    t.notMatch(
      await client(port, ...trusting, '-tls1_2', '-cipher', `${cipher}:@SECLEVEL=0`),
      /Verify return code: 0 \(ok\)\n[\s\S]*Cipher is [A-Z]/,
      cipher
    )
  for (const old of ['-tls1', '-tls1_1'])
    t.notMatch(await client(port, ...trusting, old, '-cipher', 'DEFAULT:@SECLEVEL=0'), /Cipher is (?!\(NONE\))/, old)
  t.match(await client(port, ...trusting, '-tls1_2'), /Secure Renegotiation IS supported[\s\S]*Compression: NONE/)
  const strict = await start(t, site, { minVersion: 'TLSv1.3' })
  t.notMatch(await client(strict.port, ...trusting, '-tls1_2'), /Cipher is (?!\(NONE\))/)
})

t.test('openssl resumes a session, in TLS 1.2 and 1.3', { skip: noOpenssl }, async (t) => {
  const site = makeSite(t)
  const { port } = await start(t, site)
  const ticket = join(site.directory, 'session')
  // Five connections one after the other with what the first one got; TLS 1.3 gives the session behind the handshake, which s_client reads only if it stays.
  t.match(await client(port, '-CAfile', caOf(site), '-tls1_2', '-reconnect'), /Reused, TLSv1\.2/)
  const first = await runShell(
    `(sleep 1) | openssl s_client -connect 127.0.0.1:${port} -CAfile ${caOf(site)} -tls1_3 -sess_out ${ticket} 2>&1`
  )
  t.match(first, /New, TLSv1\.3/)
  t.ok(existsSync(ticket))
  t.match(
    await runShell(`(sleep 1) | openssl s_client -connect 127.0.0.1:${port} -CAfile ${caOf(site)} -tls1_3 -sess_in ${ticket} 2>&1`),
    /Reused, TLSv1\.3/
  )
})

t.test('openssl asks for a new handshake and is refused, the connection of another stays', { skip: noOpenssl }, async (t) => {
  const site = makeSite(t)
  const { port, client: mqttClient } = await start(t, site)
  const good = await mqttClient({ protocol: 'mqtts', ca: site.ca.certificate })
  const said = await runShell(
    `(sleep 0.5; echo R; sleep 1) | openssl s_client -connect 127.0.0.1:${port} -CAfile ${caOf(site)} -tls1_2 2>&1`
  )
  t.match(said, /RENEGOTIATING\n[\s\S]*no renegotiation/)
  await good.publishAsync('d/x', 'still here', { qos: 1 })
})

async function runShell(command: string): Promise<string> {
  return run('sh', ['-c', command], { timeout: 20_000 }).then(
    ({ stdout }) => stdout,
    ({ stdout }: { stdout: string }) => stdout
  )
}

t.test('openssl verifies what is written, strictly', { skip: noOpenssl }, async (t) => {
  const site = makeSite(t)
  const { cert } = clientFiles(site)
  const server = join(site.directory, 'server.pem')
  const verify = (...args: string[]) => run('openssl', ['verify', '-x509_strict', '-CAfile', caOf(site), ...args])
  t.match(await verify('-purpose', 'sslserver', '-verify_hostname', 'localhost', server), { stdout: /: OK\n$/ })
  t.match(await verify('-purpose', 'sslserver', '-verify_ip', '127.0.0.1', server), { stdout: /: OK\n$/ })
  t.match(await verify('-purpose', 'sslclient', cert), { stdout: /: OK\n$/ })
  await t.rejects(verify('-purpose', 'sslserver', '-verify_hostname', 'elsewhere', server))
  await t.rejects(verify('-purpose', 'sslserver', cert), 'a client is no server')
  await t.rejects(verify('-purpose', 'sslclient', server))
  const { stdout } = await run('openssl', ['x509', '-in', caOf(site), '-noout', '-text'])
  t.match(
    stdout,
    /Version: 3[\s\S]*ecdsa-with-SHA256[\s\S]*Basic Constraints: critical\n +CA:TRUE, pathlen:0[\s\S]*Key Usage: critical\n +Certificate Sign, CRL Sign/
  )
})

t.test("Java reads what is written, and a truststore of it takes the gateway's", { skip: noKeytool }, async (t) => {
  const site = makeSite(t)
  const printed = await run('keytool', ['-printcert', '-file', join(site.directory, 'server.pem')])
  t.match(printed.stdout, /Owner: CN=gateway[\s\S]*SHA256withECDSA[\s\S]*DNSName: localhost[\s\S]*IPAddress: 127\.0\.0\.1/)
  const store = ['-keystore', join(site.directory, 'trust.p12'), '-storepass', 'changeit']
  await run('keytool', ['-importcert', '-noprompt', '-alias', 'ca', '-file', caOf(site), ...store])
  t.match((await run('keytool', ['-list', ...store])).stdout, /ca, .*trustedCertEntry/)
})
