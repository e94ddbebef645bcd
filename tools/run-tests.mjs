// Runs the compiled tests with node-tap and ends with one line "N passed, N failed", counted from tap's own TAP stream.
//
//   node tools/run-tests.mjs [--suite default|kafka] [--dist DIR] [PATTERN…]
//
// default: every *.test.js that needs nothing but Node.  kafka: test/kafka/**/*.kafka.test.js and every *.linux.test.js.
// A PATTERN is a part of a path and picks from all suites. A compiled test whose source is gone is left out.
// While it runs it says every ten seconds how far it is and what runs.
// A failure, a test file without a test, and a run without a single assertion all end with a non-zero code.
// Not for: coverage, watching.

import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'

const SUITES = {
  default: { picks: (path) => !/\.(kafka|linux)\.test\.js$/.test(path), jobs: 2, timeoutS: 300 },
  kafka: { picks: (path) => /\.(kafka|linux)\.test\.js$/.test(path), jobs: 1, timeoutS: 1500 }
}

function listTests(distDirectory) {
  const root = join(distDirectory, 'test')
  if (!existsSync(root)) return []
  return readdirSync(root, { recursive: true })
    .filter((name) => name.endsWith('.test.js') && existsSync(join('test', name.replace(/\.js$/, '.ts'))))
    .map((name) => join(root, name))
    .sort()
}

/** Paths of the tests to run, and how. */
export function choose(paths, { suite, patterns }) {
  const chosen =
    patterns.length > 0 ? paths.filter((path) => patterns.some((part) => path.includes(part))) : paths.filter(SUITES[suite].picks)
  const needsMore = chosen.some(SUITES.kafka.picks)
  return { chosen, ...(needsMore ? SUITES.kafka : SUITES.default) }
}

/** Counts of a TAP stream that tap wrote: its closing summary, plus one failure per file without a test or without an end. */
export function countTap(tap) {
  const summary = tap.match(/^# \{ (total: .*) \}$/m)
  const counts = new Map((summary?.[1] ?? '').split(', ').map((pair) => pair.split(': ')))
  const number = (name) => Number(counts.get(name) ?? 0)
  const emptyFiles = tap.match(/^ok \d+ - .*# SKIP no tests found$/gm) ?? []
  const bailed = /^Bail out!/m.test(tap) ? 1 : 0
  return {
    passed: number('pass'),
    failed: number('fail') + emptyFiles.length + bailed + (summary ? 0 : 1),
    skipped: tap.match(/^ *ok .*# (SKIP|TODO).*$/gm)?.filter((line) => !line.includes('no tests found')) ?? [],
    emptyFiles
  }
}

const PROGRESS_MS = 10_000
/** The last line of a file's results: of tap, of node:test. */
const LAST_LINE = /\n# (time=|duration_ms )\S+\s*$/

/** How far a run is that began at `sinceMs`: tap writes the result of each file under `resultsDirectory` while the file runs, its time last (node:test: its duration). */
export function progress(files, sinceMs, resultsDirectory = join('.tap', 'test-results')) {
  const states = files.map((file) => {
    const path = join(resultsDirectory, `${file}.tap`)
    const isFresh = (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) >= sinceMs
    const tap = isFresh ? readFileSync(path, 'utf8') : ''
    const isEnded = LAST_LINE.test(tap)
    return {
      file,
      isRunning: isFresh && !isEnded,
      isEnded,
      isFailed: /^not ok/m.test(tap)
    }
  })
  return {
    ended: states.filter(({ isEnded }) => isEnded).length,
    failed: states.filter(({ isFailed }) => isFailed).length,
    running: states.filter(({ isRunning }) => isRunning).map(({ file }) => file.replace(/^.*?\btest\//, '').replace(/\.test\.js$/, ''))
  }
}

function sayProgress(files, startedMs) {
  const { ended, failed, running } = progress(files, startedMs)
  const seconds = Math.round((Date.now() - startedMs) / 1000)
  console.log(`${ended} of ${files.length} test files, ${failed} failed, ${seconds} s; running: ${running.join(', ') || '-'}`)
}

function runTap(files, { jobs, timeoutS, outputFile }) {
  const packageFile = createRequire(import.meta.url).resolve('tap/package.json')
  const { bin } = JSON.parse(readFileSync(packageFile, 'utf8'))
  const entry = join(dirname(packageFile), typeof bin === 'string' ? bin : bin.tap)
  const reporter = process.stdout.isTTY ? 'terse' : 'min'
  const args = [entry, 'run', '--disable-coverage', `--reporter=${reporter}`, `--output-file=${outputFile}`]
  args.push(`--jobs=${jobs}`, `--timeout=${timeoutS}`, ...files)
  return new Promise((resolve) => {
    const startedMs = Date.now()
    const child = spawn(process.execPath, args, { stdio: 'inherit' })
    const timer = setInterval(() => sayProgress(files, startedMs), PROGRESS_MS)
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal))
    child.on('close', (code, signal) => {
      clearInterval(timer)
      resolve(signal ? 1 : (code ?? 1))
    })
  })
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { suite: { type: 'string', default: 'default' }, dist: { type: 'string', default: 'dist' } }
  })
  if (!(values.suite in SUITES)) {
    console.error(`unknown suite ${values.suite}: ${Object.keys(SUITES).join(' or ')}`)
    return 2
  }
  const { chosen, jobs, timeoutS } = choose(listTests(values.dist), { suite: values.suite, patterns: positionals })
  if (chosen.length === 0) {
    console.error(`no test matches in ${values.dist}/test (built?)`)
    console.log('0 passed, 1 failed')
    return 1
  }
  const keptFile = join('.tap', `results-${values.suite}.tap`)
  const outputFile = join('.tap', `results-${process.pid}.tap`) // of its own: two runs at a time do not mix
  mkdirSync(dirname(outputFile), { recursive: true })
  console.log(`${chosen.length === 1 ? '1 test file' : `${chosen.length} test files`}, ${jobs === 1 ? 'one' : jobs} at a time`)
  const exitCode = await runTap(chosen, { jobs, timeoutS, outputFile })
  const counts = countTap(existsSync(outputFile) ? readFileSync(outputFile, 'utf8') : '')
  if (existsSync(outputFile)) renameSync(outputFile, keptFile)
  for (const line of counts.skipped) console.log(`skipped: ${line.trim()}`)
  for (const line of counts.emptyFiles) console.log(`failed: no test in ${line}`)
  const failed = counts.failed + (counts.failed === 0 && (exitCode !== 0 || counts.passed === 0) ? 1 : 0)
  console.log(`${keptFile} has every result of ${chosen.length} files`)
  console.log(`${counts.passed} passed, ${failed} failed`)
  return failed === 0 ? 0 : 1
}

if (process.argv[1] === import.meta.filename) process.exitCode = await main()
