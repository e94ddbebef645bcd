// Proves for the command line: "wadi tls" makes what it says, overwrites nothing and shows no key; "wadi config check" tells what is wrong with the files; a
// gateway with TLS starts, takes new certificates on SIGHUP, and is asked over Kafka with --ca.

import { spawnSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { chmodSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import mqtt from 'mqtt'
import t, { type Test } from 'tap'
import { writePair } from '../../bin/tls-directory.ts'
import { makeSite } from '../helpers/site.ts'
import { gatewayFile, Process, startGateway, temporary, wadi } from './wadi-process.ts'

t.setTimeout(120_000)

const WADI = fileURLToPath(new URL('../../bin/wadi.js', import.meta.url))

/** In `directory`. */
function run(directory: string, ...args: string[]): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [WADI, ...args], { cwd: directory, encoding: 'utf8' })
  return { code: status, stdout, stderr }
}

const modeOf = (path: string): number => statSync(path).mode & 0o777
const certificateOf = (path: string): X509Certificate => new X509Certificate(readFileSync(path))

t.test('tls init makes a CA and a certificate for this machine, and renews with the same CA', async (t) => {
  const directory = await temporary(t)
  const made = run(directory, 'tls', 'init', 'tls', '--host', 'gw.example,192.0.2.7', '--host', '2001:db8::7', '--days', '90')
  t.equal(made.code, 0, made.stderr)
  t.same(readdirSync(join(directory, 'tls')).sort(), ['ca.key', 'ca.pem', 'server.key', 'server.pem'])
  t.match(made.stdout, /made tls\/ca\.pem and tls\/ca\.key: the CA of this site, until 20\d\d/)
  t.match(made.stdout, /made tls\/server\.pem .* for gw\.example, 192\.0\.2\.7, 2001:db8::7, .*localhost, 127\.0\.0\.1/)
  t.notMatch(made.stdout, /PRIVATE/)
  const at = (name: string): string => join(directory, 'tls', name)
  t.equal(modeOf(at('ca.key')), 0o600)
  t.equal(modeOf(at('server.key')), 0o600)
  const ca = certificateOf(at('ca.pem'))
  const server = certificateOf(at('server.pem'))
  t.ok(server.verify(ca.publicKey) && server.checkIssued(ca))
  t.ok(server.checkHost('gw.example') && server.checkHost('localhost') && server.checkIP('192.0.2.7') && server.checkIP('2001:db8::7'))
  const days = (Date.parse(server.validTo) - Date.now()) / 86_400_000
  t.ok(days > 89.9 && days < 90.1)

  const before = readFileSync(at('server.key'), 'utf8')
  const again = run(directory, 'tls', 'init', 'tls')
  t.match(again, { code: 78, stdout: '', stderr: /server\.pem is there already, and nothing is overwritten/ })
  t.equal(readFileSync(at('server.key'), 'utf8'), before)
  renameSync(at('server.pem'), at('old.pem'))
  t.match(run(directory, 'tls', 'init', 'tls'), {
    code: 78,
    stderr: /server\.key is there, and tls\/server\.pem that belongs to it is not/
  })
  renameSync(at('server.key'), at('old.key'))
  t.match(run(directory, 'tls', 'init', 'tls'), { code: 0, stdout: /^made tls\/server\.pem/ })
  t.ok(certificateOf(at('server.pem')).verify(ca.publicKey), 'the CA is the same')
})

t.test('tls client and tls show', async (t) => {
  const directory = await temporary(t)
  t.match(run(directory, 'tls', 'client', 'press-7', 'tls'), {
    code: 78,
    stderr: /tls\/ca\.pem is not there\.[\s\S]*Make a CA with "wadi tls init tls"/
  })
  run(directory, 'tls', 'init', 'tls')
  t.match(run(directory, 'tls', 'client', 'press-7', 'tls'), {
    code: 0,
    stdout: /^made tls\/press-7\.pem and tls\/press-7\.key: the client press-7, until /
  })
  t.match(run(directory, 'tls', 'client', 'press-7', 'tls'), {
    code: 78,
    stderr: /press-7\.key is there already, and nothing is overwritten/
  })
  for (const name of ['ca', 'server', '../x', 'a b', ''])
    t.match(run(directory, 'tls', 'client', name, 'tls'), { code: 64, stderr: /cannot be the name of a client/ }, name)
  t.match(run(directory, 'tls', 'init', 'tls2', '--host', 'https://a'), { code: 64, stderr: /is no host name and no address/ })
  t.notOk(existsSync(join(directory, 'tls2')))
  t.match(run(directory, 'tls', 'init', 'tls2', '--days', '0'), { code: 64, stderr: /--days is 0/ })
  const shown = run(directory, 'tls', 'show', 'tls/press-7.pem')
  t.match(shown, {
    code: 0,
    stdout: /kind +certificate\nsubject +CN=press-7\nissuer +CN=Wadi CA of .*\n[\s\S]*days left +824\nvalid +true\nkey +ec prime256v1/
  })
  const key = run(directory, 'tls', 'show', '--json', 'tls/press-7.key')
  t.same(JSON.parse(key.stdout), { kind: 'private key', encrypted: false, key: 'ec prime256v1' })
  t.match(run(directory, 'tls', 'show', 'none.pem'), { code: 78, stderr: /none\.pem, and there is no such file/ })
  const site = makeSite(t)
  const expired = site.issue('old', 'client', { fromMs: 0, untilMs: 1_000 })
  t.match(run(directory, 'tls', 'show', site.write('old.pem', expired.certificate)), { code: 1, stdout: /valid +false/ })
})

t.test('tls client and init sign with the CA of the key, for no longer than it is valid, or say why not', async (t) => {
  const directory = await temporary(t)
  const site = makeSite(t, 'new')
  const at = (name: string): string => join(directory, name)
  const client = (name: string) => run(directory, 'tls', 'client', name, '.', '--days', '36500')
  writeFileSync(at('ca.pem'), `${makeSite(t, 'old').ca.certificate}${site.ca.certificate}`)
  writeFileSync(at('ca.key'), site.ca.key)
  t.match(client('a'), { code: 0, stdout: /the client a, until 20\d\d-\d\d-\d\d \(then its CA ends\)/ })
  const ca = new X509Certificate(site.ca.certificate)
  t.ok(certificateOf(at('a.pem')).verify(ca.publicKey))
  t.equal(certificateOf(at('a.pem')).validTo, ca.validTo)
  t.match(run(directory, 'tls', 'init', '.', '--days', '36500'), { code: 0, stdout: /the gateway, until .* \(then its CA ends\)/ })
  t.equal(certificateOf(at('server.pem')).validTo, ca.validTo)
  writeFileSync(at('ca.key'), makeSite(t).ca.key)
  t.match(client('b'), { code: 78, stdout: '', stderr: /ca\.pem and ca\.key do not belong together/ })
  const encrypted = createPrivateKey(site.ca.key).export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })
  writeFileSync(at('ca.key'), encrypted)
  t.match(client('b'), { code: 78, stderr: /WADI_CERTIFICATE_UNUSABLE[\s\S]*ca\.key is encrypted/ })
  t.notOk(existsSync(at('b.key')))
})

t.test('a pair of which one cannot be written leaves nothing behind', async (t) => {
  const directory = await temporary(t)
  const files = { certificate: join(directory, 'none', 'x.pem'), key: join(directory, 'x.key') }
  await t.rejects(writePair(directory, files, { certificate: 'a', key: 'b' }), { code: 'WADI_CERTIFICATE_UNUSABLE' })
  t.notOk(existsSync(files.key), 'a key without its certificate would be in the way of the next run')
})

t.test('config check reads the files and tells what is wrong with them, by line', async (t) => {
  const directory = await temporary(t)
  const site = makeSite(t)
  const { cert, key } = site.settings()
  const file = (tls: object): void =>
    writeFileSync(
      join(directory, 'wadi.yaml'),
      gatewayFile({ mqtt: [{ listen: '127.0.0.1:0', tls }], kafka: { listen: '127.0.0.1:0', tls } })
    )
  const check = (): string => run(directory, 'config', 'check').stdout
  file({ cert, key })
  t.match(run(directory, 'config', 'check'), { code: 0, stdout: /^wadi\.yaml is right: 1 routes/ })
  chmodSync(key, 0o644)
  t.match(run(directory, 'config', 'check'), {
    code: 0,
    stdout:
      /^warning: wadi\.yaml:1:\d+ mqtt\[0\]\.tls\.key is .*, which every user of this machine may read[\s\S]*is right, with 2 warnings/
  })
  chmodSync(key, 0o600)
  file({ cert: 'server.pem', key })
  t.match(run(directory, 'config', 'check'), {
    code: 78,
    stdout: /^wadi\.yaml:1:\d+ mqtt\[0\]\.tls\.cert is .*wadi-cli-.*\/server\.pem, and there is no such file[\s\S]*2 problems\n$/
  })
  file({ cert, key: site.write('other.key', site.issue('x', 'server').key) })
  t.match(check(), /mqtt\[0\]\.tls\.cert is .*, and the key .*other\.key is not the key of CN=gateway: they do not belong together/)
  const expired = site.issue('old', 'server', { fromMs: 0, untilMs: 1_000 })
  file({ cert: site.write('old.pem', expired.certificate), key: site.write('old.key', expired.key) })
  t.match(run(directory, 'config', 'check', '--json'), {
    code: 78,
    stdout: /"path":"mqtt\[0\]\.tls\.cert","message":"is .* expired on 1970-01-01/
  })
  const refused = run(directory, 'run', '--text', '-c', 'missing.yaml')
  t.equal(refused.code, 78)
})

async function startTls(test: Test, directory: string, kafkaAsks = false): Promise<{ process: Process; port: number; kafka: string }> {
  const { cert, key, ca } = { cert: 'tls/server.pem', key: 'tls/server.key', ca: 'tls/ca.pem' }
  const mqttTls = { cert, key, ca, client_certificates: 'required' }
  const { process, port } = await startGateway(test, directory, {
    mqtt: [{ listen: '127.0.0.1:0', tls: mqttTls }],
    kafka: { listen: '127.0.0.1:0', tls: kafkaAsks ? mqttTls : { cert, key } }
  })
  const kafka = await process.until(({ stderr }) => /Kafka on (127\.0\.0\.1:\d+)/.exec(stderr)?.[1])
  return { process, port, kafka }
}

t.test('a gateway with certificates of "wadi tls": devices, commands over Kafka, SIGHUP', async (t) => {
  const directory = await temporary(t)
  run(directory, 'tls', 'init', 'tls')
  run(directory, 'tls', 'client', 'press-7', 'tls')
  const at = (name: string): string => join(directory, 'tls', name)
  const { process: gateway, port, kafka } = await startTls(t, directory)
  const options = { host: 'localhost', port, protocol: 'mqtts', ca: readFileSync(at('ca.pem')), reconnectPeriod: 0 } as const
  await t.rejects(mqtt.connectAsync(options), 'without a certificate')
  const device = await mqtt.connectAsync({ ...options, cert: readFileSync(at('press-7.pem')), key: readFileSync(at('press-7.key')) })
  t.teardown(() => device.end(true))
  await device.publishAsync('plant/a/temp', '1', { qos: 1 })

  const where = ['--data', join(directory, 'data')]
  t.match(await wadi(t, 'topic', 'list', ...where), { code: 64, stderr: /The Kafka listener at .* has TLS\.[\s\S]*--ca FILE/ })
  t.match(await wadi(t, 'topic', 'list', '--ca', at('ca.pem'), ...where), { code: 0, stdout: /telemetry +2 +1/ })
  const list = (...args: string[]) => wadi(t, 'topic', 'list', '-b', kafka, ...args)
  t.match(await list('--ca', at('press-7.pem')), { code: 69, stderr: /not signed by the CA in --ca/ })
  t.match(await list(), { code: 69, stderr: /when its Kafka listener has TLS, name the CA of its certificate with --ca FILE/ })
  const [cert, key] = [at('press-7.pem'), at('press-7.key')]
  for (const [ca, shown, withKey, words] of [
    ['ca.pem', key, cert, /--cert is .*press-7\.key, which has no certificate/],
    ['ca.pem', cert, at('server.key'), /--cert is .*press-7\.pem, and --key .*server\.key is not its key/],
    ['server.key', cert, key, /--ca is .*server\.key, which has no certificate/]
  ] as const)
    t.match(await list('--ca', at(ca), '--cert', shown, '--key', withKey), { code: 78, stderr: words })
  t.match(await wadi(t, 'topic', 'list', '-b', kafka, '--cert', at('press-7.pem')), {
    code: 64,
    stderr: /--cert and --key belong together/
  })

  const before = certificateOf(at('server.pem'))
  for (const name of ['server.pem', 'server.key']) rmSync(at(name))
  gateway.child.kill('SIGHUP')
  await gateway.until(({ stderr }) => (/mqtt\[0\]\.tls: the files have changed and are not used.*no such file/.test(stderr) ? true : null))
  run(directory, 'tls', 'init', 'tls')
  gateway.child.kill('SIGHUP')
  await gateway.until(({ stderr }) => (/kafka\.tls: the files have changed and are used from now on/.test(stderr) ? true : null))
  t.not(certificateOf(at('server.pem')).fingerprint256, before.fingerprint256)
  t.match(await wadi(t, 'topic', 'list', '--ca', at('ca.pem'), ...where), { code: 0 })
  await device.publishAsync('plant/a/temp', '2', { qos: 1 })
  gateway.child.kill('SIGTERM')
  t.match(await gateway.exited, { code: 0 })
})

t.test('commands over Kafka are told that the listener asks for a certificate, or does not take theirs', async (t) => {
  const directory = await temporary(t)
  run(directory, 'tls', 'init', 'tls')
  run(directory, 'tls', 'client', 'historian', 'tls')
  const at = (name: string): string => join(directory, 'tls', name)
  const { kafka } = await startTls(t, directory, true)
  const list = (cert: string, key: string, ...none: string[]) =>
    wadi(t, 'topic', 'list', '-b', kafka, '--ca', at('ca.pem'), ...(cert === '' ? none : ['--cert', cert, '--key', key]))
  t.match(await list('', ''), { code: 69, stderr: /It lets nobody in without a certificate: name one of ours with --cert FILE --key FILE/ })
  t.match(await list(at('historian.pem'), at('historian.key')), { code: 0 })
  t.match(await list(at('server.pem'), at('server.key')), {
    code: 69,
    stderr: /It (does|may) not take the certificate of --cert: its log says/
  })
})

t.test('a start with files that cannot be used ends with 78 and writes nothing', async (t) => {
  const directory = await temporary(t)
  writeFileSync(join(directory, 'wadi.yaml'), gatewayFile({ mqtt: [{ listen: '127.0.0.1:0', tls: { cert: 'a.pem', key: 'a.key' } }] }))
  const outcome = await new Process(t, ['run', '--text'], { cwd: directory }).exited
  t.match(outcome, { code: 78, stderr: /WADI_CERTIFICATE_UNUSABLE[\s\S]*mqtt\[0\]\.tls\.cert is .*a\.pem, and there is no such file/ })
  t.notOk(existsSync(join(directory, 'data')))
})
