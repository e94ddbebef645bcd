// Proves for tools/layers.cjs: each kind of forbidden import is refused, and a house without one passes.
// How: dependency-cruiser, as `npm run check` runs it, over small houses in a temporary directory.

import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import t from 'tap'

interface Violation {
  from: string
  to: string
  rule: { name: string }
}

/** Every violation in a house of these files, as "from -> to: rule". */
function violationsOf(files: Readonly<Record<string, string>>): string[] {
  const house = mkdtempSync(join(tmpdir(), 'wadi-layers-'))
  try {
    copyFileSync('package.json', join(house, 'package.json'))
    symlinkSync(resolve('node_modules'), join(house, 'node_modules'))
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(house, path)), { recursive: true })
      writeFileSync(join(house, path), text)
    }
    const cruiser = resolve('node_modules/dependency-cruiser/bin/dependency-cruise.mjs')
    const folders = [...new Set(Object.keys(files).map((path) => path.split('/')[0] ?? ''))]
    const args = [cruiser, '--config', resolve('tools/layers.cjs'), '--output-type', 'json', ...folders]
    const output = execFileSync(process.execPath, args, { cwd: house, encoding: 'utf8' })
    const { summary } = JSON.parse(output) as { summary: { violations: Violation[] } }
    return summary.violations.map(({ from, to, rule }) => `${from} -> ${to}: ${rule.name}`)
  } finally {
    rmSync(house, { recursive: true, force: true })
  }
}

const house = {
  'runtime/base/word.ts': 'export const word = 1\n',
  'runtime/log/log.ts': "import { word } from '../base/word.ts'\nexport const log = word\n",
  'adapters/kafka-protocol/codec.ts': 'export const codec = 1\n',
  'adapters/kafka-server/server.ts':
    "import net from 'node:net'\nimport { codec } from '../kafka-protocol/codec.ts'\nexport const server = [net, codec]\n",
  'adapters/mqtt/broker.ts': "import { decode } from 'cbor-x'\nexport const broker = decode\n"
}

t.test('a house in order is accepted', async (t) => {
  t.same(violationsOf(house), [])
})

const forbidden = [
  ['a layer above', 'runtime/base/bad.ts', "import { log } from '../log/log.ts'\nexport const bad = log\n"],
  ['a layer above, as a type', 'runtime/base/bad.ts', "import type { log } from '../log/log.ts'\nexport type Bad = typeof log\n"],
  ['an adapter', 'runtime/broker/bad.ts', "import { codec } from '../../adapters/kafka-protocol/codec.ts'\nexport const bad = codec\n"],
  ['a neighbour', 'adapters/mqtt/bad.ts', "import { codec } from '../kafka-protocol/codec.ts'\nexport const bad = codec\n"],
  ['the file system', 'runtime/log/bad.ts', "import fs from 'node:fs'\nexport const bad = fs\n"],
  ['the file system without its prefix', 'runtime/log/bad.ts', "import fs from 'fs'\nexport const bad = fs\n"],
  ['a socket', 'runtime/io/bad.ts', "import net from 'node:net'\nexport const bad = net\n"],
  ['a package', 'runtime/broker/bad.ts', "import mqtt from 'mqtt'\nexport const bad = mqtt\n"],
  ['another package than its own', 'adapters/mqtt/bad.ts', "import yaml from 'yaml'\nexport const bad = yaml\n"],
  ['a development package', 'bin/bad.ts', "import kafkajs from 'kafkajs'\nexport const bad = kafkajs\n"],
  ['a file that does not exist', 'bin/bad.ts', "import { gone } from './gone.ts'\nexport const bad = gone\n"],
  ['a folder that is no layer', 'runtime/misc/bad.ts', "import { word } from '../base/word.ts'\nexport const bad = word\n"]
] as const

for (const [what, path, text] of forbidden) {
  t.test(`refused: ${path} imports ${what}`, async (t) => {
    const violations = violationsOf({ ...house, [path]: text })
    t.ok(
      violations.some((violation) => violation.startsWith(`${path} ->`)),
      violations.join('; ') || 'nothing reported'
    )
  })
}

t.test('refused: two files that import each other', async (t) => {
  const violations = violationsOf({
    'runtime/log/a.ts': "import { b } from './b.ts'\nexport const a = (): number => b()\n",
    'runtime/log/b.ts': "import { a } from './a.ts'\nexport const b = (): number => a()\n"
  })
  t.ok(
    violations.some((violation) => violation.endsWith('no circular imports')),
    violations.join('; ')
  )
})

t.test('refused: code that ships imports a test', async (t) => {
  const violations = violationsOf({
    'bin/bad.ts': "import { help } from '../test/help.ts'\nexport const bad = help\n",
    'test/help.ts': 'export const help = 1\n'
  })
  t.ok(
    violations.some((violation) => violation.startsWith('bin/bad.ts -> test/help.ts')),
    violations.join('; ')
  )
})
