// Proves that the built package works inside another program: imported by its name, with types, by nothing but what `files` of package.json
// ships; that several gateways live in one process; and that a gateway that is closed leaves nothing behind.

import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import mqtt from 'mqtt'
import t, { type Test } from 'tap'
import type { SessionQuery } from '../../adapters/mqtt/session-facts.ts'
import { loadConfig } from '../../gateway/config/load.ts'
import type { Gateway } from '../../gateway/contract.ts'
import { openGateway } from '../../gateway/gateway.ts'
import type { LogLevel } from '../../gateway/log.ts'

const run = promisify(execFile)
const root = resolve('.')

function directory(test: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'wadi-embed-'))
  test.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

function open(data: string, id: string, options: Parameters<typeof openGateway>[1] = {}): Promise<Gateway> {
  const yaml = `{ gateway: { id: ${id}, data: ${data} }, mqtt: [{ listen: "127.0.0.1:0" }], routes: [{ filter: "plant/#", topic: plant, key: none }] }`
  return openGateway(loadConfig(yaml, { fileName: 'inline', environment: {} }), options)
}

async function publish(gateway: Gateway, values: readonly string[]): Promise<void> {
  const client = await mqtt.connectAsync(`mqtt://${gateway.addresses.mqtt[0]}`)
  for (const value of values) await client.publishAsync('plant/oven', value, { qos: 1 })
  await client.endAsync()
}

async function read(gateway: Gateway): Promise<string[]> {
  const values: string[] = []
  for await (const { record } of gateway.records(['plant'], { from: 'start', follow: false }))
    values.push(Buffer.from(record.value ?? []).toString())
  return values
}

t.test('a program of its own imports the package by its name, with types, and reads what was published', async (t) => {
  const path = directory(t)
  const modules = join(path, 'node_modules')
  mkdirSync(join(modules, 'wadi'), { recursive: true })
  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as { files: string[]; dependencies: Record<string, string> }
  for (const file of ['package.json', ...manifest.files.filter((file) => file !== 'dist/types')])
    cpSync(join(root, file), join(modules, 'wadi', file), { recursive: true })
  await run(process.execPath, [
    'node_modules/typescript/bin/tsc',
    '-p',
    'tsconfig.types.json',
    '--outDir',
    join(modules, 'wadi/dist/types')
  ])
  for (const name of [...Object.keys(manifest.dependencies), '@types']) symlinkSync(join(root, 'node_modules', name), join(modules, name))
  writeFileSync(join(path, 'package.json'), '{"type":"module"}')
  const program = /```ts\n(.*?)```/s.exec(readFileSync('README.md', 'utf8'))?.[1] ?? ''
  t.match(program, /openGateway/, 'the program is the one of the README')
  writeFileSync(join(path, 'program.ts'), program)
  const compilerOptions = {
    target: 'ES2022',
    module: 'NodeNext',
    strict: true,
    types: ['node'],
    outDir: 'out',
    rootDir: '.',
    skipLibCheck: false
  }
  writeFileSync(join(path, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }))
  const built = await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', path]).catch(
    (error: { stdout: string }) => error
  )
  t.equal(built.stdout, '', 'compiles')
  const { stdout, stderr } = await run(process.execPath, [join(path, 'out/program.js')], { cwd: path, timeout: 30_000 })
  t.equal(stdout, '20.5\n21.0\n')
  t.equal(stderr, '', 'a gateway prints nothing by itself')
})

t.test('two gateways live in one process and know nothing of each other', async (t) => {
  const path = directory(t)
  const first = await open(join(path, 'a'), 'a')
  const second = await open(join(path, 'b'), 'b')
  await Promise.all([publish(first, ['a1', 'a2']), publish(second, ['b1'])])
  t.same(await read(first), ['a1', 'a2'])
  t.same(await read(second), ['b1'])
  await first.close()
  await publish(second, ['b2'])
  t.same(await read(second), ['b1', 'b2'])
  t.equal((await second.status()).gateway.id, 'b')
  await second.close()
})

t.test('following ends with its signal, and with break; what is said goes to the log that was given', async (t) => {
  const lines: [LogLevel, string][] = []
  const gateway = await open(join(directory(t), 'data'), 'g', { log: (level, message) => void lines.push([level, message]) })
  t.match(lines.at(-1), ['info', /^ready: /])
  await publish(gateway, ['first'])
  const stop = new AbortController()
  const seen: string[] = []
  const following = (async () => {
    for await (const { record } of gateway.records(['plant'], { from: 'start', signal: stop.signal })) {
      seen.push(Buffer.from(record.value ?? []).toString())
      if (seen.length === 2) stop.abort()
    }
  })()
  await publish(gateway, ['second'])
  await following
  t.same(seen, ['first', 'second'])
  for await (const { topicName } of gateway.records([], { from: 'start' })) {
    t.equal(topicName, 'plant')
    break
  }
  await t.rejects(gateway.records(['plnt']).next(), { code: 'WADI_TOPIC_UNKNOWN' })
  await gateway.close()
})

t.test('a gateway that cannot be opened leaves nothing open', async (t) => {
  const path = directory(t)
  const first = await open(join(path, 'a'), 'a')
  await t.rejects(open(join(path, 'a'), 'a'), { code: /WADI_DATA_DIR/ })
  await first.close()
  const again = await open(join(path, 'a'), 'a')
  t.same(await read(again), [])
  await again.close()
})

t.test('a gateway that is started twice is told so, also when its address is met first', async (t) => {
  const path = directory(t)
  const first = await open(join(path, 'a'), 'a')
  const at = (data: string): string =>
    `{ gateway: { id: a, data: ${data} }, mqtt: [{ listen: "${first.addresses.mqtt[0]}" }], routes: [{ filter: "plant/#", topic: plant, key: none }] }`
  const start = (data: string): Promise<Gateway> => openGateway(loadConfig(at(data), { fileName: 'inline', environment: {} }))
  await t.rejects(start(join(path, 'a')), { code: 'WADI_DATA_DIR_LOCKED' })
  await t.rejects(start(join(path, 'b')), { code: 'WADI_UNAVAILABLE', message: /EADDRINUSE/ })
  t.notOk(existsSync(join(path, 'b')), 'nothing was written')
  await publish(first, ['still there'])
  t.same(await read(first), ['still there'])
  await first.close()
})

t.test('a topic that an event makes is told once', async (t) => {
  const lines: string[] = []
  const yaml = `{ gateway: { id: a, data: ${join(directory(t), 'data')} }, mqtt: [{ listen: "127.0.0.1:0" }], routes: [{ filter: "plant/+line", topic: "line-{line}", key: none }] }`
  const log = (_: LogLevel, message: string): void => void lines.push(message)
  const gateway = await openGateway(loadConfig(yaml, { fileName: 'inline', environment: {} }), { log })
  await publish(gateway, ['1', '2'])
  t.same(
    lines.filter((line) => line.startsWith('made topic line-')),
    ['made topic line-oven with 1 partition, for an event of a route']
  )
  await gateway.close()
})

t.test('MQTT sessions are looked at, and ended', async (t) => {
  const lines: string[] = []
  const gateway = await open(join(directory(t), 'data'), 'g', { log: (_, message) => void lines.push(message) })
  const address = `mqtt://${gateway.addresses.mqtt[0]}`
  for (const clientId of ['b', 'a']) {
    const client = await mqtt.connectAsync(address, { clientId, clean: false })
    await client.subscribeAsync('plant/#', { qos: 1 })
    await client.endAsync()
  }
  await publish(gateway, ['one'])
  const ids = async (query?: SessionQuery): Promise<string[]> => {
    const found: string[] = []
    for await (const { clientId } of gateway.sessions(query)) found.push(clientId)
    return found
  }
  t.same(await ids({ topic: 'plant/oven', isConnected: false }), ['a', 'b'])
  t.same(await ids({ topic: 'other' }), [])
  await t.rejects(ids({ topic: 'plant/+' }), { code: 'WADI_USAGE' })
  t.match(await gateway.session('a'), { queuedMessages: 1, filters: [{ filter: 'plant/#', qos: 1 }] })
  t.match(await gateway.endSession('a'), { clientId: 'a', queuedMessages: 1, isConnected: false })
  t.ok(lines.includes('ended the session of a, as it was asked to, with 1 subscriptions and 1 messages that waited'))
  await t.rejects(gateway.session('a'), { code: 'WADI_SESSION_UNKNOWN', message: /"a"/ })
  await t.rejects(gateway.endSession('a'), { code: 'WADI_SESSION_UNKNOWN' })
  t.same(await ids({ pattern: 'b' }), ['b'])
  await gateway.close()
})
