// wadi.yaml to a checked configuration: every problem at once, each with line, column and what to write instead.
// Variables are replaced after YAML was parsed and in values only, so a comment may hold anything.
// Not for: applying the configuration (gateway.ts).

import { type Document, isAlias, LineCounter, type Node, parseDocument } from 'yaml'
import { groupNames } from '../../adapters/control/accounts.ts'
import { WadiError } from '../../runtime/base/errors.ts'
import type { CodecName } from '../../runtime/io/codec.ts'
import { createNodeCodec } from '../../runtime/io/node-codec.ts'
import type { ReadContext } from './field.ts'
import { encodingDoubt, type FileFault, textFault, yamlFaults } from './file-words.ts'
import { checkRules } from './rules.ts'
import { type Config, configSchema } from './schema.ts'

export interface Place {
  /** From 1. */
  readonly line: number
  readonly column: number
}

export interface Problem {
  /** Dotted path of the key, '' for the whole file. */
  readonly path: string
  readonly message: string
  /** null when the key is absent. */
  readonly place: Place | null
}

export interface LoadOptions {
  /** For messages. */
  fileName: string
  environment: Readonly<Record<string, string | undefined>>
  /** What can be written here besides none and lz4; left out: what this Node has. */
  codecs?: readonly CodecName[]
  /** Names of groups of this machine; left out: those of /etc/group. */
  groups?: readonly string[]
}

export interface LoadResult {
  readonly config: Config
  readonly problems: readonly Problem[]
  /** What is allowed, and does not do what it seems to say: there is a way to write what was meant. */
  readonly warnings: readonly Problem[]
  /** What does as it says, and has a price: for whoever checks a file, not for every start. */
  readonly notes: readonly Problem[]
  /** Where a key stands in the file, or the nearest one above it; null = neither does. */
  readonly placeOf: (path: string) => Place | null
}

const VARIABLE = /\$(?:\{([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)([^}]*))?\}|\{([^}]*)\})/g
const ALIASES_MAX = 100

/** Reads everything it can and collects what is wrong. Never throws for what stands in the file. */
export function readConfig(source: string, options: LoadOptions): LoadResult {
  const lines = new LineCounter()
  const problems: Problem[] = []
  const warnings: Problem[] = []
  const notes: Problem[] = []
  const places = new Map<string, Place>()
  const document = parseDocument(source, { lineCounter: lines, prettyErrors: false, version: '1.2', uniqueKeys: true })
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
  const placeOf = (node: Node | null): Place | null => (node?.range ? placeAt(node.range[0]) : null)
  const report = (path: string, message: string, place: Place | null): void => {
    const isKnown = problems.some((known) => known.path === path && known.message === message && known.place?.line === place?.line)
    if (!isKnown) problems.push({ path, message, place })
  }
  const reportFault = ({ offset, message }: FileFault): void => report('', message, placeAt(offset))
  const doubt = encodingDoubt(source)
  if (doubt) warnings.push({ path: '', message: doubt.message, place: placeAt(doubt.offset) })
  const { structural, others } = yamlFaults(document, source, (offset) => placeAt(offset).line)
  const unreadableFile = textFault(source) ?? structural
  if (unreadableFile) {
    reportFault(unreadableFile) // what would follow from a structure that was not meant is left unsaid
    return { config: configSchema.read(undefined, '', SILENT), problems, warnings: [], notes: [], placeOf: () => null }
  }
  for (const fault of others) reportFault(fault)

  const context: ReadContext = {
    problem: (node, path, message) => report(path, message, placeOf(node) ?? parentPlace(places, path)),
    doubt: (node, path, message) => void warnings.push({ path, message, place: placeOf(node) }),
    seen: (path, node) => {
      const place = placeOf(node)
      if (place) places.set(path, place)
    },
    expand: (node, path, text) => expand(text, options.environment, (message) => report(path, message, placeOf(node))),
    resolve: aliases(document, (node, path, message) => report(path, message, placeOf(node))),
    source
  }
  const root = document.contents as Node | null
  if (root === null && problems.length === 0)
    report('', 'is empty: a gateway needs at least mqtt and routes ("wadi config reference" prints all)', null)
  const config = configSchema.read(root ?? undefined, '', context)
  const unreadable = problems.map((problem) => problem.path)
  const isTrusted = (path: string): boolean => !unreadable.some((bad) => isSameOrBelow(bad, path) || isSameOrBelow(path, bad))
  const available: ReadonlySet<CodecName> = new Set(['none', 'lz4', ...(options.codecs ?? createNodeCodec().available)])
  const facts = {
    isTrusted,
    isWritten: (path: string) => places.has(path),
    canWrite: (codec: CodecName) => available.has(codec),
    groups: options.groups ?? groupNames()
  }
  const placeAbout = (path: string): Place | null => places.get(path) ?? parentPlace(places, path)
  checkRules(config, facts, {
    problem: (path, message) => {
      if (isTrusted(path)) report(path, message, placeAbout(path))
    },
    warning: (path, message) => {
      if (isTrusted(path)) warnings.push({ path, message, place: placeAbout(path) })
    },
    note: (path, message) => {
      if (isTrusted(path)) notes.push({ path, message, place: placeAbout(path) })
    }
  })
  return { config, problems: sortProblems(problems), warnings: sortProblems(warnings), notes: sortProblems(notes), placeOf: placeAbout }
}

/** Reads the defaults. */
const SILENT: ReadContext = {
  problem: () => undefined,
  doubt: () => undefined,
  seen: () => undefined,
  expand: () => null,
  resolve: () => null,
  source: ''
}

function aliases(document: Document, report: (node: Node, path: string, message: string) => void): ReadContext['resolve'] {
  let aliasCount = 0
  return (node, path) => {
    if (!isAlias(node)) return node
    const target = ++aliasCount > ALIASES_MAX ? null : (node.resolve(document) as Node | undefined)
    if (target === null) report(node, path, `is an alias too many: at most ${ALIASES_MAX} are followed`)
    else if (target === undefined) report(node, path, `is *${node.source}, and no &${node.source} stands before it`)
    return target ?? null
  }
}

/**
 * The checked configuration.
 * @throws WadiError WADI_CONFIG_INVALID that names every problem
 */
export function loadConfig(source: string, options: LoadOptions): Config {
  const { config, problems } = readConfig(source, options)
  if (problems.length > 0) throw configError(problems, options.fileName)
  return config
}

export function configError(problems: readonly Problem[], fileName: string): WadiError {
  const lines = problems.map((problem) => `  ${formatProblem(problem, fileName)}`)
  return new WadiError('WADI_CONFIG_INVALID', {
    happened: `${fileName} has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}:\n${lines.join('\n')}\n`,
    kept: 'Nothing was started and nothing was changed.',
    next: 'Correct the lines above; "wadi config check" tells whether the file is right.',
    facts: { problems: problems.length, file: fileName }
  })
}

/** "wadi.yaml:12:5 topics.telemetry.retension is not a known key (did you mean "retention"?)" */
export function formatProblem(problem: Problem, fileName: string): string {
  const { place, path, message } = problem
  return `${fileName}${place ? `:${place.line}:${place.column}` : ''} ${path ? `${path} ` : ''}${message}`
}

function expand(text: string, environment: LoadOptions['environment'], report: (message: string) => void): string | null {
  let failed = false
  const result = text.replace(VARIABLE, (whole, name: string | undefined, operator: string | undefined, word: string | undefined) => {
    const value = name === undefined ? undefined : environment[name]
    if (name === undefined) report(`has ${whole}: variables are written \${NAME} or \${NAME:-default}`)
    else if (operator === ':-') return value === undefined || value === '' ? (word ?? '') : value
    else if (value !== undefined && (operator === undefined || value !== '')) return value
    else report(`needs the environment variable ${name}, which is not set${operator === ':?' && word ? `: ${word}` : ''}`)
    failed = true
    return ''
  })
  return failed ? null : result
}

/** The nearest key above that stands in the file: where a missing one belongs. */
function parentPlace(places: ReadonlyMap<string, Place>, path: string): Place | null {
  for (let at = path; at !== ''; ) {
    at = at.endsWith(']') ? at.slice(0, at.lastIndexOf('[')) : at.slice(0, Math.max(0, at.lastIndexOf('.')))
    const place = places.get(at)
    if (place) return place
  }
  return null
}

function isSameOrBelow(path: string, above: string): boolean {
  return path === above || above === '' || path.startsWith(`${above}.`) || path.startsWith(`${above}[`)
}

function sortProblems(problems: readonly Problem[]): Problem[] {
  const rank = (problem: Problem): number => (problem.place ? problem.place.line * 1e4 + problem.place.column : Number.MAX_SAFE_INTEGER)
  return [...problems].sort((left, right) => rank(left) - rank(right))
}
