// Completions of one connection in the order of its packets: what is done early waits for those before it.
// MQTT-4.6.0-2 wants PUBACKs in the order of the PUBLISHes.

export type AckCallback = (error?: Error | null) => void

export class AckQueue {
  readonly #waiting: PendingAck[] = []
  #isScheduled = false

  /** The packet's place in the order; call `settle` on it once. */
  add(callback: AckCallback): PendingAck {
    const ack = new PendingAck(this, callback)
    this.#waiting.push(ack)
    return ack
  }

  /** Calls back everything from the front that is settled. */
  flush(): void {
    let head = this.#waiting[0]
    while (head?.isSettled) {
      this.#waiting.shift()
      head.callback(head.error)
      head = this.#waiting[0]
    }
  }

  /** flush(), but not inside whoever calls: the parser must not be entered again from inside a packet. */
  flushSoon(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.flush()
    })
  }
}

/** One packet that waits for its acknowledgement. */
export class PendingAck {
  readonly #queue: AckQueue
  readonly callback: AckCallback
  error: Error | null = null
  isSettled = false
  /** Set while the packet is still being handed over: until then nothing is called back. */
  isInside = true

  constructor(queue: AckQueue, callback: AckCallback) {
    this.#queue = queue
    this.callback = callback
  }

  settle(error: Error | null): void {
    this.error = error
    this.isSettled = true
    if (this.isInside) this.#queue.flushSoon()
    else this.#queue.flush()
  }
}
