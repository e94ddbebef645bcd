// Completions of one connection in the order of its packets: what is done early waits for those before it.
// MQTT-4.6.0-2 wants PUBACKs in the order of the PUBLISHes.

export type AckCallback = (error?: Error | null) => void

export class AckQueue {
  readonly #waiting: { readonly callback: AckCallback; outcome: Error | null | undefined }[] = []
  #isScheduled = false

  /**
   * @returns what to call, once, when the packet is done. A call inside the turn of `add` takes effect in a later turn of the loop:
   *          the parser must not be entered again from inside a packet.
   */
  add(callback: AckCallback): (error: Error | null) => void {
    const entry: { callback: AckCallback; outcome: Error | null | undefined } = { callback, outcome: undefined }
    this.#waiting.push(entry)
    return (error) => {
      entry.outcome = error
    }
  }

  /** Calls back everything from the front that is done. */
  flush(): void {
    let head = this.#waiting[0]
    while (head !== undefined && head.outcome !== undefined) {
      this.#waiting.shift()
      head.callback(head.outcome)
      head = this.#waiting[0]
    }
  }

  /** flush(), but not inside whoever calls. */
  flushSoon(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.flush()
    })
  }

  get length(): number {
    return this.#waiting.length
  }
}
