// A store on the real disk for benchmarks and their worker processes, with the settings of the product unless a bench says otherwise.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Disk } from '../runtime/io/disk.ts'
import { nodeClock } from '../runtime/io/node-clock.ts'
import { createNodeCodec } from '../runtime/io/node-codec.ts'
import { nodeDisk } from '../runtime/io/node-disk.ts'
import { nodeRandom } from '../runtime/io/node-random.ts'
import { LogStore } from '../runtime/log/log-store.ts'
import type { StorageSettings } from '../runtime/log/settings.ts'
import { loadTestCore } from '../test/helpers/core.ts'

export function openStore(directory: string, settings: Partial<StorageSettings> = {}, disk: Disk = nodeDisk): Promise<LogStore> {
  return LogStore.open({
    disk,
    clock: nodeClock,
    random: nodeRandom,
    core: loadTestCore(),
    codec: createNodeCodec(),
    directory,
    settings
  })
}

/** Runs `work` with an empty directory below WADI_BENCH_DIR (default: the system's), and removes it whatever happens. */
export async function withDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(process.env.WADI_BENCH_DIR ?? tmpdir(), 'wadi-bench-'))
  try {
    return await work(directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
