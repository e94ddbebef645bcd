// Question: can the CRC ever be slower than the disk it protects, and is a native dependency needed for it?
// Canonical load: 16 KiB, about a hundred events; 1 KiB is a small batch, 1 MiB a large commit. 'wadi' copies the bytes in, as a
// caller outside does; 'wadi in place' finds them in linear memory, as every batch and journal block is found.

import { crc32c as nativeCrc32c } from '@node-rs/crc32'
import { CoreModule } from '../runtime/core/core-module.ts'
import { loadTestCore, readCoreWasm } from '../test/helpers/core.ts'
import { type Bench, fillerBytes, interleave } from './harness.ts'
import { referenceCrc32c } from './reference-crc32c.ts'

const KIB = 1024
const SIZES_BYTES = [KIB, 16 * KIB, 64 * KIB, KIB * KIB]
const ROUND_BYTES = 32 * KIB * KIB

/** Gigabytes per second to reach in place, and ours with the copy against native in time: both from the goals of the project. */
const GOALS: Readonly<Record<number, { gbPerS?: number; timesNativeMax: number }>> = {
  [KIB]: { timesNativeMax: 2 },
  [16 * KIB]: { gbPerS: 5, timesNativeMax: 1 },
  [64 * KIB]: { timesNativeMax: 1 },
  [KIB * KIB]: { gbPerS: 10, timesNativeMax: 1 }
}

export const crc32cBench: Bench = {
  name: 'crc32c',
  question: 'CRC-32C, bytes per second: WebAssembly against native and pure JavaScript',
  async run({ isSmoke, figure }) {
    const core = loadTestCore()
    const { call: exports, at, bytes: memory } = new CoreModule(readCoreWasm())
    for (const sizeBytes of SIZES_BYTES) {
      const calls = isSmoke ? 2 : ROUND_BYTES / sizeBytes
      const filler = fillerBytes(sizeBytes)
      const repeat = (crc: (bytes: Uint8Array) => number, bytes: Uint8Array) => (): number => {
        bytes.set(filler)
        let hash = 0
        for (let call = 0; call < calls; call++) {
          bytes[call % sizeBytes] = call & 0xff
          hash = (hash + crc(bytes)) >>> 0
        }
        return hash
      }
      const timings = await interleave(
        [
          { name: 'wadi', run: repeat((bytes) => core.crc32c(bytes), filler.slice()) },
          {
            name: 'wadi in place',
            run: repeat(() => exports.crc32c(at.INPUT, sizeBytes, 0) >>> 0, memory.subarray(at.INPUT, at.INPUT + sizeBytes))
          },
          { name: '@node-rs/crc32', run: repeat((bytes) => nativeCrc32c(bytes), filler.slice()) },
          { name: 'pure JS', run: repeat(referenceCrc32c, filler.slice()) }
        ],
        isSmoke ? { rounds: 1, warmups: 0 } : { rounds: 15, warmups: 3 }
      )
      const hashes = new Set([...timings.values()].map(({ hash }) => hash))
      if (hashes.size !== 1) throw new Error(`crc32c: the answers differ at ${sizeBytes} bytes`)
      const gbPerS = (name: string): number => (calls * sizeBytes) / (timings.get(name)?.medianMs ?? Number.NaN) / 1e6
      const timesNative = gbPerS('@node-rs/crc32') / gbPerS('wadi')
      const goal = GOALS[sizeBytes] ?? { timesNativeMax: 1 }
      figure({
        what: 'CRC-32C',
        parameters: { sizeBytes, calls },
        unit: 'GB/s',
        values: {
          wadi: gbPerS('wadi'),
          'wadi in place': gbPerS('wadi in place'),
          '@node-rs/crc32': gbPerS('@node-rs/crc32'),
          'pure JS': gbPerS('pure JS')
        },
        ratios: { 'time / native': timesNative, 'speed / pure JS': gbPerS('wadi') / gbPerS('pure JS') },
        target: {
          text: `${goal.gbPerS ? `>= ${goal.gbPerS} GB/s in place and ` : ''}time <= ${goal.timesNativeMax} x native`,
          isMet: gbPerS('wadi in place') >= (goal.gbPerS ?? 0) && timesNative <= goal.timesNativeMax
        },
        hash: [...hashes][0] ?? 0
      })
    }
  }
}
