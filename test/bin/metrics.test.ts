// Proves for `wadi metrics`: what the running gateway counts, one family after the other, safe for a terminal whatever devices call their topics.

import t from 'tap'
import { connect, publish, startGateway, temporary, wadi } from './wadi-process.ts'

/** A line of the format: https://prometheus.io/docs/instrumenting/exposition_formats */
const LINE =
  /^(?:# HELP [a-z_0-9]+ .+|# TYPE [a-z_0-9]+ (?:counter|gauge|histogram)|[a-z_0-9]+(?:\{(?:[a-z_]+="(?:[^"\\]|\\[\\"n])*",?)+\})? (?:-?[0-9.e+-]+|\+Inf))$/u

t.test('the numbers of the gateway, line by line', { timeout: 60_000 }, async (t) => {
  const running = await startGateway(t, await temporary(t))
  const client = await connect(t, running.port)
  await publish(client, 3)
  const stray = await connect(t, running.port)
  const isClosed = new Promise<void>((resolve) => stray.once('close', () => resolve()))
  stray.publish('no\u202e"route\\', 'x', { qos: 0 })
  await isClosed
  await publish(client, 1, 3)
  const { code, stdout, stderr } = await wadi(t, 'metrics', '--data', running.data)
  t.match({ code, stderr }, { code: 0, stderr: '' })
  t.same(
    stdout
      .trimEnd()
      .split('\n')
      .filter((line) => !LINE.test(line)),
    []
  )
  t.match(stdout, /^wadi_ingest_stored_events_total 4$/m)
  t.match(stdout, /^wadi_ingest_unmatched_events_total\{mqtt_topic="no\\\\u202e\\"route\\\\\\\\"\} 1$/m)
  t.match(stdout, /^wadi_ingest_ack_seconds_count 4$/m)
})

t.test('without a gateway it says so', async (t) => {
  const { code, stdout, stderr } = await wadi(t, 'metrics', '--data', await temporary(t))
  t.match({ code, stdout }, { code: 69, stdout: '' })
  t.match(stderr, /WADI_UNAVAILABLE/)
})
