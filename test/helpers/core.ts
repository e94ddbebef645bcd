// The WASM core for tests: one instance per call, from the build next to the sources.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { Core } from '../../runtime/core/core.ts'
import { instantiateCore } from '../../runtime/core/wasm-core.ts'

export type CoreBuild = 'debug' | 'release'

/** Finds core-wasm/build upwards from this file, so that it works from the sources and from any outDir. */
export function readCoreWasm(build: CoreBuild = 'release'): Uint8Array {
  for (let directory = import.meta.dirname; directory !== path.dirname(directory); directory = path.dirname(directory)) {
    const file = path.join(directory, 'core-wasm', 'build', `${build}.wasm`)
    const bytes = readIfThere(file)
    if (bytes !== null) return bytes
  }
  throw new Error('core-wasm/build is missing: run node tools/build-core.mjs')
}

function readIfThere(file: string): Uint8Array | null {
  try {
    return readFileSync(file)
  } catch {
    return null
  }
}

/** A core of its own: nothing is shared with other cores. */
export function loadTestCore(build: CoreBuild = 'release'): Core {
  return instantiateCore(readCoreWasm(build))
}
