// One run of the load generator (mqtt-load.worker.ts) against a server, and what it cost the server. Not for: which load, which server.

import { BenchWorker } from './worker.ts'

export interface Load {
  readonly connections: number
  readonly payloadBytes: number
  /** Unacknowledged packets of each connection. */
  readonly window: number
  /** Default 1. */
  readonly qos?: 0 | 1
  /** Of each connection; default 1. */
  readonly topics?: number
  /** File with the CA of the server: the load comes over TLS. */
  readonly ca?: string
}

export interface LoadedServer {
  readonly port: number
  /** NaN where it is not known. */
  cpuMs(): number
  residentBytes(): number
}

export interface LoadSample {
  readonly eventsPerSecond: number
  readonly cpuUsPerEvent: number
  /** At the end of the run. */
  readonly residentBytes: number
}

export async function measureLoad(
  server: LoadedServer,
  { connections, payloadBytes, window, qos = 1, topics = 1, ca = '' }: Load,
  time: { readonly warmMs: number; readonly measureMs: number }
): Promise<LoadSample> {
  const args = [...[server.port, connections, payloadBytes, window, qos, topics].map(String), ca]
  const worker = new BenchWorker<{ acked: number; elapsedMs: number }>('mqtt-load.worker.js', args)
  try {
    await worker.next()
    worker.send(time)
    await worker.next()
    const beforeMs = server.cpuMs()
    const { acked, elapsedMs } = await worker.next()
    return {
      eventsPerSecond: (acked / elapsedMs) * 1_000,
      cpuUsPerEvent: ((server.cpuMs() - beforeMs) * 1_000) / Math.max(1, acked),
      residentBytes: server.residentBytes()
    }
  } finally {
    await worker.kill()
  }
}
