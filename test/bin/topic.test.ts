// Proves for `wadi topic`: it makes, lists, describes, alters and deletes topics of the running gateway over its Kafka port; what is refused is said in words, with
// the exit code 1, and keeps nothing else; wrong words and a gateway that is not there are told as such.

import t from 'tap'
import { settingsOf } from '../../bin/setting-words.ts'
import { connect, publish, startGateway, temporary, wadi } from './wadi-process.ts'

t.test('from making it to deleting it', { timeout: 120_000 }, async (t) => {
  const running = await startGateway(t, await temporary(t), { kafka: { listen: '127.0.0.1:0' } })
  await publish(await connect(t, running.port), 3)
  const topic = (...words: string[]) => wadi(t, 'topic', ...words, '--data', running.data)
  const settings = 'retention.ms=60000,cleanup.policy=[compact,delete]'
  t.match(await topic('create', 'a', 'b', '-p', '2', '--add-config', settings), {
    code: 0,
    stdout: 'made topic a\nmade topic b\n',
    stderr: ''
  })
  const again = await topic('create', 'a', 'telemetry', 'c', '--validate-only')
  t.match(again, { code: 1, stdout: 'topic c would be made\n' })
  const unknown = await topic('alter', 'a', '--delete-config', 'retention.m')
  t.match(unknown, { code: 64, stderr: /no setting of topics \(did you mean retention\.ms\?\)/ }, 'a broker would say nothing')
  t.match(await topic('list', '--data', '/elsewhere'), { code: 64, stderr: /takes --data once, and it is there 2 times/ })
  t.match(again.stderr, /^topic a: TOPIC_ALREADY_EXISTS: .*\ntopic telemetry: TOPIC_ALREADY_EXISTS: .*\n$/)
  t.match((await topic('list')).stdout, /^TOPIC +PARTITIONS +EVENTS\n_wadi\.dlq +1 +0\na +2 +0\nb +2 +0\ntelemetry +\d+ +3\n$/)

  t.match(await topic('alter', 'a', '--add-config', 'flush.ms=3', '--delete-config', 'retention.ms', '-p', '4'), { code: 0, stderr: '' })
  const refused = await topic('alter', 'a', '--add-config', 'flush.ms=4', '-p', '1')
  t.match(refused, { code: 1, stderr: /^topic a: INVALID_PARTITIONS: / })
  t.match(await topic('alter', 'a', '--add-config', 'no.such=1', '-p', '9'), {
    code: 1,
    stderr: /INVALID_CONFIG: Unknown topic config name: no\.such/
  })
  t.match(await topic('alter', 'telemetry', '-p', '20'), { code: 1, stderr: /POLICY_VIOLATION: .* of the configuration names the topic/ })
  const described = await topic('describe', 'a', 'nope')
  t.match(described, { code: 1, stderr: 'topic nope: UNKNOWN_TOPIC_OR_PARTITION\n' })
  t.match(
    described.stdout,
    /^topic +a\nid +\S{22}\ncleanup\.policy +compact,delete\nflush\.ms +4\nPARTITION +LEADER +START +END\n(?: +\d +1 +0 +0\n){4}$/
  )
  const { partitions, ...rest } = JSON.parse((await topic('describe', 'a', '--json', '--all')).stdout)
  t.equal(partitions.length, 4)
  t.match(rest, { name: 'a', settings: { 'flush.ms': '4', 'retention.ms': '604800000' } })

  t.match(await topic('delete', 'a', 'telemetry', 'b'), { code: 1, stderr: /^topic telemetry: POLICY_VIOLATION: .*\n$/ })
  t.same(
    (await topic('list', '--json')).stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).name),
    ['_wadi.dlq', 'telemetry']
  )
})

t.test('wrong words, nobody there, and a gateway without a Kafka listener', { timeout: 120_000 }, async (t) => {
  const nowhere = ['--bootstrap-server', '127.0.0.1:1'] as const
  t.match(await wadi(t, 'topic', 'list', ...nowhere), { code: 69, stderr: /WADI_UNAVAILABLE[\s\S]*127\.0\.0\.1:1[\s\S]*ECONNREFUSED/ })
  t.match(await wadi(t, 'topic', 'list', '--bootstrap-server', 'nope'), { code: 64, stderr: /expected host:port/ })
  t.match(await wadi(t, 'topic', 'alter', 'a', ...nowhere), { code: 64, stderr: /Nothing to alter was named/ })
  t.match(await wadi(t, 'topic', 'create', 'a', '--add-config', 'nonsense', ...nowhere), { code: 64, stderr: /is no NAME=VALUE/ })
  t.match(await wadi(t, 'topic', 'create', 'a', '--partitions', 'two', ...nowhere), { code: 64, stderr: /expected a whole number/ })
  const running = await startGateway(t, await temporary(t))
  t.match(await wadi(t, 'topic', 'list', '--data', running.data), { code: 69, stderr: /has no Kafka listener/ })
})

t.test('settings as kafka-configs takes them', async (t) => {
  const read = (text: string) => Object.fromEntries(settingsOf('add-config', text))
  t.same(read('a=1, b=[x,y],c='), { a: '1', b: 'x,y', c: '' })
  t.same(read('a=b=c'), { a: 'b=c' })
  t.same(read(''), {})
  t.throws(() => read('=1'), { message: /NAME=VALUE/ })
})
