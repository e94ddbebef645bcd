// kcat (librdkafka) against our listener. Only where kcat is installed: skipped by name elsewhere.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import t from 'tap'
import { Handshakes } from '../../adapters/tls/handshakes.ts'
import { createNodeCodec } from '../../runtime/io/node-codec.ts'
import { codecOf, readBatchRecords } from '../../runtime/log/batch-codec.ts'
import { loadTestCore } from '../helpers/core.ts'
import { makeSite } from '../helpers/site.ts'
import { materialOf } from '../tls/rig.ts'
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

t.test(
  'what kcat compresses is opened before it is acknowledged, and can be read by ourselves',
  { skip: existsSync(KCAT) ? false : 'kcat is not installed' },
  async (t) => {
    const centre = await startCentre(t)
    const core = loadTestCore()
    const codec = createNodeCodec()
    const lines = Array.from(
      { length: 4_000 },
      (_, index) => `{"n":${index},"celsius":${((index * 7919) % 500) / 10},"hall":"${'abc'[index % 3]}"}`
    )
    for (const name of ['gzip', 'lz4', 'snappy', 'zstd'] as const) {
      const topic = `large-${name}`
      const options = ['-X', 'enable.idempotence=true', '-X', 'linger.ms=50']
      await kcat(['-b', `127.0.0.1:${centre.port}`, '-P', '-t', topic, '-z', name, ...options], `${lines.join('\n')}\n`)
      const partition = centre.store.topics.get(topic)?.partitions[0]
      if (!partition) return t.fail(`no ${topic}`)
      const values: string[] = []
      const codecs = new Set<string | null>()
      for (let offset = partition.logStartOffset; offset < partition.lastStableOffset; ) {
        const { batches, nextOffset } = await partition.readCommitted(offset, { bytesMax: 1_000_000 })
        for (const { bytes: batch } of batches) {
          codecs.add(codecOf(batch))
          for (const { value } of (await readBatchRecords(core, codec, batch)) ?? []) values.push(Buffer.from(value ?? '').toString())
        }
        offset = nextOffset
      }
      t.same([...codecs], [name])
      t.equal(values.join(), lines.join(), `${name}: every record, in order`)
      const read = await kcat(['-b', `127.0.0.1:${centre.port}`, '-C', '-t', topic, '-o', 'beginning', '-e', '-q'])
      t.equal(read, `${lines.join('\n')}\n`, `${name}: kcat reads it back`)
    }
  }
)

t.test('kcat over TLS, with a certificate and without', { skip: existsSync(KCAT) ? false : 'kcat is not installed' }, async (t) => {
  const site = makeSite(t)
  const { certificate, key } = site.issue('historian', 'client')
  const settings = site.settings({ clientCertificates: 'required' })
  const handshakes = new Handshakes({ material: await materialOf(settings), clientCertificates: 'required' })
  const centre = await startCentre(t, { handshakes })
  const trusting = ['-b', `localhost:${centre.port}`, '-X', 'security.protocol=ssl', '-X', `ssl.ca.location=${settings.ca}`]
  const named = ['-X', `ssl.certificate.location=${site.write('c.pem', certificate)}`, '-X', `ssl.key.location=${site.write('c.key', key)}`]
  const lines = Array.from({ length: 3_000 }, (_, index) => `${index} ${'x'.repeat(index % 500)}`).join('\n')
  await kcat([...trusting, ...named, '-P', '-t', 'events', '-z', 'zstd', '-X', 'enable.idempotence=true'], `${lines}\n`)
  t.equal(await kcat([...trusting, ...named, '-C', '-t', 'events', '-o', 'beginning', '-e', '-q']), `${lines}\n`)
  t.match(await kcat([...trusting, ...named, '-L']), /ssl:\/\/localhost/)
  await t.rejects(kcat([...trusting, '-L', '-m', '2']), 'without a certificate')
  t.ok((handshakes.metrics.failed.get('no-client-certificate') ?? 0) > 0)
})
