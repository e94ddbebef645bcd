// Proves for the `tls` sections of wadi.yaml: every key arrives, what cannot be is told with its line, and a listener of a network needs `insecure: true` unless
// nobody gets in without a certificate.

import t from 'tap'
import { formatProblem, loadConfig, readConfig } from '../../../gateway/config/load.ts'
import { tlsListenersOf, withAbsolutePaths } from '../../../gateway/config/tls-config.ts'

const ROUTES = 'routes: [{ filter: "#rest", topic: events, key: none }]\n'
const read = (source: string) => readConfig(`${source}\n${ROUTES}`, { fileName: 'f', environment: {} })
const problemsOf = (source: string): string[] => read(source).problems.map((problem) => formatProblem(problem, 'f'))
const warningsOf = (source: string): string[] => read(source).warnings.map((problem) => formatProblem(problem, 'f'))

t.test('what is left out has defaults, and every key arrives', async (t) => {
  const sectionOf = (text: string) =>
    loadConfig(`mqtt: [{ listen: "127.0.0.1:8883", tls: ${text} }]\n${ROUTES}`, { fileName: 'f', environment: {} }).mqtt[0]?.tls
  t.same(sectionOf('{ cert: a.pem, key: a.key }'), {
    cert: 'a.pem',
    key: 'a.key',
    key_passphrase: null,
    ca: null,
    client_certificates: 'none',
    min_version: '1.2',
    sni: []
  })
  const full =
    '{ cert: a.pem, key: a.key, key_passphrase: p, ca: ca.pem, client_certificates: optional, min_version: 1.3, sni: [{ host: "*.b", cert: b.pem, key: b.key }] }'
  t.same(sectionOf(full), {
    cert: 'a.pem',
    key: 'a.key',
    key_passphrase: 'p',
    ca: 'ca.pem',
    client_certificates: 'optional',
    min_version: '1.3',
    sni: [{ host: '*.b', cert: 'b.pem', key: 'b.key', key_passphrase: null }]
  })
})

t.test('paths begin at the file', async (t) => {
  const { config } = read(`
gateway: { data: data }
mqtt: [{ listen: "127.0.0.1:8883", tls: { cert: a.pem, key: /b.key, sni: [{ host: b, cert: b.pem, key: b.key, key_passphrase: p }] } }]
kafka: { listen: "127.0.0.1:9093", tls: { cert: a.pem, key: a.key, ca: ca.pem, client_certificates: required, min_version: 1.3 } }`)
  const absolute = withAbsolutePaths(config, '/etc/wadi')
  t.equal(absolute.gateway.data, '/etc/wadi/data')
  t.match(tlsListenersOf(absolute), [
    {
      key: 'mqtt[0].tls',
      settings: {
        cert: '/etc/wadi/a.pem',
        key: '/b.key',
        keyPassphrase: null,
        ca: null,
        sni: [{ host: 'b', cert: '/etc/wadi/b.pem', key: '/etc/wadi/b.key', keyPassphrase: '/etc/wadi/p' }],
        minVersion: 'TLSv1.2'
      }
    },
    { key: 'kafka.tls', settings: { ca: '/etc/wadi/ca.pem', clientCertificates: 'required', minVersion: 'TLSv1.3' } }
  ])
})

t.test('a listener of a network: only certificates of its CA, or insecure', async (t) => {
  const listener = (tls: string): string => `mqtt: [{ listen: "0.0.0.0:8883"${tls} }]`
  const files = 'cert: a.pem, key: a.key'
  t.match(problemsOf(listener('')), [
    /mqtt\[0\]\.listen is 0\.0\.0\.0:8883, where everybody .* could publish without a password: listen on 127\.0\.0\.1, let in only who has a certificate \(tls, docs\/tls\.md\), or write "insecure: true" beside it/
  ])
  for (const clients of ['', ', ca: ca.pem, client_certificates: optional'])
    t.match(problemsOf(listener(`, tls: { ${files}${clients} }`)), [
      /ask for certificates \(tls\.client_certificates: required\), or write/
    ])
  t.same(problemsOf(listener(`, tls: { ${files}, ca: ca.pem, client_certificates: required }`)), [])
  t.same(problemsOf(listener(`, insecure: true, tls: { ${files} }`)), [])
  const kafka = (tls: string): string => `kafka: { listen: "0.0.0.0:9093", advertised: "gw:9093"${tls} }`
  t.match(problemsOf(kafka(`, tls: { ${files} }`)), [/kafka\.listen is 0\.0\.0\.0:9093, where everybody/])
  t.same(problemsOf(kafka(`, tls: { ${files}, ca: ca.pem, client_certificates: required }`)), [])
})

t.test('what cannot be, and what has no effect', async (t) => {
  const section = (text: string): string => `mqtt: [{ listen: "127.0.0.1:8883", tls: { cert: a.pem, key: a.key, ${text} } }]`
  t.match(problemsOf(section('client_certificates: required')), [
    /^f:1:41 mqtt\[0\]\.tls\.ca is missing: client_certificates is "required"/
  ])
  t.match(problemsOf(section('client_certificates: always')), [/is "always", expected none, optional or required/])
  t.match(problemsOf(section('min_version: 1.1')), [/is "1\.1", expected 1\.2 or 1\.3/])
  t.match(problemsOf(section('sni: [{ host: "10.0.0.1", cert: b, key: b }]')), [/sni\[0\]\.host is "10\.0\.0\.1", expected a host name/])
  t.match(problemsOf(section('sni: [{ host: b, cert: b, key: b }, { host: B, cert: b, key: b }]')), [
    /sni\[1\]\.host is "B", which an entry before/
  ])
  t.match(problemsOf('mqtt: [{ listen: "127.0.0.1:8883", tls: { cert: ~/a.pem } }]'), [
    /tls\.key is missing/,
    /cert is "~\/a\.pem", expected a path/
  ])
  t.match(warningsOf(section('ca: ca.pem')), [/mqtt\[0\]\.tls\.ca has no effect while client_certificates is "none"/])
  const closed = 'insecure: true, tls: { cert: a.pem, key: a.key, ca: ca.pem, client_certificates: required }'
  t.match(warningsOf(`mqtt: [{ listen: "0.0.0.0:8883", ${closed} }]`), [
    /mqtt\[0\]\.insecure has no effect: with client_certificates: required/
  ])
  t.match(warningsOf(`kafka: { listen: "127.0.0.1:9093", ${closed} }`), [/kafka\.insecure has no effect/])
})
