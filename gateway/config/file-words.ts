// What YAML made of something that was meant otherwise, in words for people: a bare #, {device} without quotes, a tab, a brace that is not closed.
// Not for: which keys exist and what they take (schema.ts, field.ts).

import { type Document, isCollection, isMap, isScalar, type Node, type Pair, visit, type YAMLError } from 'yaml'

/** `offset` in characters from the beginning of the file. */
export interface FileFault {
  readonly offset: number
  readonly message: string
}

export interface FileFaults {
  /** The structure of the file is not known: nothing more can be said of it. */
  readonly structural: FileFault | null
  /** The structure is known: what else is wrong can be found. */
  readonly others: readonly FileFault[]
}

const NOT_UTF8 = '\ufffd'

/** A file that is no text at all; null when it is. */
export function textFault(source: string): FileFault | null {
  if (source.startsWith(NOT_UTF8.repeat(2)) && source.includes('\0'))
    return { offset: 0, message: 'looks like UTF-16: save the file as UTF-8' }
  const offset = source.indexOf('\0')
  return offset < 0 ? null : { offset, message: 'has a zero byte: this is not a text file' }
}

/** Bytes that are not UTF-8 became U+FFFD when the file was read: no filter with it ever matches. */
export function encodingDoubt(source: string): FileFault | null {
  const offset = source.indexOf(NOT_UTF8)
  return offset < 0 ? null : { offset, message: 'has bytes that are not UTF-8 (no filter with them ever matches): save the file as UTF-8' }
}

/** @param lineOf from 1 */
export function yamlFaults(document: Document, source: string, lineOf: (offset: number) => number): FileFaults {
  const others: FileFault[] = []
  const structural: YAMLError[] = []
  for (const error of [...document.errors, ...document.warnings]) {
    if (error.code === 'DUPLICATE_KEY') others.push(duplicateKey(document, error.pos[0], lineOf))
    else if (error.code === 'TAG_RESOLVE_FAILED') others.push(tag(error, source))
    else structural.push(error)
  }
  const [first] = structural.sort((left, right) => left.pos[0] - right.pos[0])
  if (!first) return { structural: null, others }
  const { offset, message } = structuralFault(document, first, source, lineOf)
  return { structural: { offset, message: `is not YAML: ${message}` }, others: [] }
}

function tag({ pos: [offset, end] }: YAMLError, source: string): FileFault {
  return { offset, message: `has the tag ${source.slice(offset, end)}, and there are none here: a variable of the environment is \${NAME}` }
}

function duplicateKey(document: Document, offset: number, lineOf: (offset: number) => number): FileFault {
  let message = 'this key is given twice: keep one of them'
  visit(document, {
    Map(_, { items }) {
      const keys = (items as Pair<Node, Node>[]).map(({ key }) => key)
      const again = keys.find((key) => key.range?.[0] === offset)
      const first = again && keys.find((key) => isScalar(key) && isScalar(again) && key.value === again.value)
      if (!first?.range) return
      message = `${String(first)} is given twice, here and in line ${lineOf(first.range[0])}: keep one of them`
      return visit.BREAK
    }
  })
  return { offset, message }
}

type Place = FileFault

function structuralFault(document: Document, error: YAMLError, source: string, lineOf: (offset: number) => number): Place {
  const [offset] = error.pos
  const end = source.slice(offset).trim() === '' ? 'the end of the file' : `line ${lineOf(offset)}`
  const at = (message: string): Place => ({ offset, message })
  switch (error.code) {
    case 'TAB_AS_INDENT':
      return at('a tab stands in front: YAML is indented with spaces only')
    case 'MULTIPLE_DOCS':
      return at('a second document begins here ("---"): one file is one configuration')
    case 'MULTILINE_IMPLICIT_KEY':
      return at(NO_KEY)
    case 'BLOCK_AS_IMPLICIT_KEY':
      return at('two "key: value" stand in one line: a value with ": " in it needs quotes')
    case 'BLOCK_IN_FLOW':
      return at(NO_COMMA)
    case 'BAD_SCALAR_START':
      return at(`a value cannot begin with ${source.charAt(offset)}: put it into quotes`)
    case 'BAD_ALIAS':
      return at('a value cannot begin with *: put it into quotes')
    case 'BAD_DQ_ESCAPE':
      return at(`${source.slice(offset, offset + 2)} means nothing inside "…": write '…', where a backslash is a backslash`)
    case 'MISSING_CHAR':
      return missing(document, error, source)
    case 'BAD_INDENT': {
      const began = openBracket(document, source)
      if (began === null) return at(WRONG_COLUMN)
      const open = source.charAt(began)
      const comment = /\s#/.test(source.slice(began, offset))
        ? '; a # behind a space begins a comment: one that is meant stands in quotes'
        : ''
      return { offset: began, message: `this ${open} is never closed: a ${open === '{' ? '}' : ']'} is missing before ${end}${comment}` }
    }
    case 'UNEXPECTED_TOKEN':
      return unexpected(document, error, source)
    default:
      return at(libraryWords(error))
  }
}

const NO_KEY = 'this line has no "key: value"; behind the colon there must be a space'
const NO_COMMA = 'a comma is missing between two entries of { } or [ ]'
const WRONG_COLUMN =
  'this line does not begin in the column of those it belongs to: the keys of one section, and of one entry of a list, begin in one column'

const libraryWords = ({ message }: YAMLError): string => `${message.charAt(0).toLowerCase()}${message.slice(1)}`

function missing(document: Document, error: YAMLError, source: string): Place {
  const { message } = error
  const [offset] = error.pos
  if (message.startsWith('Sequence item')) return { offset, message: WRONG_COLUMN }
  if (message.startsWith('Implicit map keys')) return { offset, message: NO_KEY }
  if (message.startsWith('Missing ,')) return { offset, message: NO_COMMA }
  const began = message.startsWith('Missing closing') ? openQuote(document) : null
  return began === null
    ? { offset, message: libraryWords(error) }
    : { offset: began, message: `this ${source.charAt(began)} is never closed` }
}

function unexpected(document: Document, error: YAMLError, source: string): Place {
  const [offset] = error.pos
  const mark = source.charAt(offset)
  if (mark === '}' || mark === ']') return { offset, message: `nothing opens this ${mark}` }
  const isBehindValue = error.message.endsWith('at node end')
  let fault: Place = {
    offset,
    message: isBehindValue ? 'something stands behind a value that has ended: put the whole value into quotes' : libraryWords(error)
  }
  visit(document, (_, node) => {
    const [start, end] = (node as Node | null)?.range ?? []
    if (start === undefined || end !== offset) return undefined
    const braces = /^\{[^\s,{}]*\}[^\s,]*/.exec(source.slice(start))
    if (braces) fault = { offset: start, message: quoteWords(braces[0]) }
    else if (/["']/.test(source.charAt(start)))
      fault = { offset, message: 'the value goes on behind its closing quote: put all of it into one pair of quotes' }
    else return undefined
    return visit.BREAK
  })
  return fault
}

const quoteWords = (text: string): string => `a value with braces stands in quotes: "${text}"`

/** Where the outermost { or [ stands that has no end. */
function openBracket(document: Document, source: string): number | null {
  let found: number | null = null
  visit(document, (_, node) => {
    if (!isCollection(node) || !node.flow || !node.range) return undefined
    const [start, end] = node.range
    const isClosed = source[end - 1] === (source[start] === '{' ? '}' : ']')
    if (isClosed) return undefined
    found = start
    return visit.BREAK
  })
  return found
}

/** The last text in quotes: the one that never ends takes the rest of the file. */
function openQuote(document: Document): number | null {
  let found: number | null = null
  visit(document, {
    Scalar(_, { type, range }) {
      if (range && (type === 'QUOTE_DOUBLE' || type === 'QUOTE_SINGLE')) found = range[0]
    }
  })
  return found
}

/** One value was expected, and YAML has a section or a list. */
export function notOneValueWords(node: Node, source: string): string {
  if (!isMap(node)) return 'is a list, expected one value'
  const hasNoValues = (node.items as Pair<Node, Node | null>[]).every(
    ({ value }) => value === null || (isScalar(value) && value.value === null)
  )
  if (!node.flow || !hasNoValues || !node.range) return 'is a section, expected one value'
  return `is a section, expected one value: ${quoteWords(source.slice(node.range[0], node.range[1]))}`
}

/** Nothing stands there, or only a comment. */
export function emptyValueWords(node: Node, source: string): string {
  const rest = /^[^\S\n]*(#[^\n]*)?/.exec(source.slice(node.range?.[0] ?? source.length))?.[1]?.trimEnd()
  if (rest === undefined) return 'is empty: give a value or remove the key'
  if (/^#[^\s]*$/.test(rest)) return `is empty: a bare # begins a comment in YAML; write "${rest}"`
  return 'is empty: give a value or remove the key (# begins a comment; one that is meant stands in quotes)'
}

/** "key: value" lines were expected. */
export function notASectionWords(node: Node): string {
  const text = isScalar(node) ? String(node.value) : ''
  const [, key, value] = /^([\w.-]+):(\S+)$/.exec(text) ?? []
  const hint = key === undefined ? '' : `; behind the colon there must be a space: "${key}: ${value}"`
  return `is not a section: expected "key: value" lines below it${hint}`
}
