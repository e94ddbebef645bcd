// The link to a whole cluster: a Link per broker, and the brokers' names translated in the answers that pass, so that the gateway reaches
// every one of them over the link, whatever addresses the cluster advertises. That is why `wadi demo --upstream` can cut a real cluster off.

import { api } from '../../adapters/kafka-protocol/apis.ts'
import { decodeRequestHeader, FrameSplitter } from '../../adapters/kafka-protocol/frame.ts'
import { joinChunks } from '../../adapters/kafka-protocol/writer.ts'
import { Connection } from '../../adapters/kafka-upstream/connection.ts'
import type { Address } from '../../gateway/config/address.ts'
import { WadiError } from '../../runtime/base/errors.ts'
import { nodeClock } from '../../runtime/io/node-clock.ts'
import { UpstreamFault } from '../../runtime/uplink/upstream.ts'
import { Link, type Rewrite } from './link.ts'

const FRAME_BYTES_MAX = 64 * 2 ** 20
const ASK_WITHIN_MS = 10_000

export class ClusterLink {
  readonly #links = new Map<string, Link>()

  private constructor() {}

  /** @throws WadiError WADI_UPSTREAM_UNREACHABLE when the broker does not answer */
  static async open(broker: Address, options: { bytesPerSecond: number | null }): Promise<ClusterLink> {
    const cluster = new ClusterLink()
    for (const address of [broker, ...(await askBrokers(broker))]) {
      const key = keyOf(address)
      if (cluster.#links.has(key)) continue
      cluster.#links.set(
        key,
        await Link.open({ ...options, target: address, rewrite: () => new NameRewrite((host, port) => cluster.#near({ host, port })) })
      )
    }
    return cluster
  }

  /** Where the gateway begins. */
  get address(): Address {
    const [first] = this.#links.values()
    return { host: '127.0.0.1', port: first?.port ?? 0 }
  }

  get carriedBytes(): number {
    let bytes = 0
    for (const link of this.#links.values()) bytes += link.carriedBytes
    return bytes
  }

  cut(): void {
    for (const link of this.#links.values()) link.cut()
  }

  restore(): void {
    for (const link of this.#links.values()) link.restore()
  }

  async close(): Promise<void> {
    await Promise.all([...this.#links.values()].map((link) => link.close()))
  }

  /** A broker that joined later has no link: its own address would go around the cut, so nobody is there. */
  #near(address: Address): Address {
    return { host: '127.0.0.1', port: this.#links.get(keyOf(address))?.port ?? 1 }
  }
}

function keyOf({ host, port }: Address): string {
  return `${host}:${port}`
}

async function askBrokers(broker: Address): Promise<Address[]> {
  const limits = { requestTimeoutMs: ASK_WITHIN_MS, dialTimeoutMs: ASK_WITHIN_MS }
  const connection = new Connection({ ...broker, ...limits, clientId: 'wadi-demo', clock: nodeClock, wireBytes: { sent: 0, received: 0 } })
  try {
    await connection.open()
    const { brokers } = await connection.request(api.Metadata, () => ({ topics: [], allowAutoTopicCreation: false }))
    return brokers.map(({ host, port }) => ({ host, port }))
  } catch (cause) {
    if (!(cause instanceof UpstreamFault)) throw cause
    throw new WadiError('WADI_UPSTREAM_UNREACHABLE', {
      happened: `No Kafka broker answers at ${keyOf(broker)} (${cause.message}).`,
      kept: 'Nothing was started.',
      next: 'Name a broker that accepts connections without TLS, or leave --upstream out.',
      cause
    })
  } finally {
    connection.close()
  }
}

/** One connection: remembers what was asked, and translates the two answers that name brokers. */
class NameRewrite implements Rewrite {
  readonly #translate: (host: string, port: number) => Address
  readonly #requests = new FrameSplitter(FRAME_BYTES_MAX)
  readonly #answers = new FrameSplitter(FRAME_BYTES_MAX)
  readonly #asked = new Map<number, { readonly apiKey: number; readonly apiVersion: number }>()

  constructor(translate: (host: string, port: number) => Address) {
    this.#translate = translate
  }

  onRequest(chunk: Uint8Array): void {
    for (const frame of this.#requests.push(chunk)) {
      const { correlationId, apiKey, apiVersion } = decodeRequestHeader(frame)
      if (apiKey === api.Metadata.key || apiKey === api.FindCoordinator.key) this.#asked.set(correlationId, { apiKey, apiVersion })
    }
  }

  onAnswer(chunk: Uint8Array): Uint8Array[] {
    return [...this.#answers.push(chunk)].flatMap((frame) => this.#answer(frame))
  }

  #answer(frame: Uint8Array): Uint8Array[] {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
    const correlationId = view.getInt32(0)
    const asked = this.#asked.get(correlationId)
    this.#asked.delete(correlationId)
    if (asked?.apiKey === api.Metadata.key) {
      const { response } = api.Metadata.decodeResponse(asked.apiVersion, frame)
      const brokers = response.brokers.map((broker) => ({ ...broker, ...this.#translate(broker.host, broker.port) }))
      return [joinChunks(api.Metadata.encodeResponse(asked.apiVersion, { ...response, brokers }, { correlationId }))]
    }
    if (asked?.apiKey === api.FindCoordinator.key) {
      const { response } = api.FindCoordinator.decodeResponse(asked.apiVersion, frame)
      const named = <T extends Address>(node: T): T => (node.host === '' ? node : { ...node, ...this.#translate(node.host, node.port) })
      const draft = { ...named(response), coordinators: response.coordinators.map(named) }
      return [joinChunks(api.FindCoordinator.encodeResponse(asked.apiVersion, draft, { correlationId }))]
    }
    const length = new Uint8Array(4)
    new DataView(length.buffer).setInt32(0, frame.byteLength)
    return [length, frame.slice()]
  }
}
