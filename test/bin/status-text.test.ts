// What a person reads in `wadi status`: a loss is never called anything else, and is named by topic and reason.

import t from 'tap'
import { statusText } from '../../bin/status-text.ts'
import { note, printError } from '../../bin/terminal.ts'
import type { StatusReport, TopicStatus } from '../../gateway/status-report.ts'
import { WadiError } from '../../runtime/base/errors.ts'

const topicOf = (name: string, more: Partial<TopicStatus> = {}): TopicStatus => ({
  name,
  partitionCount: 1,
  events: 20,
  lost: { quota: 0, retention: 0, damage: 0, deletion: 0 },
  droppedEvents: 0,
  lagEvents: null,
  lagBytes: null,
  lagMs: null,
  stoppedBecause: null,
  isLagAtLeast: false,
  ...more
})

function reportOf(topics: readonly TopicStatus[]): StatusReport {
  const lostEvents = topics.reduce((sum, { lost }) => sum + lost.quota + lost.retention + lost.damage, 0)
  return {
    gateway: { id: 'a', version: '0', pid: 1, upMs: 0, directory: '/d', residentBytes: 0 },
    ingest: {
      listeners: [],
      clients: 0,
      storedEvents: 0,
      eventsPerSecond: 0,
      refusedEvents: 0,
      unmatchedEvents: 0,
      unmatchedTopics: [],
      refusedTopics: [],
      deadLetters: 0,
      recordsPerSync: 0
    },
    mqtt: null,
    kafka: null,
    certificates: [],
    unusedFiles: [],
    storage: {
      usedBytes: 0,
      preallocatedBytes: 0,
      quotaBytes: null,
      freeBytes: null,
      writtenBytes: 0,
      amplification: null,
      failure: null,
      droppedEvents: topics.reduce((sum, { droppedEvents }) => sum + droppedEvents, 0),
      lostEvents,
      damagedRanges: 0,
      deletedTopics: [],
      waitingTopics: [],
      recovery: { durationMs: 0, findings: [], replayedEvents: 0, wasCleanStop: true }
    },
    uplink: null,
    topics
  }
}

t.test('undelivered events that a quota dropped are lost, by topic and reason', async (t) => {
  const text = statusText(
    reportOf([topicOf('telemetry', { lost: { quota: 480, retention: 7, damage: 0, deletion: 0 } }), topicOf('alarms')])
  )
  t.match(text, /storage .* 487 lost/)
  t.match(text, /telemetry: 480 undelivered events were dropped by a quota/)
  t.match(text, /telemetry: 7 undelivered events were dropped by retention/)
  const one = statusText(reportOf([topicOf('telemetry', { lost: { quota: 0, retention: 1, damage: 1, deletion: 0 } })]))
  t.match(one, /telemetry: 1 undelivered event was dropped by retention\n.*telemetry: 1 event was lost to damage of the device/)
  t.notMatch(text, /0 lost|alarms:|dropped by quotas/)
})

t.test('a quota of a topic that stays here drops, and nothing is lost', async (t) => {
  const text = statusText(reportOf([topicOf('ring', { droppedEvents: 12 })]))
  t.match(text, /0 lost {2}12 dropped by quotas of topics that stay here/)
})

t.test('MQTT has a line of its own when there is a listener for it', async (t) => {
  t.notMatch(statusText(reportOf([])), /mqtt/)
  const mqtt = {
    clients: 1,
    sessions: 3,
    retained: 12,
    retainedBytes: 2048,
    refusedRetained: 0,
    waiting: 1_500,
    queuedBytes: 0,
    dropped: 0
  }
  t.match(statusText({ ...reportOf([]), mqtt }), /mqtt +1 client {2}3 sessions {2}12 retained \(2\.0 KiB\) {2}1,500 waiting\n/)
  t.match(
    statusText({ ...reportOf([]), mqtt: { ...mqtt, refusedRetained: 2, queuedBytes: 1024, dropped: 7 } }),
    /1,500 waiting \(1\.0 KiB in memory\) {2}7 dropped {2}2 not retained for want of room\n/
  )
})

t.test('a certificate has a line when it expires within 30 days, or has', async (t) => {
  const certificate = { key: 'kafka.tls.cert', subject: 'CN=gateway', remainingMs: 31 * 86_400_000 }
  t.notMatch(statusText({ ...reportOf([]), certificates: [certificate] }), /tls/)
  const near = [
    { ...certificate, remainingMs: 12 * 86_400_000 },
    { ...certificate, key: 'mqtt[0].tls.ca', remainingMs: -3_600_000 }
  ]
  const text = statusText({ ...reportOf([]), certificates: near })
  t.match(text, /^tls +kafka\.tls\.cert: CN=gateway expires in 12d/m)
  t.match(text, /^tls +mqtt\[0\]\.tls\.ca: CN=gateway has expired 1h.* ago/m)
})

t.test('files of a listener that are not used have a line, and whether a restart fails', async (t) => {
  const unused = { key: 'kafka.tls.cert', message: 'is a.pem, which is cut off', isFitToStart: false }
  t.match(
    statusText({ ...reportOf([]), unusedFiles: [unused] }),
    /^tls +kafka\.tls\.cert: the files have changed and are not used, those of before are, and a restart fails: it is a\.pem, which is cut off$/m
  )
  t.notMatch(statusText({ ...reportOf([]), unusedFiles: [{ ...unused, isFitToStart: true }] }), /restart/)
})

t.test('Kafka clients have a line of their own when there is a listener for them', async (t) => {
  t.notMatch(statusText(reportOf([])), /kafka/)
  const kafka = {
    listener: '127.0.0.1:9092',
    isTls: false,
    connections: 1,
    storedEvents: 1_500,
    refusedBatches: 0,
    refusedTopics: [],
    requests: 12_345,
    receivedBytes: 2048,
    sentBytes: 4096,
    refusedConnections: 0
  }
  t.match(
    statusText({ ...reportOf([]), kafka }),
    /kafka +1 connection on 127\.0\.0\.1:9092 {2}1,500 events stored {2}12,345 requests since start {2}2\.0 KiB received {2}4\.0 KiB sent\n/
  )
  t.match(
    statusText({ ...reportOf([]), kafka: { ...kafka, connections: 2, refusedBatches: 4, refusedConnections: 3 } }),
    /2 connections .* 4 batches refused {2}3 connections refused/
  )
})

t.test('what was refused is named by topic and reason, the few that count most', async (t) => {
  const report = reportOf([])
  const refusedTopics = Array.from({ length: 8 }, (_, index) => ({ topic: `t${index}`, reason: 'WADI_QUOTA_EXCEEDED', events: 8 - index }))
  const text = statusText({ ...report, ingest: { ...report.ingest, refusedTopics } })
  t.match(text, /refused for t0: 8 events, WADI_QUOTA_EXCEEDED\n/)
  t.match(text, /refused for t4: 4 events, WADI_QUOTA_EXCEEDED\n +and 3 more \(--json has them\)\n/)
  t.notMatch(text, /for t5/)
})

t.test('a topic that the centre does not take is named with the reason; others are not', async (t) => {
  const stopped = topicOf('meter', { lagEvents: 3, stoppedBecause: 'Produce to m/0: TOPIC_AUTHORIZATION_FAILED (29)' })
  const text = statusText(reportOf([topicOf('plant', { lagEvents: 0 }), stopped]))
  t.match(text, /meter is not delivered: Produce to m\/0: TOPIC_AUTHORIZATION_FAILED/)
  t.notMatch(text, /plant is not delivered/)
})

t.test('a ratio is shown where it means something, and what is set aside is named', async (t) => {
  const report = reportOf([])
  const textOf = (storedEvents: number, writtenBytes: number): string =>
    statusText({
      ...report,
      ingest: { ...report.ingest, storedEvents, recordsPerSync: 0.8 },
      storage: { ...report.storage, usedBytes: 16 * 2 ** 20, preallocatedBytes: 16 * 2 ** 20, writtenBytes, amplification: 37.9 }
    })
  t.notMatch(textOf(12, 2 ** 20), /events\/sync|amplification/)
  t.match(textOf(5_000, 2 ** 30), /0\.8 events\/sync[\s\S]*amplification 37\.9x/)
  t.match(textOf(12, 2 ** 20), /16\.0 MiB used \(16\.0 MiB of it is the journal, set aside\)/)
})

t.test('whatever waits has an age; that of before this start is a lower bound', async (t) => {
  const waiting = topicOf('plant', { lagEvents: 3, lagBytes: 100, lagMs: 61_000, isLagAtLeast: true })
  const text = statusText(reportOf([waiting, topicOf('done', { lagEvents: 0, lagBytes: 0, lagMs: 0 }), topicOf('local')]))
  t.match(text, /plant .* 3 +100 B +>1m01s\n.*done .* 0 +0 B +-\n.*local .* - +- +-\n/)
})

/** Every text in `value` with `trick` behind it. */
function withTrick(value: unknown, trick: string): unknown {
  if (typeof value === 'string') return `${value}${trick}`
  if (Array.isArray(value)) return value.map((item) => withTrick(item, trick))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, withTrick(field, trick)]))
}

t.test('no text from outside moves the cursor, forges a line or hides: whatever field it is in', async (t) => {
  const base = reportOf([
    topicOf('meter', { lagEvents: 3, stoppedBecause: 'no', lost: { quota: 1, retention: 1, damage: 1, deletion: 0 } })
  ])
  const { recovery } = base.storage
  const report: StatusReport = {
    ...base,
    ingest: {
      ...base.ingest,
      listeners: ['127.0.0.1:1883'],
      refusedTopics: [{ topic: 'a', reason: 'WADI_BUSY', events: 1 }],
      unmatchedTopics: [{ mqttTopic: 'a', clientId: 'b', events: 1 }]
    },
    kafka: {
      listener: '127.0.0.1:9092',
      isTls: false,
      connections: 1,
      storedEvents: 1,
      refusedBatches: 1,
      refusedTopics: [{ topic: 'a', reason: 'NOT_LEADER_OR_FOLLOWER', batches: 1 }],
      requests: 1,
      receivedBytes: 1,
      sentBytes: 1,
      refusedConnections: 1
    },
    storage: {
      ...base.storage,
      failure: 'EIO',
      waitingTopics: [{ name: 'plant', change: 'made', because: 'No space' }],
      deletedTopics: [{ name: 'old', lostEvents: 1 }],
      recovery: { ...recovery, findings: ['a file is damaged'] }
    },
    uplink: {
      description: 'k1:9092',
      link: 'down',
      sinceMs: 1,
      lastError: 'refused',
      retryInMs: 1,
      attempts: 1,
      deliveredEvents: 1,
      eventsPerSecond: 1,
      wireBytes: 1,
      etaMs: null
    }
  }
  const lines = statusText(report).split('\n').length
  for (const trick of ['\x1b[2J', '\nforged', '\r', '\u009b2J', '\u202e', '\x1b[8m']) {
    const text = statusText(withTrick(report, trick) as StatusReport)
    t.notMatch(text.replaceAll('\n', ''), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u, JSON.stringify(trick))
    t.equal(text.split('\n').length, lines, 'and no line more')
  }
})

t.test('what is said on stderr holds no escape from outside either', async (t) => {
  const said = t.capture(process.stderr, 'write', () => true)
  note('a\x1b[2J\u202eb')
  printError(new WadiError('WADI_UNAVAILABLE', { happened: 'k1\x1b[8m\rx', kept: '\u009b', next: 'y' }))
  const text = said()
    .map(({ args }) => String(args[0]))
    .join('')
  t.match(text, /^a\\u001b\[2J\\u202eb\n/)
  t.notMatch(text.replaceAll('\n', ''), /[\p{Cc}\p{Cf}]/u)
})

t.test('a topic that waits for room is named, with the reason', async (t) => {
  const report = reportOf([])
  const waitingTopics = [{ name: 'plant', change: 'made' as const, because: 'No space left for /data/journal/0.journal.' }]
  const text = statusText({ ...report, storage: { ...report.storage, waitingTopics } })
  t.match(text, /\n {10}topic plant is not made yet: No space left for \/data\/journal\/0.journal.\n/)
})
