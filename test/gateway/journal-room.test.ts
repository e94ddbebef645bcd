// Proves: a disk that cannot hold the journal and what is kept free is told by the start and by `wadi config check --deep`, with what to lower.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { deepCheck } from '../../bin/deep-check.ts'
import { loadConfig } from '../../gateway/config/load.ts'
import type { Config } from '../../gateway/config/schema.ts'
import { openEdges } from '../../gateway/edges.ts'
import { openGateway } from '../../gateway/gateway.ts'
import type { Disk } from '../../runtime/io/disk.ts'

const MIB = 2 ** 20

function configIn(test: Test, file_size: string): Config {
  const path = mkdtempSync(join(tmpdir(), 'wadi-room-'))
  test.teardown(() => rmSync(path, { recursive: true, force: true }))
  const yaml = `{ gateway: { id: a, data: ${join(path, 'data')} }, mqtt: [{ listen: "127.0.0.1:0" }],
    storage: { journal: { file_size: ${file_size} } }, routes: [{ filter: "#", topic: plant, key: none }] }`
  return loadConfig(yaml, { fileName: 'inline', environment: {} })
}

/** This machine's disk, with so much room on it. */
function diskWith(freeMib: number): Disk {
  const { disk } = openEdges()
  return {
    ...disk,
    freeBytes: async (path) => {
      await disk.freeBytes(path)
      return freeMib * MIB
    }
  }
}

async function dataFinding(config: Config, freeMib: number): Promise<{ severity: string; message: string } | undefined> {
  for await (const finding of deepCheck(config, diskWith(freeMib))) if (finding.path === 'gateway.data') return finding
}

t.test('--deep adds up the journal that is still to be made and what is kept free', async (t) => {
  const config = configIn(t, '32MiB')
  t.match(await dataFinding(config, 128), { severity: 'good' }, 'exactly enough')
  t.match(await dataFinding(config, 24), {
    severity: 'warning',
    message:
      /is not there yet.*: 64\.0 MiB are still to be set aside for the journal and 64\.0 MiB are kept free, together 128\.0 MiB, and 24\.0 MiB are free on the disk: events are refused then\. Lower storage\.journal\.file_size/
  })
  mkdirSync(join(config.gateway.data, 'journal'), { recursive: true })
  writeFileSync(join(config.gateway.data, 'journal/0.journal'), Buffer.alloc(4 * MIB))
  t.match(await dataFinding(config, 63), { severity: 'warning', message: /: 60\.0 MiB are still to be set aside/ }, 'it was raised')
  for (const file of [0, 1]) writeFileSync(join(config.gateway.data, `journal/${file}.journal`), Buffer.alloc(32 * MIB))
  t.match(await dataFinding(config, 64), { severity: 'good' }, 'all of it is there')
  t.match(await dataFinding(config, 0), { severity: 'warning', message: /: 0 B are free on the disk, and 64\.0 MiB are kept free: events/ })
})

t.test('the start warns of it and goes on', async (t) => {
  for (const [freeMib, expected] of [
    [1000, []],
    [
      24,
      [/^the disk of \S+data has too little room: 8\.0 MiB are still to be set aside for the journal and 64\.0 MiB are kept free.*Lower/]
    ]
  ] as const) {
    const lines: string[] = []
    const log = (level: string, message: string): void => void (level === 'warn' && lines.push(message))
    const gateway = await openGateway(configIn(t, '4MiB'), { edges: { ...openEdges(), disk: diskWith(freeMib) }, log })
    await gateway.close()
    t.match(lines, expected, `${freeMib} MiB`)
    t.equal(lines.length, expected.length)
  }
})
