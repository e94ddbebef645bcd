// Proves for adapters/tls/certificate-files.ts: each thing that can be wrong with a file of a TLS listener is told by its setting, with what to do, and what
// cannot be used is not; and for live-certificates.ts: a bad new file changes nothing and is told once, a good one is used.

import crypto, { createPrivateKey } from 'node:crypto'
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type JudgedFiles, judgeFiles, type TlsMaterial } from '../../adapters/tls/certificate-files.ts'
import { issueLeaf } from '../../adapters/tls/certificate-writer.ts'
import { LiveCertificates } from '../../adapters/tls/live-certificates.ts'
import type { TlsSettings } from '../../adapters/tls/tls-settings.ts'
import { DAY_MS, makeSite } from '../helpers/site.ts'

const judge = (settings: TlsSettings, nowMs = Date.now()): Promise<JudgedFiles> => judgeFiles(settings, nowMs)

/** The one finding, which makes the files unusable. */
async function unusable(t: Test, settings: TlsSettings, setting: string, message: RegExp): Promise<void> {
  const { material, findings } = await judge(settings)
  t.equal(material, null, `${message}`)
  t.match(findings, [{ setting, severity: 'unusable', message }])
  t.equal(findings.length, 1, JSON.stringify(findings))
  t.notMatch(JSON.stringify(findings), /BEGIN [A-Z ]*PRIVATE KEY-----\\n/)
}

t.test('files that fit together have nothing against them', async (t) => {
  const site = makeSite(t)
  const { material, findings, certificates, own } = await judge(site.settings({ clientCertificates: 'required' }))
  t.ok(material)
  t.same(findings, [])
  t.match(certificates, [
    { setting: 'cert', subject: 'CN=gateway', issuer: 'CN=CA of plant' },
    { setting: 'ca', subject: 'CN=CA of plant' }
  ])
  t.ok(own?.checkHost('localhost'))
})

t.test('what cannot be used, by name', async (t) => {
  const site = makeSite(t)
  const at = (name: string): string => join(site.directory, name)
  mkdirSync(at('folder'))
  const settings = (more: Partial<TlsSettings>): TlsSettings => site.settings(more)
  await unusable(t, settings({ cert: at('none.pem') }), 'cert', /^is .*none\.pem, and there is no such file: check the path/)
  await unusable(t, settings({ key: at('none.key') }), 'key', /^is .*none\.key, and there is no such file/)
  await unusable(t, settings({ ca: at('none.pem') }), 'ca', /no such file/)
  await unusable(t, settings({ cert: at('folder') }), 'cert', /which is a directory/)
  await unusable(t, settings({ cert: site.write('words.pem', 'hello') }), 'cert', /which has no -----BEGIN CERTIFICATE-----/)
  await unusable(t, settings({ cert: site.write('der.pem', '0\x82\x01') }), 'cert', /which is DER and not PEM/)
  await unusable(t, settings({ cert: at('server.key') }), 'cert', /which holds a private key and no certificate/)
  await unusable(t, settings({ key: at('server.pem') }), 'key', /which holds certificates and no private key/)
  await unusable(t, settings({ key: site.write('words.key', 'hello') }), 'key', /which has no -----BEGIN PRIVATE KEY-----/)
  const whole = `${site.ca.certificate}${makeSite(t, 'other').ca.certificate}`
  const second = whole.length - site.ca.certificate.length // bytes of it
  for (const bytes of [2, 30, 300, second - 27, second - 20, second - 5, second - 1]) {
    const short = site.write('short.pem', whole.slice(0, -bytes))
    await unusable(t, settings({ ca: short }), 'ca', /short\.pem, which is cut off: it begins 2 certificates, and 1 of them end/)
  }
  const chain = `${site.server.certificate}${site.ca.certificate}`
  await unusable(t, settings({ cert: site.write('half.pem', chain.slice(0, -40)) }), 'cert', /half\.pem, which is cut off/)
  await unusable(t, settings({ cert: site.write('first.pem', site.server.certificate.slice(0, 200)) }), 'cert', /which is cut off/)
  const cut = site.server.certificate.replace(/\n.{64}\n/, '\n')
  await unusable(t, settings({ cert: site.write('cut.pem', cut) }), 'cert', /its certificate number 1 cannot be read/)
  await unusable(
    t,
    settings({ key: site.write('cut.key', site.server.key.replace(/\n.{64}\n/, '\n')) }),
    'key',
    /it is damaged or of an unknown kind/
  )
  const other = site.issue('other', 'server')
  await unusable(t, settings({ key: site.write('other.key', other.key) }), 'cert', /the key .*other\.key is not the key of CN=gateway/)
  const turned = site.write('turned.pem', `${site.ca.certificate}${site.server.certificate}`)
  await unusable(t, settings({ cert: turned }), 'cert', /the certificate of the key stands at place 2: it has to be the first/)
  await unusable(t, settings({ ca: at('server.pem') }), 'ca', /CN=gateway in it is no CA/)
  const sni = [{ host: 'a.example', cert: at('none.pem'), key: at('server.key'), keyPassphrase: null }]
  await unusable(t, settings({ sni }), 'sni[0].cert', /no such file/)
})

t.test('a file that the user may not read', { skip: process.getuid?.() === 0 ? 'root may read everything' : false }, async (t) => {
  const site = makeSite(t)
  chmodSync(site.settings().key, 0o000)
  await unusable(t, site.settings(), 'key', /which the user of the gateway may not read/)
})

t.test('an encrypted key and its passphrase', async (t) => {
  const site = makeSite(t)
  const passphrase = 'Straße 1'
  const pem = createPrivateKey(site.server.key).export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase }).toString()
  const key = site.write('secret.key', pem)
  const right = site.write('right', `${passphrase}\n`)
  t.same((await judge(site.settings({ key, keyPassphrase: right }))).findings, [])
  t.ok((await judge(site.settings({ key, keyPassphrase: right }))).material)
  await unusable(t, site.settings({ key }), 'key', /which is encrypted: name a file with its passphrase as key_passphrase/)
  await unusable(t, site.settings({ key, keyPassphrase: site.write('wrong', 'wrong') }), 'key', /which the passphrase does not open/)
  await unusable(t, site.settings({ key, keyPassphrase: site.write('empty', '\n') }), 'key_passphrase', /whose first line is empty/)
  t.match((await judge(site.settings({ keyPassphrase: right }))).findings, [
    { severity: 'warning', message: /key_passphrase has no effect/ }
  ])
})

t.test('dates: expired is said, not yet valid is a warning, both can be used', async (t) => {
  const site = makeSite(t)
  const late = await judge(site.settings(), Date.now() + 400 * DAY_MS)
  t.ok(late.material)
  t.match(late.findings, [
    { setting: 'cert', severity: 'expired', message: /CN=gateway in it expired on \d{4}-\d\d-\d\d: put a new one in its place/ },
    { setting: 'ca', severity: 'expired', message: /CN=CA of plant in it expired .*no client with a certificate of it is let in/ }
  ])
  const early = await judge(site.settings(), 0)
  t.ok(early.material)
  t.match(early.findings, [
    { severity: 'warning', message: /is not valid before .*; the clock of this machine says 1970-01-01: is it right\?/ }
  ])
})

t.test('warnings: a key that everybody reads, a broken chain, no host, one of several CAs that has expired', async (t) => {
  const site = makeSite(t)
  const warned = async (more: Partial<TlsSettings>, setting: string, message: RegExp): Promise<void> => {
    const { material, findings } = await judge(site.settings(more))
    t.ok(material)
    t.match(findings, [{ setting, severity: 'warning', message }])
  }
  const open = join(site.directory, 'open.key')
  writeFileSync(open, site.server.key)
  chmodSync(open, 0o644)
  await warned({ key: open }, 'key', /which every user of this machine may read: chmod o-r it/)
  const stranger = makeSite(t, 'other')
  const chain = site.write('chain.pem', `${site.server.certificate}${stranger.ca.certificate}`)
  await warned({ cert: chain }, 'cert', /whose chain is broken: CN=CA of other has not signed CN=gateway/)
  const nameless = site.issue('gateway', 'server', { hosts: [] })
  await warned({ cert: site.write('n.pem', nameless.certificate), key: site.write('n.key', nameless.key) }, 'cert', /which names no host/)
  const { makeCa } = await import('../../adapters/tls/certificate-writer.ts')
  const old = makeCa({ commonName: 'old CA', fromMs: Date.now() - 9 * DAY_MS, untilMs: Date.now() - DAY_MS })
  await warned({ ca: site.write('two.pem', `${old.certificate}${site.ca.certificate}`) }, 'ca', /CN=old CA in it expired/)
})

t.test('whole chains are good, in the order of RFC 8446', async (t) => {
  const site = makeSite(t)
  const chain = site.write('chain.pem', `${site.server.certificate}${site.ca.certificate}`)
  const { findings, certificates } = await judge(site.settings({ cert: chain, ca: null }))
  t.same(findings, [])
  t.equal(certificates.length, 2)
})

t.test('new files are used, bad ones are told once and change nothing', async (t) => {
  const site = makeSite(t)
  const used: TlsMaterial[] = []
  const live = new LiveCertificates(site.settings(), await judge(site.settings()), (material) => void used.push(material))
  const look = (isAsked = false, nowMs = Date.now()) => live.look(nowMs, isAsked)
  t.same(await look(), { kind: 'same' })

  const next = site.issue('gateway-2', 'server')
  site.write('server.pem', next.certificate) // the key follows
  t.same(await look(), { kind: 'same' }, 'half of it is there: perhaps the rest is being written')
  t.match(await look(true), { kind: 'kept', findings: [{ setting: 'cert', message: /is not the key of CN=gateway-2/ }] })
  site.write('server.key', next.key)
  t.match(await look(), { kind: 'new', findings: [] })
  t.equal(used.length, 1)
  t.equal(live.inUse.certificates[0]?.subject, 'CN=gateway-2')

  rmSync(site.settings().cert)
  t.same(await look(), { kind: 'same' }, 'bad for the first time')
  t.same(live.notUsed, [], 'perhaps it is being written')
  t.match(await look(), { kind: 'kept', findings: [{ message: /no such file/ }] })
  t.same(await look(), { kind: 'same' }, 'it was told')
  t.match(live.notUsed, [{ setting: 'cert', message: /no such file/ }])
  t.match(await look(true), { kind: 'kept' }, 'whoever asks is told again')
  site.write('server.pem', next.certificate)
  t.same(await look(), { kind: 'same' }, 'as before')
  t.same(live.notUsed, [])

  const expired = site.issue('gateway-3', 'server', { fromMs: 0, untilMs: Date.now() - DAY_MS })
  site.write('server.pem', expired.certificate)
  site.write('server.key', expired.key)
  t.match(await look(true), { kind: 'kept', findings: [{ severity: 'expired' }] }, 'one that has not expired is better')
  t.equal(used.length, 1)
  t.equal(live.inUse.certificates[0]?.subject, 'CN=gateway-2')
})

t.test('a renewed certificate is used, though another one beside it has expired meanwhile', async (t) => {
  const site = makeSite(t)
  const startMs = Date.now()
  const pair = (name: string, days: number) => {
    const { certificate, key } = site.issue(name, 'server', { untilMs: startMs + days * DAY_MS })
    return { cert: site.write(`${name}.pem`, certificate), key: site.write(`${name}.key`, key), keyPassphrase: null }
  }
  const settings = site.settings({ ...pair('main', 20), sni: [{ host: 'old.example', ...pair('old', 10) }] })
  const live = new LiveCertificates(settings, await judge(settings, startMs), () => undefined)
  pair('main', 365)
  const nowMs = startMs + 15 * DAY_MS
  t.match(await live.look(nowMs, false), { kind: 'new', findings: [{ setting: 'sni[0].cert', severity: 'expired' }] })
  pair('main', 12)
  t.match(await live.look(nowMs, true), { kind: 'kept', findings: [{ setting: 'cert', severity: 'expired' }] }, 'that would be worse')
})

t.test('files that are as they were are not opened again: an encrypted key takes long', async (t) => {
  const site = makeSite(t)
  const live = new LiveCertificates(site.settings(), await judge(site.settings()), () => undefined)
  let openedCount = 0
  const { createPrivateKey: original } = crypto
  t.teardown(() => {
    crypto.createPrivateKey = original
    syncBuiltinESMExports()
  })
  crypto.createPrivateKey = (key) => {
    openedCount++
    return original(key)
  }
  syncBuiltinESMExports()
  t.same(await live.look(Date.now(), true), { kind: 'same' })
  t.equal(openedCount, 0)
  site.write('server.pem', `${site.server.certificate}\n`)
  t.match(await live.look(Date.now(), true), { kind: 'new' })
  t.equal(openedCount, 1)
})

t.test('an expired certificate gives way to another one, whatever that is', async (t) => {
  const site = makeSite(t)
  const expired = issueLeaf(site.ca, { commonName: 'a', purpose: 'server', hosts: ['a'], fromMs: 0, untilMs: 1_000 })
  const settings = site.settings({ cert: site.write('a.pem', expired.certificate), key: site.write('a.key', expired.key) })
  const live = new LiveCertificates(settings, await judge(settings), () => undefined)
  const other = issueLeaf(site.ca, { commonName: 'b', purpose: 'server', hosts: ['a'], fromMs: 0, untilMs: 2_000 })
  site.write('a.pem', other.certificate)
  site.write('a.key', other.key)
  t.match(await live.look(Date.now(), false), { kind: 'new' })
})

t.test('what OpenSSL does not take in the end is as bad as any other', async (t) => {
  const site = makeSite(t)
  const live = new LiveCertificates(site.settings(), await judge(site.settings()), () => {
    throw new Error('ee key too small')
  })
  const next = site.issue('gateway-2', 'server')
  site.write('server.pem', next.certificate)
  site.write('server.key', next.key)
  t.match(await live.look(Date.now(), true), { kind: 'kept', findings: [{ message: /is not taken by OpenSSL: ee key too small/ }] })
})
