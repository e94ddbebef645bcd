// What routes and topics do not do though they seem to say it: routes that never match, keys that spread nothing, topics that nothing is stored in.
// Not for: mistakes (rules.ts, and compileRoutes).

import type { RouteProblem } from '../../runtime/broker/route-compile.ts'
import type { Config } from './schema.ts'
import { nearestWord } from './suggest.ts'

type Warn = (path: string, message: string) => void

export interface RouteFacts {
  /** Of all routes together, as they were compiled. */
  readonly problems: readonly RouteProblem[]
  /** Every topic that is made without a Kafka client; null when a route makes names from the event. */
  readonly known: ReadonlySet<string> | null
}

export function warnOfRoutes(config: Config, { problems, known }: RouteFacts, warn: Warn): void {
  for (const { path, message, severity } of problems) if (severity === 'warning') warn(path, message)
  for (const [index, { filter, key, topic }] of config.routes.entries()) {
    if (filter.startsWith('$'))
      warn(`routes[${index}].filter`, `can never match: a device cannot publish to ${filter.split('/')[0]}/…, which is for subscribers`)
    const partitionCount = config.topics.get(topic)?.partitions ?? 1
    if (key !== null && key !== 'none' && !key.includes('{') && partitionCount > 1)
      warn(
        `routes[${index}].key`,
        `is "${key}" for every event: all go to one of the ${partitionCount} partitions of ${topic}; meant "{${key}}", or none?`
      )
  }
  if (known === null || config.kafka) return // a Kafka client may write to any topic
  const stored = new Set(config.routes.map(({ topic }) => topic))
  if (config.unmatched.topic !== null) stored.add(config.unmatched.topic)
  for (const name of config.topics.keys()) {
    if (stored.has(name) || name === config.dead_letter.topic) continue
    const near = nearestWord(name, stored)
    warn(`topics.${name}`, `holds nothing: no route stores in it${near ? `; one stores in "${near}": did you mean that?` : ''}`)
  }
}
