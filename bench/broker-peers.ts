// What the benches over MQTT compare: the whole product, of each build (`wadi run`, every event synced), and aedes alone in memory.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Build } from './build.ts'
import { GatewayProcess } from './gateway-process.ts'
import { withDirectory } from './open-store.ts'
import { BenchWorker } from './worker.ts'

export interface Peer {
  /** null = aedes. */
  readonly build: Build | null
  readonly port: number
  /** null = aedes. */
  readonly gateway: GatewayProcess | null
}

/** Runs `work` with all of them, each with an empty directory. */
export async function withPeers<T>(builds: readonly Build[], work: (peers: readonly Peer[]) => Promise<T>): Promise<T> {
  return withDirectory(async (scratch) => {
    const aedes = new BenchWorker<{ port: number }>('aedes.worker.js', [])
    const peers: Peer[] = []
    try {
      for (const build of builds) {
        const directory = join(scratch, build.name)
        mkdirSync(directory)
        const gateway = await GatewayProcess.start({ directory, build })
        peers.push({ build, port: gateway.port, gateway })
      }
      return await work([...peers, { build: null, port: (await aedes.next()).port, gateway: null }])
    } finally {
      for (const { gateway } of peers) await gateway?.kill()
      await aedes.kill()
    }
  })
}
