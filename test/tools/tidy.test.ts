// Proves for tools/tidy.mjs: each house rule bites, at the right line, and a tidy house passes.
// How: the script itself over small houses in a temporary directory.

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import t from 'tap'

const papers = {
  LICENSE: '',
  'README.md': '',
  'CHANGELOG.md': '',
  'CONTRIBUTING.md': '',
  'docs/architecture.md': '',
  'docs/errors.md': ''
}

const house = {
  ...papers,
  'runtime/base/error-catalogue.ts': '// Codes.\nexport const errorCatalogue = {\n  WADI_ONE: { retriable: true }\n} as const\n',
  'runtime/log/log.ts': "// A log.\nimport { WadiError } from '../base/errors.ts'\nthrow new WadiError('WADI_ONE', story)\n",
  'runtime/io/clock.ts': '// The clock.\nexport const now = () => Date.now()\n'
}

function tidy(files: Readonly<Record<string, string>>): { lines: string[]; exitCode: number | null } {
  const root = mkdtempSync(join(tmpdir(), 'wadi-tidy-'))
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      writeFileSync(join(root, path), text)
    }
    const { stdout, status } = spawnSync(process.execPath, [resolve('tools/tidy.mjs'), root], { encoding: 'utf8' })
    return { lines: stdout.trim().split('\n'), exitCode: status }
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

t.test('a tidy house is accepted', async (t) => {
  t.same(tidy(house), { lines: ['tidy: clean'], exitCode: 0 })
})

const header = '// What it is for.\n'
const long = (count: number): string => Array.from({ length: count }, (_, index) => `  run(${index})\n`).join('')
const offences: readonly (readonly [what: string, path: string, text: string, complaint: string])[] = [
  ['no header comment', 'bin/x.ts', 'export const x = 1\n', 'bin/x.ts:1: no header comment'],
  ['the date in runtime', 'runtime/log/x.ts', `${header}export const x = Date.now()\n`, 'runtime/log/x.ts:2: Date.now'],
  ['a new date in runtime', 'runtime/log/x.ts', `${header}export const x = new Date()\n`, 'runtime/log/x.ts:2: new Date'],
  ['chance in runtime', 'runtime/uplink/x.ts', `${header}export const x = Math.random()\n`, 'runtime/uplink/x.ts:2: Math.random'],
  ['a timer in runtime', 'runtime/broker/x.ts', `${header}setTimeout(run, 1)\n`, 'runtime/broker/x.ts:2: setTimeout'],
  ['an interval in runtime', 'runtime/broker/x.ts', `${header}setInterval(run, 1)\n`, 'runtime/broker/x.ts:2: setInterval'],
  ['setImmediate in runtime', 'runtime/broker/x.ts', `${header}setImmediate(run)\n`, 'runtime/broker/x.ts:2: setImmediate'],
  ['the process in runtime', 'runtime/core/x.ts', `${header}process.exit(1)\n`, 'runtime/core/x.ts:2: process.*'],
  ['the console in runtime', 'runtime/core/x.ts', `${header}console.log(1)\n`, 'runtime/core/x.ts:2: console.*'],
  ['a long function', 'adapters/mqtt/x.ts', `${header}function x() {\n${long(70)}}\n`, 'adapters/mqtt/x.ts:2: x has 72 lines'],
  ['a long file', 'test/x.test.ts', header + long(601), 'test/x.test.ts: 603 lines'],
  ['an unknown error code', 'bin/x.ts', `${header}throw new WadiError('WADI_TWO', {})\n`, 'bin/x.ts: WADI_TWO is not in'],
  ['a path of a machine', 'docs/x.md', `see ${'/home'}/me/x\n`, 'docs/x.md:1: a path of somebody']
]

for (const [what, path, text, complaint] of offences) {
  t.test(`refused: ${what}`, async (t) => {
    const { lines, exitCode } = tidy({ ...house, [path]: text })
    t.equal(exitCode, 1)
    t.equal(lines.length, 2, lines.join('; '))
    t.ok(lines[0]?.startsWith(complaint), lines[0] ?? '')
  })
}

t.test('refused: an error code that nobody uses', async (t) => {
  const { lines, exitCode } = tidy({ ...house, 'runtime/log/log.ts': header })
  t.same(lines, ['runtime/base/error-catalogue.ts: WADI_ONE is never used', 'tidy: 1 offences'])
  t.equal(exitCode, 1)
})

t.test('refused: a house without its papers', async (t) => {
  const { 'docs/errors.md': _errors, LICENSE: _licence, ...rest } = house
  t.same(tidy(rest).lines, ['LICENSE: missing', 'docs/errors.md: missing', 'tidy: 2 offences'])
})
