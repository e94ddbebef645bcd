// wadi tls client: a certificate for one client, signed by the CA of "wadi tls init".

import { type Command, usageError } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { print } from '../terminal.ts'
import { CA_NAME, daysOf, filesOf, LEAF_DAYS, readCa, SERVER_NAME, validityFrom, withinCa, writePair } from '../tls-directory.ts'

const CLIENT_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

export const tlsClient: Command = {
  name: 'tls client',
  operands: 'NAME DIR',
  operandsMin: 2,
  operandsMax: 2,
  summary: 'Make a certificate for a client, signed by the CA in DIR',
  details: `Makes DIR/NAME.pem and DIR/NAME.key for a listener with client_certificates: required or optional. NAME is in the certificate (CN=NAME):
one for each device or program, so that one can be told from another. What is there is never overwritten.
A CA of your own does as well: DIR/ca.pem and DIR/ca.key, with an EC or RSA key that is not encrypted; ca.pem may hold
the one before it too. No certificate is valid for longer than the CA.`,
  options: [{ name: 'days', value: 'N', doc: `how long it is valid (default: ${LEAF_DAYS})` }],
  examples: ['wadi tls client press-7 /etc/wadi/tls', 'wadi tls client historian tls --days 365'],

  async run(input) {
    const [name = '', directory = ''] = input.operands
    if (!CLIENT_NAME.test(name) || name === CA_NAME || name === SERVER_NAME)
      throw usageError(
        `"${name}" cannot be the name of a client.`,
        'Letters, digits, ".", "_" and "-", at most 64, and not "ca" or "server".'
      )
    const { issueLeaf } = await import('../../adapters/tls/certificate-writer.ts')
    const wished = validityFrom(Date.now(), daysOf(input.count('days', LEAF_DAYS)))
    const ca = await readCa(filesOf(directory, CA_NAME), `Make a CA with "wadi tls init ${directory}", or name the directory that has one.`)
    const { validity, untilText } = await withinCa(wished, ca)
    const files = filesOf(directory, name)
    await writePair(directory, files, issueLeaf(ca, { commonName: name, purpose: 'client', hosts: [], ...validity }))
    await print(`made ${files.certificate} and ${files.key}: the client ${name}, until ${untilText}\n`)
    return EXIT.ok
  }
}
