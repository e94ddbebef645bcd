// Proves for `wadi tail`, as its users meet it: where it begins, what it shows and in which order, that it names what is missing, and that it ends
// when nobody reads it any more.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { MqttClient } from 'mqtt'
import t, { type Test } from 'tap'
import { damagedDirectory } from '../helpers/damaged-directory.ts'
import { connect, type Outcome, type Running, startGateway, temporary, wadi } from './wadi-process.ts'

t.setTimeout(120_000)

const WADI = fileURLToPath(new URL('../../bin/wadi.js', import.meta.url))
const EVENTS = 40

/** Event n has the time T0 + n minutes, on plant/press-<n % 5>/temp; event 3 alone is on plant/rare/temp. Newest published first. */
const T0 = Date.UTC(2026, 0, 1)
const timeOf = (n: number): number => T0 + n * 60_000
const topicOf = (n: number): string => (n === 3 ? 'plant/rare/temp' : `plant/press-${n % 5}/temp`)

async function startWithEvents(test: Test): Promise<Running & { tail(...args: string[]): Promise<Outcome> }> {
  const routes = [{ filter: 'plant/+device/#metric', topic: 'telemetry', key: '{device}', time: { from: '$.t', unit: 'ms' } }]
  const running = await startGateway(test, await temporary(test), { topics: { telemetry: { partitions: 3 } }, routes })
  const client = await connect(test, running.port)
  for (let n = 0; n < EVENTS; n++) await send(client, n)
  return { ...running, tail: (...args) => wadi(test, 'tail', ...args, '--data', running.data) }
}

const send = (client: MqttClient, n: number): Promise<unknown> =>
  client.publishAsync(topicOf(n), JSON.stringify({ t: timeOf(n), n }), { qos: 1 })

const numbersOf = ({ stdout }: Outcome): number[] =>
  stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(JSON.parse(line).value).n)

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index)

t.test('-n counts the events that are meant, over all partitions, the newest last', async (t) => {
  const { tail } = await startWithEvents(t)
  t.same(numbersOf(await tail('--no-follow', '-n', '7')), range(33, 40))
  t.same(numbersOf(await tail('--no-follow')), range(30, 40), 'ten by default')
  t.same(numbersOf(await tail('telemetry', '--no-follow', '-n', '100000')), range(0, 40))
  t.same(numbersOf(await tail('plant/rare/#', '--no-follow', '-n', '1')), [3], 'however far back it is')
  t.same(numbersOf(await tail('plant/+any/temp', '--no-follow', '-n', '2')), [38, 39], 'wildcards may have names, as in wadi.yaml')
  t.same(numbersOf(await tail('plant/press-1/+', '--no-follow', '-n', '2', '--until', `@${timeOf(20)}`)), [11, 16])
})

t.test('TOPIC:PARTITION is one partition; what is not there is said as log dump says it', async (t) => {
  const { tail, data } = await startWithEvents(t)
  const parts = []
  for (const partition of [0, 1, 2]) {
    const lines = (await tail(`telemetry:${partition}`, '--no-follow', '-n', '1000', '-f', '%p\\n')).stdout.trim().split('\n')
    t.same([...new Set(lines)], [String(partition)])
    parts.push(...lines)
  }
  t.equal(parts.length, EVENTS)
  const two = await tail('telemetry:0', 'telemetry:1', '--no-follow', '-n', '1000', '-f', '%p\\n')
  t.same([...new Set(two.stdout.trim().split('\n'))].sort(), ['0', '1'])
  for (const [pattern, words] of [
    ['telemetri', /There is no topic "telemetri"[\s\S]*Did you mean "telemetry"/],
    ['b', /There is no topic "b"(?![\s\S]*Did you mean)/],
    ['telemetri:1', /There is no topic "telemetri"[\s\S]*Did you mean "telemetry"/],
    ['telemetry:7', /telemetry has no partition 7\.[\s\S]*It has 3: 0 to 2\./]
  ] as const) {
    t.match(await tail(pattern, '--no-follow'), { code: 64, stderr: words }, pattern)
    t.match(await wadi(t, 'log', 'dump', data, pattern), { code: 64, stderr: words }, `log dump ${pattern}`)
  }
})

t.test('--from, --since and --until say where it begins and ends', async (t) => {
  const { tail } = await startWithEvents(t)
  t.same(numbersOf(await tail('--no-follow', '--from', 'beginning')), range(0, 40))
  t.same(numbersOf(await tail('--no-follow', '--from', 'end')), [])
  const behind = numbersOf(await tail('--no-follow', '--from', '5'))
  t.ok(behind.length > 0 && behind.length <= EVENTS - 10, 'an offset, in each partition')
  t.same(numbersOf(await tail('--no-follow', '--since', `@${timeOf(35)}`)), range(35, 40))
  t.same(numbersOf(await tail('--no-follow', '--since', '2026-01-01T00:10Z', '--until', '2026-01-01T00:13Z')), [10, 11, 12])
  t.same(numbersOf(await tail('--since', `@${timeOf(38)}`, '--until', '1h')), [38, 39], 'it ends when that time has come')
  t.same(numbersOf(await tail('--no-follow', '--since', '1h')), [], 'times are those of the events')
})

t.test('what cannot be is said in our words', async (t) => {
  const cases: [args: string[], words: RegExp][] = [
    [['-n', '-5'], /-n needs a value, and "-5" looks like an option\.[\s\S]*--last=-5/],
    [['--last=-5'], /--last is "-5", expected a whole number/],
    [['-v'], /"wadi tail" has no option -v\./],
    [['--no-follow', '-n'], /-n needs a value, and "--data" looks like an option/],
    [['--from', 'x'], /--from is "x"\.[\s\S]*Write beginning, end or an offset\./],
    [['--from', 'end', '-n', '3'], /--from and --last exclude each other/],
    [['--since', 'soon'], /--since is "soon"\.[\s\S]*1h \(ago\), 10:30/],
    [['-f', '%q'], /"%q", which is not known[\s\S]*%T/]
  ]
  for (const [args, words] of cases) t.match(await wadi(t, 'tail', ...args, '--data', '.'), { code: 64, stderr: words }, args.join(' '))
  const { data } = await startGateway(t, await temporary(t))
  t.match(await wadi(t, 'tail', 'plant/#/j', '--data', data), { code: 64, stderr: /"plant\/#\/j" has "#" before the end/ })
})

t.test('a device forges no line and sends no escapes; -f prints as kcat does', async (t) => {
  const { data, port } = await startGateway(t, await temporary(t))
  const client = await connect(t, port)
  await client.publishAsync('plant/a b/x', 'one\n2026-01-01T00:00:00.000Z telemetry:0@9 forged \u001b[2J\u009b\u202e', { qos: 1 })
  const { stdout } = await wadi(t, 'tail', '--no-follow', '--text', '--data', data)
  t.match(stdout, /^\S+Z telemetry:\d@0 "plant\/a b\/x" "a b" "one\\n2026.* forged \\u001b\[2J\\u009b\\u202e"\n$/)
  const raw = await wadi(t, 'tail', '--no-follow', '-f', '%t %o %K %S %k|%s\\n', '--data', data)
  t.equal(raw.stdout, `telemetry 0 3 59 a b|one\n2026-01-01T00:00:00.000Z telemetry:0@9 forged \u001b[2J\u009b\u202e\n`)
})

t.test('damage is named, and the exit code says so', async (t) => {
  const directory = await temporary(t)
  await damagedDirectory(join(directory, 'data'), { events: 400, deliveredOffset: 400 })
  const { data } = await startGateway(t, directory, {
    topics: { plant: { retention: 'forever' } },
    routes: [{ filter: 'plant/#', topic: 'plant', key: 'none' }]
  })
  const json = await wadi(t, 'tail', 'plant', '--from', 'beginning', '--no-follow', '--data', data)
  const lines = json.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { kind?: string; offset: number; firstOffset: number; lastOffset: number })
  const [missing] = lines.filter(({ kind }) => kind === 'missing')
  t.match(missing, { kind: 'missing', topic: 'plant', partition: 0, reason: 'damage' })
  const offsets = lines.flatMap((line) => (line.kind ? range(line.firstOffset, line.lastOffset + 1) : [line.offset]))
  t.same(offsets, range(0, 400), 'in its place, and nothing else is missing')
  t.equal(json.code, 65)
  const words = new RegExp(
    `^plant-0: offsets ${missing?.firstOffset} to ${missing?.lastOffset} are missing \\(damage of the storage device\\)\\n$`
  )
  for (const format of [['--text'], ['-f', '%o\\n']]) {
    const text = await wadi(t, 'tail', 'plant', '-n', '1000', '--no-follow', ...format, '--data', data)
    t.match(text, { code: 65, stderr: words })
    t.equal(text.stdout.trim().split('\n').length, lines.length - 1)
  }
  t.match((await wadi(t, 'status', '--data', data)).stdout, /1 damaged range\b(?!s)/)
})

t.test('the reader goes while nothing comes: it ends, without a word', { skip: process.platform !== 'linux' }, async (t) => {
  const { data, port } = await startGateway(t, await temporary(t))
  const client = await connect(t, port)
  await send(client, 0)
  const script = `set -o pipefail; ${process.execPath} ${WADI} tail --data ${data} | head -n 1`
  const { error, stdout, stderr } = await new Promise<{ error: Error | null; stdout: string; stderr: string }>((resolve) =>
    execFile('bash', ['-c', script], { timeout: 20_000 }, (error, stdout, stderr) => resolve({ error, stdout, stderr }))
  )
  t.equal(error, null)
  t.equal(stdout.split('\n').length, 2)
  t.equal(stderr, '')
})
