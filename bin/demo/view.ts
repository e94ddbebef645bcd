// The demo on a terminal: headings that stay, one line below that lives. Without a terminal: the headings, and the line every two seconds.

import { paint } from '../terminal.ts'

const REDRAW_MS = 200
const LINE_MS = 2000

export class View {
  readonly #stream = process.stderr
  readonly #startedAtMs = performance.now()
  #drawnAtMs = Number.NEGATIVE_INFINITY
  #isOpen = false

  heading(text: string): void {
    this.#clear()
    const seconds = ((performance.now() - this.#startedAtMs) / 1000).toFixed(1).padStart(5)
    this.#write(`${paint('dim', `${seconds}s`, this.#stream)}  ${paint('bold', text, this.#stream)}\n`)
  }

  detail(text: string): void {
    this.#clear()
    this.#write(`        ${text}\n`)
  }

  /** Drawn over and over; `text` is only asked for when it will be shown. */
  live(text: () => string): void {
    const nowMs = performance.now()
    if (nowMs - this.#drawnAtMs < (this.#stream.isTTY ? REDRAW_MS : LINE_MS)) return
    this.#drawnAtMs = nowMs
    if (!this.#stream.isTTY) {
      this.#write(`        ${text()}\n`)
      return
    }
    this.#write(`\r        ${text().slice(0, Math.max(20, (this.#stream.columns || 120) - 9))}\x1b[K`)
    this.#isOpen = true
  }

  /** The live line stays as it is, and the next one begins below. */
  settle(): void {
    if (this.#isOpen) this.#write('\n')
    this.#isOpen = false
    this.#drawnAtMs = Number.NEGATIVE_INFINITY
  }

  #clear(): void {
    if (this.#isOpen) this.#write('\r\x1b[K')
    this.#isOpen = false
    this.#drawnAtMs = this.#stream.isTTY ? Number.NEGATIVE_INFINITY : performance.now()
  }

  #write(text: string): void {
    if (!this.#stream.destroyed) this.#stream.write(text)
  }
}
