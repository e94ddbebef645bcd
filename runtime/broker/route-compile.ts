// One route of the configuration: checked, and taken apart so that nothing is parsed again per event.

import { topicNameFault } from '../base/topic-names.ts'
import { type FieldPath, parseFieldName, parseFieldPath, type TimeUnit } from './payload-field.ts'
import { parseFilter, type RouteFilter } from './route-filter.ts'
import { parseTemplate, type Template } from './route-template.ts'

export interface RouteTime {
  /** 'arrival', or the place of a field in the payload: $.ts */
  readonly from: string
  readonly unit: TimeUnit
  /** A time further ahead of our clock is not believed; null or absent = any is. */
  readonly maxSkewMs?: number | null | undefined
  /** When the field is absent, no time, or not believed. */
  readonly else: 'arrival' | 'reject'
}

export interface RouteValue {
  readonly decode: 'raw' | 'json' | 'cbor'
  /** Fields that must be there (and not null), as "$.a.b" or "a.b". */
  readonly require?: readonly string[] | undefined
}

export interface RouteConfig {
  /** null = the filter is the name. */
  readonly name: string | null
  readonly filter: string
  readonly topic: string
  /** null = no key, chosen by the user: partitions in turn. undefined is a problem: the key must be written. */
  readonly key: string | null | undefined
  readonly headers?: Readonly<Record<string, string>> | ReadonlyMap<string, string> | null | undefined
  readonly time?: RouteTime | null | undefined
  readonly value?: RouteValue | null | undefined
}

export interface RouteProblem {
  readonly path: string
  readonly message: string
  readonly severity: 'error' | 'warning'
}

export interface CompiledRoute {
  readonly path: string
  readonly name: string
  readonly filter: RouteFilter
  readonly topic: Template
  /** Set when the topic's name is the same for all events. */
  readonly fixedTopicName: string | null
  readonly key: Template | null
  readonly headers: readonly { readonly keyBytes: Uint8Array; readonly template: Template }[]
  /** Of `headers`, in their order. */
  readonly headerNames: readonly string[]
  readonly time: {
    readonly source: string
    readonly path: FieldPath
    readonly unit: TimeUnit
    readonly maxSkewMs: number | null
    readonly otherwise: 'arrival' | 'reject'
  } | null
  readonly decode: 'json' | 'cbor'
  readonly required: readonly { readonly name: string; readonly path: FieldPath }[]
  /** Topic, key and headers follow from the MQTT topic alone. */
  readonly isFixed: boolean
  readonly readsPayload: boolean
  /** A payload that is not in this format goes to the dead letters, whatever the fields say. */
  readonly insistsOnFormat: boolean
  readonly meter: { hits: number }
}

const HEADER_NAME_CHARACTERS_MAX = 255
const RESERVED_HEADERS = /^(wadi\.|mqtt\.(topic|client|qos|retain)$)/
const encoder = new TextEncoder()

/** @returns null when there was an error among what it added to `problems` */
export function compileRoute(config: RouteConfig, path: string, problems: RouteProblem[]): CompiledRoute | null {
  const errorCount = problems.length
  const report = (field: string, message: string): void => void problems.push({ path: `${path}.${field}`, message, severity: 'error' })
  const filter = parseFilter(config.filter)
  if (typeof filter === 'string') {
    report('filter', filter)
    return null
  }
  const template = (field: string, source: string): Template | null => {
    const parsed = parseTemplate(source, filter.names)
    if (typeof parsed !== 'string') return parsed
    report(field, parsed)
    return null
  }
  const topic = template('topic', config.topic)
  const fixedTopicName = config.topic.includes('{') ? null : config.topic
  const topicFault = fixedTopicName === null ? null : topicNameFault(fixedTopicName)
  if (topicFault) report('topic', `is "${config.topic}": ${topicFault}`)
  if (topic?.needsPayload) report('topic', 'uses the payload: a topic is made from the MQTT topic and the client only')
  if (config.key === undefined) report('key', 'is missing: write a template such as "{device}", or none for no key')
  const key = typeof config.key === 'string' ? template('key', config.key) : null
  if (config.key === '') report('key', 'is empty: write a template such as "{device}", or none for no key')
  const headers = compileHeaders(config.headers, template, report)
  const time = compileTime(config.time ?? null, report)
  const required = compileRequired(config.value ?? null, report)
  if (problems.length > errorCount || topic === null) return null
  const templates = [topic, ...(key ? [key] : []), ...headers.map((header) => header.template)]
  const decode = config.value?.decode ?? 'raw'
  const needsFields = templates.some(({ needsPayload }) => needsPayload)
  return {
    path,
    name: config.name ?? config.filter,
    filter,
    topic,
    fixedTopicName,
    key,
    headers,
    headerNames: headers.map(({ keyBytes }) => Buffer.from(keyBytes).toString()),
    time,
    decode: decode === 'cbor' ? 'cbor' : 'json',
    required,
    isFixed: templates.every(({ isFixed }) => isFixed),
    readsPayload: decode !== 'raw' || needsFields || time !== null,
    insistsOnFormat: decode !== 'raw' || needsFields || time?.otherwise === 'reject',
    meter: { hits: 0 }
  }
}

function compileHeaders(
  config: RouteConfig['headers'],
  template: (field: string, source: string) => Template | null,
  report: (field: string, message: string) => void
): CompiledRoute['headers'] {
  const headers: { keyBytes: Uint8Array; template: Template }[] = []
  for (const [name, source] of config instanceof Map ? config : Object.entries(config ?? {})) {
    if (name === '' || name.length > HEADER_NAME_CHARACTERS_MAX)
      report('headers', `has the name "${name}": 1 to ${HEADER_NAME_CHARACTERS_MAX} characters`)
    if (RESERVED_HEADERS.test(name))
      report(`headers.${name}`, 'is ours: wadi.*, mqtt.topic, mqtt.client, mqtt.qos and mqtt.retain are set by Wadi')
    const parsed = template(`headers.${name}`, source)
    if (parsed) headers.push({ keyBytes: encoder.encode(name), template: parsed })
  }
  return headers
}

function compileTime(time: RouteTime | null, report: (field: string, message: string) => void): CompiledRoute['time'] {
  if (time === null || time.from === 'arrival') return null
  const path = parseFieldPath(time.from)
  if (path === null) {
    report('time.from', `is "${time.from}", expected arrival or a field such as $.ts`)
    return null
  }
  const maxSkewMs = time.maxSkewMs ?? null
  if (maxSkewMs !== null && !(maxSkewMs >= 0)) report('time.max_skew', `is ${maxSkewMs} ms, expected 0 or more`)
  return { source: time.from, path, unit: time.unit, maxSkewMs, otherwise: time.else }
}

function compileRequired(value: RouteValue | null, report: (field: string, message: string) => void): CompiledRoute['required'] {
  const required: { name: string; path: FieldPath }[] = []
  for (const [index, name] of (value?.require ?? []).entries()) {
    const path = name.startsWith('$.') ? parseFieldPath(name) : parseFieldName(name)
    if (path === null) report(`value.require[${index}]`, `is "${name}", which names no field`)
    else required.push({ name, path })
  }
  if (required.length > 0 && value?.decode === 'raw') report('value.require', 'needs "decode: json" or "decode: cbor"')
  return required
}
