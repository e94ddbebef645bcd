// What every benchmark shares: interleaved rounds, medians, one JSON line per figure, and a table at the end.
//
// Rules: contenders of one question run in turn (A B C, A B C …) in one process or one run, so that a noisy machine is noisy to all;
// a figure is a ratio or a count; every contender returns a hash of its result, which keeps the work alive and shows a wrong answer.
// In smoke mode everything is tiny and silent: it runs inside `npm test` so that no benchmark rots, and its figures mean nothing.
// Not for: deciding whether a figure is good enough for a release (a target that is not met is printed, it does not fail the run).

import { cpus } from 'node:os'
import { type Build, ownBuild } from './build.ts'

export interface Figure {
  /** What was measured, within the bench. */
  readonly what: string
  readonly parameters: Readonly<Record<string, number | string>>
  readonly unit: string
  /** By contender; 'wadi' is ours. */
  readonly values: Readonly<Record<string, number>>
  /** Ours over theirs, or theirs over ours: the name says which. */
  readonly ratios?: Readonly<Record<string, number>>
  readonly target?: { readonly text: string; readonly isMet: boolean }
  readonly hash?: number | string
}

export interface BenchContext {
  readonly isSmoke: boolean
  /** Ours first; then the one it is compared with, if any. Benches that run in processes of their own measure each, in turn. */
  readonly builds: readonly Build[]
  /** For benches that last as long as they are told. */
  readonly minutes?: number
  figure(figure: Figure): void
  /** A part that cannot run here: a visible line, not a failure. */
  skip(what: string, why: string): void
}

export interface Bench {
  readonly name: string
  readonly question: string
  run(context: BenchContext): Promise<void>
}

export interface Contender {
  readonly name: string
  /** One round of work, always the same amount. Returns a hash of what it computed. */
  run(): number | Promise<number>
}

export interface Timing {
  readonly medianMs: number
  /** Third best (best of fewer than three): close to what the machine can do, without trusting one lucky round. */
  readonly bestMs: number
  readonly hash: number
}

/** Runs all contenders once per round, in turn, the first of each round changing; `warmups` rounds are thrown away. */
export async function interleave(
  contenders: readonly Contender[],
  { rounds, warmups }: { rounds: number; warmups: number }
): Promise<ReadonlyMap<string, Timing>> {
  const samples = new Map<string, number[]>(contenders.map(({ name }) => [name, []]))
  const hashes = new Map<string, number>()
  for (let round = -warmups; round < rounds; round++) {
    for (let turn = 0; turn < contenders.length; turn++) {
      const contender = contenders[(turn + round + warmups) % contenders.length]
      if (!contender) continue
      const startMs = performance.now()
      const result = contender.run()
      const hash = typeof result === 'number' ? result : await result
      if (round >= 0) samples.get(contender.name)?.push(performance.now() - startMs)
      hashes.set(contender.name, hash)
    }
  }
  return new Map([...samples].map(([name, values]) => [name, { ...summarise(values), hash: hashes.get(name) ?? 0 }]))
}

function summarise(values: readonly number[]): { medianMs: number; bestMs: number } {
  const sorted = values.toSorted((a, b) => a - b)
  return { medianMs: median(sorted), bestMs: sorted[Math.min(2, sorted.length - 1)] ?? Number.NaN }
}

/** @returns NaN when there is none */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/** By how much the other build may be better before ours counts as worse: machines are noisy. */
const WORSE_BY_MAX = 1.1

/**
 * Ours against the other builds of this run: the values by build, `ours / theirs`, and the target with "not worse than" added.
 * @param wanted which is better: 'less' of the unit, or 'more'
 */
export function compareBuilds(
  builds: readonly Build[],
  figureOf: (build: Build) => number,
  options: { wanted: 'less' | 'more'; target?: Figure['target'] }
): { values: Record<string, number>; ratios: Record<string, number>; target?: NonNullable<Figure['target']> } {
  const { wanted, target } = options
  const values = Object.fromEntries(builds.map((build) => [build.name, figureOf(build)]))
  const ours = values[ownBuild.name] ?? Number.NaN
  const others = builds.filter(({ name }) => name !== ownBuild.name)
  const ratios = Object.fromEntries(others.map(({ name }) => [`${ownBuild.name} / ${name}`, ours / (values[name] ?? Number.NaN)]))
  const isNotWorse = Object.values(ratios).every((ratio) => (wanted === 'less' ? ratio <= WORSE_BY_MAX : ratio >= 1 / WORSE_BY_MAX))
  if (others.length === 0) return { values, ratios, ...(target && { target }) }
  const texts = [target?.text, `not worse than ${others.map(({ name }) => name).join(', ')}`].filter((text) => text !== undefined)
  return { values, ratios, target: { text: texts.join(' and '), isMet: isNotWorse && (target?.isMet ?? true) } }
}

/** Deterministic filler: xorshift32 from a seed, the same bytes on every machine. */
export function fillerBytes(count: number, seed = 42): Uint8Array {
  const bytes = new Uint8Array(count)
  let state = seed | 0 || 1
  for (let index = 0; index < count; index++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[index] = state & 0xff
  }
  return bytes
}

/** A sensor's reading as JSON, padded or cut to exactly `bytes` bytes: compresses as real telemetry does. */
export function sensorPayload(index: number, bytes: number): Buffer {
  const celsius = (20 + Math.sin(index / 50) * 5).toFixed(2)
  const text = `{"device":"dev-${index % 200}","seq":${index},"celsius":${celsius},"ok":true,"unit":"C","site":"north-7","fw":"2.4.1"`
  return Buffer.from(`${text.slice(0, bytes - 1).padEnd(bytes - 1)}}`, 'latin1')
}

/** Three significant digits: what these machines can tell apart. Counts stay whole. */
function round3(value: number): number {
  return Number.isFinite(value) && !Number.isInteger(value) ? Number(value.toPrecision(3)) : value
}

export interface RunOptions {
  readonly isSmoke: boolean
  /** Default: ours alone. */
  readonly builds?: readonly Build[]
  readonly minutes?: number
  /** JSON lines. */
  write(line: string): void
}

/** Runs the benches one after the other. @returns every figure, with the name of its bench */
export async function runBenches(benches: readonly Bench[], options: RunOptions): Promise<readonly (Figure & { bench: string })[]> {
  const figures: (Figure & { bench: string })[] = []
  const machine = `${cpus()[0]?.model ?? 'unknown'} x ${cpus().length}`
  for (const bench of benches) {
    const line = (fields: object): void => {
      options.write(
        JSON.stringify({ bench: bench.name, ...fields, node: process.version, platform: `${process.platform}-${process.arch}`, machine })
      )
    }
    line({ question: bench.question, at: new Date().toISOString(), smoke: options.isSmoke })
    await bench.run({
      isSmoke: options.isSmoke,
      builds: options.builds ?? [ownBuild],
      ...(options.minutes !== undefined && { minutes: options.minutes }),
      figure(figure) {
        figures.push({ bench: bench.name, ...figure })
        line(figure)
      },
      skip: (what, why) => line({ skipped: what, why })
    })
  }
  return figures
}

/** The figures as a table for people. */
export function formatTable(figures: readonly (Figure & { bench: string })[]): string {
  const pairs = (values: Readonly<Record<string, number | string>> | undefined): string =>
    Object.entries(values ?? {})
      .map(([name, value]) => `${name} ${typeof value === 'number' ? round3(value) : value}`)
      .join(', ')
  const rows = figures.map((figure) => [
    `${figure.bench}: ${figure.what}`,
    pairs(figure.parameters),
    `${pairs(figure.values)} ${figure.unit}`,
    pairs(figure.ratios),
    figure.target ? `${figure.target.isMet ? 'met' : 'MISSED'}: ${figure.target.text}` : ''
  ])
  const header = ['question', 'parameters', 'values', 'ratios', 'target']
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const format = (row: readonly string[]): string => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  return [format(header), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...rows.map(format)].join('\n')
}
