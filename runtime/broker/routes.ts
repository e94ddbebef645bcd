// From an MQTT publish to a record: an ordered table, the first route that matches takes the event. Compiled once; what depends
// only on the MQTT topic (route, key, headers, hash of the key) is kept per topic in a bounded cache.
//
// Invariants: the payload's bytes are never changed; it is decoded only where the route reads a field of it.
// Not for: storing (ingest.ts), choosing partitions (partitioner.ts), types of the configuration (gateway/config).

import { topicNameFault } from '../base/topic-names.ts'
import type { RecordHeader, RecordInput } from '../core/record.ts'
import { BoundedCache } from './bounded-cache.ts'
import { fieldTimeMs, readField } from './payload-field.ts'
import { type CompiledRoute, compileRoute, type RouteConfig, type RouteProblem } from './route-compile.ts'
import { coversFilter, hasControlCharacter, matchFilter } from './route-filter.ts'
import { emptyVariable, fillTemplate, type TemplateValues } from './route-template.ts'

export type { RouteConfig, RouteProblem, RouteTime, RouteValue } from './route-compile.ts'

export interface RoutesConfig {
  readonly routes: readonly RouteConfig[]
  /** An event that no route takes: refused, dropped and counted, or stored without a key. */
  readonly unmatched: { readonly action: 'reject' | 'drop' } | { readonly topic: string }
  /** Topic of the events that their route cannot map. */
  readonly deadLetter: string
}

/** Each throws when the bytes are not what it reads. The adapter that knows the formats provides them. */
export interface PayloadDecoders {
  json(payload: Uint8Array): unknown
  cbor(payload: Uint8Array): unknown
}

export interface RoutedEvent {
  readonly mqttTopic: string
  /** '' = it has none: there is no header mqtt.client then. */
  readonly clientId: string
  readonly payload: Uint8Array
  /** Of the record, behind those of its route; left out = none. */
  readonly headers?: readonly RecordHeader[]
}

/** Why a route could not map an event: header `wadi.error` begins with it. */
export type MapFault = 'payload-undecodable' | 'field-missing' | 'time-unusable' | 'topic-invalid' | 'topic-unknown'

/** Room for what others derive from a key that belongs to an MQTT topic. */
export interface KeyMemo {
  keyHash: number
}

export type Mapping =
  | { readonly kind: 'event'; readonly topicName: string; readonly record: RecordInput; readonly memo: KeyMemo | null }
  | { readonly kind: 'dead-letter'; readonly topicName: string; readonly record: RecordInput; readonly fault: MapFault }
  | { readonly kind: 'unmatched'; readonly action: 'reject' | 'drop' }

/** What all events of one client on one MQTT topic have in common. */
export interface FixedMapping {
  readonly topicName: string
  readonly key: Uint8Array | null
  readonly headers: readonly RecordHeader[]
  readonly memo: KeyMemo | null
  /** null = no route takes them. */
  readonly meter: { hits: number } | null
}

/** What is known of one MQTT topic. */
interface TopicPlan extends KeyMemo {
  readonly route: CompiledRoute | null
  readonly captures: readonly string[]
  readonly topicHeader: RecordHeader
  /** Set when topic, key and headers depend on the MQTT topic only. */
  readonly fixed: { readonly topicName: string; readonly key: Uint8Array | null; readonly headers: readonly RecordHeader[] } | null
  lastClientId: string | null
  /** Of the last event, behind those of its route: most have none, or the same array. */
  lastMore: readonly RecordHeader[] | undefined
  lastHeaders: readonly RecordHeader[]
}

const TOPIC_CACHE_COUNT = 16_384
const CLIENT_CACHE_COUNT = 4_096
const TEXT_BYTES_MAX = 200
const NO_BYTES = new Uint8Array(0)
const encoder = new TextEncoder()

export const HEADER_MQTT_TOPIC = 'mqtt.topic'
export const HEADER_MQTT_CLIENT = 'mqtt.client'
export const HEADER_ERROR = 'wadi.error'
export const HEADER_ROUTE = 'wadi.route'
const TOPIC_KEY = encoder.encode(HEADER_MQTT_TOPIC)
const CLIENT_KEY = encoder.encode(HEADER_MQTT_CLIENT)
const ERROR_KEY = encoder.encode(HEADER_ERROR)
const ROUTE_KEY = encoder.encode(HEADER_ROUTE)

/**
 * Checks everything and reports every problem, not the first. With an error among the problems the table must not be used.
 *
 * @returns problems with places as in wadi.yaml: routes[1].key
 */
export function compileRoutes(config: RoutesConfig, decoders: PayloadDecoders): { table: RouteTable; problems: RouteProblem[] } {
  const problems: RouteProblem[] = []
  const compiled: CompiledRoute[] = []
  config.routes.forEach((route, index) => {
    const result = compileRoute(route, `routes[${index}]`, problems)
    if (result) compiled.push(result)
  })
  reportDuplicates(config.routes, problems)
  reportShadowed(compiled, problems)
  const deadLetterFault = topicNameFault(config.deadLetter)
  if (deadLetterFault)
    problems.push({ path: 'dead_letter.topic', message: `is "${config.deadLetter}": ${deadLetterFault}`, severity: 'error' })
  if ('topic' in config.unmatched) {
    const fault = topicNameFault(config.unmatched.topic)
    if (fault) problems.push({ path: 'unmatched.topic', message: `is "${config.unmatched.topic}": ${fault}`, severity: 'error' })
  }
  return { table: new RouteTable(compiled, config, decoders), problems }
}

function reportDuplicates(routes: readonly RouteConfig[], problems: RouteProblem[]): void {
  const taken = new Map<string, number>()
  routes.forEach(({ name }, index) => {
    if (name === null || name === undefined) return
    const other = taken.get(name)
    if (other === undefined) taken.set(name, index)
    else problems.push({ path: `routes[${index}].name`, message: `is "${name}", which routes[${other}] already has`, severity: 'error' })
  })
}

function reportShadowed(compiled: readonly CompiledRoute[], problems: RouteProblem[]): void {
  for (const [index, route] of compiled.entries()) {
    const cover = compiled.slice(0, index).find((earlier) => coversFilter(earlier.filter, route.filter))
    if (!cover) continue
    const message = `can never match: ${cover.path} "${cover.name}" covers ${route.filter.source} before it`
    problems.push({ path: `${route.path}.filter`, message, severity: 'warning' })
  }
}

export class RouteTable {
  readonly #routes: readonly CompiledRoute[]
  readonly #config: RoutesConfig
  readonly #decoders: PayloadDecoders
  readonly #plans = new BoundedCache<TopicPlan>(TOPIC_CACHE_COUNT)
  readonly #knownClients = new BoundedCache<readonly RecordHeader[]>(CLIENT_CACHE_COUNT)
  readonly #topicNames: ReadonlySet<string>

  /** Made by compileRoutes. */
  constructor(routes: readonly CompiledRoute[], config: RoutesConfig, decoders: PayloadDecoders) {
    this.#routes = routes
    this.#config = config
    this.#decoders = decoders
    const names = routes.map(({ fixedTopicName }) => fixedTopicName).filter((name) => name !== null)
    if ('topic' in config.unmatched) names.push(config.unmatched.topic)
    this.#topicNames = new Set([...names, config.deadLetter])
  }

  /** Every topic that is known to be written to; templated topic names come on top. */
  get topicNames(): readonly string[] {
    return [...this.#topicNames]
  }

  get deadLetterTopicName(): string {
    return this.#config.deadLetter
  }

  /** How many events each route took since the start, in the order of the table. */
  get hits(): readonly { readonly name: string; readonly count: number }[] {
    return this.#routes.map(({ name, meter }) => ({ name, count: meter.hits }))
  }

  /** A template may name any topic. */
  mayStoreIn(topicName: string): boolean {
    return this.#topicNames.has(topicName) || this.#routes.some(({ fixedTopicName }) => fixedTopicName === null)
  }

  /** Names of the headers that the route of a topic gives its events, in their order. */
  headerNamesOf(mqttTopic: string): readonly string[] {
    return this.#planOf(mqttTopic).route?.headerNames ?? []
  }

  /** @param arrivalMs wall time, the timestamp unless the route takes it from the payload */
  map(event: RoutedEvent, arrivalMs: number): Mapping {
    const plan = this.#planOf(event.mqttTopic)
    if (plan.route !== null) plan.route.meter.hits++
    return this.#mapBy(plan, event, arrivalMs)
  }

  #mapBy(plan: TopicPlan, event: RoutedEvent, arrivalMs: number): Mapping {
    const { route, fixed } = plan
    if (route === null) return this.#mapUnmatched(plan, event, arrivalMs)
    if (fixed !== null && !route.readsPayload) {
      const record = {
        timestampMs: arrivalMs,
        key: fixed.key,
        value: event.payload,
        headers: this.#headersFor(plan, fixed.headers, event)
      }
      return { kind: 'event', topicName: fixed.topicName, record, memo: plan }
    }
    return this.#mapByPayload(plan, route, event, arrivalMs)
  }

  /**
   * What map() makes of every event of a client on a topic, whatever its payload and time: `event` has none. null when it depends on them, or there is
   * no record of theirs. `meter` counts the events of its route, which map() does itself.
   */
  mapAlike(event: Omit<RoutedEvent, 'payload'>): FixedMapping | null {
    const plan = this.#planOf(event.mqttTopic)
    if (plan.route?.readsPayload) return null
    const mapping = this.#mapBy(plan, { ...event, payload: NO_BYTES }, 0)
    if (mapping.kind !== 'event') return null
    const { topicName, record, memo } = mapping
    return { topicName, key: record.key, headers: record.headers, memo, meter: plan.route?.meter ?? null }
  }

  /** The record for an event that reached its route but not its topic. */
  deadLetter(event: RoutedEvent, arrivalMs: number, fault: MapFault, detail: string): Mapping {
    const plan = this.#planOf(event.mqttTopic)
    const headers: RecordHeader[] = [
      { key: ERROR_KEY, value: encoder.encode(`${fault}: ${shorten(detail)}`) },
      plan.topicHeader,
      ...this.#clientHeaders(event.clientId)
    ]
    if (plan.route) headers.push({ key: ROUTE_KEY, value: encoder.encode(plan.route.name) })
    if (event.headers) headers.push(...event.headers)
    const record: RecordInput = { timestampMs: arrivalMs, key: null, value: event.payload, headers }
    return { kind: 'dead-letter', topicName: this.#config.deadLetter, record, fault }
  }

  #mapUnmatched(plan: TopicPlan, event: RoutedEvent, arrivalMs: number): Mapping {
    const { unmatched } = this.#config
    if ('action' in unmatched) return { kind: 'unmatched', action: unmatched.action }
    const headers = this.#headersFor(plan, [plan.topicHeader], event)
    return {
      kind: 'event',
      topicName: unmatched.topic,
      record: { timestampMs: arrivalMs, key: null, value: event.payload, headers },
      memo: null
    }
  }

  #mapByPayload(plan: TopicPlan, route: CompiledRoute, event: RoutedEvent, arrivalMs: number): Mapping {
    let payload: unknown
    if (route.readsPayload) {
      try {
        payload = this.#decoders[route.decode](event.payload)
      } catch (error) {
        // A route that only takes the time from a field, and has another time to fall back to, does not insist on the format.
        const detail = error instanceof Error ? error.message : String(error)
        if (route.insistsOnFormat) return this.deadLetter(event, arrivalMs, 'payload-undecodable', `not ${route.decode}: ${detail}`)
      }
    }
    for (const field of route.required) {
      const value = readField(payload, field.path)
      if (value === undefined || value === null) return this.deadLetter(event, arrivalMs, 'field-missing', field.name)
    }
    const timestampMs = this.#timeOf(route, payload, arrivalMs)
    if (timestampMs === null) {
      return this.deadLetter(
        event,
        arrivalMs,
        'time-unusable',
        `${route.time?.source ?? 'time'} is absent, no time, or too far ahead of our clock`
      )
    }
    if (plan.fixed !== null) {
      const record = {
        timestampMs,
        key: plan.fixed.key,
        value: event.payload,
        headers: this.#headersFor(plan, plan.fixed.headers, event)
      }
      return { kind: 'event', topicName: plan.fixed.topicName, record, memo: plan }
    }
    return this.#fill(plan, route, event, { timestampMs, arrivalMs, payload })
  }

  #fill(
    plan: TopicPlan,
    route: CompiledRoute,
    event: RoutedEvent,
    known: { timestampMs: number; arrivalMs: number; payload: unknown }
  ): Mapping {
    const filled = fillRoute(route, {
      captures: plan.captures,
      mqttTopic: event.mqttTopic,
      clientId: event.clientId,
      payload: known.payload
    })
    if ('missing' in filled) return this.deadLetter(event, known.arrivalMs, 'field-missing', filled.missing)
    if ('topicFault' in filled) return this.deadLetter(event, known.arrivalMs, 'topic-invalid', filled.topicFault)
    const headers = [plan.topicHeader, ...this.#clientHeaders(event.clientId), ...filled.headers, ...(event.headers ?? [])]
    const record: RecordInput = { timestampMs: known.timestampMs, key: filled.key, value: event.payload, headers }
    return { kind: 'event', topicName: filled.topicName, record, memo: null }
  }

  #timeOf({ time }: CompiledRoute, payload: unknown, arrivalMs: number): number | null {
    if (time === null) return arrivalMs
    const timestampMs = fieldTimeMs(readField(payload, time.path), time.unit)
    const isUsable = timestampMs !== null && (time.maxSkewMs === null || timestampMs <= arrivalMs + time.maxSkewMs)
    if (isUsable) return timestampMs
    return time.otherwise === 'arrival' ? arrivalMs : null
  }

  #planOf(mqttTopic: string): TopicPlan {
    const known = this.#plans.get(mqttTopic)
    if (known) return known
    const plan = this.#makePlan(mqttTopic)
    this.#plans.set(mqttTopic, plan)
    return plan
  }

  #makePlan(mqttTopic: string): TopicPlan {
    const topicHeader: RecordHeader = { key: TOPIC_KEY, value: encoder.encode(mqttTopic) }
    const empty = { topicHeader, keyHash: -1, lastClientId: null, lastMore: undefined, lastHeaders: [] }
    const levels = mqttTopic.split('/')
    for (const route of this.#routes) {
      const captures = matchFilter(route.filter, levels)
      if (!captures) continue
      if (!route.isFixed) return { ...empty, route, captures, fixed: null }
      const filled = fillRoute(route, { captures, mqttTopic, clientId: '', payload: undefined })
      // An unusable topic name is found again, and reported, for every event: the slow path does it.
      if ('missing' in filled || 'topicFault' in filled) return { ...empty, route, captures, fixed: null }
      return { ...empty, route, captures, fixed: { ...filled, headers: [topicHeader, ...filled.headers] } }
    }
    return { ...empty, route: null, captures: [], fixed: null }
  }

  /** Most MQTT topics belong to one client: its headers are made once. `headers` begins with the topic's. */
  #headersFor(plan: TopicPlan, headers: readonly RecordHeader[], { clientId, headers: more }: RoutedEvent): readonly RecordHeader[] {
    if (plan.lastClientId !== clientId || plan.lastMore !== more) {
      plan.lastHeaders = [plan.topicHeader, ...this.#clientHeaders(clientId), ...headers.slice(1), ...(more ?? [])]
      plan.lastClientId = clientId
      plan.lastMore = more
    }
    return plan.lastHeaders
  }

  /** One, or none. */
  #clientHeaders(clientId: string): readonly RecordHeader[] {
    if (clientId === '') return []
    const known = this.#knownClients.get(clientId)
    if (known) return known
    const headers: readonly RecordHeader[] = [{ key: CLIENT_KEY, value: encoder.encode(clientId) }]
    this.#knownClients.set(clientId, headers)
    return headers
  }
}

type Filled =
  | { readonly topicName: string; readonly key: Uint8Array | null; readonly headers: readonly RecordHeader[] }
  | { readonly missing: string }
  | { readonly topicFault: string }

function fillRoute(route: CompiledRoute, values: TemplateValues): Filled {
  const topicName = route.fixedTopicName ?? fillTemplate(route.topic, values)
  if (typeof topicName !== 'string') return topicName
  const topicFault = route.fixedTopicName === null ? (emptyVariable(route.topic, values) ?? topicNameFault(topicName)) : null
  if (topicFault) return { topicFault }
  const key = route.key && fillTemplate(route.key, values)
  if (key !== null && typeof key !== 'string') return key
  const headers: RecordHeader[] = []
  for (const header of route.headers) {
    const value = fillTemplate(header.template, values)
    if (typeof value !== 'string') return value
    headers.push({ key: header.keyBytes, value: encoder.encode(value) })
  }
  return { topicName, key: key === null ? null : encoder.encode(key), headers }
}

/** Words that may hold pieces of a payload: one line, short, printable. */
function shorten(detail: string): string {
  let text = ''
  for (const character of detail.slice(0, TEXT_BYTES_MAX)) text += hasControlCharacter(character) ? ' ' : character
  return text
}
