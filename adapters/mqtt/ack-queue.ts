// Completions of one connection in the order of its packets: what is done early waits for those before it.
// MQTT-4.6.0-2 wants PUBACKs in the order of the PUBLISHes.
//
// MQTT 3 answers a PUBLISH that is refused by closing the connection. What came before it is acknowledged first, or the device would send again
// what is stored, each time it comes back; what comes behind it must not be taken any more (isClosing), or it would be stored out of order and
// sent again too.

export type AckCallback = (error?: Error | null) => void

export class AckQueue {
  readonly #waiting: PendingAck[] = []
  readonly #afterWrites: (then: () => void) => void
  #isScheduled = false
  #isEnding = false
  /** A packet was refused. */
  isClosing = false

  /** `afterWrites` calls back when what was acknowledged so far has left, or cannot. */
  constructor(afterWrites: (then: () => void) => void) {
    this.#afterWrites = afterWrites
  }

  /** The packet's place in the order; call `settle` on it once. */
  add(callback: AckCallback): PendingAck {
    const ack = new PendingAck(this, callback)
    this.#waiting.push(ack)
    return ack
  }

  /** Calls back everything from the front that is settled, up to the first that is refused, and that one later. */
  flush(): void {
    while (!this.#isEnding) {
      const [head] = this.#waiting
      if (!head?.isSettled) return
      this.#waiting.shift()
      if (head.error === null) head.callback(null)
      else this.#end(head, head.error)
    }
  }

  #end({ callback }: PendingAck, error: Error): void {
    this.#isEnding = true
    this.#waiting.length = 0
    this.#afterWrites(() => callback(error))
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
    if (error !== null) this.#queue.isClosing = true
    if (this.isInside) this.#queue.flushSoon()
    else this.#queue.flush()
  }
}
