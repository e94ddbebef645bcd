// Where the WASM core's bytes come from: the build directory here; tools/bundle.mjs puts them inside the bundle instead of this file.

import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Looked for upwards from here, so that it works from the sources and from any output directory. @throws Error when it was not built */
export function coreBytes(): Uint8Array {
  let directory = dirname(fileURLToPath(import.meta.url))
  for (;;) {
    try {
      return readFileSync(join(directory, 'core-wasm/build/release.wasm'))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' && (error as NodeJS.ErrnoException).code !== 'ENOTDIR') throw error
    }
    if (directory === dirname(directory)) throw new Error('core-wasm/build/release.wasm is absent: npm run build:core')
    directory = dirname(directory)
  }
}
