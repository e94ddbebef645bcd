// Proves for adapters/tls/certificate-writer.ts: what it writes is what node:crypto (OpenSSL) reads and verifies, for every kind of host, date and CA that is
// taken. openssl and Java read it in certificate-tools.linux.test.ts.

import { createPrivateKey, createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import t from 'tap'
import { factsOf, nameText } from '../../adapters/tls/certificate-facts.ts'
import { isHost, isHostName, issueLeaf, makeCa } from '../../adapters/tls/certificate-writer.ts'
import { der, integer, objectId, time, valuesIn } from '../../adapters/tls/der.ts'
import { DAY_MS, makeSite } from '../helpers/site.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const year = { fromMs: Date.UTC(2026, 0), untilMs: Date.UTC(2027, 0) }

t.test('lengths, integers, object ids and times are written as X.690 and RFC 5280 say', async (t) => {
  t.equal(hex(der(0x04, Buffer.alloc(127))).slice(0, 4), '047f')
  t.equal(hex(der(0x04, Buffer.alloc(128))).slice(0, 6), '048180')
  t.equal(hex(der(0x04, Buffer.alloc(300))).slice(0, 8), '0482012c')
  t.equal(hex(integer(Buffer.of(0))), '020100')
  t.equal(hex(integer(Buffer.of(0, 0, 5))), '020105')
  t.equal(hex(integer(Buffer.of(0x80))), '02020080')
  t.equal(hex(objectId('1.2.840.10045.4.3.2')), '06082a8648ce3d040302')
  t.equal(
    Buffer.from(time(Date.UTC(2049, 11, 31, 23, 59, 59)))
      .toString('latin1')
      .slice(2),
    '491231235959Z'
  )
  t.equal(
    Buffer.from(time(Date.UTC(2050, 0, 1)))
      .toString('latin1')
      .slice(2),
    '20500101000000Z'
  )
  const values = [der(0x04, Buffer.alloc(200)), der(0x05), der(0x02, Buffer.of(1))]
  t.same(valuesIn(Buffer.concat(values)).map(hex), values.map(hex))
  t.throws(() => valuesIn(Buffer.of(0x04, 5, 1)), /longer than what it stands in/)
})

t.test('a server certificate is for its hosts, signed by the CA, and is none', async (t) => {
  const ca = makeCa({ commonName: 'CA – Werk Süd', ...year, untilMs: Date.UTC(2060, 5, 1) })
  const hosts = ['gw.plant.example', '*.east.example', '192.0.2.7', '::1', '2001:db8::a:0:5', '::ffff:192.0.2.9']
  const { certificate, key } = issueLeaf(ca, { commonName: 'gw', purpose: 'server', hosts, ...year })
  const authority = new X509Certificate(ca.certificate)
  const leaf = new X509Certificate(certificate)
  t.ok(authority.ca)
  t.notOk(leaf.ca)
  t.ok(authority.checkIssued(authority) && authority.verify(authority.publicKey))
  t.ok(leaf.checkIssued(authority) && leaf.verify(authority.publicKey))
  t.ok(leaf.checkPrivateKey(createPrivateKey(key)))
  for (const host of ['gw.plant.example', 'a.east.example']) t.ok(leaf.checkHost(host), host)
  for (const address of ['192.0.2.7', '::1', '2001:db8:0:0:0:a:0:5', '::ffff:c000:209']) t.ok(leaf.checkIP(address), address)
  t.notOk(leaf.checkHost('other.example'))
  t.match(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1'])
  t.match(factsOf(authority), { untilMs: Date.UTC(2060, 5, 1), fromMs: year.fromMs, subject: 'CN=CA – Werk Süd' })
  t.match(factsOf(leaf), { subject: 'CN=gw', issuer: factsOf(authority).subject })
})

t.test('a client certificate names nobody but its client', async (t) => {
  const leaf = new X509Certificate(makeSite(t).issue('press-7', 'client').certificate)
  t.equal(leaf.subjectAltName, undefined)
  t.match(leaf.keyUsage, ['1.3.6.1.5.5.7.3.2'])
})

t.test('a CA with an RSA key signs too, another kind is refused by name', async (t) => {
  const site = makeSite(t)
  const keyOf = (pair: { privateKey: { export(options: object): unknown } }): string =>
    String(pair.privateKey.export({ type: 'pkcs8', format: 'pem' }))
  const rsa = keyOf(generateKeyPairSync('rsa', { modulusLength: 2048 }))
  // The certificate of an RSA CA is not needed to see what its key signs.
  const leaf = new X509Certificate(
    issueLeaf({ certificate: site.ca.certificate, key: rsa }, { commonName: 'a', purpose: 'client', hosts: [], ...year }).certificate
  )
  t.ok(leaf.verify(createPublicKey(rsa)))
  const ed = keyOf(generateKeyPairSync('ed25519'))
  const request = { commonName: 'a', purpose: 'client', hosts: [], ...year } as const
  t.throws(() => issueLeaf({ certificate: site.ca.certificate, key: ed }, request), /ed25519: EC and RSA sign here/)
})

t.test('serials differ, and have sixteen bytes', async (t) => {
  const site = makeSite(t)
  const serials = new Set(Array.from({ length: 20 }, () => new X509Certificate(site.issue('a', 'client').certificate).serialNumber))
  t.equal(serials.size, 20)
  for (const serial of serials) t.equal(serial.length, 32)
})

t.test('hosts: names and addresses, nothing else', async (t) => {
  for (const host of ['a', 'a-b.example', '*.example', 'xn--bcher-kva.example', '_x.example', '192.0.2.1', '::1']) t.ok(isHost(host), host)
  for (const host of ['', '-a', 'a-', 'a b', 'bücher', 'a..b', 'a.example:8883', 'https://a', '*', 'a.*', `${'a'.repeat(300)}`])
    t.notOk(isHost(host), host)
  t.notOk(isHostName('192.0.2.1'))
  const request = { commonName: 'a', purpose: 'server', hosts: ['a b'], fromMs: 0, untilMs: DAY_MS } as const
  t.throws(() => makeSite(t).issue('a', 'server', request), /"a b" is no host name/)
})

t.test('names are told as Kafka does', async (t) => {
  t.equal(nameText('C=DE\nO=Werk\\, Süd\nCN=press-7'), 'CN=press-7,O=Werk\\, Süd,C=DE')
  t.equal(nameText(undefined), '')
})
