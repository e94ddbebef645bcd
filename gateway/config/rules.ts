// Rules between keys: what each key alone cannot know.

import { formatBytes } from '../../runtime/base/byte-text.ts'
import type { RouteProblem } from '../../runtime/broker/route-compile.ts'
import { compileRoutes, type PayloadDecoders } from '../../runtime/broker/routes.ts'
import type { CodecName } from '../../runtime/io/codec.ts'
import type { Address } from './address.ts'
import { isInternal } from './internal-topics.ts'
import { warnOfRoutes } from './route-warnings.ts'
import { routesConfigOf } from './routes-config.ts'
import type { Config, KafkaSection, TlsSection, TopicSection } from './schema.ts'
import { nearestWord } from './suggest.ts'
import { checkTls, isClosedByTls } from './tls-rules.ts'
import { writtenBytes, writtenDuration } from './units.ts'

const GROUP_ID = /^\d{1,10}$/

/** Where what is found goes: what must be changed, what does not do what it seems to say, what does and has a price. */
export interface Findings {
  readonly problem: Report
  readonly warning: Report
  readonly note: Report
}

export type Report = (path: string, message: string) => void

/** What a rule may ask of the file. */
export interface FileFacts {
  /** Everything at and below a path could be read: nothing is concluded from what could not. */
  isTrusted(path: string): boolean
  /** The key stands in the file; otherwise its value is the default. */
  isWritten(path: string): boolean
  /** The codec exists on this machine. */
  canWrite(codec: CodecName): boolean
  /** Of this machine. */
  readonly groups: readonly string[]
}

export function checkRules(config: Config, facts: FileFacts, findings: Findings): void {
  const { isTrusted, isWritten, canWrite, groups } = facts
  const { problem: report, warning: warn, note } = findings
  checkListeners(config, report)
  checkTls(config, findings)
  checkMqttLimits(config, facts, findings)
  checkGroup(config, groups, report)
  checkQuotas(config, report)
  if (isTrusted('storage') && isTrusted('topics') && isTrusted('dead_letter')) warnOfQuotas(config, warn)
  if (isTrusted('upstream')) warnOfLimits(config, warn, note)
  if (config.mqtt.length === 0 && !config.kafka) warn('mqtt', 'has no listener: no device can connect')
  const unread: PayloadDecoders = { json: () => null, cbor: () => null } // nothing is decoded by a check
  const { problems } = compileRoutes(routesConfigOf(config), unread)
  checkRoutes(config, problems, report)
  if (isTrusted('routes') && isTrusted('topics') && isTrusted('unmatched'))
    warnOfRoutes(config, { problems, known: knownTopics(config), isWritten }, findings)
  checkTopics(config, report)
  checkCodecs(config, canWrite, report)
  if (config.upstream && !isWritten('gateway.id')) {
    report(
      'gateway.id',
      'is missing: with an upstream each gateway needs an id of its own, two with the same one would shut each other out'
    )
  }
  checkUpstream(config, isTrusted('routes') && isTrusted('topics') && isTrusted('unmatched') && isTrusted('dead_letter'), report, warn)
}

export function isLoopback({ host }: Address): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

function isEveryAddress({ host }: Address): boolean {
  return /^(0\.0\.0\.0|[0:]*:[0:]*)$/.test(host)
}

function checkListeners({ mqtt, kafka }: Config, report: Report): void {
  const taken = new Map<string, number>()
  mqtt.forEach(({ listen, insecure, tls }, index) => {
    checkListen(`mqtt[${index}].listen`, { listen, insecure, tls, everybodyCould: 'publish' }, taken, report)
    taken.set(nameOf(listen), index)
  })
  if (kafka) checkKafka(kafka, taken, report)
}

const nameOf = ({ host, port }: Address): string => `${host}:${port}`

function checkListen(
  path: string,
  { listen, insecure, tls, everybodyCould }: { listen: Address; insecure: boolean; tls: TlsSection | null; everybodyCould: string },
  taken: ReadonlyMap<string, number>,
  report: Report
): void {
  const name = nameOf(listen)
  const other = taken.get(name)
  if (other !== undefined && listen.port !== 0) report(path, `is ${name}, which mqtt[${other}] already has`)
  if (isLoopback(listen) || insecure || isClosedByTls(tls)) return
  const closed = tls ? 'ask for certificates (tls.client_certificates: required)' : 'let in only who has a certificate (tls, docs/tls.md)'
  report(
    path,
    `is ${name}, where everybody on the network could ${everybodyCould} without a password: listen on 127.0.0.1, ${closed}, or write "insecure: true" beside it`
  )
}

function checkKafka({ listen, advertised, insecure, tls }: KafkaSection, taken: ReadonlyMap<string, number>, report: Report): void {
  checkListen('kafka.listen', { listen, insecure, tls, everybodyCould: 'read and write' }, taken, report)
  const told = advertised ?? listen
  if (isEveryAddress(told)) {
    report(
      advertised ? 'kafka.advertised' : 'kafka.listen',
      `is ${nameOf(told)}, which no client can connect to: write the address that clients reach as "advertised: host:port"`
    )
  }
}

/** A bound that another one makes useless is a mistake where it is written; a default is not. */
function checkMqttLimits(
  { mqtt, mqtt_limits: { retained, queue } }: Config,
  { isTrusted, isWritten }: FileFacts,
  { problem: report, warning: warn }: Findings
): void {
  if (isWritten('mqtt_limits.retained.message') && retained.message > retained.bytes) {
    report(
      'mqtt_limits.retained.message',
      `is ${writtenBytes(retained.message)}, more than all together may have (${writtenBytes(retained.bytes)})`
    )
  }
  if (isWritten('mqtt_limits.queue.messages') && queue.messages > queue.total) {
    report('mqtt_limits.queue.messages', `is ${queue.messages}, more than may wait for all together (${queue.total})`)
  }
  const packet = Math.max(0, ...mqtt.map(({ limits }) => limits.packet))
  if (isTrusted('mqtt') && mqtt.length > 0 && isWritten('mqtt_limits.retained.message') && retained.message > packet) {
    warn(
      'mqtt_limits.retained.message',
      `is ${writtenBytes(retained.message)}, and no listener takes a packet above ${writtenBytes(packet)}`
    )
  }
}

/** A number needs no name: it may come from elsewhere. */
function checkGroup({ control: { group } }: Config, groups: readonly string[], report: Report): void {
  if (group === null || groups.includes(group) || GROUP_ID.test(group)) return
  const near = nearestWord(group, groups)
  const why = `is "${group}", and /etc/group of this machine has no such group`
  report('control.group', `${why}${near ? ` (did you mean "${near}"?)` : ': write the number of one that comes from elsewhere'}`)
}

function checkRoutes(config: Config, problems: readonly RouteProblem[], report: Report): void {
  const { routes, unmatched, mqtt } = config
  if (unmatched.action === 'topic' && unmatched.topic === null) report('unmatched.topic', 'is missing, and action is "topic": name one')
  if (unmatched.action !== 'topic' && unmatched.topic !== null)
    report('unmatched.topic', `has no effect while action is "${unmatched.action}"`)
  if (mqtt.length > 0 && routes.length === 0 && unmatched.action !== 'topic') {
    report('routes', 'is empty, so every event would be refused: add a route, or let "unmatched" store to a topic')
  }
  routes.forEach(({ topic }, index) => {
    if (topic === config.dead_letter.topic) {
      const why = 'the oldest of them are dropped, delivered or not'
      report(`routes[${index}].topic`, `is ${topic}, where the dead letters go: ${why}; take another, or name another in dead_letter.topic`)
    } else if (isInternal(topic))
      report(`routes[${index}].topic`, `is ${topic}: names that begin with __ or _wadi are not for events, and are not delivered`)
  })
  for (const { path, message, severity } of problems) if (severity === 'error') report(path, message)
}

function checkQuotas({ storage }: Config, report: Report): void {
  const journalBytes = storage.journal.files * storage.journal.file_size
  if (storage.quota !== null && storage.quota < journalBytes + 2 ** 20)
    report(
      'storage.quota',
      `is ${writtenBytes(storage.quota)}, and the journal alone takes ${writtenBytes(journalBytes)} (storage.journal.files x file_size): at least 1 MiB more is needed`
    )
}

/** Each topic may be far from its quota when the whole is full. */
function warnOfQuotas({ storage, topics, dead_letter }: Config, warn: Report): void {
  const parts = [...topics].filter(([name, { quota }]) => quota !== null && name !== dead_letter.topic)
  const topicsBytes = parts.reduce((sum, [, { quota }]) => sum + (quota ?? 0), 0)
  const journalBytes = storage.journal.files * storage.journal.file_size
  const sum = topicsBytes + dead_letter.quota + journalBytes
  if (storage.quota === null || topicsBytes === 0 || sum <= storage.quota) return
  warn(
    'storage.quota',
    `is ${formatBytes(storage.quota)}, and the quotas of ${parts.length === 1 ? '1 topic' : `${parts.length} topics`} (${formatBytes(topicsBytes)}), the dead letters (${formatBytes(dead_letter.quota)}) and the journal (${formatBytes(journalBytes)}) are ${formatBytes(sum)} together: the whole can be full before a topic is`
  )
}

/** What `drop_undelivered: true` can take before the centre has it; null = nothing. */
function lossLimits(topic: Omit<TopicSection, 'config'>, storageQuota: number | null): string | null {
  const limits = [
    topic.retention === null ? '' : `older than ${writtenDuration(topic.retention)}`,
    topic.retention_bytes === null ? '' : `above ${writtenBytes(topic.retention_bytes)} per partition`,
    topic.when_full === 'drop_oldest' && topic.quota !== null ? `above the quota of ${writtenBytes(topic.quota)}` : '',
    topic.when_full === 'drop_oldest' && storageQuota !== null ? 'at the quota of the whole directory' : ''
  ].filter((limit) => limit !== '')
  const last = limits.pop()
  if (last === undefined) return null
  return limits.length === 0 ? last : `${limits.join(', ')} or ${last}`
}

/** See docs/retention.md. */
function warnOfLimits(config: Config, warn: Report, note: Report): void {
  const delivered = config.upstream?.topics
  for (const [name, section] of config.topics) {
    const topic = mergedTopic(section)
    const isForwarded = delivered !== undefined && (delivered.size === 0 ? name !== config.dead_letter.topic : delivered.has(name))
    if (isForwarded && topic.drop_undelivered) {
      const limits = lossLimits(topic, config.storage.quota)
      const path = `topics.${name}.drop_undelivered`
      if (limits === null) warn(path, 'has no effect: retention is forever, and no quota drops anything (docs/retention.md)')
      else note(path, `is true: events that are not delivered are lost when they are ${limits} (docs/retention.md)`)
    }
    if (isForwarded && topic.when_full === 'drop_oldest' && !topic.drop_undelivered) {
      warn(
        `topics.${name}.when_full`,
        'is drop_oldest without drop_undelivered: true, so nothing undelivered is ever dropped; at its quota the topic refuses, like reject'
      )
    }
    if (!isForwarded && topic.drop_undelivered)
      warn(`topics.${name}.drop_undelivered`, 'has no effect: the topic is not forwarded, so nothing of it waits to be delivered')
    const enoughBytes = topic.partitions * 128 * 1024
    if (topic.quota !== null && topic.quota < enoughBytes) {
      warn(
        `topics.${name}.quota`,
        `is ${writtenBytes(topic.quota)}; below ${writtenBytes(enoughBytes)} (128 KiB per partition) large parts of it go at a time`
      )
    }
  }
}

/** Of compacted topics, under Kafka's names: what storage reads where it needs them. */
export const COMPACTION_TIMES = ['delete.retention.ms', 'min.compaction.lag.ms', 'max.compaction.lag.ms'] as const

function checkTopics({ topics }: Config, report: Report): void {
  for (const [name, topic] of topics) {
    const kafka = topic.config
    if (kafka['retention.ms'] !== undefined && topic.retention !== DEFAULT_RETENTION_MS) {
      report(`topics.${name}.config.retention.ms`, 'says the same as "retention": keep one of them')
    }
    if (kafka['retention.bytes'] !== undefined && topic.retention_bytes !== null) {
      report(`topics.${name}.config.retention.bytes`, 'says the same as "retention_bytes": keep one of them')
    }
    for (const key of COMPACTION_TIMES) {
      if ((kafka[key] ?? 0) < 0) report(`topics.${name}.config.${key}`, 'is below 0')
      else if (kafka[key] !== undefined && !kafka['cleanup.policy']?.includes('compact'))
        report(`topics.${name}.config.${key}`, 'is for a topic with cleanup.policy compact')
    }
    if (kafka['compression.type'] !== undefined && topic.codec !== 'best') {
      report(`topics.${name}.config.compression.type`, 'says the same as "codec": keep one of them')
    }
  }
}

function checkCodecs({ topics, upstream }: Config, canWrite: FileFacts['canWrite'], report: Report): void {
  const check = (path: string, codec: CodecName | 'best'): void => {
    if (codec !== 'best' && !canWrite(codec))
      report(path, `is ${codec}, which this Node (${process.version}) cannot write: take gzip, or Node 22.15 or newer`)
  }
  for (const [name, topic] of topics) {
    const isKafkaName = topic.config['compression.type'] !== undefined
    check(`topics.${name}.${isKafkaName ? 'config.compression.type' : 'codec'}`, mergedTopic(topic).codec)
  }
  if (upstream) check('upstream.compression', upstream.compression)
}

/** Where a broker's address is one of the gateway's own, as far as the words show it. */
function ownKeyOf({ host, port }: Address, { listen, advertised }: KafkaSection): 'listen' | 'advertised' | null {
  const isSame = (other: Address): boolean => port === other.port && host.toLowerCase() === other.host.toLowerCase()
  if (port === 0) return null
  if (advertised && isSame(advertised)) return 'advertised'
  if (isSame(listen)) return 'listen'
  if (port !== listen.port || !isLoopback({ host, port })) return null
  const isLocalhost = isLoopback(listen) && (host === 'localhost' || listen.host === 'localhost')
  return isEveryAddress(listen) || isLocalhost ? 'listen' : null
}

const DEFAULT_RETENTION_MS = 7 * 86_400_000

function checkUpstream(config: Config, areTopicsTrusted: boolean, report: Report, warn: Report): void {
  if (!config.upstream) return
  const { brokers, topics } = config.upstream
  if (brokers.length === 0) report('upstream.brokers', 'is empty: name at least one broker, host:port')
  brokers.forEach((broker, index) => {
    const path = `upstream.brokers[${index}]`
    if (broker.port === 0) report(path, 'has the port 0, which nobody can connect to')
    const own = config.kafka && ownKeyOf(broker, config.kafka)
    if (own) report(path, `is ${nameOf(broker)}, this gateway's own kafka.${own}: each event would come to itself again, without an end`)
  })
  const known = areTopicsTrusted ? knownTopics(config) : null
  for (const name of topics.keys()) {
    if (!known || known.has(name)) continue
    const path = `upstream.topics.${name}`
    if (config.kafka?.create_topics)
      warn(path, 'is not there yet: no route, topic or dead letter has this name; a Kafka client has to make it')
    else report(path, 'is delivered but never stored: no route, topic or dead letter has this name')
  }
}

/** Every topic that is made without a Kafka client, or null when a route makes topic names from the event. */
export function knownTopics(config: Config): Set<string> | null {
  const names = new Set([...config.topics.keys(), config.dead_letter.topic])
  if (config.unmatched.topic !== null) names.add(config.unmatched.topic)
  for (const { topic } of config.routes) {
    if (topic.includes('{')) return null
    names.add(topic)
  }
  return names
}

/** A topic's settings with those under Kafka's names merged in. */
export function mergedTopic(topic: TopicSection): Omit<TopicSection, 'config'> {
  const { config, ...own } = topic
  const noLimit = (value: number): number | null => (value < 0 ? null : value)
  const codec = config['compression.type']
  return {
    ...own,
    retention: config['retention.ms'] === undefined ? own.retention : noLimit(config['retention.ms']),
    retention_bytes: config['retention.bytes'] === undefined ? own.retention_bytes : noLimit(config['retention.bytes']),
    codec: codec === undefined ? own.codec : codec === 'uncompressed' ? 'none' : codec
  }
}
