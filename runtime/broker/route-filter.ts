// An MQTT filter whose wildcards may have names: plant/+site/+device/#metric. Matches as MQTT 3.1.1 section 4.7 says.
// Not for: what a match means (routes.ts), subscriptions of MQTT clients (adapters/mqtt).

/** One level of a filter: fixed text, or a wildcard with an optional name. */
interface Level {
  readonly kind: 'literal' | 'one' | 'rest'
  /** Text of a literal; name of a wildcard, '' when it has none. */
  readonly text: string
}

export interface RouteFilter {
  readonly source: string
  readonly levels: readonly Level[]
  /** Names of the wildcards, in the order of the captures. */
  readonly names: readonly string[]
}

const NAME = /^[A-Za-z_][A-Za-z0-9_-]*$/

/** @returns the filter, or in words why it is none */
export function parseFilter(source: string): RouteFilter | string {
  if (source === '') return 'is empty. In YAML a bare # starts a comment: write filter: "#"'
  const levels: Level[] = []
  const names: string[] = []
  const parts = source.split('/')
  for (const [index, part] of parts.entries()) {
    const wildcard = part[0] === '+' || part[0] === '#'
    const text = wildcard ? part.slice(1) : part
    if (/[+#]/.test(text)) return `has "${part}": a wildcard fills a whole level, its name follows it`
    if (hasControlCharacter(text)) return 'has a control character, which no MQTT topic may have'
    if (wildcard && text !== '' && !NAME.test(text))
      return `names a wildcard "${text}": letters, digits, _ and -, not starting with a digit`
    if (part[0] === '#' && index !== parts.length - 1) return `has "${part}" before the end: # takes the rest of the topic`
    if (wildcard && text !== '') {
      if (names.includes(text)) return `uses the name "${text}" twice`
      names.push(text)
    }
    levels.push({ kind: part[0] === '+' ? 'one' : part[0] === '#' ? 'rest' : 'literal', text })
  }
  return { source, levels, names }
}

export function hasControlCharacter(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index)
    if (unit < 0x20 || (unit >= 0x7f && unit < 0xa0)) return true
  }
  return false
}

/** What the named wildcards caught, in order; null = no match. The rest caught by # keeps its slashes and may be empty. */
export function matchFilter(filter: RouteFilter, topicLevels: readonly string[]): string[] | null {
  const { levels } = filter
  const isReserved = topicLevels[0]?.startsWith('$') === true
  if (isReserved && levels[0]?.kind !== 'literal') return null
  const captures: string[] = []
  for (let index = 0; index < levels.length; index++) {
    const { kind, text } = levels[index] as Level
    if (kind === 'rest') {
      if (text !== '') captures.push(topicLevels.slice(index).join('/'))
      return captures
    }
    const level = topicLevels[index]
    if (level === undefined || (kind === 'literal' && level !== text)) return null
    if (kind === 'one' && text !== '') captures.push(level)
  }
  return topicLevels.length === levels.length ? captures : null
}

/** True when every topic that `inner` matches is matched by `outer` too. */
export function coversFilter(outer: RouteFilter, inner: RouteFilter): boolean {
  const outerFirst = outer.levels[0] as Level
  const innerFirst = inner.levels[0] as Level
  if (outerFirst.kind !== 'literal' && innerFirst.kind === 'literal' && innerFirst.text.startsWith('$')) return false
  for (let index = 0; ; index++) {
    const ours = outer.levels[index]
    const theirs = inner.levels[index]
    if (ours?.kind === 'rest') return true
    if (ours === undefined || theirs === undefined) return ours === theirs
    if (theirs.kind === 'rest') return false
    if (ours.kind === 'literal' && (theirs.kind !== 'literal' || theirs.text !== ours.text)) return false
  }
}
