// Proves: a gateway whose configuration makes a new topic, or alters one, starts on a disk without room. What is stored is read, the others are
// written when there is room; the topic is made then, by itself, and log and status say what waits until then.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import mqtt from 'mqtt'
import t from 'tap'
import { loadConfig } from '../../gateway/config/load.ts'
import type { Gateway } from '../../gateway/contract.ts'
import { type Edges, openEdges } from '../../gateway/edges.ts'
import { openGateway } from '../../gateway/gateway.ts'
import { type Disk, DiskError, type DiskFile } from '../../runtime/io/disk.ts'

/** This machine's disk, on which there is room or not. */
class FillingDisk {
  isFull = false
  readonly edges: Edges

  constructor() {
    const edges = openEdges()
    this.edges = { ...edges, disk: this.#refusing(edges.disk) }
  }

  #refusing(disk: Disk): Disk {
    return { ...disk, open: async (path, mode) => this.#refusingFile(await disk.open(path, mode)) }
  }

  #refusingFile(file: DiskFile): DiskFile {
    return {
      path: file.path,
      readAt: (positionBytes, into) => file.readAt(positionBytes, into),
      writeAt: (positionBytes, bytes) => this.#take(file.path, () => file.writeAt(positionBytes, bytes)),
      writeDurableAt: (positionBytes, bytes) => this.#take(file.path, () => file.writeDurableAt(positionBytes, bytes)),
      sync: () => file.sync(),
      truncate: (sizeBytes) => file.truncate(sizeBytes),
      sizeBytes: () => file.sizeBytes(),
      close: () => file.close()
    }
  }

  /** Also in place: a file system that never overwrites (btrfs, f2fs) needs room for that too. */
  async #take(path: string, write: () => Promise<void>): Promise<void> {
    if (this.isFull) throw new DiskError('ENOSPC', { operation: 'write', path })
    return write()
  }
}

async function read(gateway: Gateway, topicName: string): Promise<string[]> {
  const values: string[] = []
  for await (const { record } of gateway.records([topicName], { from: 'start', follow: false }))
    values.push(Buffer.from(record.value ?? []).toString())
  return values
}

async function publish(gateway: Gateway, mqttTopic: string, value: string): Promise<void> {
  const client = await mqtt.connectAsync(`mqtt://${gateway.addresses.mqtt[0]}`, { reconnectPeriod: 50 })
  await client.publishAsync(mqttTopic, value, { qos: 1 })
  await client.endAsync()
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20))
}

t.test('the disk is full, and the configuration makes a topic and alters another', async (t) => {
  const path = mkdtempSync(join(tmpdir(), 'wadi-full-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  const disk = new FillingDisk()
  const lines: string[] = []
  const open = (topics: string): Promise<Gateway> => {
    const yaml = `{ gateway: { id: a, data: ${join(path, 'data')} }, mqtt: [{ listen: "127.0.0.1:0" }],
      storage: { journal: { file_size: 4MiB } },
      routes: [{ filter: "plant/#", topic: plant, key: none }, ${topics}`
    const log = (level: string, message: string): void => void (level === 'warn' && lines.push(message))
    return openGateway(loadConfig(yaml, { fileName: 'inline', environment: {} }), { edges: disk.edges, log })
  }
  const first = await open(`], topics: { plant: {} } }`)
  await publish(first, 'plant/oven', 'stored')
  await first.close()

  disk.isFull = true
  const gateway = await open(`{ filter: "line/#", topic: line, key: none }], topics: { plant: { partitions: 2 } } }`)
  t.same(await read(gateway, 'plant'), ['stored'], 'it serves what is stored')
  const { waitingTopics } = (await gateway.status()).storage
  t.match(waitingTopics, [
    { name: 'plant', change: 'altered', because: /^No space left for / },
    { name: 'line', change: 'made', because: /^No space left for / }
  ])
  t.match(
    lines.filter((line) => /room|not \w+ yet/.test(line)),
    [
      /^the disk is full/,
      /^topic plant is not altered yet: No space left for .* It is tried again/,
      /^topic line is not made yet: No space/
    ]
  )
  const published = publish(gateway, 'line/one', 'behind')
  disk.isFull = false
  await published
  await until(async () => (await gateway.status()).storage.waitingTopics.length === 0)
  t.same(await read(gateway, 'line'), ['behind'])
  t.match((await gateway.status()).topics, [{ name: '_wadi.dlq' }, { name: 'line' }, { name: 'plant', partitionCount: 2 }])
  await gateway.close()
})
