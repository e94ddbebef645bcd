// Randomness as a dependency: back-off jitter, ids. Real: node-random.ts (node:crypto). Simulated: test/sim/prng.ts.

export interface Random {
  /** Uniform in [0, 1). */
  fraction(): number
  bytes(count: number): Uint8Array
}
