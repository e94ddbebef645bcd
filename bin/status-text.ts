// The status report for people: four lines and a table.

import { formatCount, formatDuration } from '../gateway/config/units.ts'
import type { KafkaStatus, MqttStatus, StatusReport, TopicStatus, UplinkReport } from '../gateway/status-report.ts'
import { formatBytes } from '../runtime/base/byte-text.ts'
import { visibleLine } from '../runtime/base/visible-line.ts'
import { columns, paint } from './terminal.ts'
import { visibleCell, visibleTexts } from './visible-text.ts'

const UNMATCHED_LINES_MAX = 5
const REFUSED_LINES_MAX = 5
/** Below that many events, or that many bytes written to segments and journal, a ratio says nothing of how it will be. */
const RATIO_EVENTS_MIN = 1_000
const CERTIFICATE_WARNING_MS = 30 * 86_400_000
const RATIO_BYTES_MIN = 64 * 2 ** 20

export function statusText(report: StatusReport): string {
  const { gateway, ingest, mqtt, kafka, storage, uplink, topics } = visibleTexts(report)
  const label = (name: string): string => paint('bold', name.padEnd(9))
  const lines = [
    `${label('gateway')} ${gateway.id}  ${gateway.version}  up ${formatDuration(gateway.upMs)}  pid ${gateway.pid}  ${formatBytes(gateway.residentBytes)} of memory`,
    `${label('ingest')} ${ingestWords(ingest)}`,
    ...unmatchedLines(report.ingest).map((line) => `${' '.repeat(10)}${paint('yellow', line)}`),
    ...refusedLines(ingest.refusedTopics.map(({ topic, reason, events }) => ({ topic, reason, what: plural(events, 'event', 'events') }))),
    ...(mqtt ? [`${label('mqtt')} ${mqttWords(mqtt)}`] : []),
    ...(kafka ? [`${label('kafka')} ${kafkaWords(kafka)}`] : []),
    ...refusedLines(
      kafka?.refusedTopics.map(({ topic, reason, batches }) => ({ topic, reason, what: plural(batches, 'batch', 'batches') })) ?? []
    ),
    ...certificateLines(report).map((line) => `${label('tls')} ${paint('yellow', line)}`),
    ...unusedFileLines(report).map((line) => `${label('tls')} ${paint('red', line)}`),
    `${label('storage')} ${storageWords(storage)}`,
    ...[...lossLines(topics), ...deletedLines(storage)].map((line) => `${' '.repeat(10)}${paint('red', line)}`),
    ...storage.recovery.findings.map((finding) => `${' '.repeat(10)}${paint('yellow', finding)}`),
    ...waitingLines(storage).map((line) => `${' '.repeat(10)}${paint('yellow', line)}`),
    ...(storage.failure ? [`${' '.repeat(10)}${paint('red', `storage refuses events: ${storage.failure}`)}`] : []),
    `${label('uplink')} ${uplink ? uplinkWords(uplink) : 'not configured: events stay here'}`,
    ...stoppedLines(topics).map((line) => `${' '.repeat(10)}${paint('yellow', line)}`)
  ]
  const table = topicTable(topics)
  return `${lines.join('\n')}\n${table === '' ? '' : `${table}\n`}`
}

function ingestWords(ingest: StatusReport['ingest']): string {
  const parts = [
    `${plural(ingest.clients, 'client', 'clients')} on ${ingest.listeners.join(', ') || 'no listener'}`,
    `${rate(ingest.eventsPerSecond)} ev/s`,
    `${formatCount(ingest.storedEvents)} stored since start`
  ]
  if (ingest.storedEvents >= RATIO_EVENTS_MIN && ingest.recordsPerSync > 0) parts.push(`${ingest.recordsPerSync.toFixed(1)} events/sync`)
  for (const [count, word] of [
    [ingest.refusedEvents, 'refused'],
    [ingest.unmatchedEvents, 'unmatched'],
    [ingest.deadLetters, 'dead letters']
  ] as const) {
    if (count > 0) parts.push(paint('yellow', `${formatCount(count)} ${word}`))
  }
  return parts.join('  ')
}

/** Those that end within 30 days. */
function certificateLines({ certificates }: StatusReport): string[] {
  return certificates
    .filter(({ remainingMs }) => remainingMs < CERTIFICATE_WARNING_MS)
    .map(({ key, subject, remainingMs }) =>
      remainingMs < 0
        ? `${key}: ${visibleCell(subject)} has expired ${formatDuration(-remainingMs)} ago`
        : `${key}: ${visibleCell(subject)} expires in ${formatDuration(remainingMs)}`
    )
}

/** A gateway before 0.2.0 does not tell them. */
function unusedFileLines({ unusedFiles = [] }: Partial<Pick<StatusReport, 'unusedFiles'>>): string[] {
  return unusedFiles.map(({ key, message, isFitToStart }) => {
    const until = isFitToStart ? 'those of before are' : 'those of before are, and a restart fails'
    return `${key}: the files have changed and are not used, ${until}: it ${visibleLine(message)}`
  })
}

/** The few that count most: one device with a wrong topic is found by them. */
function unmatchedLines({ unmatchedTopics }: StatusReport['ingest']): string[] {
  const lines = unmatchedTopics.slice(0, UNMATCHED_LINES_MAX).map(({ mqttTopic, clientId, events }) => {
    const client = clientId === '' ? 'a client without id' : `client ${visibleCell(clientId)}`
    return `no route takes ${visibleCell(mqttTopic)}: ${plural(events, 'event', 'events')}, last of ${client}`
  })
  const others = unmatchedTopics.length - lines.length
  return others > 0 ? [...lines, `and ${others} more MQTT topics (--json has them)`] : lines
}

/** The few that count most. */
function refusedLines(refused: readonly { topic: string; reason: string; what: string }[]): string[] {
  const lines = refused
    .slice(0, REFUSED_LINES_MAX)
    .map(({ topic, reason, what }) => `refused for ${visibleCell(topic)}: ${what}, ${reason}`)
  if (refused.length > lines.length) lines.push(`and ${refused.length - lines.length} more (--json has them)`)
  return lines.map((line) => `${' '.repeat(10)}${paint('yellow', line)}`)
}

function mqttWords({ clients, sessions, retained, retainedBytes, refusedRetained, waiting, queuedBytes, dropped }: MqttStatus): string {
  const parts = [
    plural(clients, 'client', 'clients'),
    plural(sessions, 'session', 'sessions'),
    `${formatCount(retained)} retained (${formatBytes(retainedBytes)})`,
    `${formatCount(waiting)} waiting${queuedBytes > 0 ? ` (${formatBytes(queuedBytes)} in memory)` : ''}`
  ]
  if (dropped > 0) parts.push(paint('yellow', `${formatCount(dropped)} dropped`))
  if (refusedRetained > 0) parts.push(paint('yellow', `${formatCount(refusedRetained)} not retained for want of room`))
  return parts.join('  ')
}

function kafkaWords(kafka: KafkaStatus): string {
  const parts = [
    `${plural(kafka.connections, 'connection', 'connections')} on ${kafka.listener}`,
    `${plural(kafka.storedEvents, 'event', 'events')} stored`,
    `${plural(kafka.requests, 'request', 'requests')} since start`,
    `${formatBytes(kafka.receivedBytes)} received`,
    `${formatBytes(kafka.sentBytes)} sent`
  ]
  if (kafka.refusedBatches > 0) parts.push(paint('yellow', `${plural(kafka.refusedBatches, 'batch', 'batches')} refused`))
  if (kafka.refusedConnections > 0) parts.push(paint('yellow', `${plural(kafka.refusedConnections, 'connection', 'connections')} refused`))
  return parts.join('  ')
}

function storageWords(storage: StatusReport['storage']): string {
  const parts = [
    storage.quotaBytes === null
      ? `${formatBytes(storage.usedBytes)} used`
      : `${formatBytes(storage.usedBytes)} of ${formatBytes(storage.quotaBytes)} quota`
  ]
  parts[0] += ` (${formatBytes(storage.preallocatedBytes)} of it is the journal, set aside)`
  if (storage.freeBytes !== null) parts.push(`${formatBytes(storage.freeBytes)} free on the disk`)
  parts.push(`${formatBytes(storage.writtenBytes)} written`)
  if (storage.amplification !== null && storage.writtenBytes >= RATIO_BYTES_MIN)
    parts.push(`amplification ${storage.amplification.toFixed(1)}x`)
  const lost = `${formatCount(storage.lostEvents)} lost`
  parts.push(storage.lostEvents > 0 ? paint('red', lost) : lost)
  if (storage.droppedEvents > 0) parts.push(`${formatCount(storage.droppedEvents)} dropped by quotas of topics that stay here`)
  if (storage.damagedRanges > 0) parts.push(paint('red', plural(storage.damagedRanges, 'damaged range', 'damaged ranges')))
  return parts.join('  ')
}

/** One line per topic and reason, so that nobody has to guess whose events they were. */
function lossWords(reason: keyof TopicStatus['lost'], events: number): string {
  const were = events === 1 ? 'event was' : 'events were'
  if (reason === 'damage') return `${were} lost to damage of the device`
  if (reason === 'deletion') return `undelivered ${were} deleted by a client, or with a topic of this name`
  return `undelivered ${were} dropped by ${reason === 'quota' ? 'a quota' : 'retention'}`
}

function lossLines(topics: readonly TopicStatus[]): string[] {
  return topics.flatMap(({ name, lost }) =>
    (['quota', 'retention', 'damage', 'deletion'] as const).flatMap((reason) =>
      lost[reason] > 0 ? [`${name}: ${formatCount(lost[reason])} ${lossWords(reason, lost[reason])}`] : []
    )
  )
}

function deletedLines({ deletedTopics }: StatusReport['storage']): string[] {
  return deletedTopics.map(({ name, lostEvents }) => `${name}, which was deleted: ${plural(lostEvents, 'event was', 'events were')} lost`)
}

function waitingLines({ waitingTopics }: StatusReport['storage']): string[] {
  return waitingTopics.map(({ name, change, because }) => `topic ${name} is not ${change} yet: ${because}`)
}

function stoppedLines(topics: readonly TopicStatus[]): string[] {
  return topics.flatMap(({ name, stoppedBecause }) => (stoppedBecause === null ? [] : [`${name} is not delivered: ${stoppedBecause}`]))
}

function uplinkWords(uplink: UplinkReport): string {
  const since = formatDuration(uplink.sinceMs)
  const isUp = uplink.link === 'up'
  const state = isUp ? paint('green', `up ${since}`) : paint('yellow', `${uplink.link.toUpperCase()} ${since}`)
  const parts = [state, uplink.description]
  if (!isUp && uplink.lastError) {
    const retry = uplink.retryInMs === null ? '' : `; retry in ${formatDuration(uplink.retryInMs)}, attempt ${uplink.attempts + 1}`
    parts.push(`(${uplink.lastError}${retry})`)
  }
  parts.push(`${formatCount(uplink.deliveredEvents)} delivered`)
  if (uplink.eventsPerSecond > 0) parts.push(`${rate(uplink.eventsPerSecond)} ev/s`)
  parts.push(`${formatBytes(uplink.wireBytes)} on the wire`)
  if (uplink.etaMs !== null && uplink.etaMs > 0) parts.push(`caught up in ${formatDuration(uplink.etaMs)}`)
  return parts.join('  ')
}

function plural(count: number, one: string, many: string): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`
}

function rate(perSecond: number): string {
  return perSecond > 0 && perSecond < 10 ? perSecond.toFixed(1) : formatCount(perSecond)
}

function topicTable(topics: readonly TopicStatus[]): string {
  if (topics.length === 0) return ''
  const cell = (value: number | null, show: (value: number) => string): string => (value === null ? '-' : show(value))
  const rows = topics.map((topic) => [
    topic.name,
    String(topic.partitionCount),
    formatCount(topic.events),
    cell(topic.lagEvents, formatCount),
    cell(topic.lagBytes, formatBytes),
    topic.lagEvents === 0 ? '-' : cell(topic.lagMs, (ageMs) => `${topic.isLagAtLeast ? '>' : ''}${formatDuration(ageMs)}`)
  ])
  return columns([['TOPIC', 'PARTS', 'EVENTS', 'LAG EV', 'LAG BYTES', 'OLDEST'], ...rows], {
    rightAligned: [1, 2, 3, 4, 5],
    indent: ' '.repeat(10)
  })
}
