// Hands committed messages to MQTT clients that subscribe here. Takes the place of aedes' message queue (`mq`).
//
// Invariants: emit never waits for a subscriber, whatever it does; a message nobody subscribes to costs one look-up; what waits for
// a subscription is bounded in bytes, above that its messages are dropped and counted (a frozen client is closed by drainTimeoutMs).
// Not for: offline queues and retained messages (session-store.ts).

export interface LocalMessage {
  readonly topic: string
  readonly payload: Uint8Array | string
}

export type Listener = (message: LocalMessage, done: () => void) => void

interface Node {
  readonly children: Map<string, Node>
  listeners: Set<Listener> | null
}

const newNode = (): Node => ({ children: new Map(), listeners: null })
const MESSAGE_OVERHEAD_BYTES = 256

export class LocalDelivery {
  readonly #root = newNode()
  readonly #outboundBytesMax: number
  /** Bytes given to a listener and not yet done. */
  readonly #outboundBytes = new Map<Listener, number>()
  /** Of filters that can match what devices publish; those under $ are the session layer's own and few. */
  #listenerCount = 0
  #droppedCount = 0

  constructor({ outboundBytesMax }: { outboundBytesMax: number }) {
    this.#outboundBytesMax = outboundBytesMax
  }

  get droppedCount(): number {
    return this.#droppedCount
  }

  /** False when no subscription can match what devices publish. */
  get hasListeners(): boolean {
    return this.#listenerCount > 0
  }

  on(filter: string, listener: Listener, done?: () => void): this {
    let node = this.#root
    for (const level of filter.split('/')) {
      let child = node.children.get(level)
      if (!child) node.children.set(level, (child = newNode()))
      node = child
    }
    node.listeners ??= new Set()
    if (!node.listeners.has(listener) && !filter.startsWith('$')) this.#listenerCount++
    node.listeners.add(listener)
    if (done) setImmediate(done)
    return this
  }

  removeListener(filter: string, listener: Listener, done?: () => void): this {
    if (removeFrom(this.#root, filter.split('/'), 0, listener) && !filter.startsWith('$')) this.#listenerCount--
    this.#outboundBytes.delete(listener)
    if (done) setImmediate(done)
    return this
  }

  /** Calls back at once: nobody waits for subscribers. */
  emit(message: LocalMessage, done?: (error?: Error | null) => void): this {
    if (this.#listenerCount > 0 || message.topic.startsWith('$')) {
      for (const listener of this.match(message.topic)) this.#deliver(listener, message)
    }
    done?.()
    return this
  }

  close(done?: () => void): this {
    this.#root.children.clear()
    this.#listenerCount = 0
    this.#outboundBytes.clear()
    if (done) setImmediate(done)
    return this
  }

  /** Listeners whose filter matches, each once. What begins with $ is for the session layer to keep from wildcards. */
  match(topic: string): Set<Listener> {
    const found = new Set<Listener>()
    collect(this.#root, topic.split('/'), 0, found)
    return found
  }

  #deliver(listener: Listener, message: LocalMessage): void {
    const waitingBytes = this.#outboundBytes.get(listener) ?? 0
    const messageBytes = message.payload.length + message.topic.length + MESSAGE_OVERHEAD_BYTES
    if (waitingBytes > 0 && waitingBytes + messageBytes > this.#outboundBytesMax) {
      this.#droppedCount++
      return
    }
    this.#outboundBytes.set(listener, waitingBytes + messageBytes)
    listener(message, () => {
      const left = (this.#outboundBytes.get(listener) ?? 0) - messageBytes
      if (left > 0) this.#outboundBytes.set(listener, left)
      else this.#outboundBytes.delete(listener)
    })
  }
}

function collect(node: Node, levels: readonly string[], index: number, found: Set<Listener>): void {
  add(node.children.get('#')?.listeners, found)
  if (index === levels.length) return add(node.listeners, found)
  const level = levels[index] as string
  const exact = node.children.get(level)
  if (exact && level !== '+' && level !== '#') collect(exact, levels, index + 1, found)
  const one = node.children.get('+')
  if (one) collect(one, levels, index + 1, found)
}

function add(listeners: Set<Listener> | null | undefined, found: Set<Listener>): void {
  if (listeners) for (const listener of listeners) found.add(listener)
}

function removeFrom(node: Node, levels: readonly string[], index: number, listener: Listener): boolean {
  if (index === levels.length) {
    const removed = node.listeners?.delete(listener) === true
    if (node.listeners?.size === 0) node.listeners = null
    return removed
  }
  const level = levels[index] as string
  const child = node.children.get(level)
  if (!child) return false
  const removed = removeFrom(child, levels, index + 1, listener)
  if (child.listeners === null && child.children.size === 0) node.children.delete(level)
  return removed
}
