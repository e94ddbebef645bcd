// The centre of `wadi demo`, in a process of its own: our Kafka server on our own storage. Hidden: it is no product yet.

import { mkdir } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type Command, usageError } from '../command.ts'
import { EXIT } from '../exit-code.ts'

export const demoCentre: Command = {
  name: '_centre',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary: 'The embedded centre of the demo',
  options: [{ name: 'data', value: 'DIR', doc: 'its data directory' }],
  examples: [],
  isHidden: true,

  async run(input) {
    const directory = resolve(input.text('data') ?? usage('--data DIR'))
    const [{ openEdges }, { LogStore }, { openBroker }, { createKafkaListener }] = await Promise.all([
      import('../../gateway/edges.ts'),
      import('../../runtime/log/log-store.ts'),
      import('../../runtime/broker/broker.ts'),
      import('../../adapters/kafka-server/listener.ts')
    ])
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const edges = openEdges()
    // kafkajs, which reads it, knows no zstd.
    const store = await LogStore.open({ ...edges, directory, settings: { defaultCodec: 'gzip' } })
    const broker = openBroker({ ...edges, store, settings: { initialRebalanceDelayMs: 0 } })
    const listener = await createKafkaListener({ broker, clusterId: store.logId })
    process.send?.({ address: listener.address })
    await new Promise<void>((done) => input.signal.addEventListener('abort', () => done(), { once: true }))
    await listener.close()
    broker.close()
    await store.close()
    return EXIT.ok
  }
}

function usage(missing: string): never {
  throw usageError(`"wadi _centre" needs ${missing}.`, 'It is started by "wadi demo".')
}
