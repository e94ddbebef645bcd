// What a person sees: errors as a story, colour only where it helps, nothing written to a pipe that is gone.
// Results go to stdout, everything about them to stderr.

import { spawn } from 'node:child_process'
import { fstatSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WadiError } from '../runtime/base/errors.ts'
import { visibleLine } from '../runtime/base/visible-line.ts'
import { visibleWords } from './visible-text.ts'

const OUTPUT_FD = 1

/** process.stdout cannot be destroyed, so it does not say so itself. */
let isOutputGone = false

/** From now on nothing is printed when writing has failed. `onFailure` hears of it, once, when it is not that the reader has gone (`wadi tail x | head`). */
export function watchOutput(onFailure: (reason: string) => void): void {
  process.stdout.on('error', ({ code, message }: NodeJS.ErrnoException) => {
    if (isOutputGone) return
    isOutputGone = true
    if (code !== 'EPIPE') onFailure(code ?? message)
  })
  process.stderr.on('error', () => process.stderr.destroy())
}

/** Resolves when there is room for more; false when the reader has gone, or nothing can be written. */
export function print(text: string | Uint8Array): Promise<boolean> {
  if (isOutputGone || process.stdout.writableEnded) return Promise.resolve(false)
  if (process.stdout.write(text)) return Promise.resolve(true)
  return new Promise((resolve) => {
    const settle = (): void => {
      process.stdout.off('drain', settle).off('close', settle).off('error', settle)
      resolve(!isOutputGone)
    }
    process.stdout.once('drain', settle).once('close', settle).once('error', settle)
  })
}

/**
 * Aborts when the reader of a pipe has gone, also while nothing is printed: writing alone would not find out before the next event (`wadi tail | head -1`).
 * Node cannot ask a pipe that; the `tail` of GNU coreutils can, holds the same pipe meanwhile, and ends by SIGPIPE when nobody reads it. Where there is
 * none, the next event finds out. `release` when there is nothing more to print.
 */
export function watchReader(): { readonly gone: AbortSignal; release(): void } {
  const controller = new AbortController()
  if (!isPipe(OUTPUT_FD)) return { gone: controller.signal, release: () => undefined }
  const watcher = spawn('tail', ['-f', `--pid=${process.pid}`, '/dev/null'], { stdio: ['ignore', OUTPUT_FD, 'ignore'] })
  watcher.on('error', () => undefined).on('exit', (_code, signal) => signal === 'SIGPIPE' && controller.abort())
  watcher.unref()
  return { gone: controller.signal, release: () => void watcher.kill() }
}

function isPipe(fd: number): boolean {
  try {
    return fstatSync(fd).isFIFO()
  } catch {
    return false // closed
  }
}

/** What is invisible in it is escaped; line ends and our colours stay. */
export function note(text: string): void {
  if (process.stderr.destroyed) return
  const parts = isColoured(process.stderr) ? text.split(COLOURS) : [text]
  process.stderr.write(`${parts.map((part, index) => (index % 2 === 1 ? part : visibleWords(part))).join('')}\n`)
}

/** `isColoured` is false for pipes, and when NO_COLOR says so. */
export function isColoured(stream: { isTTY?: boolean }): boolean {
  return stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb'
}

const ESCAPE = String.fromCharCode(27)
const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const
/** Those of paint(), and no other sequence. */
const COLOURS = new RegExp(`(${ESCAPE}\\[(?:${[0, ...Object.values(CODES)].join('|')})m)`, 'g')

export function paint(style: keyof typeof CODES, text: string, stream: { isTTY?: boolean } = process.stdout): string {
  return isColoured(stream) ? `${ESCAPE}[${CODES[style]}m${text}${ESCAPE}[0m` : text
}

/** What a person sees of it: colours take no room. */
function visibleLength(text: string): number {
  return text.replaceAll(COLOURS, '').length
}

export interface ColumnOptions {
  readonly rightAligned?: readonly number[]
  readonly indent?: string
  /** Of the pages before: made as wide as this one needs. */
  readonly widths?: number[]
}

/** Aligns the columns of a table; numbers are given as text. The last column is not padded. */
export function columns(rows: readonly (readonly string[])[], options: ColumnOptions = {}): string {
  const { rightAligned = [], indent = '', widths = [] } = options
  for (const row of rows) for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, visibleLength(cell))
  const pad = (cell: string, index: number, isLast: boolean): string => {
    const room = ' '.repeat((widths[index] ?? 0) - visibleLength(cell))
    if (rightAligned.includes(index)) return room + cell
    return isLast ? cell : cell + room
  }
  return rows
    .map((row) => `${indent}${row.map((cell, index) => pad(cell, index, index === row.length - 1)).join('  ')}`.trimEnd())
    .join('\n')
}

let areErrorsJson = false

/** From now on an error is one JSON line, as the log lines are among which it stands. */
export function printErrorsAsJson(): void {
  areErrorsJson = true
}

/** Code, what happened, what was kept, what to do. A bug also leaves a report file and says where. */
export function printError(error: unknown): void {
  if (areErrorsJson) return note(visibleLine(errorAsJson(error)))
  if (error instanceof WadiError) {
    const { happened, kept, next } = error.story
    note(`${paint('red', 'error', process.stderr)} ${paint('bold', error.code, process.stderr)}`)
    for (const [label, words] of [
      ['happened', happened],
      ['kept', kept],
      ['next', next]
    ] as const) {
      if (words) note(`  ${paint('dim', label.padEnd(9), process.stderr)}${words.trimEnd().replaceAll('\n', '\n           ')}`)
    }
    return
  }
  const story = error instanceof Error ? (error.stack ?? String(error)) : String(error)
  note(`${paint('red', 'bug', process.stderr)} ${story.split('\n')[0]}`)
  note(`  ${paint('dim', 'kept'.padEnd(9), process.stderr)}Every acknowledged event is in the data directory.`)
  note(`  ${paint('dim', 'next'.padEnd(9), process.stderr)}Please report it with the file ${writeReport(story)}`)
}

function errorAsJson(error: unknown): string {
  const head = { level: 'error', time: new Date().toISOString() }
  if (error instanceof WadiError) {
    const { happened, kept, next } = error.story
    return JSON.stringify({ ...head, message: happened, code: error.code, kept, next })
  }
  const story = error instanceof Error ? (error.stack ?? String(error)) : String(error)
  const kept = 'Every acknowledged event is in the data directory.'
  return JSON.stringify({ ...head, message: `bug: ${story.split('\n')[0]}`, kept, report: writeReport(story) })
}

function writeReport(story: string): string {
  const path = join(tmpdir(), `wadi-bug-${process.pid}.txt`)
  const facts = `node ${process.version} ${process.platform} ${process.arch}\ncommand ${process.argv.slice(2).join(' ')}\n`
  try {
    writeFileSync(path, `${facts}${story}\n`, { mode: 0o600 })
    return path
  } catch {
    return `(not written)\n${story}`
  }
}
