// The control socket end to end, in a temporary directory.

import { once } from 'node:events'
import { promises } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { askControl, callControl } from '../../adapters/control/control-client.ts'
import { type ControlHandler, openControlServer } from '../../adapters/control/control-server.ts'
import { WadiError } from '../../runtime/base/errors.ts'
import { lockDirectory } from '../../runtime/io/node-lock.ts'

async function directoryOf(test: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'wadi-control-'))
  test.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

const ticking: ControlHandler = async ({ send, signal }) => {
  for (let tick = 0; !signal.aborted && (await send(tick)); tick++) await new Promise((resolve) => setImmediate(resolve))
}

t.test('a command is answered with its values in order, several clients at once', async (t) => {
  const directory = await directoryOf(t)
  const server = await openControlServer(directory, {
    count: async ({ parameters, send }) => {
      for (let value = 0; value < Number(parameters.to); value++) await send({ value })
    }
  })
  const ask = async (to: number): Promise<unknown[]> => {
    const values: unknown[] = []
    for await (const value of callControl(directory, { command: 'count', to })) values.push(value)
    return values
  }
  const [three, thousand, none] = await Promise.all([ask(3), ask(1000), ask(0)])
  t.same(three, [{ value: 0 }, { value: 1 }, { value: 2 }])
  t.equal(thousand.length, 1000)
  t.same(none, [])
  await server.close()
  t.same(await readdir(directory), [], 'the socket is gone after close')
})

t.test('a gateway that is there and does not answer is told from one that is not', async (t) => {
  const directory = await directoryOf(t)
  const server = await openControlServer(directory, { status: ({ signal }) => once(signal, 'abort').then(() => undefined) })
  const error = { code: 'WADI_UNAVAILABLE', message: /is there and did not answer within 0\.2 s/ }
  await t.rejects(askControl(directory, { command: 'status' }, { answerMsMax: 200 }), error)
  await server.close()
})

t.test('only the owner can open the socket', async (t) => {
  const directory = await directoryOf(t)
  const server = await openControlServer(directory, {})
  const { mode } = await stat(join(directory, 'wadi.sock'))
  t.equal(mode & 0o777, 0o600)
  await server.close()
})

t.test('a socket that cannot be closed to others is not left open', async (t) => {
  const directory = await directoryOf(t)
  const { chmod } = promises
  promises.chmod = () => Promise.reject(new Error('no chmod here'))
  syncBuiltinESMExports()
  try {
    await t.rejects(openControlServer(directory, {}), /no chmod here/)
  } finally {
    promises.chmod = chmod
    syncBuiltinESMExports()
  }
  const socket = createConnection(join(directory, 'wadi.sock'))
  const [error] = await once(socket, 'error')
  t.match(error, { code: /ENOENT|ECONNREFUSED/ }, 'nobody listens')
  const server = await openControlServer(directory, {})
  await server.close()
})

t.test('a WadiError of the gateway arrives with its story, another error with its message', async (t) => {
  const directory = await directoryOf(t)
  const server = await openControlServer(directory, {
    refuse: () => Promise.reject(new WadiError('WADI_TOPIC_UNKNOWN', { happened: 'No topic x.', kept: 'All.', next: 'Look.' })),
    break: () => Promise.reject(new Error('boom'))
  })
  t.teardown(() => server.close())
  await t.rejects(askControl(directory, { command: 'refuse' }), {
    code: 'WADI_TOPIC_UNKNOWN',
    story: { happened: 'No topic x.', next: 'Look.' }
  })
  await t.rejects(askControl(directory, { command: 'break' }), /boom/)
  await t.rejects(askControl(directory, { command: 'toString' }), { code: 'WADI_USAGE' })
})

t.test('hanging up ends the command', { timeout: 20_000 }, async (t) => {
  const directory = await directoryOf(t)
  const ended = withResolvers()
  const server = await openControlServer(directory, { tick: (call) => ticking(call).finally(ended.resolve) })
  t.teardown(() => server.close())
  for await (const tick of callControl(directory, { command: 'tick' })) if (tick === 5) break
  await ended.promise
})

t.test('an idle command ends when its client goes, and when the server closes', { timeout: 20_000 }, async (t) => {
  const directory = await directoryOf(t)
  const started = withResolvers()
  const ended = withResolvers()
  const wait: ControlHandler = async ({ signal, send }) => {
    await send('here')
    started.resolve()
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    ended.resolve()
  }
  const server = await openControlServer(directory, { wait })
  for await (const _ of callControl(directory, { command: 'wait' })) break
  await ended.promise
  const second = (async () => {
    for await (const _ of callControl(directory, { command: 'wait' })) await server.close()
  })()
  await second
  t.pass('both ended')
})

t.test('rubbish on the socket is refused by name and hurts nobody else', { timeout: 20_000 }, async (t) => {
  const directory = await directoryOf(t)
  const server = await openControlServer(directory, { hello: async ({ send }) => void (await send('hello')) })
  t.teardown(() => server.close())
  for (const rubbish of ['not json\n', '42\n', `${'x'.repeat(100_000)}`]) {
    const socket = createConnection(join(directory, 'wadi.sock'))
    socket.on('error', () => undefined)
    const parts: Buffer[] = []
    socket.on('data', (part: Buffer) => parts.push(part))
    socket.write(rubbish)
    await once(socket, 'close')
    t.match(Buffer.concat(parts).toString(), /WADI_USAGE/)
  }
  t.equal(await askControl(directory, { command: 'hello' }), 'hello')
})

t.test('a socket file left by a dead process is replaced; nobody there is said in words', async (t) => {
  const directory = await directoryOf(t)
  await t.rejects(askControl(directory, { command: 'x' }), { code: 'WADI_UNAVAILABLE' })
  await t.rejects(askControl(join(directory, 'absent'), { command: 'x' }), { code: 'WADI_UNAVAILABLE' })
  const first = await openControlServer(directory, {})
  const second = await openControlServer(directory, { hello: async ({ send }) => void (await send('second')) })
  t.equal(await askControl(directory, { command: 'hello' }), 'second')
  await first.close()
  await second.close()
})

t.test('a gateway that is starting has the directory and no socket yet: it is not said that none runs', async (t) => {
  const directory = await directoryOf(t)
  const lock = await lockDirectory(directory)
  await t.rejects(askControl(directory, { command: 'status' }), {
    code: 'WADI_UNAVAILABLE',
    story: { happened: /^A gateway has \S+ open and does not answer: it is still starting/ }
  })
  await lock.release()
  await t.rejects(askControl(directory, { command: 'status' }), { code: 'WADI_UNAVAILABLE', story: { happened: /^No gateway is running/ } })
})

t.test('a data directory with a long path has a control socket too', { skip: process.platform !== 'linux' }, async (t) => {
  const directory = join(await directoryOf(t), 'd'.repeat(120))
  await mkdir(directory)
  const server = await openControlServer(directory, { hello: async ({ send }) => void (await send('far')) })
  t.equal(await askControl(directory, { command: 'hello' }), 'far')
  await server.close()
  t.same(await readdir(directory), [])
})

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
