// What `wadi config check` prints for a file: the tables of the tests beside this.

import { formatProblem, readConfig } from '../../../gateway/config/load.ts'

export interface Row {
  readonly name: string
  /** The file, in pieces. */
  readonly written: readonly string[]
  /** What it printed before somebody tried it as a new user. */
  readonly before: readonly string[]
  readonly now: readonly string[]
}

export const MQTT = 'mqtt: [{ listen: "127.0.0.1:1883" }]\n'
export const ROUTES = 'routes: [{ filter: "#", topic: events, key: none }]\n'
/** A whole file. */
export const RIGHT = MQTT + ROUTES
export const ID = 'gateway: { id: a }\n'
export const UPSTREAM = 'upstream: { brokers: [k1:9092] }\n'

export function printed(...pieces: readonly string[]): string[] {
  const { problems, warnings, notes } = readConfig(pieces.join(''), { fileName: 'f', environment: {} })
  return [
    ...problems.map((one) => formatProblem(one, 'f')),
    ...warnings.map((one) => `warning: ${formatProblem(one, 'f')}`),
    ...notes.map((one) => `note: ${formatProblem(one, 'f')}`)
  ]
}
