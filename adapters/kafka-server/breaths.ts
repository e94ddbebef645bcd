// Between the many parts of one large request the thread is given to others: devices, and clients with small requests.

const PARTS_AT_ONCE = 100

export class Breaths {
  #parts = 0

  /** To be awaited before each part. */
  async next(): Promise<void> {
    if (++this.#parts % PARTS_AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve))
  }
}
