// What new subscriptions are sent of the retained messages, one filter a turn of the loop, all clients in turn: each filter may match all that is retained.
//
// Invariants: every SUBSCRIBE brings them again (MQTT-3.8.4-3), but where so many of a client wait a filter that is among them is not looked for once more: one
// could ask for everything a thousand times in one read. A client that is gone is sent nothing. Not for: which messages match (retained-messages.ts).

const WAITING_MAX = 100

interface Wanted {
  readonly filter: string
  readonly send: () => void
}

export class RetainedTurns<C extends { readonly closed: boolean }> {
  readonly #waiting = new Map<C, Wanted[]>()
  #isScheduled = false

  add(client: C, filter: string, send: () => void): void {
    const waiting = this.#waiting.get(client) ?? []
    if (waiting.length >= WAITING_MAX && waiting.some((wanted) => wanted.filter === filter)) return
    waiting.push({ filter, send })
    this.#waiting.set(client, waiting)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#sendNext()
    })
  }

  #sendNext(): void {
    const [next] = this.#waiting
    if (!next) return
    const [client, waiting] = next
    this.#waiting.delete(client)
    const first = waiting.shift()
    if (first && !client.closed) {
      if (waiting.length > 0) this.#waiting.set(client, waiting) // behind the others
      first.send()
    }
    if (this.#waiting.size > 0) this.#schedule()
  }
}
