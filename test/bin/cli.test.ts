// The command line as its users meet it: real processes, real sockets, exit codes. Everything in temporary directories.

import { existsSync } from 'node:fs'
import { readdir, rename, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { StatusReport } from '../../gateway/status-report.ts'
import { connect, gatewayFile, Process, publish, startGateway, temporary, valuesOf, wadi } from './wadi-process.ts'

t.setTimeout(120_000)

t.test('exit codes and what is said', async (t) => {
  const directory = await temporary(t)
  const bad = join(directory, 'bad.yaml')
  const good = join(directory, 'good.yaml')
  await writeFile(bad, 'gatewy: {}\nstorage: { linger: 5 }\n')
  await writeFile(good, gatewayFile())
  const cases: [args: string[], code: number, words: RegExp][] = [
    [[], 64, /No command was given/],
    [['statsu'], 64, /Did you mean "wadi status"/],
    [['run', '--confg', 'x'], 64, /did you mean --config/],
    [['run', '-c', bad], 78, /gatewy is not a known key[\s\S]*storage\.linger is 5 without a unit[\s\S]*Nothing was started/],
    [['run', '-c', join(directory, 'absent.yaml')], 78, /there is no such file/],
    [['run', '-c', directory], 78, /it is a directory/],
    [['config', 'check', bad], 78, /bad\.yaml:1:1 gatewy[\s\S]*bad\.yaml:2:20 storage\.linger[\s\S]*2 problems/],
    [['config', 'check', good], 0, /good\.yaml is right: 1 routes, 1 topics/],
    [['config', 'schema'], 0, /"\$schema": "https:\/\/json-schema\.org\/draft\/2020-12\/schema"/],
    [['config', 'reference'], 0, /storage\.quota +size from 1MiB or unlimited/],
    [['status', '--data', directory], 69, /No gateway is running/],
    [['tail', '--data', directory], 69, /No gateway is running/],
    [['status', '--data', join(directory, 'absent')], 69, /There is no directory .*absent/],
    [['status', '-w', '--require', 'up', '--data', directory], 64, /--watch and --require exclude each other/],
    [['status', '--require', 'foo'], 64, /--require is "foo"/],
    [['tail', '-f', '%q'], 64, /"%q", which is not known/],
    [['log', 'verify', join(directory, 'absent')], 73, /not a data directory/],
    [['log', 'verify'], 64, /needs DIR/],
    [['log', 'dump', directory, 'a b'], 64, /not TOPIC/],
    [['help'], 0, /wadi demo/],
    [['help', 'run'], 0, /SIGTERM/],
    [['log', 'verify', '--help'], 0, /Check every stored byte/],
    [['version'], 0, /^wadi \d+\.\d+\.\d+(?:-dev)? /]
  ]
  for (const [args, code, words] of cases) {
    const outcome = await wadi(t, ...args)
    t.equal(outcome.code, code, args.join(' '))
    t.match(outcome.stdout + outcome.stderr, words)
  }
})

t.test('run, publish, tail, status, stop, verify, dump', { timeout: 120_000 }, async (t) => {
  const directory = await temporary(t)
  const { process, port, data } = await startGateway(t, directory)
  const client = await connect(t, port)
  await publish(client, 50)

  const tail = await wadi(t, 'tail', 'telemetry', '--no-follow', '-n', '1000', '--data', data)
  t.equal(tail.code, 0, tail.stderr)
  t.same(
    valuesOf(tail.stdout),
    Array.from({ length: 50 }, (_, index) => index)
  )
  const filtered = await wadi(t, 'tail', 'plant/press-1/#', '--no-follow', '-n', '1000', '-f', '%t %k\\n', '--data', data)
  t.same(new Set(filtered.stdout.trim().split('\n')), new Set(['telemetry press-1']))
  t.match(await wadi(t, 'tail', 'telemetri', '--data', data), { code: 64, stderr: /Did you mean "telemetry"/ })

  const following = new Process(t, ['tail', 'telemetry', '-n', '0', '--data', data])
  const status = await wadi(t, 'status', '--json', '--data', data)
  const report = JSON.parse(status.stdout) as StatusReport
  t.match(report, { gateway: { id: 'cli-test', pid: process.child.pid }, ingest: { storedEvents: 50, clients: 1 }, uplink: null })
  t.match(report.topics, [{ name: '_wadi.dlq' }, { name: 'telemetry', partitionCount: 2, events: 50, lagEvents: null }])
  t.match(await wadi(t, 'status', '--data', join(directory, 'data')), { code: 0, stdout: /gateway +cli-test[\s\S]*telemetry +2 +50/ })
  t.match(await wadi(t, 'status', '--require', 'up', '--data', data), { code: 1, stderr: /not up: this gateway has no upstream/ })
  t.match(await wadi(t, 'status', '--require', 'up,delivered', '--data', data), {
    code: 1,
    stderr: /^not up: this gateway has no upstream/
  })
  t.match(await wadi(t, 'status', '--require', 'delivered', '--data', data), {
    code: 1, // a script that swaps the card would lose what stays here
    stderr: /not delivered: this gateway has no upstream \(wadi.yaml: upstream\); telemetry holds 50 events/
  })

  await new Promise((resolve) => setTimeout(resolve, 300)) // the follower subscribes; if it came later it would see nothing and the wait below fails
  await publish(client, 3, 100)
  await following.until(({ stdout }) => (stdout.split('\n').length > 3 ? true : null))
  t.same(valuesOf(following.stdout), [100, 101, 102])
  following.child.kill('SIGINT')
  t.equal((await following.exited).code, 130)

  const again = await wadi(t, 'run', '-c', join(directory, 'wadi.yaml'))
  t.equal(again.code, 73)
  t.match(
    JSON.parse(again.stderr),
    { level: 'error', code: 'WADI_DATA_DIR_LOCKED', message: /./, kept: /./, next: /./ },
    'as the log lines are'
  )
  t.match(await wadi(t, 'run', '--text', '-c', join(directory, 'wadi.yaml')), {
    code: 73,
    stderr: /^error WADI_DATA_DIR_LOCKED\n {2}happened /
  })

  process.child.kill('SIGTERM')
  const outcome = await process.exited
  t.equal(outcome.code, 0, outcome.stderr)
  t.match(outcome.stderr, /"message":"stopped"/)

  const verify = await wadi(t, 'log', 'verify', data)
  t.match(verify, { code: 0, stdout: /verified 2 topics, 3 partitions, .* 53 events, 0 of them in the journal only, .*no problem/ })
  const dump = await wadi(t, 'log', 'dump', data, 'telemetry', '--events', '--json')
  t.equal(valuesOf(dump.stdout).length, 53)
  t.match(await wadi(t, 'log', 'dump', data, '_wadi.dlq'), { code: 0, stdout: '' }, 'a topic without events')
  t.match(await wadi(t, 'log', 'dump', data, 'telemetri'), {
    code: 64,
    stderr: /There is no topic "telemetri" in .*[\s\S]*Did you mean "telemetry"\? There are: _wadi\.dlq, telemetry\./
  })
  t.match(await wadi(t, 'log', 'dump', data, 'telemetry:7'), {
    code: 64,
    stderr: /telemetry has no partition 7\.[\s\S]*It has 2: 0 to 1\./
  })
  t.match(await wadi(t, 'log', 'dump', data), {
    code: 0,
    stdout: /telemetry-\d baseOffset: 0 lastOffset: \d+ count: \d+ .*compresscodec: gzip|zstd/
  })
  for (const [part, meaning] of [
    ['journal', /acknowledged events that were only there are lost/],
    ['state', /WADI_STATE_DAMAGED[\s\S]*a start is refused/]
  ] as const) {
    await rename(join(data, part), join(directory, part))
    const told = await wadi(t, 'log', 'verify', data)
    t.match(told, { code: 65, stdout: new RegExp(`${part} byte 0: is not there`) }, `without ${part}/`)
    t.match(told.stdout, meaning)
    await rename(join(directory, part), join(data, part))
  }
})

t.test('kill -9 loses nothing that was acknowledged, and the next start says what it found', { timeout: 120_000 }, async (t) => {
  const directory = await temporary(t)
  const first = await startGateway(t, directory)
  const client = await connect(t, first.port)
  await publish(client, 200)
  first.process.child.kill('SIGKILL')
  await first.process.exited
  const offline = await wadi(t, 'log', 'dump', first.data, 'telemetry', '--events', '--json')
  t.equal(valuesOf(offline.stdout).length, 200, 'what is in the journal only is dumped too')
  const second = await startGateway(t, directory)
  t.match(second.process.stderr, /recovered after an unclean stop/)
  const tail = await wadi(t, 'tail', 'telemetry', '--no-follow', '-n', '1000', '--data', second.data)
  t.same(
    valuesOf(tail.stdout),
    Array.from({ length: 200 }, (_, index) => index)
  )
  const report = JSON.parse((await wadi(t, 'status', '--json', '--data', second.data)).stdout) as StatusReport
  t.match(report.storage, { lostEvents: 0, recovery: { wasCleanStop: false, replayedEvents: 200, findings: [] } })
})

t.test(
  'SIGTERM ends it within ten seconds, with a client connected and a centre that swallows everything',
  { timeout: 60_000 },
  async (t) => {
    const directory = await temporary(t)
    const hole = createServer((socket) => socket.on('error', () => undefined).resume())
    await new Promise<void>((resolve) => hole.listen(0, '127.0.0.1', resolve))
    t.teardown(() => hole.close())
    const upstream = { brokers: [`127.0.0.1:${(hole.address() as { port: number }).port}`] }
    const { process, port, data } = await startGateway(t, directory, { upstream })
    const client = await connect(t, port)
    await publish(client, 10)
    const report = JSON.parse((await wadi(t, 'status', '--json', '--data', data)).stdout) as StatusReport
    t.match(report, { uplink: { link: 'down', deliveredEvents: 0 } })
    t.match(report.topics[1], { name: 'telemetry', lagEvents: 10 })
    const startedMs = performance.now()
    process.child.kill('SIGTERM')
    t.equal((await process.exited).code, 0)
    t.ok(performance.now() - startedMs < 10_000)
  }
)

t.test('it ends when the process that started it with a channel is gone', { timeout: 60_000 }, async (t) => {
  const directory = await temporary(t)
  const file = join(directory, 'wadi.yaml')
  await writeFile(file, gatewayFile())
  const process = new Process(t, ['run', '-c', file], { ipc: true })
  await process.until(({ stderr }) => (stderr.includes('ready:') ? true : null))
  process.child.disconnect()
  t.equal((await process.exited).code, 0)
})

t.test('what in the configuration does not do what it seems to say is said by run too', { timeout: 60_000 }, async (t) => {
  const directory = await temporary(t)
  const topics = { telemetry: { quota: '1MiB', when_full: 'drop_oldest' } }
  await writeFile(join(directory, 'wadi.yaml'), gatewayFile({ topics, upstream: { brokers: ['127.0.0.1:1'] } }))
  const process = new Process(t, ['run'], { cwd: directory })
  await process.until(({ stderr }) => (stderr.includes('"message":"ready') ? true : null))
  t.match(
    process.stderr,
    /"level":"warn","time":"[^"]*","message":"\S*wadi.yaml:\d+:\d+ topics.telemetry.when_full is drop_oldest without drop_undelivered/
  )
  process.child.kill('SIGTERM')
  t.equal((await process.exited).code, 0)
})

t.test('an address that is taken is said in words', { timeout: 60_000 }, async (t) => {
  const directory = await temporary(t)
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  t.teardown(() => other.close())
  const { port } = other.address() as { port: number }
  await writeFile(join(directory, 'wadi.yaml'), gatewayFile({ mqtt: [{ listen: `127.0.0.1:${port}` }] }))
  const process = new Process(t, ['run'], { cwd: directory })
  t.match(await process.exited, { code: 69, stderr: /cannot listen on .*EADDRINUSE[\s\S]*Nothing was written[\s\S]*choose another/ })
  t.same(await readdir(directory), ['wadi.yaml'], 'no data directory was made')
})

t.test('dev: three copyable lines, and nothing is left', { timeout: 60_000 }, async (t) => {
  const process = new Process(t, ['dev'])
  const [, directory = '', port] = await process.until(({ stdout }) =>
    stdout.includes('Ctrl-C') ? /data {2}(\S+)[\s\S]*-p (\d+)/.exec(stdout) : null
  )
  t.match(process.stdout, /mosquitto_pub -h 127\.0\.0\.1 -p \d+ [\s\S]*wadi tail --data [\s\S]*wadi status --data /)
  const client = await connect(t, Number(port))
  await client.publishAsync('any/topic/at/all', 'hello', { qos: 1 })
  const tail = await wadi(t, 'tail', '--no-follow', '-f', '%t %k %v\\n', '--data', directory)
  t.equal(tail.stdout, 'events any/topic/at/all hello\n')
  process.child.kill('SIGINT')
  t.equal((await process.exited).code, 0)
  t.notOk(existsSync(directory))
})

t.test('dev --data keeps what it stored', { timeout: 60_000 }, async (t) => {
  const directory = await temporary(t)
  const process = new Process(t, ['dev', '--data', join(directory, 'kept')])
  await process.until(({ stdout }) => (stdout.includes('Ctrl-C') ? true : null))
  process.child.kill('SIGTERM')
  t.equal((await process.exited).code, 0)
  t.ok((await readdir(join(directory, 'kept'))).includes('journal'))
})
