// Proves: damage that readers meet is told once in the log and counted in the status, also after a restart and also where the events were
// delivered before, until retention has passed it.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../gateway/config/load.ts'
import { openEdges } from '../../gateway/edges.ts'
import { openGateway } from '../../gateway/gateway.ts'
import { toOffset } from '../../runtime/base/offset.ts'
import { LogStore } from '../../runtime/log/log-store.ts'
import { event } from '../helpers/sim-store.ts'

const EVENTS = 400

/** A log of several segments, the first of which has a wrong byte in its middle. */
async function damagedDirectory(directory: string, { deliveredOffset }: { deliveredOffset: number }): Promise<void> {
  const settings = { segmentBytes: 16 * 1024, segmentBytesMin: 4 * 1024, sealBytes: 4 * 1024, defaultCodec: 'none' as const }
  const store = await LogStore.open({ ...openEdges(), directory, settings })
  const [partition] = (await store.createTopic('plant')).partitions
  if (!partition) throw new Error('no partition')
  for (let index = 0; index < EVENTS; index += 20) {
    const records = Array.from({ length: 20 }, (_, at) => ({ partition, content: { record: event(`${index + at}`.padEnd(150)) } }))
    await store.commit(records, [])
  }
  store.setDelivered(partition, toOffset(deliveredOffset))
  await store.flush()
  await store.close()
  const log = readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.log'))
    .sort()[0] as string
  const bytes = readFileSync(join(directory, log))
  bytes[bytes.byteLength >> 1] = (bytes[bytes.byteLength >> 1] ?? 0) ^ 1
  writeFileSync(join(directory, log), bytes)
}

for (const [what, deliveredOffset, wanted] of [
  ['delivered', EVENTS, /^plant-0: offsets \d+ to \d+ are damaged, the centre has them: readers pass over them \(damage\)$/],
  ['not delivered', 0, /^plant-0: offsets \d+ to \d+ are gone before they were delivered \(damage\)$/]
] as const) {
  t.test(`damage of what was ${what}`, async (t) => {
    const path = mkdtempSync(join(tmpdir(), 'wadi-damage-'))
    t.teardown(() => rmSync(path, { recursive: true, force: true }))
    const data = join(path, 'data')
    await damagedDirectory(data, { deliveredOffset })
    const lines: string[] = []
    const open = () => {
      const yaml = `{ gateway: { id: a, data: ${data} }, mqtt: [{ listen: "127.0.0.1:0" }], routes: [{ filter: "plant/#", topic: plant, key: none }] }`
      const log = (level: string, message: string): void => void (level === 'warn' && lines.push(message))
      return openGateway(loadConfig(yaml, { fileName: 'inline', environment: {} }), { log })
    }
    const count = async (gateway: Awaited<ReturnType<typeof open>>): Promise<number> => {
      let records = 0
      for await (const _ of gateway.records(['plant'], { from: 'start', follow: false })) records++
      return records
    }
    const first = await open()
    t.equal((await first.status()).storage.damagedRanges, 0, 'nobody has read it')
    const readable = await count(first)
    t.ok(readable > 0 && readable < EVENTS, `${readable} of ${EVENTS} are read`)
    t.equal(await count(first), readable)
    t.equal(lines.length, 1)
    t.match(lines[0], wanted)
    t.match((await first.status()).storage, { damagedRanges: 1, lostEvents: deliveredOffset === 0 ? EVENTS - readable : 0 })
    await first.close()
    const second = await open()
    t.equal((await second.status()).storage.damagedRanges, 1, 'it is known after a restart')
    t.equal(await count(second), readable)
    t.equal(lines.length, 1, 'and told once')
    await second.close()
  })
}
