// The Kafka listener: accepts clients, bounds what they cost, counts what they do. The broker behind it knows no wire.

import { type AddressInfo, createServer, type Server } from 'node:net'
import { type Broker, type BrokerSettings, openBroker } from '../../runtime/broker/broker.ts'
import type { Core } from '../../runtime/core/core.ts'
import type { Clock } from '../../runtime/io/clock.ts'
import type { BlockCodec } from '../../runtime/io/codec.ts'
import type { Random } from '../../runtime/io/random.ts'
import type { Store } from '../../runtime/log/contract.ts'
import { type CloseReason, Connection, type ConnectionLimits } from './connection.ts'
import type { ServerContext } from './context.ts'
import { FrameBudget } from './frame-budget.ts'

export interface KafkaListenerOptions {
  readonly store: Store
  readonly core: Core
  readonly clock: Clock
  readonly random: Random
  readonly codec: BlockCodec
  /** Default 127.0.0.1. */
  readonly host?: string
  /** 0 (default) = any free port. */
  readonly port?: number
  /** Where clients reach us when that is not the bound address. A port of 0 means the bound one. */
  readonly advertised?: { readonly host: string; readonly port: number }
  /** Default: the store's log id. */
  readonly clusterId?: string
  /** Default 1. */
  readonly nodeId?: number
  readonly autoCreateTopics?: boolean
  readonly connectionCountMax?: number
  /** Requests in work of all connections together; each connection has 16 KiB of its own besides. */
  readonly requestBytesMax?: number
  readonly fetchBytesMax?: number
  readonly limits?: Partial<ConnectionLimits>
  readonly broker?: Partial<BrokerSettings>
  /** A connection ended, with its reason. */
  readonly onClose?: (reason: CloseReason, detail: string, client: string) => void
  /** A fault of ours. Without it the error is thrown where nobody catches it: a bug ends the process. */
  readonly onError?: (error: unknown) => void
}

export interface KafkaListenerMetrics {
  readonly connectionCount: number
  readonly acceptedConnections: number
  readonly requests: number
  readonly requestsByApi: Readonly<Record<string, number>>
  readonly closesByReason: Readonly<Partial<Record<CloseReason, number>>>
  readonly receivedBytes: number
  readonly sentBytes: number
  /** Bytes of the common budget that requests in work hold now. */
  readonly requestBytes: number
  /** Requests that wait for them now, and that ever had to. */
  readonly waitingRequests: number
  readonly requestWaits: number
}

export interface KafkaListener {
  /** The bound address. */
  readonly address: { readonly host: string; readonly port: number }
  readonly broker: Broker
  readonly metrics: KafkaListenerMetrics
  /** Ends every connection and the broker. The store stays open: whoever opened it closes it afterwards. */
  close(): Promise<void>
}

const MIB = 1024 * 1024

const defaultLimits: ConnectionLimits = {
  frameBytesMax: 16 * MIB,
  queuedBytesMax: MIB,
  idleMsMax: 600_000,
  frameIdleMsMax: 30_000,
  frameBytesPerSecondMin: 64 * 1024
}
const CONNECTION_COUNT_MAX = 1000
/** Twice the largest frame: one being read, one being carried out. */
const REQUEST_BYTES_MAX = 32 * MIB
const FETCH_BYTES_MAX = 16 * MIB

/** @throws WadiError when the stored state cannot be read; Error of node:net when the address cannot be bound */
export async function createKafkaListener(options: KafkaListenerOptions): Promise<KafkaListener> {
  const { store, core, clock, random, codec } = options
  const broker = openBroker({ store, core, clock, random, codec, settings: options.broker ?? {} })
  const server = createServer({ noDelay: true, keepAlive: true })
  try {
    await listen(server, options.port ?? 0, options.host ?? '127.0.0.1')
  } catch (error) {
    broker.close()
    throw error
  }
  const bound = server.address() as AddressInfo
  const address = { host: bound.address, port: bound.port }
  const context: ServerContext = {
    broker,
    node: {
      nodeId: options.nodeId ?? 1,
      host: options.advertised?.host ?? address.host,
      port: options.advertised?.port || address.port
    },
    clusterId: options.clusterId ?? store.logId,
    autoCreateTopics: options.autoCreateTopics ?? true,
    fetchBytesMax: options.fetchBytesMax ?? FETCH_BYTES_MAX
  }
  const meter = createMeter()
  const budget = new FrameBudget(options.requestBytesMax ?? REQUEST_BYTES_MAX)
  const connections = acceptOn(server, context, options, { meter, budget })
  return {
    address,
    broker,
    get metrics(): KafkaListenerMetrics {
      return {
        ...meter,
        connectionCount: connections.size,
        requestBytes: budget.usedBytes,
        waitingRequests: budget.waitingCount,
        requestWaits: budget.waitCount,
        requestsByApi: { ...meter.requestsByApi },
        closesByReason: { ...meter.closesByReason }
      }
    },
    async close(): Promise<void> {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      for (const connection of [...connections]) connection.close('shutdown', 'the listener closes')
      broker.close()
      await closed
    }
  }
}

interface Meter {
  acceptedConnections: number
  requests: number
  requestsByApi: Record<string, number>
  closesByReason: Partial<Record<CloseReason, number>>
  receivedBytes: number
  sentBytes: number
}

function createMeter(): Meter {
  return { acceptedConnections: 0, requests: 0, requestsByApi: {}, closesByReason: {}, receivedBytes: 0, sentBytes: 0 }
}

function acceptOn(
  server: Server,
  context: ServerContext,
  options: KafkaListenerOptions,
  { meter, budget }: { meter: Meter; budget: FrameBudget }
): Set<Connection> {
  const connections = new Set<Connection>()
  const limits = { ...defaultLimits, ...options.limits }
  const connectionCountMax = options.connectionCountMax ?? CONNECTION_COUNT_MAX
  const onError = options.onError ?? throwLater
  server.on('connection', (socket) => {
    const client = `${socket.remoteAddress}:${socket.remotePort}`
    meter.acceptedConnections++
    const connection: Connection = new Connection(
      socket,
      context,
      { limits, budget },
      {
        onRequest(name) {
          meter.requests++
          meter.requestsByApi[name] = (meter.requestsByApi[name] ?? 0) + 1
        },
        onBytes(direction, bytes) {
          if (direction === 'received') meter.receivedBytes += bytes
          else meter.sentBytes += bytes
        },
        onClose(reason, detail) {
          connections.delete(connection)
          meter.closesByReason[reason] = (meter.closesByReason[reason] ?? 0) + 1
          options.onClose?.(reason, detail, client)
        },
        onError
      }
    )
    if (connections.size >= connectionCountMax) return connection.close('full', `${connectionCountMax} connections are open already`)
    connections.add(connection)
  })
  return connections
}

function throwLater(error: unknown): void {
  setImmediate(() => {
    throw error
  })
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
}
