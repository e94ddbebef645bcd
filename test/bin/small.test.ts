// Pieces of the command line that need no gateway: arguments, help, progress, formats, the demo's ledger.

import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import t from 'tap'
import { type Command, parseCommand } from '../../bin/command.ts'
import { Ledger } from '../../bin/demo/ledger.ts'
import { isPerfect, ledgerText } from '../../bin/demo/ledger-text.ts'
import { Link } from '../../bin/demo/link.ts'
import { readEventId } from '../../bin/demo/sensors.ts'
import { EXIT, exitCodeOf } from '../../bin/exit-code.ts'
import { YoungSpace } from '../../bin/heap.ts'
import { findCommand, helpOf, helpOverview } from '../../bin/help.ts'
import { createLog } from '../../bin/log-lines.ts'
import { formatProgress, Progress } from '../../bin/progress.ts'
import { columns } from '../../bin/terminal.ts'
import { RateMeter } from '../../gateway/rate.ts'
import { isMqttFilter } from '../../gateway/tail-request.ts'
import { VERSION } from '../../gateway/version.ts'
import { type ErrorCode, errorCatalogue } from '../../runtime/base/error-catalogue.ts'
import { WadiError } from '../../runtime/base/errors.ts'
import { matchFilter, parseFilter, type RouteFilter } from '../../runtime/broker/route-filter.ts'

const signal = new AbortController().signal

const command: Command = {
  name: 'log show',
  operands: 'DIR [TOPIC]',
  operandsMin: 1,
  operandsMax: 2,
  summary: 'Show',
  options: [
    { name: 'last', short: 'n', value: 'N', doc: 'how many' },
    { name: 'json', doc: 'lines' }
  ],
  examples: ['wadi log show x'],
  run: () => Promise.resolve(0)
}

t.test('arguments: flags, values and operands, in any order', async (t) => {
  const input = parseCommand(command, ['dir', '--json', '-n', '5', 'topic'], signal)
  t.same(input.operands, ['dir', 'topic'])
  t.equal(input.flag('json'), true)
  t.equal(input.count('last', 1), 5)
  t.equal(parseCommand(command, ['dir'], signal).count('last', 7), 7)
})

t.test('wrong arguments are named, with a suggestion', async (t) => {
  const wrong = (args: string[], pattern: RegExp): unknown =>
    t.throws(() => parseCommand(command, args, signal), { code: 'WADI_USAGE', message: pattern })
  wrong(['d', '--jsno'], /no option --jsno \(did you mean --json\?\)/)
  wrong([], /needs DIR/)
  wrong(['a', 'b', 'c'], /does not know what to do with "c"/)
  wrong(['a', '-x'], /^[^']* has no option -x\.[^']*$/)
  wrong(['a', '--last'], /-n needs a value: -n N\./)
  wrong(['a', '-n', '-5'], /-n needs a value, and "-5" looks like an option\..*write --last=-5/)
  wrong(['a', '--json=x'], /--json takes no value/)
  t.throws(() => parseCommand(command, ['a', '--last', 'many'], signal).count('last', 0), {
    message: /--last is "many", expected a whole number/
  })
})

t.test('commands are found by one word or two; a slip gets a suggestion', async (t) => {
  t.equal(findCommand([command], ['log', 'show', 'x']).command, command)
  t.same(findCommand([command], ['log', 'show', 'x']).rest, ['x'])
  t.throws(() => findCommand([command], ['log']), { message: /"wadi log" is not a command.*Use "wadi log show"/ })
  t.throws(() => findCommand([{ ...command, name: 'status' }], ['statsu']), { message: /Did you mean "wadi status"/ })
  t.throws(() => findCommand([command], ['zzz']), { message: /"wadi help" lists/ })
  t.match(helpOverview([command, { ...command, name: 'secret', isHidden: true }], '1'), /wadi log show DIR/)
  t.notMatch(helpOverview([command, { ...command, name: 'secret', isHidden: true }], '1'), /secret/)
  t.match(helpOf([command], ['log', 'show']), /-n, --last N {2}how many/)
  const group = [command, { ...command, name: 'log verify' }, { ...command, name: 'log secret', isHidden: true }]
  t.match(
    helpOf(group, ['log']),
    /^wadi log\n\n {2}wadi log show DIR .*\n {2}wadi log verify DIR .*\n\n"wadi help log show" tells more\.\n$/
  )
  t.throws(() => helpOf(group, ['lgo']), { code: 'WADI_USAGE' })
})

t.test('the version is that of package.json', async (t) => {
  let directory = import.meta.dirname
  while (!existsSync(join(directory, 'package.json'))) directory = dirname(directory)
  t.equal(VERSION, JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')).version)
})

t.test('every error code has an exit code other than 0', async (t) => {
  for (const code of Object.keys(errorCatalogue) as ErrorCode[]) {
    const exit = exitCodeOf(new WadiError(code, { happened: '', kept: '', next: '' }))
    t.ok(Number.isInteger(exit) && exit > 0, code)
  }
  t.equal(exitCodeOf(new Error('bug')), EXIT.software)
})

t.test('progress: a bar with rate and ETA on a terminal, a line every ten seconds elsewhere', async (t) => {
  t.equal(
    formatProgress('verify', 'bytes', { done: 1.9 * 2 ** 30, total: 3 * 2 ** 30 }, 88 * 2 ** 20),
    'verify  [=============>        ]  63%  1.9 GiB of 3.0 GiB  88.0 MiB/s  ETA 13 s'
  )
  t.match(formatProgress('x', 'events', { done: 0, total: 10 }, 0), /0%.*0 of 10 events {2}ETA unknown/)
  t.match(formatProgress('x', 'events', { done: 0, total: 0 }, 0), /100%/)
  let nowMs = 0
  const run = (isTTY: boolean): string[] => {
    const written: string[] = []
    const progress = new Progress({ label: 'x', unit: 'events', stream: { isTTY, write: (text) => written.push(text) }, now: () => nowMs })
    for (let done = 0; done <= 250; done++, nowMs += 100) progress.update({ done, total: 250 })
    progress.finish({ done: 250, total: 250 })
    return written
  }
  const lines = run(false)
  t.equal(lines.length, 2, 'ten and twenty seconds')
  t.match(lines[0], /100 of 250 events {2}10\/s {2}ETA 15 s\n$/)
  const bars = run(true)
  t.ok(bars.length > 200)
  t.match(bars.at(-2), /^\r.*250 of 250/)
  t.equal(bars.at(-1), '\n')
})

t.test('MQTT filters match as MQTT says', async (t) => {
  for (const [filter, topic, matches] of [
    ['plant/+/temp', 'plant/a/temp', true],
    ['plant/+/temp', 'plant/a/b/temp', false],
    ['plant/#', 'plant', true],
    ['plant/#', 'plant/a/b', true],
    ['#', 'x', true],
    ['a/b', 'a/b/c', false],
    ['a/b/c', 'a/b', false],
    ['+', '', true]
  ] as const) {
    t.equal(matchFilter(parseFilter(filter) as RouteFilter, topic.split('/')) !== null, matches, `${filter} ${topic}`)
  }
  t.equal(isMqttFilter('telemetry'), false)
  t.equal(isMqttFilter('a/b'), true)
})

t.test('a line that repeats is counted, not written', async (t) => {
  const lines: string[] = []
  let nowMs = 0
  const log = createLog({ isJson: true, write: (text) => void lines.push(text), nowMs: () => nowMs })
  for (let turn = 0; turn < 5; turn++, nowMs += 1000) log('warn', 'same', { turn })
  log('info', 'other')
  log('info', 'other')
  log('info', 'last')
  t.same(
    lines.map((line) => JSON.parse(line).message),
    ['same', 'the line before came 4 more times', 'other', 'the line before came once more', 'last']
  )
  t.match(JSON.parse(lines[0] ?? ''), { level: 'warn', turn: 0, time: '1970-01-01T00:00:00.000Z' })
})

t.test('text from devices in a log line is no second line and no escape', async (t) => {
  for (const isJson of [true, false]) {
    const lines: string[] = []
    createLog({ isJson, write: (text) => void lines.push(text), nowMs: () => 0 })('warn', 'client a\nerror forged\u009b2J\u202e', {
      who: '\u202ea'
    })
    t.match(lines, [/^[ -~]*client a(\\n|\\u000a)error forged\\u009b2J\\u202e[ -~]*\n$/])
  }
})

t.test('a flood of lines is cut and counted; errors always come through', async (t) => {
  const lines: string[] = []
  let nowMs = 0
  const log = createLog({ isJson: true, write: (text) => void lines.push(JSON.parse(text).message), nowMs: () => nowMs })
  for (let turn = 0; turn < 500; turn++) log('warn', `line ${turn}`)
  log('error', 'disk')
  t.equal(lines.length, 201)
  t.equal(lines.at(-1), 'disk')
  nowMs = 10_000
  log('info', 'later')
  t.same(lines.slice(-2), ['301 lines were left out: too many at once', 'later'])
})

t.test('a table is aligned, colours take no room', async (t) => {
  const red = '\u001b[31m7\u001b[0m'
  t.equal(
    columns(
      [
        ['a', '10', 'x'],
        ['bcd', red, 'yy']
      ],
      { rightAligned: [1], indent: '> ' }
    ),
    `> a    10  x\n> bcd   ${red}  yy`
  )
})

t.test('a rate covers the last ten seconds', async (t) => {
  const meter = new RateMeter()
  t.equal(meter.perSecond(0, 0), 0)
  for (let second = 0; second <= 30; second++) meter.sample(second * 1000, second < 20 ? 0 : (second - 20) * 50)
  t.equal(meter.perSecond(30_000, 500), 50)
})

t.test('the ledger finds what is lost, doubled, invented and out of order', async (t) => {
  const ledger = new Ledger()
  for (const sequence of [0, 1, 2, 3, 4]) ledger.sent(`s/${sequence}`)
  for (const sequence of [0, 1, 2]) ledger.acknowledged(`s/${sequence}`)
  ledger.unknown('s/3')
  ledger.unknown('s/2')
  ledger.acknowledged('s/3')
  for (const sequence of [0, 2, 1, 1, 3]) ledger.delivered(`s/${sequence}`, 's', sequence)
  ledger.delivered('x/9', 'x', 9)
  t.same(ledger.verdict(), {
    sent: 5,
    acknowledged: 3,
    unknown: 2,
    unknownDelivered: 1,
    delivered: 6,
    lost: 0,
    duplicated: 1,
    invented: 1,
    disordered: 1
  })
  t.equal(isPerfect(ledger.verdict(), 6), false)
})

t.test('books that balance are green, a lost event is not', async (t) => {
  const balanced = new Ledger()
  for (const sequence of [0, 1]) balanced.sent(`s/${sequence}`)
  balanced.acknowledged('s/0')
  balanced.unknown('s/1')
  balanced.delivered('s/0', 's', 0)
  t.equal(isPerfect(balanced.verdict(), 1), true, 'an unknown event may be missing')
  t.match(ledgerText(balanced.verdict(), 1), /lost 0, duplicated 0/)
  t.equal(isPerfect(balanced.verdict(), 2), false, 'stored must be delivered')
  const lossy = new Ledger()
  lossy.sent('s/0')
  lossy.acknowledged('s/0')
  t.equal(lossy.verdict().lost, 1)
  t.equal(isPerfect(lossy.verdict(), 0), false)
  t.match(ledgerText(lossy.verdict(), 0), /do not balance/)
  t.equal(isPerfect(new Ledger().verdict(), 0), false, 'nothing sent proves nothing')
})

t.test('an event names its sensor and sequence; anything else does not', async (t) => {
  t.same(readEventId(Buffer.from('{"id":"press-01/12"}')), { id: 'press-01/12', sensor: 'press-01', sequence: 12 })
  for (const other of ['', '{}', '{"id":5}', '{"id":"a"}', 'null']) t.equal(readEventId(Buffer.from(other)), null, other)
  t.equal(readEventId(null), null)
})

t.test("the demo's link carries every byte in order, also slowly, and can be cut", { timeout: 30_000 }, async (t) => {
  const { connect } = await import('node:net')
  const echo = createServer((socket) => socket.on('error', () => undefined).pipe(socket))
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve))
  t.teardown(() => echo.close())
  const address = echo.address() as { port: number }
  for (const bytesPerSecond of [null, 2_000_000]) {
    const link = await Link.open({ bytesPerSecond, target: { host: '127.0.0.1', port: address.port } })
    const socket = connect(link.port, '127.0.0.1')
    const sent = Buffer.from(Array.from({ length: 200_000 }, (_, index) => index % 251))
    socket.write(sent)
    let received = Buffer.alloc(0)
    await new Promise<void>((resolve) => {
      socket.on('data', (part: Buffer) => {
        received = Buffer.concat([received, part])
        if (received.byteLength === sent.byteLength) resolve()
      })
    })
    t.ok(received.equals(sent), `at ${bytesPerSecond} bytes per second`)
    t.equal(link.carriedBytes, 400_000)
    const closed = new Promise<string>((resolve) => socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? '')))
    link.cut()
    t.equal(await closed, 'ECONNRESET')
    const refused = connect(link.port, '127.0.0.1')
    t.equal(await new Promise((resolve) => refused.once('error', (error: NodeJS.ErrnoException) => resolve(error.code))), 'ECONNRESET')
    link.restore()
    const again = connect(link.port, '127.0.0.1')
    again.write('x')
    await new Promise((resolve) => again.once('data', resolve))
    again.destroy()
    await link.close()
  }
})

t.test('the young space grows while many events come in, and not otherwise', async (t) => {
  const flags: string[] = []
  const space = new YoungSpace((flag) => flags.push(flag))
  for (const count of [0, 2_000, 4_001, 12_000, 12_100, 12_100]) space.look(count)
  t.same(flags, ['--semi-space-growth-factor=1', '--semi-space-growth-factor=2', '--semi-space-growth-factor=1'])
})
