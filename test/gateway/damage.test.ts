// Proves: damage that readers meet is told once in the log and counted in the status, also after a restart and also where the events were
// delivered before, until retention has passed it.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../gateway/config/load.ts'
import { openGateway } from '../../gateway/gateway.ts'
import type { MissingRange } from '../../gateway/tail-cursor.ts'
import { damagedDirectory } from '../helpers/damaged-directory.ts'

const EVENTS = 400

for (const [what, deliveredOffset, wanted] of [
  ['delivered', EVENTS, /^plant-0: offsets \d+ to \d+ are damaged, the centre has them: readers pass over them \(damage\)$/],
  ['not delivered', 0, /^plant-0: offsets \d+ to \d+ are gone before they were delivered \(damage\)$/]
] as const) {
  t.test(`damage of what was ${what}`, async (t) => {
    const path = mkdtempSync(join(tmpdir(), 'wadi-damage-'))
    t.teardown(() => rmSync(path, { recursive: true, force: true }))
    const data = join(path, 'data')
    await damagedDirectory(data, { events: EVENTS, deliveredOffset })
    const lines: string[] = []
    const open = () => {
      const yaml = `{ gateway: { id: a, data: ${data} }, mqtt: [{ listen: "127.0.0.1:0" }], topics: { plant: { retention: forever } }, routes: [{ filter: "plant/#", topic: plant, key: none }] }`
      const log = (level: string, message: string): void => void (level === 'warn' && lines.push(message))
      return openGateway(loadConfig(yaml, { fileName: 'inline', environment: {} }), { log })
    }
    let missing = 0
    const count = async (gateway: Awaited<ReturnType<typeof open>>): Promise<number> => {
      let records = 0
      missing = 0
      const onMissing = (range: MissingRange): void => void (missing += range.endOffset - range.startOffset)
      for await (const _ of gateway.records(['plant'], { from: 'start', follow: false, onMissing })) records++
      return records
    }
    const first = await open()
    t.equal((await first.status()).storage.damagedRanges, 0, 'nobody has read it')
    const readable = await count(first)
    t.ok(readable > 0 && readable < EVENTS, `${readable} of ${EVENTS} are read`)
    t.equal(missing, EVENTS - readable, 'what is missing is told to whoever reads')
    t.match((await first.status()).topics, [{ name: '_wadi.dlq' }, { name: 'plant', events: readable }], 'and is not counted as stored')
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
