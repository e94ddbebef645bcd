// Memory for requests. While others wait, the block of one that was answered is handed to the next one, because freed blocks of that size may
// stay with the process; when nobody waits, it is given back.
// Invariant: of at most one block nobody makes use, and only between give() and trim(), which run one behind the other.

const SMALL_BYTES = 2 * 1024
const KEPT_BYTES_MIN = 64 * 1024
/** A block that is handed on may be larger by this part of what is asked for: the budget counts requests, not blocks. */
const SPARE_SHARE = 8

export class FrameMemory {
  readonly #release: (block: Uint8Array) => void
  #spare: Buffer | null = null

  constructor(release: (block: Uint8Array) => void) {
    this.#release = release
  }

  /** Its bytes are whatever they are. */
  take(bytes: number): Uint8Array {
    if (bytes < SMALL_BYTES) return Buffer.allocUnsafe(bytes) // of what node shares among small buffers
    const spareBytes = this.#spare?.byteLength ?? 0
    if (this.#spare === null || spareBytes < bytes || spareBytes > bytes + bytes / SPARE_SHARE) return Buffer.allocUnsafeSlow(bytes)
    const block = this.#spare
    this.#spare = null
    return block.subarray(0, bytes)
  }

  /** Nobody reads it any more. What waits may take it until trim(). */
  give(frame: Uint8Array): void {
    if (frame.byteLength < KEPT_BYTES_MIN || this.#spare !== null) return this.#release(frame)
    this.#spare = Buffer.from(frame.buffer)
  }

  trim(): void {
    if (this.#spare) this.#release(this.#spare)
    this.#spare = null
  }
}
