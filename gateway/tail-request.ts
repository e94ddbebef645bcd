// What a tail is asked for, and the events that it means: by topic, by MQTT filter, by time.
// Not for: where in each partition it begins (tail-start.ts), reading (tail-feed.ts).

import { WadiError } from '../runtime/base/errors.ts'
import { matchFilter, parseFilter, type RouteFilter } from '../runtime/broker/route-filter.ts'
import { HEADER_MQTT_TOPIC } from '../runtime/broker/routes.ts'
import type { StoredRecord } from '../runtime/core/record.ts'
import { headerText } from '../runtime/core/record-headers.ts'
import type { Store } from '../runtime/log/contract.ts'
import { nearestWord } from './config/suggest.ts'

/** So many events can be asked for before the end; all that there are can be asked for too. */
export const LAST_MAX = 10_000

export interface TailRequest {
  /** Topic names, TOPIC:PARTITION, or MQTT filters (with "/", "+" or "#") that the event's `mqtt.topic` must match. Empty = everything. */
  readonly patterns: readonly string[]
  /** Where each partition begins, or the N newest events of all that is meant. */
  readonly begin: { readonly last: number } | { readonly from: 'beginning' | 'end' | number }
  /** Wall time: only events with a timestamp from then on, and before then. */
  readonly sinceMs: number | null
  readonly untilMs: number | null
  /** false = stop at what is stored now. With `untilMs` it stops when that time has come. */
  readonly isFollowing: boolean
}

/** As it came over the control socket: what is no such value counts as not said. */
export function readTailRequest(parameters: Readonly<Record<string, unknown>>): TailRequest {
  const { patterns, last, from, sinceMs, untilMs, isFollowing } = parameters
  const isPlace = from === 'beginning' || from === 'end' || (typeof from === 'number' && from >= 0)
  return {
    patterns: Array.isArray(patterns) ? patterns.map(String) : [],
    begin: isPlace ? { from } : { last: typeof last === 'number' && last >= 0 ? last : 0 },
    sinceMs: typeof sinceMs === 'number' ? sinceMs : null,
    untilMs: typeof untilMs === 'number' ? untilMs : null,
    isFollowing: isFollowing !== false
  }
}

/** The events that a request means. */
export class TailSelection {
  /** By topic; null = every partition. */
  readonly #named = new Map<string, Set<number> | null>()
  readonly #filters: readonly RouteFilter[]
  readonly #sinceMs: number
  readonly #untilMs: number

  /** @throws WadiError WADI_TOPIC_UNKNOWN when a name is no topic or partition of `store`, WADI_USAGE for what is no MQTT filter */
  constructor({ patterns, sinceMs, untilMs }: TailRequest, store: Store) {
    this.#filters = patterns.filter(isMqttFilter).map(readFilter)
    this.#sinceMs = sinceMs ?? Number.NEGATIVE_INFINITY
    this.#untilMs = untilMs ?? Number.POSITIVE_INFINITY
    for (const pattern of patterns) if (!isMqttFilter(pattern)) this.#name(pattern, store)
  }

  #name(pattern: string, store: Store): void {
    const [, name = '', part] = /^([^:]*)(?::(\d+))?$/.exec(pattern) ?? [pattern, pattern]
    const topic = store.topics.get(name)
    if (!topic) throw unknownTopic(name, store)
    const known = this.#named.get(name)
    if (part === undefined) return void this.#named.set(name, null)
    if (Number(part) >= topic.partitions.length) throw unknownPartition(name, part, topic.partitions.length)
    if (known !== null) this.#named.set(name, (known ?? new Set()).add(Number(part)))
  }

  /** Whether a partition may hold events that are meant. */
  takesPartition({ topicName, partitionIndex }: PartitionName): boolean {
    if (this.#isNamed(topicName, partitionIndex)) return true
    return !topicName.startsWith('__') && (this.#filters.length > 0 || this.#named.size === 0)
  }

  takes({ topicName, partitionIndex }: PartitionName, record: StoredRecord): boolean {
    if (record.timestampMs < this.#sinceMs || record.timestampMs >= this.#untilMs) return false
    if (this.#isNamed(topicName, partitionIndex)) return true
    if (this.#filters.length === 0) return this.#named.size === 0
    const levels = (headerText(record.headers, HEADER_MQTT_TOPIC) ?? '').split('/')
    return this.#filters.some((filter) => matchFilter(filter, levels) !== null)
  }

  #isNamed(topicName: string, partitionIndex: number): boolean {
    const parts = this.#named.get(topicName)
    return parts === null || parts?.has(partitionIndex) === true
  }
}

type PartitionName = { readonly topicName: string; readonly partitionIndex: number }

export function isMqttFilter(pattern: string): boolean {
  return /[/+#]/.test(pattern)
}

/** As in wadi.yaml: wildcards may have names. @throws WadiError WADI_USAGE when it is no filter */
function readFilter(pattern: string): RouteFilter {
  const filter = parseFilter(pattern)
  if (typeof filter !== 'string') return filter
  throw new WadiError('WADI_USAGE', {
    happened: `The MQTT filter "${pattern}" ${filter}.`,
    kept: 'Nothing was changed.',
    next: 'Write a topic name, or a filter such as "plant/+/temperature".'
  })
}

function unknownPartition(name: string, partition: string, count: number): WadiError {
  return new WadiError('WADI_TOPIC_UNKNOWN', {
    happened: `${name} has no partition ${partition}.`,
    kept: 'Nothing was changed.',
    next: count === 1 ? 'It has one: 0.' : `It has ${count}: 0 to ${count - 1}.`
  })
}

function unknownTopic(name: string, store: Store): WadiError {
  const known = [...store.topics.keys()].filter((topic) => !topic.startsWith('__'))
  const near = nearestWord(name, known)
  return new WadiError('WADI_TOPIC_UNKNOWN', {
    happened: `There is no topic "${name}".`,
    kept: 'Nothing was changed.',
    next: near
      ? `Did you mean "${near}"?`
      : known.length > 0
        ? `Topics are ${known.sort().join(', ')}; an MQTT filter has a "/", "+" or "#".`
        : 'No topic exists yet: it is made with its first event.'
  })
}
