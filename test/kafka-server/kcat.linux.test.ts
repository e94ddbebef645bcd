// kcat (librdkafka) against our listener. Only where kcat is installed: skipped by name elsewhere.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import t from 'tap'
import { startCentre } from './centre.ts'

const KCAT = '/usr/bin/kcat'

function kcat(arguments_: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(KCAT, arguments_, { timeout: 20_000 }, (error, stdout, stderr) =>
      error ? reject(new Error(`${error.message} ${stderr}`)) : resolve(stdout)
    )
    child.stdin?.end(input)
  })
}

t.test('kcat lists, produces with every codec and reads back', { skip: existsSync(KCAT) ? false : 'kcat is not installed' }, async (t) => {
  const centre = await startCentre(t)
  const broker = ['-b', `127.0.0.1:${centre.port}`]
  for (const codec of ['none', 'gzip', 'lz4', 'snappy', 'zstd']) {
    const topic = `kcat-${codec}`
    await kcat([...broker, '-P', '-t', topic, '-z', codec, '-X', 'enable.idempotence=true'], 'one\ntwo\nthree\n')
    t.equal(await kcat([...broker, '-C', '-t', topic, '-o', 'beginning', '-e', '-q']), 'one\ntwo\nthree\n', codec)
  }
  t.match(await kcat([...broker, '-L']), /topic "kcat-gzip" with 1 partitions/)
  t.equal(
    await kcat([...broker, '-G', 'group', '-q', '-e', '-X', 'auto.offset.reset=earliest', 'kcat-none']),
    'one\ntwo\nthree\n',
    'as a group'
  )
  t.match(await kcat([...broker, '-Q', '-t', 'kcat-none:0:1']), /offset 0/, 'offset by time')
})
