// Proves for tools/run-tests.mjs: what it counts is what tap counted; while it runs it tells how far it is; a run that proves nothing is a failure.
// How: TAP as tap 21.8.0 wrote it, and the choice of files over plain lists.

import { mkdirSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'

interface Counts {
  passed: number
  failed: number
  skipped: string[]
}
interface Choice {
  chosen: string[]
  jobs: number
}
interface Runner {
  countTap(tap: string): Counts
  progress(files: readonly string[], sinceMs: number, resultsDirectory: string): { ended: number; failed: number; running: string[] }
  choose(paths: readonly string[], options: { suite: string; patterns: readonly string[] }): Choice
}

// Not an import of TypeScript's: the runner is plain JavaScript outside what tsc compiles.
const runner = (await import(pathToFileURL(resolve('tools/run-tests.mjs')).href)) as Runner

const passing = 'TAP version 14\n1..1\n# Subtest: a\n    ok 1 - x\n    1..1\nok 1 - a\n\n# { total: 3, pass: 3 }\n# time=1ms\n'

t.test('a passing stream counts its assertions', async (t) => {
  t.match(runner.countTap(passing), { passed: 3, failed: 0, skipped: [] })
})

t.test('failures and skips come from the summary of tap', async (t) => {
  const tap = 'TAP version 14\n    ok 2 - later # SKIP no root\n# { total: 11, pass: 6, fail: 3, skip: 2 }\n'
  t.match(runner.countTap(tap), { passed: 6, failed: 3, skipped: ['    ok 2 - later # SKIP no root'] })
})

t.test('a test file without a test is a failure', async (t) => {
  const tap = 'TAP version 14\nok 1 - dist/test/e.test.js # SKIP no tests found\n# { total: 4, pass: 3, skip: 1 }\n'
  t.match(runner.countTap(tap), { passed: 3, failed: 1 })
})

t.test('a stream without a summary, and one that bailed out, are failures', async (t) => {
  t.match(runner.countTap('TAP version 14\nok 1 - a\n'), { passed: 0, failed: 1 })
  t.match(runner.countTap('Bail out! no\n# { total: 1, pass: 1 }\n'), { passed: 1, failed: 1 })
})

t.test('suites split the files, a pattern picks from both', async (t) => {
  const paths = ['dist/test/a.test.js', 'dist/test/kafka/b.kafka.test.js', 'dist/test/log/c.linux.test.js']
  t.same(runner.choose(paths, { suite: 'default', patterns: [] }).chosen, paths.slice(0, 1))
  t.same(runner.choose(paths, { suite: 'kafka', patterns: [] }).chosen, paths.slice(1))
  t.same(runner.choose(paths, { suite: 'default', patterns: ['b.kafka'] }), {
    ...runner.choose(paths, { suite: 'kafka', patterns: [] }),
    chosen: [paths[1]]
  })
})

t.test('while it runs it tells what has ended, what failed and what runs; results of an earlier run do not count', async (t) => {
  const results = t.testdir()
  const write = (file: string, tap: string): void => {
    mkdirSync(dirname(join(results, file)), { recursive: true })
    writeFileSync(join(results, `${file}.tap`), tap)
  }
  const files = ['log/ended', 'log/failed', 'log/runs', 'log/old', 'log/waits', 'mqtt/node-ended', 'mqtt/node-runs'].map(
    (name) => `dist/test/${name}.test.js`
  )
  const sinceMs = Date.now() - 60_000
  write('dist/test/log/ended.test.js', 'ok 1 - a # time=1ms\n\n1..1\n# time=2ms\n')
  write('dist/test/log/failed.test.js', 'ok 1 - a\nnot ok 2 - b\n\n1..2\n# failed 1 of 2 tests\n# time=2ms\n')
  write('dist/test/log/runs.test.js', '# Subtest: a\n    ok 1 - x # time=1ms\n')
  write('dist/test/log/old.test.js', 'not ok 1 - a\n1..1\n# time=2ms\n')
  write(
    'dist/test/mqtt/node-ended.test.js',
    'ok 1 - a\n  ---\n  duration_ms: 1.5\n  ...\n1..1\n# fail 0\n# todo 0\n# duration_ms 560.158608\n'
  )
  write('dist/test/mqtt/node-runs.test.js', 'ok 1 - a\n  ---\n  duration_ms: 1.5\n  ...\n')
  utimesSync(join(results, 'dist/test/log/old.test.js.tap'), 1, 1)
  t.same(runner.progress(files, sinceMs, results), { ended: 3, failed: 1, running: ['log/runs', 'mqtt/node-runs'] })
})
