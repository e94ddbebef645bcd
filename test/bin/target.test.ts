// Proves for bin/target.ts: a command that needs to know which gateway is meant finds its configuration where it may be, and else says where it looked.

import { join } from 'node:path'
import t from 'tap'
import { Process, startGateway, temporary } from './wadi-process.ts'

t.setTimeout(120_000)

t.test('without a configuration it is said where it was looked for', async (t) => {
  const cwd = await temporary(t)
  for (const command of ['status', 'tail']) {
    const environment = { WADI_CONFIG: '', WADI_DATA: '' }
    t.match(await new Process(t, [command], { cwd, environment }).exited, {
      code: 64,
      stderr:
        /There is no configuration[\s\S]*neither \.\/wadi\.yaml nor \/etc\/wadi\/wadi\.yaml, and WADI_CONFIG is not set[\s\S]*-c FILE[\s\S]*--data DIR/
    })
  }
})

t.test('WADI_CONFIG names it, for every command; WADI_DATA names the directory', async (t) => {
  const directory = await temporary(t)
  const { data } = await startGateway(t, directory)
  const cwd = await temporary(t)
  const file = join(directory, 'wadi.yaml')
  const outcome = (args: string[], environment: Record<string, string>) => new Process(t, args, { cwd, environment }).exited
  t.match(await outcome(['status'], { WADI_CONFIG: file }), { code: 0, stdout: /cli-test/ })
  t.match(await outcome(['config', 'check'], { WADI_CONFIG: file }), { code: 0, stdout: /wadi\.yaml is right/ })
  t.match(await outcome(['run'], { WADI_CONFIG: file }), { code: 73, stderr: /WADI_DATA_DIR_LOCKED/ })
  t.match(await outcome(['status'], { WADI_CONFIG: '', WADI_DATA: data }), { code: 0, stdout: /cli-test/ })
  t.match(await outcome(['status'], { WADI_CONFIG: join(directory, 'absent.yaml') }), { code: 78, stderr: /absent\.yaml/ })
})

t.test('dev takes the port of MQTT, or the next one that is free, and says how to subscribe', async (t) => {
  const start = async (): Promise<number> => {
    const process = new Process(t, ['dev'])
    const [, port] = await process.until(({ stdout }) =>
      stdout.includes('Ctrl-C') ? /mosquitto_sub -h 127\.0\.0\.1 -p (\d+) -v -t '#'/.exec(stdout) : null
    )
    return Number(port)
  }
  const first = await start()
  const second = await start()
  t.ok(first >= 1883 && first < second && second <= 1983, `${first}, ${second}`)
})
