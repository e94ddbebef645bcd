// The gateway that a file of conformance tests shares: every topic is stored, names and client ids are handed out so that tests that run
// beside each other do not meet. At its end no client may have seen the server break a rule.

import assert from 'node:assert/strict'
import { after } from 'node:test'
import { type GatewayOptions, startGateway, type TestGateway } from '../rig.ts'
import type { Packet } from './decode.ts'
import { type ConnectOptions, prop, type Version } from './encode.ts'
import { RawClient } from './raw-client.ts'

/** Topics under it may not be published to, nor subscribed. */
export const FORBIDDEN = 'forbidden'

export interface Rig {
  readonly gateway: TestGateway
  readonly port: number
  /** All that were opened. */
  readonly clients: readonly RawClient[]
  /** Not connected in the sense of MQTT. */
  open(version: Version): RawClient
  /** Accepted, under an id of its own. */
  connect(version: Version, options?: ConnectOptions): Promise<RawClient>
  /** Accepted and subscribed. */
  subscriber(version: Version, filter: string, subscriptionOptions?: number, options?: ConnectOptions): Promise<RawClient>
  /** A topic that no other test uses. */
  topic(): string
  clientId(): string
}

let count = 0

export async function openRig(options: GatewayOptions = {}): Promise<Rig> {
  const clients: RawClient[] = []
  after(() => {
    for (const client of clients) client.drop()
  })
  const gateway = await startGateway(
    { teardown: (callback) => after(callback as () => Promise<void>) },
    {
      routes: [],
      unmatched: { topic: 'events' },
      authorizer: {
        connect: (_client, password) => (password && Buffer.from(password).toString() === 'wrong' ? 'bad-credentials' : 'allowed'),
        mayPublish: (_client, topic) => !topic.startsWith(FORBIDDEN),
        maySubscribe: (_client, filter) => !filter.startsWith(FORBIDDEN)
      },
      ...options
    }
  )
  // Last: a hook that fails is the last one that runs.
  after(() => {
    for (const { fault } of clients) assert.equal(fault, null, fault?.message)
  })
  const rig: Rig = {
    gateway,
    port: gateway.port,
    clients,
    open: (version) => {
      const client = new RawClient(gateway.port, version)
      clients.push(client)
      return client
    },
    connect: async (version, connectOptions = {}) => {
      const client = rig.open(version)
      const connack = await client.connect({ clientId: rig.clientId(), ...connectOptions })
      assert.equal(connack.code, 0, `CONNACK 0x${connack.code.toString(16)}; ${client.story}`)
      return client
    },
    subscriber: async (version, filter, subscriptionOptions = 0, connectOptions = {}) => {
      const client = await rig.connect(version, connectOptions)
      const { codes } = await client.subscribe(filter, subscriptionOptions)
      assert.ok((codes[0] as number) < 0x80, `SUBACK ${codes[0]}; ${client.story}`)
      return client
    },
    topic: () => `t/${++count}`,
    clientId: () => `c${++count}`
  }
  return rig
}

/** CONNECT of a session that outlives its connection. */
export function durable(version: Version, clientId: string, options: ConnectOptions = {}): ConnectOptions {
  const props = version === 5 ? [prop(17, 3_600), ...(options.props ?? [])] : []
  return { clean: false, ...options, clientId, props }
}

/** The smallest packet limit with which a client can be let in: everything that is longer than CONNACK is too long for it. */
export async function smallestLimit(rig: Rig, version: Version): Promise<number> {
  return (await rig.open(version).connect({ clientId: rig.clientId() })).bytes.length
}

export const texts = (packets: readonly Packet[]): string[] => packets.filter(({ kind }) => kind === 'publish').map(({ text }) => text)
