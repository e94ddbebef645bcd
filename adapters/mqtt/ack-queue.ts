// Completions of one connection in the order of its packets: what is done early waits for those before it.
// MQTT-4.6.0-2 wants PUBACKs in the order of the PUBLISHes.
//
// A PUBLISH that is refused may end its connection. What came before it is acknowledged first, or the device would send again what is stored, each
// time it comes back; what comes behind it must not be taken any more (isClosing), or it would be stored out of order and sent again too. What was
// taken before that, and is stored all the same, is called back when it is: it is not acknowledged, but it is an event like others.

export type AckCallback<O> = (error: Error | null, outcome: O) => void

export class AckQueue<O> {
  readonly #waiting: PendingAck<O>[] = []
  #head = 0
  #hasEnded = false
  /** A packet was refused that ends the connection. */
  isClosing = false

  /** The packet's place in the order; call `settle` on it once. */
  add(callback: AckCallback<O>): PendingAck<O> {
    const ack = new PendingAck(this, callback)
    this.#waiting.push(ack)
    return ack
  }

  /** Calls back everything from the front that is settled, up to the first that ends the connection, and that one. */
  flush(): void {
    while (!this.#hasEnded) {
      const head = this.#waiting[this.#head]
      if (!head?.isSettled) return
      this.#head++
      if (this.#head === this.#waiting.length) {
        this.#waiting.length = 0
        this.#head = 0
      }
      this.#hasEnded = head.isLast
      head.callback(head.error, head.outcome as O)
    }
    const rest = this.#waiting.splice(0).slice(this.#head)
    this.#head = 0
    for (const ack of rest) {
      if (!ack.isSettled) this.#waiting.push(ack)
      else if (ack.error === null) ack.callback(null, ack.outcome as O)
    }
  }
}

/** One packet that waits for its acknowledgement. */
export class PendingAck<O> {
  readonly #queue: AckQueue<O>
  readonly callback: AckCallback<O>
  isSettled = false
  error: Error | null = null
  outcome: O | null = null
  isLast = false

  constructor(queue: AckQueue<O>, callback: AckCallback<O>) {
    this.#queue = queue
    this.callback = callback
  }

  /** `isLast`: it ends the connection. */
  settle(error: Error | null, outcome: O, isLast = false): void {
    this.isSettled = true
    this.error = error
    this.outcome = outcome
    this.isLast = isLast
    if (isLast) this.#queue.isClosing = true
    this.#queue.flush()
  }
}
