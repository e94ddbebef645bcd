// Proves what a start does with a value of the state that verifies and is none of ours, for every area: it is refused by name, with the key, and the directory
// opens again when the value is gone; but notes that the uplink can do without are said and written anew, and retained messages and wills are said and left out.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { PIECE_BYTES, putRetained } from '../../adapters/mqtt/stored-retained.ts'
import { loadConfig } from '../../gateway/config/load.ts'
import type { Gateway } from '../../gateway/contract.ts'
import { openGateway } from '../../gateway/gateway.ts'
import { nodeClock } from '../../runtime/io/node-clock.ts'
import { createNodeCodec } from '../../runtime/io/node-codec.ts'
import { nodeDisk } from '../../runtime/io/node-disk.ts'
import { nodeRandom } from '../../runtime/io/node-random.ts'
import type { StateChange } from '../../runtime/log/contract.ts'
import { LogStore } from '../../runtime/log/log-store.ts'
import { registeredAreas } from '../../runtime/log/state-area.ts'
import { loadTestCore } from '../helpers/core.ts'

/** Rebuilt from what the centre has, or left out. */
const REBUILT = [
  ...['uplink/hint', 'uplink/confirmed', 'uplink/written', 'uplink/position', 'uplink/parked'],
  ...[
    'mqtt.retained',
    'mqtt.retained-part',
    'mqtt.will',
    'mqtt.session',
    'mqtt.subscription',
    'mqtt.flight',
    'mqtt.queue',
    'mqtt.queued',
    'mqtt.routed'
  ]
]
/** Those whose first byte is a format number. */
const BINARY = [
  'producer',
  'group',
  'mqtt.retained',
  'mqtt.retained-part',
  'mqtt.will',
  'mqtt.flight',
  'mqtt.queue',
  'mqtt.queued',
  'mqtt.routed'
]
const largeMessage = putRetained(
  {
    topic: 'plant/large',
    payload: new Uint8Array(PIECE_BYTES + 1),
    qos: 1,
    isRetained: true,
    delaySeconds: 0,
    expiresMs: null,
    properties: null
  },
  0
)
const KEYS: Readonly<Record<string, string>> = {
  topic: 'topic/other',
  'uplink/confirmed': 'uplink/confirmed/plant',
  'uplink/written': 'uplink/written/plant',
  'uplink/parked': 'uplink/parked/plant/0',
  unnamed: 'unnamed/99/0',
  ended: 'ended/gone',
  gone: 'gone/99',
  txn: 'txn/a',
  'txn-abort': 'txn-abort/whole',
  'txn-offsets': 'txn-offsets/a/0',
  offsets: 'offsets/group/1/0',
  'mqtt.qos2': 'mqtt.qos2/device/1',
  'mqtt.subscription': 'mqtt.subscription/device/0',
  'mqtt.flight': 'mqtt.flight/device',
  'mqtt.queue': 'mqtt.queue/device/0',
  'mqtt.retained-part': largeMessage[1]?.key ?? ''
}
/** What else has to be there, or nobody looks. */
const session: StateChange = { key: 'mqtt.session/device', value: Buffer.from('{"v":1,"expirySeconds":60}') }
const WHOLE: Readonly<Record<string, StateChange>> = {
  'txn-abort': {
    key: 'txn/whole',
    value: Buffer.from(
      '{"v":1,"producerId":"1","epoch":0,"lastEpoch":-1,"timeoutMs":1,"status":"Empty","partitions":[],"groups":[],"time":1}'
    )
  },
  'mqtt.subscription': session,
  'mqtt.flight': session,
  'mqtt.queue': session,
  'mqtt.retained-part': largeMessage[0] as StateChange,
  'uplink/confirmed': { key: 'uplink/hint', value: Buffer.from('2;1;closed') },
  'uplink/written': { key: 'uplink/hint', value: Buffer.from('2;1;closed') }
}

async function withStore(data: string, work: (store: LogStore) => Promise<unknown>): Promise<void> {
  const edges = { disk: nodeDisk, clock: nodeClock, random: nodeRandom, core: loadTestCore(), codec: createNodeCodec() }
  const store = await LogStore.open({ ...edges, directory: data, settings: { journalFileCount: 2, journalFileBytes: 4 * 1024 * 1024 } })
  await work(store)
  await store.close()
}

async function start(test: Test, data: string): Promise<{ gateway: Gateway | null; error: unknown; said: string[] }> {
  const said: string[] = []
  const yaml = `{ gateway: { id: g, data: ${data} }, mqtt: [{ listen: "127.0.0.1:0" }], upstream: { brokers: ["127.0.0.1:1"] }, routes: [{ filter: "plant/#", topic: plant, key: none }] }`
  try {
    const config = loadConfig(yaml, { fileName: 'inline', environment: {} })
    const gateway = await openGateway(config, { log: (_, text) => said.push(text) })
    test.teardown(() => gateway.close())
    return { gateway, error: null, said }
  } catch (error) {
    return { gateway: null, error, said }
  }
}

for (const { name, rules } of registeredAreas()) {
  t.test(`${name} is damaged`, async (t) => {
    const data = join(mkdtempSync(join(tmpdir(), 'wadi-damaged-')), 'data')
    t.teardown(() => rmSync(join(data, '..'), { recursive: true, force: true }))
    await withStore(data, (store) => store.createTopic('plant'))
    const key = rules.keys === '' ? name : (KEYS[name] ?? `${name}/1/0${rules.keys.split('/').length > 2 ? '/1' : ''}`)
    const whole = WHOLE[name]
    // meta/incarnation and meta/starts are written by the start itself: behind it
    await withStore(data, (store) =>
      store.commit([], [...(whole ? [whole] : []), { key, value: BINARY.includes(name) ? Buffer.from([0]) : Buffer.from('xyz') }])
    )
    const { gateway, error, said } = await start(t, data)
    if (name === 'unnamed') return t.ok(gateway, 'the journal has nothing of it: it is taken away as any other')
    if (name === 'compacted') return t.ok(gateway, 'a hint: everything is compacted again (test/log/compaction)')
    if (REBUILT.includes(name)) {
      t.ok(gateway, String(error))
      t.ok(
        said.some((text) => text.includes(key)),
        said.join('\n')
      )
      return
    }
    t.match(error, { code: 'WADI_STATE_DAMAGED' })
    t.match(String((error as Error).message), key)
  })
}
