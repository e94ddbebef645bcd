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
  ...targetOptions
]
