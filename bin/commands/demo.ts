// wadi demo: the main job in under a minute, on this machine, with real processes and real connections.

import { parseAddress } from '../../gateway/config/address.ts'
import { type Command, usageError } from '../command.ts'

export const demo: Command = {
  name: 'demo',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary: 'Outage, power cut and catch-up in a minute; leaves nothing behind',
  details: `Sensors publish over MQTT, the link goes down, the gateway is killed with SIGKILL and started again, the link comes back.
At the end a ledger compares what was sent with what an independent Kafka client reads at the centre.
Exits with 1 when an event was lost, duplicated, invented or out of order.`,
  options: [
    { name: 'upstream', value: 'HOST:PORT', doc: 'deliver to this Kafka cluster instead of an embedded one' },
    { name: 'qos', value: '1|2', doc: 'how sensors publish (default 2); with 1 the events unanswered at the kill are listed apart' },
    { name: 'fast', doc: 'a third of the time' },
    { name: 'json', doc: 'the ledger as one JSON object on stdout' }
  ],
  examples: ['wadi demo', 'wadi demo --upstream 127.0.0.1:9092'],

  async run(input) {
    const upstream = input.text('upstream')
    const parsed = upstream === undefined ? null : parseAddress(upstream)
    if (parsed && 'why' in parsed) throw usageError(`--upstream ${parsed.why}.`, 'Name one broker of the cluster.')
    const qos = input.count('qos', 2)
    if (qos !== 1 && qos !== 2) throw usageError(`--qos is ${qos}.`, 'Write 1 or 2.')
    const { runDemo } = await import('../demo/story.ts')
    return runDemo({ upstream: parsed?.value ?? null, qos, isFast: input.flag('fast'), isJson: input.flag('json'), signal: input.signal })
  }
}
