// wadi tls init: a small CA for a site that has none, and the certificate of its gateway.

import { hostname, networkInterfaces } from 'node:os'
import { type Command, usageError } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { print } from '../terminal.ts'
import {
  CA_NAME,
  certificateError,
  daysOf,
  filesOf,
  hasPair,
  LEAF_DAYS,
  readCa,
  SERVER_NAME,
  validityFrom,
  withinCa,
  writePair
} from '../tls-directory.ts'

const CA_DAYS = 20 * 365
const COMMON_NAME_CHARACTERS_MAX = 64

export const tlsInit: Command = {
  name: 'tls init',
  operands: 'DIR',
  operandsMin: 1,
  operandsMax: 1,
  summary: 'Make a CA for a site that has none, and the certificate of its gateway',
  details: `Makes DIR/ca.pem and ca.key (20 years) and DIR/server.pem and server.key, with EC keys on P-256. The certificate is for the name of this
machine, NAME.local, localhost and the addresses it has now; --host adds others, and clients have to reach the gateway as one of them.
What is there is never overwritten: with a CA in DIR only the certificate is made. To renew it, move server.pem and server.key away and run
this again; a gateway that runs takes the new one within a minute.
Who has ca.key can make clients and gateways of the site: keep it where no plant network reaches it. The gateway does not need it.`,
  options: [
    { name: 'host', value: 'NAME', isRepeated: true, doc: 'a host name or address more that clients use; several times, or with commas' },
    { name: 'days', value: 'N', doc: `how long the certificate of the gateway is valid (default: ${LEAF_DAYS})` }
  ],
  examples: ['wadi tls init /etc/wadi/tls', 'wadi tls init tls --host gateway.plant.example --host 192.0.2.10'],

  async run(input) {
    const [directory = ''] = input.operands
    const { isHost, issueLeaf, makeCa } = await import('../../adapters/tls/certificate-writer.ts')
    const { dateText } = await import('../../adapters/tls/certificate-facts.ts')
    const named = input.texts('host')
    const wrong = named.find((host) => !isHost(host))
    if (wrong !== undefined)
      throw usageError(`--host ${wrong} is no host name and no address.`, 'Write a name without port, path and spaces.')
    const wished = validityFrom(Date.now(), daysOf(input.count('days', LEAF_DAYS)))
    const caFiles = filesOf(directory, CA_NAME)
    const serverFiles = filesOf(directory, SERVER_NAME)
    const hasCa = hasPair(caFiles)
    if (hasPair(serverFiles)) {
      throw certificateError(
        `${serverFiles.certificate} is there already, and nothing is overwritten.`,
        'To renew it, move it and its key away and run this again: the CA stays.'
      )
    }
    const name = hostname().slice(0, COMMON_NAME_CHARACTERS_MAX) || 'wadi'
    if (!hasCa) {
      const caValidity = validityFrom(Date.now(), CA_DAYS)
      await writePair(directory, caFiles, makeCa({ commonName: `Wadi CA of ${name}`.slice(0, COMMON_NAME_CHARACTERS_MAX), ...caValidity }))
      await print(`made ${caFiles.certificate} and ${caFiles.key}: the CA of this site, until ${dateText(caValidity.untilMs)}\n`)
    }
    const ca = await readCa(caFiles, 'Name the directory that has the CA.')
    const { validity, untilText } = await withinCa(wished, ca)
    const hosts = [...new Set([...named, ...ownHosts().filter(isHost)])]
    await writePair(directory, serverFiles, issueLeaf(ca, { commonName: name, purpose: 'server', hosts, ...validity }))
    await print(`made ${serverFiles.certificate} and ${serverFiles.key}: the gateway, until ${untilText}, for ${hosts.join(', ')}

In wadi.yaml, for clients that have a certificate of this CA (docs/tls.md):
  mqtt:
    - listen: "0.0.0.0:8883"
      tls: { cert: ${serverFiles.certificate}, key: ${serverFiles.key}, ca: ${caFiles.certificate}, client_certificates: required }
The user of the gateway has to be able to read ${serverFiles.key}. A certificate for a client: wadi tls client NAME ${directory}
`)
    return EXIT.ok
  }
}

/** What this machine is reached as now; addresses of a link alone are nobody's name. */
function ownHosts(): string[] {
  const name = hostname()
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  return [
    name,
    ...(name.includes('.') ? [] : [`${name}.local`]),
    'localhost',
    ...addresses.map(({ address }) => address).filter((address) => !address.startsWith('fe80:'))
  ]
}
