// The house rules that no off-the-shelf tool checks. Run by `npm run check`; test/tools/tidy.test.ts proves that each rule bites.
//
//   node tools/tidy.mjs [ROOT]        prints one line per offence, exits 1 when there is one
//
// Not for: who imports whom (layers.cjs), formatting and lint (biome.json), dead files and exports (knip.json).

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'

const FILE_LINES_MAX = 600
const FUNCTION_LINES_MAX = 70
const SHIPPED = /^(runtime|adapters|gateway|bin)\//
/** runtime/ is handed its edges: the same seed must give the same bytes. Only runtime/io knows the real ones. */
const PURE = /^runtime\/(?!io\/)/
const SKIPPED = /(^|\/)(node_modules|dist|dist-[^/]*|build|results|\.git|\.tap)$/
const MACHINE_PATH = /(?<![\w.:/-])\/(?:work|root|home|Users)\/\w/

/** Forbidden in runtime/ outside runtime/io, with what to use instead. */
const IMPURE_CALLS = new Map([
  ['Date.now', 'Clock.wallMs'],
  ['performance.now', 'Clock.monotonicMs'],
  ['Math.random', 'Random.fraction'],
  ['setTimeout', 'Clock.after'],
  ['setInterval', 'Clock.after'],
  ['setImmediate', 'Clock.soon'],
  ['process.*', 'a constructor argument'],
  ['console.*', 'a listener or a metric'],
  ['new Date', 'Clock.wallMs'],
  ['fetch', 'an adapter'],
  ['globalThis.*', 'a constructor argument']
])

function listFiles(root, folder = '') {
  const found = []
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory() && !SKIPPED.test(path)) found.push(...listFiles(root, path))
    else if (entry.isFile() && /\.(ts|mjs|cjs|md|json|yaml|yml|sh)$/.test(path)) found.push(path)
  }
  return found.sort()
}

function checkText(path, text) {
  const offences = []
  const lines = text.split('\n')
  if (/\.(ts|mjs|cjs)$/.test(path) && lines.length > FILE_LINES_MAX) {
    offences.push(`${path}: ${lines.length} lines, at most ${FILE_LINES_MAX}: split by noun`)
  }
  if (SHIPPED.test(path) && path.endsWith('.ts') && !/^(#![^\n]*\n)?\s*(\/\/|\/\*)/.test(text)) {
    offences.push(`${path}:1: no header comment (what the file is for, its invariants, what it is not for)`)
  }
  if (path !== 'package-lock.json') {
    for (const [index, line] of lines.entries()) {
      if (MACHINE_PATH.test(line)) offences.push(`${path}:${index + 1}: a path of somebody's machine: ${line.trim().slice(0, 80)}`)
    }
  }
  return offences
}

const lineOf = (source, position) => source.getLineAndCharacterOfPosition(position).line + 1

function nameOfCall(node) {
  if (ts.isNewExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === 'Date') return 'new Date'
  if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression)) {
    const exact = `${node.expression.text}.${node.name.text}`
    if (IMPURE_CALLS.has(exact)) return exact
    const any = `${node.expression.text}.*`
    if (IMPURE_CALLS.has(any)) return any
  }
  if (ts.isCallExpression(node) && ts.isIdentifier(node.expression) && IMPURE_CALLS.has(node.expression.text)) return node.expression.text
  return null
}

function checkSyntax(path, text) {
  const offences = []
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const visit = (node) => {
    if (ts.isFunctionLike(node) && node.body) {
      const lines = lineOf(source, node.body.end) - lineOf(source, node.getStart(source)) + 1
      const name = node.name?.getText(source) ?? 'function'
      if (lines > FUNCTION_LINES_MAX) {
        offences.push(`${path}:${lineOf(source, node.getStart(source))}: ${name} has ${lines} lines, at most ${FUNCTION_LINES_MAX}`)
      }
    }
    const call = PURE.test(path) ? nameOfCall(node) : null
    if (call) offences.push(`${path}:${lineOf(source, node.getStart(source))}: ${call} in runtime/: use ${IMPURE_CALLS.get(call)}`)
    ts.forEachChild(node, visit)
  }
  visit(source)
  return offences
}

/** Every code that is thrown stands in the catalogue, and every code of the catalogue is thrown somewhere. */
function checkErrorCodes(texts) {
  const catalogue = texts.get('runtime/base/error-catalogue.ts')
  if (catalogue === undefined) return []
  const known = new Set([...catalogue.matchAll(/^ {2}(WADI_[A-Z_]+): /gm)].map((match) => match[1]))
  const used = new Set()
  const offences = []
  for (const [path, text] of texts) {
    if (!SHIPPED.test(path) || path === 'runtime/base/error-catalogue.ts') continue
    for (const [, code] of text.matchAll(/['"`](WADI_[A-Z_]+)['"`]/g)) used.add(code)
    for (const match of text.matchAll(/new WadiError\(\s*['"](\w+)['"]/g)) {
      if (!known.has(match[1])) offences.push(`${path}: ${match[1]} is not in runtime/base/error-catalogue.ts`)
    }
  }
  for (const code of known) if (!used.has(code)) offences.push(`runtime/base/error-catalogue.ts: ${code} is never used`)
  return offences
}

/** Offences as lines, empty when the house is tidy. */
export function tidy(root) {
  const texts = new Map(listFiles(root).map((path) => [path, readFileSync(join(root, path), 'utf8')]))
  const offences = []
  for (const [path, text] of texts) {
    offences.push(...checkText(path, text))
    if (SHIPPED.test(path) && path.endsWith('.ts')) offences.push(...checkSyntax(path, text))
  }
  offences.push(...checkErrorCodes(texts))
  for (const needed of ['LICENSE', 'README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'docs/architecture.md', 'docs/errors.md']) {
    if (!existsSync(join(root, needed))) offences.push(`${needed}: missing`)
  }
  return offences
}

if (process.argv[1] === import.meta.filename) {
  const offences = tidy(process.argv[2] ?? '.')
  for (const offence of offences) console.log(offence)
  console.log(offences.length === 0 ? 'tidy: clean' : `tidy: ${offences.length} offences`)
  process.exitCode = offences.length === 0 ? 0 : 1
}
