// What happens to clients again and again, perhaps a thousand times a second, as one line a minute for each: what came meanwhile is kept as its owner wants it, and told
// together. The first line comes within a second, and nothing is left untold at the end.
// Not for: happenings of which one stands for all (once-per-minute.ts).

const LOOK_MS = 1_000
const AGAIN_MS = 60_000
/** Clients above these are taken together. */
const CLIENTS_MAX = 100
const OTHERS = 'other clients'

export interface SummaryOptions<T> {
  /** Of a client of which nothing is kept. */
  readonly create: () => T
  /** Says what was kept of `client`, which is forgotten then. */
  readonly tell: (client: string, kept: T) => void
  readonly nowMs?: (() => number) | undefined
}

interface Entry<T> {
  /** null = nothing has come since it was told. */
  kept: T | null
  toldAtMs: number
}

export class MinuteSummaries<T> {
  readonly #options: SummaryOptions<T>
  readonly #nowMs: () => number
  readonly #entries = new Map<string, Entry<T>>()
  #timer: NodeJS.Timeout | null = null

  constructor(options: SummaryOptions<T>) {
    this.#options = options
    this.#nowMs = options.nowMs ?? (() => performance.now())
  }

  /** To be added to: it is told when it is due. */
  of(client: string): T {
    const entry = this.#entries.get(client) ?? this.#add(client)
    entry.kept ??= this.#options.create()
    this.#timer ??= setInterval(() => this.look(), LOOK_MS).unref()
    return entry.kept
  }

  /** Tells what is due. */
  look(): void {
    const nowMs = this.#nowMs()
    for (const [client, entry] of this.#entries) {
      if (nowMs - entry.toldAtMs < AGAIN_MS) continue
      if (entry.kept === null) this.#entries.delete(client)
      else this.#tell(client, entry, nowMs)
    }
    if (this.#entries.size === 0) this.#stop()
  }

  /** Tells the rest. */
  close(): void {
    for (const [client, entry] of this.#entries) this.#tell(client, entry, this.#nowMs())
    this.#entries.clear()
    this.#stop()
  }

  #add(client: string): Entry<T> {
    const name = this.#entries.size < CLIENTS_MAX ? client : OTHERS
    const entry = this.#entries.get(name) ?? { kept: null, toldAtMs: Number.NEGATIVE_INFINITY }
    this.#entries.set(name, entry)
    return entry
  }

  #tell(client: string, entry: Entry<T>, nowMs: number): void {
    const { kept } = entry
    if (kept === null) return
    entry.kept = null
    entry.toldAtMs = nowMs
    this.#options.tell(client, kept)
  }

  #stop(): void {
    if (this.#timer) clearInterval(this.#timer)
    this.#timer = null
  }
}
