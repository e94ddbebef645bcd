// Proves for adapters/tls/signing-ca.ts: of a bundle the certificate of the key signs, and what cannot sign so that others verify it is told.

import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import t from 'tap'
import { issueLeaf } from '../../adapters/tls/certificate-writer.ts'
import { signingCaOf } from '../../adapters/tls/signing-ca.ts'
import { DAY_MS, makeSite } from '../helpers/site.ts'

t.test('of the old and the new CA in one file, the one of the key signs', async (t) => {
  const old = makeSite(t, 'old').ca
  const next = makeSite(t, 'new').ca
  for (const certificate of [`${old.certificate}${next.certificate}`, `${next.certificate}${old.certificate}`]) {
    const ca = signingCaOf({ certificate, key: next.key }, Date.now())
    if ('of' in ca) return void t.fail(ca.words)
    const validity = { fromMs: Date.now(), untilMs: ca.untilMs }
    const leaf = new X509Certificate(issueLeaf(ca, { commonName: 'a', purpose: 'client', hosts: [], ...validity }).certificate)
    const issuer = new X509Certificate(next.certificate)
    t.ok(leaf.checkIssued(issuer) && leaf.verify(issuer.publicKey))
    t.equal(ca.untilMs, Date.parse(issuer.validTo))
  }
})

t.test('what cannot sign', async (t) => {
  const site = makeSite(t)
  const { certificate, key } = site.ca
  const faultOf = (pair: { certificate: string; key: string }, nowMs = Date.now()): unknown => signingCaOf(pair, nowMs)
  t.match(faultOf({ certificate, key: makeSite(t).ca.key }), { of: 'fits', words: /^do not belong together/ })
  t.match(faultOf(site.server), { of: 'certificate', words: /^holds CN=gateway, which is no CA/ })
  t.match(faultOf({ certificate, key }, Date.now() + 400 * DAY_MS), { of: 'certificate', words: /CN=CA of plant, which expired on 20/ })
  const encrypted = createPrivateKey(key).export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })
  t.match(faultOf({ certificate, key: String(encrypted) }), { of: 'key', words: /^is encrypted/ })
  const ed = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })
  t.match(faultOf({ certificate, key: String(ed) }), { of: 'key', words: /ed25519: EC and RSA sign here/ })
  t.match(faultOf({ certificate, key: '' }), { of: 'key', words: /cannot be read/ })
  t.match(faultOf({ certificate: key, key }), { of: 'certificate', words: /has no certificate/ })
  t.match(faultOf({ certificate: certificate.slice(0, -20), key }), { of: 'certificate', words: /cut off/ })
  t.match(faultOf({ certificate: certificate.replace(/\n.{64}\n/, '\n'), key }), { of: 'certificate', words: /damaged/ })
})
