// How commands that ask over Kafka are told whom: apart from the client (kafka-admin.ts), which help does not load.

import type { OptionSpec } from './command.ts'
import { targetOptions } from './target.ts'

export const kafkaOptions: readonly OptionSpec[] = [
  {
    name: 'bootstrap-server',
    short: 'b',
    value: 'HOST:PORT',
    doc: 'Kafka address to ask, also of another machine (default: that of the running gateway)'
  },
  { name: 'ca', value: 'FILE', doc: 'where that address has TLS (kafka.tls): the CA that has signed its certificate (PEM)' },
  { name: 'cert', value: 'FILE', doc: 'with --ca: our certificate, where clients have to show one' },
  { name: 'key', value: 'FILE', doc: 'with --cert: its key' },
  ...targetOptions
]
