// wadi config check as scripts and people call it: files, a pipe, a directory, JSON lines, and --deep against this machine.

import { spawnSync } from 'node:child_process'
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { gatewayFile, startGateway, temporary } from './wadi-process.ts'

const WADI = fileURLToPath(new URL('../../bin/wadi.js', import.meta.url))

function check(
  directory: string,
  args: readonly string[],
  input = '',
  as: { uid?: number; gid?: number } = {}
): { code: number | null; stdout: string; stderr: string } {
  // Another user may not write where the hooks of the test runner write: they come to a child by NODE_OPTIONS.
  const without = as.uid === undefined ? [] : ['sh', '-c', 'unset NODE_OPTIONS; exec "$0" "$@"']
  const [program = '', ...rest] = [...without, process.execPath, WADI, 'config', 'check', ...args]
  const { status, stdout, stderr } = spawnSync(program, rest, { cwd: directory, input, encoding: 'utf8', ...as })
  return { code: status, stdout, stderr }
}

const linesOf = (stdout: string): Record<string, unknown>[] =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

t.test('check - reads what is piped in', async (t) => {
  const directory = await temporary(t)
  t.match(check(directory, ['-'], gatewayFile()), { code: 0, stdout: '(stdin) is right: 1 routes, 1 topics, upstream not set\n' })
  t.same(check(directory, ['-'], 'mqtt: [{ listen: 1 }]\nroutes: [{ filter: "#", topic: a, key: none }]\n'), {
    code: 78,
    stdout: '(stdin):1:18 mqtt[0].listen is "1", expected host:port, for example 127.0.0.1:1\n1 problem\n',
    stderr: ''
  })
})

t.test('--json: every object names its file, and the last one says whether the file is right', async (t) => {
  const directory = await temporary(t)
  await writeFile(join(directory, 'good.yaml'), gatewayFile())
  await writeFile(
    join(directory, 'bad.yaml'),
    'mqtt: [{ listen: "127.0.0.1:0", auth: {} }]\nroutes: [{ filter: "#", topic: a, key: plain }]\n'
  )
  const good = check(directory, ['--json', 'good.yaml'])
  t.equal(good.code, 0)
  t.same(linesOf(good.stdout), [{ ok: true, file: 'good.yaml', problems: 0, warnings: 0 }])
  const bad = check(directory, ['--json', 'bad.yaml'])
  t.equal(bad.code, 78)
  t.match(linesOf(bad.stdout), [
    { file: 'bad.yaml', path: 'mqtt[0].auth', message: 'is not in this version of Wadi', place: { line: 1, column: 33 }, isWarning: false },
    { file: 'bad.yaml', path: 'routes[0].key', isWarning: true },
    { ok: false, file: 'bad.yaml', problems: 1, warnings: 1 }
  ])
  await writeFile(
    join(directory, 'note.yaml'),
    gatewayFile({ upstream: { brokers: ['127.0.0.1:1'] }, topics: { telemetry: { drop_undelivered: true } } })
  )
  const noted = check(directory, ['--json', 'note.yaml'])
  t.equal(noted.code, 0)
  t.match(linesOf(noted.stdout), [
    { path: 'topics.telemetry.drop_undelivered', isWarning: true, isNote: true },
    { ok: true, problems: 0, warnings: 0 }
  ])
  t.match(
    check(directory, ['note.yaml']).stdout,
    /^note: note\.yaml:1:\d+ topics\.telemetry\.drop_undelivered is true[^\n]*\nnote\.yaml is right: /
  )
  const absent = check(directory, ['--json', 'absent.yaml'])
  t.equal(absent.code, 78)
  t.match(JSON.parse(absent.stderr), { level: 'error', code: 'WADI_CONFIG_INVALID' })
})

t.test('a directory is no configuration: the file in it is named', async (t) => {
  const directory = await temporary(t)
  await mkdir(join(directory, 'etc'))
  t.match(check(directory, ['etc']), { code: 64, stderr: /etc is a directory\.[\s\S]*Name the file in it\./ })
  await writeFile(join(directory, 'etc', 'wadi.yaml'), gatewayFile())
  t.match(check(directory, ['etc']), { code: 64, stderr: /Did you mean etc\/wadi\.yaml\?/ })
})

t.test('--deep looks at the data directory, the addresses and the brokers, and writes nothing', { timeout: 120_000 }, async (t) => {
  const directory = await temporary(t)
  const deep = async (more: object): Promise<{ code: number | null; lines: string[] }> => {
    await writeFile(join(directory, 'deep.yaml'), gatewayFile(more))
    const { code, stdout } = check(directory, ['--deep', 'deep.yaml'])
    return { code, lines: stdout.trim().split('\n') }
  }
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  t.teardown(() => taken.close())
  const busyPort = (taken.address() as { port: number }).port
  const closed = createServer()
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve))
  const freePort = (closed.address() as { port: number }).port
  await new Promise((resolve) => closed.close(resolve))

  t.match(await deep({ mqtt: [{ listen: `127.0.0.1:${freePort}` }] }), {
    code: 0,
    lines: [
      /^good {2}gateway\.data {4}\S+data is not there yet, and \S+ can be written: the directory is made at the first start \(.* free\)$/,
      new RegExp(`^good  mqtt\\[0\\]\\.listen  127\\.0\\.0\\.1:${freePort} is free$`),
      /^deep\.yaml is right/
    ]
  })
  t.same(await readdir(directory), ['deep.yaml'])
  await writeFile(join(directory, 'file'), '')
  t.match(await deep({ gateway: { data: 'file/data' } }), { code: 73, lines: [/^PROBLEM {2}gateway\.data .*file is not a directory$/] })
  t.match(await deep({ mqtt: [{ listen: `127.0.0.1:${busyPort}` }, { listen: '192.0.2.1:1883', insecure: true }] }), {
    code: 69,
    lines: [/./, /^PROBLEM {2}mqtt\[0\]\.listen .* is taken by another process$/, /^PROBLEM .* is no address of this machine$/]
  })
  t.match(await deep({ upstream: { brokers: [`127.0.0.1:${freePort}`, 'nobody.invalid:9092'] } }), {
    code: 69,
    lines: [/./, /./, /^PROBLEM .* does not answer: nothing listens there/, /^PROBLEM .* does not answer: .*nobody\.invalid/]
  })
  t.match(await deep({ control: { group: `${process.getegid?.()}` } }), {
    code: 0,
    lines: [/./, /^good {2}control\.group {3}members of \d+ may ask the gateway$/]
  })
  const running = await startGateway(t, directory, { kafka: { listen: '127.0.0.1:0' } })
  const kafkaPort = await running.process.until(({ stderr }) => /Kafka on 127\.0\.0\.1:(\d+)/.exec(stderr)?.[1])
  t.match(
    await deep({
      mqtt: [{ listen: `127.0.0.1:${running.port}` }],
      upstream: { brokers: [`127.0.0.1:${freePort}`, `127.0.0.1:${kafkaPort}`] }
    }),
    {
      code: 0,
      lines: [
        /^warning {2}gateway\.data .* is in use: a gateway runs in it/,
        /^warning {2}mqtt\[0\]\.listen .* is taken, perhaps by the gateway that runs$/,
        /^warning {2}upstream\.brokers\[0\] .* does not answer/,
        /^good .* answers as a Kafka broker does$/
      ]
    },
    'beside the gateway, with one broker of two'
  )
  await writeFile(join(directory, 'deep.yaml'), gatewayFile({ mqtt: [{ listen: `127.0.0.1:${busyPort}` }] }))
  running.process.child.kill('SIGKILL')
  await running.process.exited
  t.match(linesOf(check(directory, ['--deep', '--json', 'deep.yaml']).stdout), [
    { file: 'deep.yaml', path: 'gateway.data', severity: 'good' },
    { file: 'deep.yaml', path: 'mqtt[0].listen', severity: 'problem' },
    { ok: false, file: 'deep.yaml', problems: 1, warnings: 0 }
  ])
})

t.test('--deep finds a cluster that answers and names brokers which nobody can reach', { timeout: 120_000 }, async (t) => {
  const directory = await temporary(t)
  const running = await startGateway(t, directory, { kafka: { listen: '127.0.0.1:0', advertised: '127.0.0.1:1' } }) // nothing listens at port 1
  const kafkaPort = await running.process.until(({ stderr }) => /Kafka on 127\.0\.0\.1:(\d+)/.exec(stderr)?.[1])
  await writeFile(
    join(directory, 'deep.yaml'),
    gatewayFile({ gateway: { id: 'a', data: 'other' }, upstream: { brokers: [`127.0.0.1:${kafkaPort}`] } })
  )
  const { code, stdout } = check(directory, ['--deep', 'deep.yaml'])
  t.equal(code, 69)
  t.match(stdout, /good +upstream\.brokers\[0\] .* answers as a Kafka broker does/)
  t.match(
    stdout,
    /PROBLEM +upstream\.brokers\[0\] +says that the cluster is to be reached at 127\.0\.0\.1:1, which does not answer: nothing listens there .*advertised\.listeners/
  )
  t.match(stdout, /deep\.yaml is right, and this machine has not what it asks for/)
})

t.test(
  '--deep as a user that no file knows, as containers have them',
  { skip: process.geteuid?.() !== 0 && 'only root may become somebody else' },
  async (t) => {
    const directory = await temporary(t)
    await chmod(directory, 0o755)
    const { code, stdout, stderr } = check(directory, ['--deep', '-'], gatewayFile(), { uid: 4_242_421, gid: 4_242_421 })
    t.match(
      { code, stdout, stderr },
      { code: 73, stdout: /^PROBLEM {2}gateway\.data .* may not be written by the user 4242421\n/, stderr: '' }
    )
  }
)
