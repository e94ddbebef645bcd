// Proves for the registry of a gateway: docs/metrics.md has every family as it is; wadi status says the same numbers; the text is what Prometheus' format
// asks for, whatever devices call their topics; topics that come and go leave no series behind.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import mqtt from 'mqtt'
import t, { type Test } from 'tap'
import { loadConfig } from '../../gateway/config/load.ts'
import type { Gateway } from '../../gateway/contract.ts'
import { openGateway } from '../../gateway/gateway.ts'
import { metricsText } from '../../gateway/metrics-text.ts'
import { type MetricFamily, Metrics } from '../../runtime/base/metrics.ts'
import { makeSite } from '../helpers/site.ts'

async function open(test: Test): Promise<Gateway> {
  const { cert, key } = makeSite(test).settings()
  const data = mkdtempSync(join(tmpdir(), 'wadi-metrics-'))
  test.teardown(() => rmSync(data, { recursive: true, force: true }))
  const yaml = `
gateway: { id: g7, data: ${data} }
mqtt: [{ listen: "127.0.0.1:0" }, { listen: "127.0.0.1:0", tls: { cert: ${cert}, key: ${key} } }]
kafka: { listen: "127.0.0.1:0" }
upstream: { brokers: ["127.0.0.1:1"] }
routes: [{ filter: "plant/#", topic: plant, key: none }, { filter: "site/+name", topic: "site.{name}", key: none }]
`
  const gateway = await openGateway(loadConfig(yaml, { fileName: 'inline', environment: {} }))
  test.teardown(() => gateway.close())
  return gateway
}

async function publish(gateway: Gateway, topics: readonly string[]): Promise<void> {
  const client = await mqtt.connectAsync(`mqtt://${gateway.addresses.mqtt[0]}`)
  for (const topic of topics) await client.publishAsync(topic, 'x', { qos: 0 })
  await client.publishAsync('plant/last', 'x', { qos: 1 })
  await client.endAsync()
}

function seriesOf(families: readonly MetricFamily[], name: string, ...labels: string[]): number | undefined {
  const family = families.find((one) => one.name === name)
  if (!family || family.kind === 'histogram') return undefined
  return family.samples.find((sample) => sample.labels.join() === labels.join())?.value
}

function pageOf(families: readonly MetricFamily[]): string {
  const rows = families.map(({ name, kind, labels, help }) => `| \`${name}\` | ${kind} | ${labels.join(', ')} | ${help} |\n`)
  return `| name | kind | labels | meaning |\n|---|---|---|---|\n${rows.join('')}`
}

t.test('docs/metrics.md has every family, and wadi status reads the same numbers', async (t) => {
  const gateway = await open(t)
  await publish(gateway, ['plant/a', 'plant/b', 'nowhere/1'])
  const families = gateway.metrics()
  t.ok(readFileSync('docs/metrics.md', 'utf8').includes(pageOf(families)), `the table of docs/metrics.md is\n${pageOf(families)}`)
  const status = await gateway.status()
  t.equal(status.ingest.storedEvents, 3)
  t.equal(seriesOf(families, 'wadi_ingest_stored_events_total'), 3)
  t.equal(seriesOf(families, 'wadi_ingest_received_events_total'), 4)
  t.equal(seriesOf(families, 'wadi_ingest_unmatched_events_total', 'nowhere/1'), status.ingest.unmatchedEvents)
  t.equal(seriesOf(families, 'wadi_partition_high_watermark', 'plant', '0'), 3)
  t.equal(seriesOf(families, 'wadi_uplink_lag_events', 'plant'), 3)
  t.equal(seriesOf(families, 'wadi_uplink_up'), 0)
  t.equal(seriesOf(families, 'wadi_storage_used_bytes'), status.storage.usedBytes)
  t.equal(seriesOf(families, 'wadi_kafka_connections'), status.kafka?.connections)
  t.ok((seriesOf(families, 'wadi_storage_written_bytes_total', 'journal') ?? 0) > 0)
  const [acks] = families.filter((family) => family.kind === 'histogram')
  t.match(acks, { name: 'wadi_ingest_ack_seconds', histogram: { buckets: Array } })
  t.equal(acks?.kind === 'histogram' && acks.histogram.buckets.at(-1)?.count, 3)
})

t.test('topics that come and go leave no series behind', async (t) => {
  const gateway = await open(t)
  const seriesCount = (): number =>
    gateway.metrics().reduce((sum, family) => sum + (family.kind === 'histogram' ? 1 : family.samples.length), 0)
  await publish(gateway, ['site/0'])
  await gateway.deleteTopic('site.0', { undelivered: 'lose' })
  await publish(gateway, [])
  const before = seriesCount()
  for (let round = 1; round <= 30; round++) {
    await publish(gateway, [`site/${round}`])
    await gateway.deleteTopic(`site.${round}`, { undelivered: 'lose' })
  }
  t.equal(seriesCount(), before)
  t.equal(seriesOf(gateway.metrics(), 'wadi_storage_removed_events', '', 'deletion', 'true'), 31)
})

t.test('the text: names of topics may hold anything', async (t) => {
  const metrics = new Metrics()
  metrics.counters({ name: 'wadi_a_total', help: 'A \\ b', labels: ['topic', 'reason'] }, () => [
    [['plain', 'x'], 1],
    [['say "hi" \\ and\nnext', '€'], 2.5],
    [['x/\u200b', 'unseen'], 1],
    [['x/\\u200b', 'letters'], 1]
  ])
  metrics.gauge({ name: 'wadi_b', help: 'B' }, () => null)
  metrics.histogram({ name: 'wadi_c_seconds', unit: 'seconds', help: 'C' }, () => ({
    buckets: [
      { upperBound: 0.5, count: 1 },
      { upperBound: Number.POSITIVE_INFINITY, count: 3 }
    ],
    sum: 4.25
  }))
  t.equal(
    metricsText(metrics.collect()),
    `# HELP wadi_a_total A \\\\ b
# TYPE wadi_a_total counter
wadi_a_total{topic="plain",reason="x"} 1
wadi_a_total{topic="say \\"hi\\" \\\\\\\\ and\\\\u000anext",reason="€"} 2.5
wadi_a_total{topic="x/\\\\u200b",reason="unseen"} 1
wadi_a_total{topic="x/\\\\\\\\u200b",reason="letters"} 1
# HELP wadi_b B
# TYPE wadi_b gauge
# HELP wadi_c_seconds C
# TYPE wadi_c_seconds histogram
wadi_c_seconds_bucket{le="0.5"} 1
wadi_c_seconds_bucket{le="+Inf"} 3
wadi_c_seconds_sum 4.25
wadi_c_seconds_count 3
`
  )
})
