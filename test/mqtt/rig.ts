// A gateway's MQTT side for tests: routes, ingest and broker over a store, on two free ports. Everything is closed with the test.

import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import type { Authorizer } from '../../adapters/mqtt/authorizer.ts'
import type { ListenerLimits, MqttLimits } from '../../adapters/mqtt/limits.ts'
import { Listener } from '../../adapters/mqtt/listener.ts'
import { createMqttBroker, type MqttBroker, type MqttEvent, type NotRetained } from '../../adapters/mqtt/mqtt-broker.ts'
import { payloadDecoders } from '../../adapters/mqtt/payload.ts'
import type { Handshakes } from '../../adapters/tls/handshakes.ts'
import { Ingest, type IngestLimits } from '../../runtime/broker/ingest.ts'
import { PublishLane } from '../../runtime/broker/publish-lane.ts'
import { compileRoutes, type RouteConfig, type RoutesConfig } from '../../runtime/broker/routes.ts'
import type { Core } from '../../runtime/core/core.ts'
import { nodeClock } from '../../runtime/io/node-clock.ts'
import { createNodeCodec } from '../../runtime/io/node-codec.ts'
import { nodeRandom } from '../../runtime/io/node-random.ts'
import type { LaneAppends, Store } from '../../runtime/log/contract.ts'
import { loadTestCore } from '../helpers/core.ts'
import { ControlledStore } from './controlled-store.ts'
import { RawClient } from './packets.ts'

export interface Test {
  teardown(callback: () => unknown): void
}

export interface GatewayOptions {
  readonly store?: ControlledStore
  readonly realStore?: Store
  readonly routes?: RouteConfig[]
  readonly unmatched?: RoutesConfig['unmatched']
  readonly limits?: Partial<MqttLimits>
  /** What the second listener has of its own. */
  readonly otherLimits?: Partial<ListenerLimits>
  readonly ingestLimits?: Partial<IngestLimits>
  /** Of the real store: the fast lane is open. */
  readonly lane?: { readonly core: Core; readonly appends: LaneAppends }
  /** TLS on the first listener; the second has none. */
  readonly handshakes?: Handshakes
  /** Without one everybody may do everything. */
  readonly authorizer?: Authorizer
}

export interface TestGateway {
  readonly store: ControlledStore
  readonly ingest: Ingest
  readonly broker: MqttBroker
  readonly events: MqttEvent[]
  readonly notRetained: NotRetained[]
  readonly port: number
  /** Of a second listener of the same broker. */
  readonly otherPort: number
  /** On `port`, or on the one that is named. */
  raw(port?: number): RawClient
  client(options?: IClientOptions): Promise<MqttClient>
}

export const defaultRoutes: RouteConfig[] = [
  { name: 'strict', filter: 'json/+dev', topic: 'events', key: '{dev}', value: { decode: 'json' } },
  { name: 'all', filter: 'd/#rest', topic: 'events', key: null }
]

export async function startGateway(t: Test, options: GatewayOptions = {}): Promise<TestGateway> {
  const core = loadTestCore()
  const store = options.store ?? new ControlledStore()
  if (!store.topics.has('events')) {
    await store.createTopic('events')
    await store.createTopic('_wadi.dlq')
  }
  const used = options.realStore ?? store.asStore()
  const { table } = compileRoutes(
    { routes: options.routes ?? defaultRoutes, unmatched: options.unmatched ?? { action: 'reject' }, deadLetter: '_wadi.dlq' },
    payloadDecoders
  )
  const ingest = new Ingest({ store: used, core, clock: nodeClock, table, limits: options.ingestLimits ?? {} })
  const events: MqttEvent[] = []
  const notRetained: NotRetained[] = []
  const limits = options.limits ?? {}
  const listeners = [
    new Listener({ port: 0, limits, handshakes: options.handshakes }),
    new Listener({ port: 0, limits: { ...limits, ...options.otherLimits } })
  ]
  for (const listener of listeners) await listener.bind()
  const broker = createMqttBroker({
    ingest,
    store: used,
    core,
    codec: createNodeCodec(),
    limits,
    onEvent: (event) => events.push(event),
    onNotRetained: (message) => notRetained.push(message),
    ...(options.lane && { lane: new PublishLane({ ...options.lane, ingest, clock: nodeClock, random: nodeRandom }) }),
    ...(options.authorizer && { authorizer: options.authorizer })
  })
  await broker.start().catch((error: unknown) => {
    for (const listener of listeners) listener.stopAccepting()
    throw error
  })
  for (const listener of listeners) broker.addListener(listener)
  const [port = 0, otherPort = 0] = broker.addresses.map((address) => address.port)
  const clients: { end?: (force: boolean) => unknown; destroy?: () => void }[] = []
  t.teardown(async () => {
    for (const client of clients) client.end ? client.end(true) : client.destroy?.()
    store.release()
    await broker.close()
  })
  return {
    store,
    ingest,
    broker,
    events,
    notRetained,
    port,
    otherPort,
    raw: (rawPort = port) => {
      const client = new RawClient(rawPort)
      clients.push(client)
      return client
    },
    client: async (clientOptions = {}) => {
      const client = mqtt.connect({ host: '127.0.0.1', port, reconnectPeriod: 0, ...clientOptions })
      clients.push(client as unknown as { end: (force: boolean) => unknown })
      client.on('error', () => {})
      await new Promise<void>((resolve, reject) => {
        client.once('connect', () => resolve())
        client.once('error', reject)
      })
      return client
    }
  }
}

/** Lets everything that is already on its way arrive: round trips of the event loop, bounded. */
export async function turns(isTrue: () => boolean = () => false, countMax = 2000): Promise<boolean> {
  for (let turn = 0; turn < countMax && !isTrue(); turn++) await new Promise((resolve) => setTimeout(resolve, turn < 20 ? 0 : 2))
  return isTrue()
}
