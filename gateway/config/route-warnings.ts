// What routes and topics do not do though they seem to say it: routes that never match, keys that spread nothing, topics that nothing is stored in.
// Not for: mistakes (rules.ts, and compileRoutes).

import type { RouteProblem } from '../../runtime/broker/route-compile.ts'
import type { Config, RouteSection } from './schema.ts'
import { nearestWord } from './suggest.ts'

type Warn = (path: string, message: string) => void

export interface RouteFacts {
  /** Of all routes together, as they were compiled. */
  readonly problems: readonly RouteProblem[]
  /** Every topic that is made without a Kafka client; null when a route makes names from the event. */
  readonly known: ReadonlySet<string> | null
  /** The key stands in the file. */
  isWritten(path: string): boolean
}

export function warnOfRoutes(
  config: Config,
  { problems, known, isWritten }: RouteFacts,
  { warning: warn, note }: { warning: Warn; note: Warn }
): void {
  for (const { path, message, severity } of problems) if (severity === 'warning') warn(path, message)
  for (const [index, route] of config.routes.entries()) {
    const { filter, key, topic, value } = route
    if (filter.startsWith('$'))
      warn(`routes[${index}].filter`, `can never match: a device cannot publish to ${filter.split('/')[0]}/…, which is for subscribers`)
    const isOnePartition = config.topics.get(topic)?.partitions === 1 && isWritten(`topics.${topic}.partitions`)
    if (key !== null && key !== 'none' && !key.includes('{') && !isOnePartition)
      warn(`routes[${index}].key`, constantKeyWords(key, topic, config))
    if (value.decode === 'raw') warnOfDecoding(route, `routes[${index}]`, warn, note)
  }
  if (known === null) return // the events say which
  const stored = new Set(config.routes.map(({ topic }) => topic))
  if (config.unmatched.topic !== null) stored.add(config.unmatched.topic)
  for (const name of config.topics.keys()) {
    if (stored.has(name) || name === config.dead_letter.topic) continue
    // Where Kafka clients may write, only a slip of the fingers is told: a name that no section has.
    const near = nearestWord(name, config.kafka ? [...stored].filter((other) => !config.topics.has(other)) : stored)
    if (config.kafka && near === null) continue
    warn(`topics.${name}`, `holds nothing: no route stores in it${near ? `; one stores in "${near}": did you mean that?` : ''}`)
  }
}

function constantKeyWords(key: string, topic: string, config: Config): string {
  const partitionCount = config.topics.get(topic)?.partitions ?? 1
  const where = partitionCount === 1 ? 'one partition, however many there will be' : `one of the ${partitionCount} partitions of ${topic}`
  return `is "${key}" for every event: all go to ${where}; meant "{${key}}", or none?`
}

/** A payload is decoded where a field of it is named, also with "decode: raw". */
function warnOfDecoding({ key, headers, time }: RouteSection, path: string, warn: Warn, note: Warn): void {
  const isField = (template: string | null): boolean => template?.includes('{payload.') === true
  const where = isField(key) ? 'key' : [...headers.values()].some(isField) ? 'headers' : null
  if (where !== null)
    warn(
      `${path}.${where}`,
      'names a field, so the payload is read as JSON, and what is none goes to the dead letters: say it with "value: { decode: json }", or cbor'
    )
  else if (time !== null && time.from !== 'arrival') {
    const otherwise = time.else === 'reject' ? 'goes to the dead letters' : 'gets the time of its arrival'
    note(
      `${path}.time.from`,
      `names a field, so the payload is read as JSON, and what is none ${otherwise}; "value: { decode: cbor }" reads CBOR`
    )
  }
}
