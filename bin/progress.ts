// Progress of long work, on stderr: a bar with done/total, rate and ETA on a terminal; elsewhere one line every ten seconds.
// Not for: deciding what is long.

import { formatCount, formatDuration } from '../gateway/config/units.ts'
import { formatBytes } from '../runtime/base/byte-text.ts'

export interface ProgressSample {
  readonly done: number
  readonly total: number
}

export interface ProgressOptions {
  label: string
  unit: 'bytes' | 'events'
  stream?: { isTTY?: boolean; columns?: number; write(text: string): unknown }
  /** Milliseconds, monotonic. */
  now?: () => number
}

const BAR_CELLS = 22
const REDRAW_MS = 100
const LINE_MS = 10_000
const RATE_WINDOW_MS = 5_000

/** One bar. `update` as often as you like: it draws at most ten times a second. */
export class Progress {
  readonly #label: string
  readonly #unit: 'bytes' | 'events'
  readonly #stream: NonNullable<ProgressOptions['stream']>
  readonly #now: () => number
  readonly #window: { atMs: number; done: number }[] = []
  #drawnAtMs = Number.NEGATIVE_INFINITY
  #isOpen = false

  constructor({ label, unit, stream = process.stderr, now = () => performance.now() }: ProgressOptions) {
    this.#label = label
    this.#unit = unit
    this.#stream = stream
    this.#now = now
    this.#drawnAtMs = stream.isTTY ? Number.NEGATIVE_INFINITY : now()
  }

  update(sample: ProgressSample): void {
    const atMs = this.#now()
    this.#window.push({ atMs, done: sample.done })
    while (this.#window.length > 2 && atMs - (this.#window[0]?.atMs ?? atMs) > RATE_WINDOW_MS) this.#window.shift()
    if (atMs - this.#drawnAtMs < (this.#stream.isTTY ? REDRAW_MS : LINE_MS)) return
    this.#drawnAtMs = atMs
    this.#draw(sample)
  }

  /** Draws the last state; on a terminal the line stays. Silent elsewhere when nothing was ever drawn. */
  finish(sample: ProgressSample): void {
    if (this.#stream.isTTY) this.#draw(sample)
    this.clear('\n')
  }

  /** Takes the bar away so that other text can be written. */
  clear(end = '\r\x1b[K'): void {
    if (this.#isOpen) this.#stream.write(end)
    this.#isOpen = false
  }

  #draw(sample: ProgressSample): void {
    const line = formatProgress(this.#label, this.#unit, sample, this.ratePerSecond())
    if (!this.#stream.isTTY) return void this.#stream.write(`${line}\n`)
    this.#stream.write(`\r${line.slice(0, (this.#stream.columns || 120) - 1)}\x1b[K`)
    this.#isOpen = true
  }

  /** Over the last five seconds. */
  ratePerSecond(): number {
    const first = this.#window[0]
    const last = this.#window.at(-1)
    if (!first || !last || last.atMs === first.atMs) return 0
    return Math.max(0, ((last.done - first.done) * 1000) / (last.atMs - first.atMs))
  }
}

/** "verify  [=====>    ]  63%  1.9 GiB of 3.0 GiB  88.0 MiB/s  ETA 13 s" */
export function formatProgress(label: string, unit: 'bytes' | 'events', { done, total }: ProgressSample, ratePerSecond: number): string {
  const show = unit === 'bytes' ? formatBytes : formatCount
  const fillRatio = total > 0 ? Math.min(1, done / total) : 1
  const filled = Math.floor(fillRatio * BAR_CELLS)
  const bar = `${'='.repeat(filled)}${filled < BAR_CELLS ? '>' : ''}`.padEnd(BAR_CELLS)
  const percent = `${Math.floor(fillRatio * 100)}%`.padStart(4)
  const rate = ratePerSecond > 0 ? `  ${show(ratePerSecond)}/s` : ''
  const eta = done >= total ? '' : ratePerSecond > 0 ? `  ETA ${formatDuration(((total - done) / ratePerSecond) * 1000)}` : '  ETA unknown'
  return `${label}  [${bar}] ${percent}  ${show(done)} of ${show(total)}${unit === 'events' ? ' events' : ''}${rate}${eta}`
}
