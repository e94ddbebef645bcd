// Large buffers that are used again: one made for every batch is memory outside the heap that waits for the collector, tens of MiB of it.
// Invariant: a buffer is given back once, when nobody reads it any more.

/** Smaller ones are not worth keeping. */
const STEP_BYTES = 64 * 1024

export class SpareBuffers {
  readonly #keptMax: number
  readonly #spare: ArrayBuffer[] = []

  constructor(keptMax: number) {
    this.#keptMax = keptMax
  }

  /** In a spare buffer that is large enough, or in a new one. */
  copyOf(bytes: Uint8Array): Uint8Array {
    if (bytes.byteLength < STEP_BYTES) return new Uint8Array(bytes)
    const index = this.#spare.findIndex((buffer) => buffer.byteLength >= bytes.byteLength)
    const [buffer = new ArrayBuffer(roomFor(bytes.byteLength))] = index < 0 ? [] : this.#spare.splice(index, 1)
    const copy = new Uint8Array(buffer, 0, bytes.byteLength)
    copy.set(bytes)
    return copy
  }

  /** What `copyOf` returned, when it is not needed any more. */
  giveBack({ buffer }: Uint8Array): void {
    if (buffer.byteLength < STEP_BYTES) return
    if (this.#spare.length >= this.#keptMax) this.#spare.shift()
    this.#spare.push(buffer as ArrayBuffer)
  }

  /** The link is idle: nothing is kept for later. */
  clear(): void {
    this.#spare.length = 0
  }
}

/** Batches are of about the same size: the next may be a little larger. */
function roomFor(bytes: number): number {
  return Math.ceil(bytes / STEP_BYTES) * STEP_BYTES
}
