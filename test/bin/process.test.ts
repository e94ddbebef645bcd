// The process as a service manager sees it: what signals do, at any point; what a device does that fails or never answers; that
// nothing is made where nothing can be, and nothing is left behind.

import { existsSync } from 'node:fs'
import { mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { MqttClient } from 'mqtt'
import t, { type Test } from 'tap'
import type { StatusReport } from '../../gateway/status-report.ts'
import { connect, gatewayFile, Process, publish, startGateway, temporary, valuesOf, wadi } from './wadi-process.ts'

t.setTimeout(280_000)

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index)

/** Whether one more event is, before its connection is closed. */
function isAcknowledged(client: MqttClient): Promise<boolean> {
  return new Promise((resolve) => {
    client.once('close', () => resolve(false))
    publish(client, 1, 40).then(
      () => resolve(true),
      () => resolve(false)
    )
  })
}

async function failingGateway(test: Test, more: object) {
  const directory = await temporary(test)
  const trigger = join(directory, 'device-fails')
  const options = { mutation: 'device-fails', environment: { WADI_TEST_DEVICE_FAILS: trigger } }
  const start = () => startGateway(test, directory, more, options)
  return { trigger, start, running: await start() }
}

t.test('a device that fails for good ends the process with 74, and the next start serves everything', { timeout: 120_000 }, async (t) => {
  const { trigger, start, running } = await failingGateway(t, {})
  const client = await connect(t, running.port)
  await publish(client, 40)
  await writeFile(trigger, '')
  t.notOk(await isAcknowledged(client))
  const outcome = await running.process.exited
  t.match(outcome, { code: 74, signal: null })
  t.match(outcome.stderr, /WADI_LOG_FAILED[\s\S]*on_failure: exit[\s\S]*"message":"stopped"/)
  await rm(trigger)
  const again = await start()
  await publish(await connect(t, again.port), 1, 40)
  const tail = await wadi(t, 'tail', 'telemetry', '--no-follow', '-n', '1000', '--data', again.data)
  t.same(valuesOf(tail.stdout), upTo(41))
})

t.test('with on_failure: serve_reads it stays, takes no events and lets what is stored be read', { timeout: 120_000 }, async (t) => {
  const { trigger, running } = await failingGateway(t, { storage: { journal: { file_size: '4MiB' }, on_failure: 'serve_reads' } })
  const client = await connect(t, running.port)
  await publish(client, 40)
  await writeFile(trigger, '')
  t.notOk(await isAcknowledged(client))
  await running.process.until(({ stderr }) => (stderr.includes('"level":"error"') ? true : null))
  await t.rejects(connect(t, running.port), { code: 'ECONNREFUSED' }, 'nobody is listened to')
  const report = JSON.parse((await wadi(t, 'status', '--json', '--data', running.data)).stdout) as StatusReport
  t.match(report, { ingest: { listeners: [] }, storage: { failure: String } })
  const tail = await wadi(t, 'tail', 'telemetry', '--no-follow', '-n', '1000', '--data', running.data)
  t.same(valuesOf(tail.stdout), upTo(40))
  t.equal(running.process.child.exitCode, null)
  running.process.child.kill('SIGTERM')
  t.match(await running.process.exited, { code: 74, signal: null })
})

t.test('SIGHUP without TLS is told and changes nothing', { timeout: 60_000 }, async (t) => {
  const { process, port } = await startGateway(t, await temporary(t))
  const client = await connect(t, port)
  process.child.kill('SIGHUP')
  await process.until(({ stderr }) => /SIGHUP: there are no certificates to look at; nothing changed/.exec(stderr))
  await publish(client, 3)
  process.child.kill('SIGTERM')
  t.match(await process.exited, { code: 0 })
})

t.test('SIGUSR1 opens no debugger and SIGUSR2 ends nothing', { timeout: 60_000 }, async (t) => {
  const { process, port } = await startGateway(t, await temporary(t))
  const client = await connect(t, port)
  for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) {
    process.child.kill(signal)
    await process.until(({ stderr }) => new RegExp(`${signal}: it has no meaning here`).exec(stderr))
  }
  await publish(client, 3)
  process.child.kill('SIGTERM')
  const { code, stderr } = await process.exited
  t.equal(code, 0)
  t.notMatch(stderr, /Debugger|inspector/i)
})

t.test('dev: SIGHUP changes nothing, and nothing is left whatever ends it', { timeout: 120_000 }, async (t) => {
  for (const signals of [['SIGHUP', 'SIGTERM'], ['SIGINT'], ['SIGTERM', 'SIGTERM', 'SIGTERM']] as NodeJS.Signals[][]) {
    const directory = await temporary(t)
    const process = new Process(t, ['dev'], { environment: { TMPDIR: directory } })
    await process.until(({ stdout }) => (stdout.includes('Ctrl-C') ? true : null))
    t.equal((await readdir(directory)).length, 1)
    for (const signal of signals) {
      process.child.kill(signal)
      if (signal === 'SIGHUP') await process.until(({ stderr }) => (stderr.includes('SIGHUP') ? true : null))
    }
    await process.exited
    t.same(await readdir(directory, { recursive: true }), [], signals.join(', '))
  }
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  t.teardown(() => taken.close())
  const directory = await temporary(t)
  const { port } = taken.address() as { port: number }
  const process = new Process(t, ['dev', '--port', `${port}`], { environment: { TMPDIR: directory } })
  t.match(await process.exited, { code: 69 })
  t.same(await readdir(directory), [], 'an error')
})

t.test('a signal ends a start that hangs, a second one at once', { timeout: 120_000 }, async (t) => {
  const options = { mutation: 'device-fails', environment: { WADI_TEST_DEVICE_HANGS: '1' } }
  const start = async (): Promise<Process> => {
    const directory = await temporary(t)
    await writeFile(join(directory, 'wadi.yaml'), gatewayFile())
    const process = new Process(t, ['run', '-c', join(directory, 'wadi.yaml')], { ...options, cwd: directory })
    for (let turn = 0; turn < 500 && !existsSync(join(directory, 'data')); turn++) await new Promise((resolve) => setTimeout(resolve, 20))
    return process
  }
  const first = await start()
  first.child.kill('SIGTERM')
  t.match(await first.exited, { code: null, signal: 'SIGTERM', stderr: /stopping before it was ready; nothing is lost/ })
  const second = await start()
  second.child.kill('SIGTERM')
  await second.until(({ stderr }) => (stderr.includes('stopping') ? true : null))
  second.child.kill('SIGINT')
  t.match(await second.exited, { code: null, signal: 'SIGINT' })
})

t.test('a place where no directory can be is refused at once', { timeout: 120_000 }, async (t) => {
  const directory = await temporary(t)
  await writeFile(join(directory, 'file'), '')
  await symlink(join(directory, 'nowhere'), join(directory, 'dangling'))
  await mkdir(join(directory, 'there'))
  const places = [join(directory, 'file'), join(directory, 'file/x'), join(directory, 'dangling'), join(directory, 'dangling/x/y')]
  if (existsSync('/proc')) places.push('/proc/wadi', '/proc/wadi/data')
  for (const data of places) {
    await writeFile(join(directory, 'wadi.yaml'), gatewayFile({ gateway: { data } }))
    const process = new Process(t, ['run', '-c', join(directory, 'wadi.yaml')])
    t.match(await process.exited, { code: 73, stderr: /WADI_DATA_DIR_UNUSABLE/ }, data)
  }
  await writeFile(join(directory, 'wadi.yaml'), gatewayFile({ gateway: { data: 'there/a/b/../c' } }))
  const deep = new Process(t, ['run', '-c', join(directory, 'wadi.yaml')], { cwd: directory })
  await deep.until(({ stderr }) => (stderr.includes('ready') ? true : null))
  t.ok(existsSync(join(directory, 'there/a/c/journal')))
})
