// Clients that we did not write read a topic that was compacted while they wrote it: kafkajs, @platformatic/kafka and, where it is installed, kcat (librdkafka).
// Proves: all of them get the same records, from the begin and from offsets whose record is gone, and the newest of each key is among them.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { Kafka, logLevel } from 'kafkajs'
import t from 'tap'
import { toOffset } from '../../runtime/base/offset.ts'
import { createNodeCodec } from '../../runtime/io/node-codec.ts'
import { readBatchRecords } from '../../runtime/log/batch-codec.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import type { StorageSettings } from '../../runtime/log/settings.ts'
import { loadTestCore } from '../helpers/core.ts'
import { type Centre, startCentre, until } from './centre.ts'

const KCAT = '/usr/bin/kcat'
const KEYS = 40
const TOPIC = 'state'
/** kafkajs reads gzip only: what it cannot read is in a topic for kcat. */
const CODECS_TOPIC = 'codecs'
const KIB = 1024

interface Read {
  readonly offset: number
  readonly key: string
  readonly value: string | null
}

/** By ourselves: what the others are held against. */
async function readOurselves(partition: Partition, from = 0): Promise<Read[]> {
  const [core, codec] = [loadTestCore(), createNodeCodec()]
  const records: Read[] = []
  for (let offset = toOffset(from); offset < partition.lastStableOffset; ) {
    const { batches, nextOffset, missing } = await partition.readCommitted(offset, { bytesMax: 64 * KIB })
    if (missing.length > 0) throw new Error(`missing from ${missing[0]?.startOffset} on`)
    for (const { bytes } of batches)
      for (const one of (await readBatchRecords(core, codec, bytes)) ?? [])
        if (one.offset >= offset)
          records.push({
            offset: one.offset,
            key: Buffer.from(one.key ?? []).toString(),
            value: one.value && Buffer.from(one.value).toString()
          })
    offset = nextOffset
  }
  return records
}

async function readWithKafkajs(port: number, group: string, count: number): Promise<Read[]> {
  const kafka = new Kafka({ brokers: [`127.0.0.1:${port}`], logLevel: logLevel.NOTHING })
  const consumer = kafka.consumer({ groupId: group, maxWaitTimeInMs: 100 })
  const records: Read[] = []
  await consumer.connect()
  await consumer.subscribe({ topic: TOPIC, fromBeginning: true })
  await consumer.run({
    eachMessage: ({ message }) => {
      records.push({
        offset: Number(message.offset),
        key: String(message.key),
        value: message.value === null ? null : message.value.toString()
      })
      return Promise.resolve()
    }
  })
  await until(() => records.length >= count, `${count} messages by kafkajs`)
  await consumer.disconnect()
  return records
}

function kcat(args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(KCAT, args, { timeout: 30_000, maxBuffer: 64 * 1024 * KIB }, (error, stdout, stderr) =>
      error ? reject(new Error(`${error.message} ${stderr}`)) : resolve(stdout)
    )
    child.stdin?.end(input)
  })
}

async function readWithKcat(port: number, topic: string, from: number | 'beginning'): Promise<Read[]> {
  const format = ['-f', '%o\\t%k\\t%S\\t%s\\n']
  const out = await kcat(['-b', `127.0.0.1:${port}`, '-C', '-t', topic, '-o', `${from}`, '-e', '-q', ...format])
  return out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [offset, key, length, value] = line.split('\t') as [string, string, string, string]
      return { offset: Number(offset), key, value: length === '-1' ? null : value }
    })
}

const SMALL: Partial<StorageSettings> = {
  segmentBytes: 32 * KIB,
  sealBytes: 8 * KIB,
  sealAgeMs: 50,
  checkpointAgeMs: 100,
  housekeepingIntervalMs: 50,
  compactionBytesPerSecond: 64 * 1024 * KIB
}

async function makeTopic(port: number, topic: string): Promise<void> {
  const admin = new Kafka({ brokers: [`127.0.0.1:${port}`], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  const settings = { 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0.01' }
  const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }))
  await admin.createTopics({ topics: [{ topic, numPartitions: 1, configEntries }] })
  await admin.disconnect()
}

/** So many records went, and no more go. */
async function compacted(centre: Centre, recordsMin: number): Promise<void> {
  const now = (): { passes: number; removedRecords: number } => centre.store.metrics.compaction
  await until(() => now().removedRecords > recordsMin, 'a pass')
  for (let passes = -1; passes < now().passes; ) {
    passes = now().passes
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}

/** What a reader has in the end: keys that are deleted are not there. */
function foldOf(records: readonly Pick<Read, 'key' | 'value'>[]): [string, string][] {
  const values = new Map<string, string>()
  for (const { key, value } of records) value === null ? values.delete(key) : values.set(key, value)
  return [...values].sort(([left], [right]) => left.localeCompare(right))
}

t.test('a compacted topic, written with every codec, by producers of all kinds, is the same for all clients', async (t) => {
  const centre = await startCentre(t, { storage: SMALL })
  await makeTopic(centre.port, TOPIC)
  const kafka = new Kafka({ brokers: [`127.0.0.1:${centre.port}`], logLevel: logLevel.NOTHING })
  const newest = new Map<string, string | null>()
  let count = 0
  const messagesOf = (isAborted = false): { key: string; value: string | null }[] =>
    Array.from({ length: 25 }, () => {
      const key = `key ${count % KEYS}`
      const value = count % 29 === 0 ? null : `${count} ${'abcdefghij'.repeat(count % 20)}`
      count++
      if (!isAborted) newest.set(key, value)
      return { key, value }
    })
  const plain = kafka.producer()
  const idempotent = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  const transactional = kafka.producer({ transactionalId: 'tx', idempotent: true, maxInFlightRequests: 1 })
  for (const one of [plain, idempotent, transactional]) await one.connect()
  for (let round = 0; round < 40; round++) {
    await plain.send({ topic: TOPIC, compression: round % 2, messages: messagesOf() })
    await idempotent.send({ topic: TOPIC, compression: round % 2, messages: messagesOf() })
    const isAborted = round % 2 === 0
    const transaction = await transactional.transaction()
    await transaction.send({ topic: TOPIC, messages: messagesOf(isAborted) })
    await (isAborted ? transaction.abort() : transaction.commit())
  }
  for (const one of [plain, idempotent, transactional]) await one.disconnect()
  const partition = centre.store.topics.get(TOPIC)?.partitions[0] as Partition
  const written = partition.highWatermark
  await compacted(centre, written / 2)
  const records = await readOurselves(partition)
  t.ok(records.length < written / 3, `${records.length} records are left of ${written} offsets`)
  t.same(foldOf(records), foldOf([...newest].map(([key, value]) => ({ key, value }))), 'each key has its newest value')
  t.same(await readWithKafkajs(centre.port, 'one', records.length), records, 'kafkajs')
  if (existsSync(KCAT)) {
    t.same(await readWithKcat(centre.port, TOPIC, 'beginning'), records, 'kcat')
    for (let from = 1; from < written; from += Math.ceil(written / 23)) {
      const behind = records.filter(({ offset }) => offset >= from)
      t.same(await readWithKcat(centre.port, TOPIC, from), behind, `kcat from ${from}`)
    }
  }
  await centre.restart()
  t.same(await readOurselves(centre.store.topics.get(TOPIC)?.partitions[0] as Partition), records, 'the same behind a restart')
  t.same(await readWithKafkajs(centre.port, 'two', records.length), records, 'kafkajs, behind a restart')
})

t.test('batches of every codec that librdkafka writes', { skip: existsSync(KCAT) ? false : 'kcat is not installed' }, async (t) => {
  const centre = await startCentre(t, { storage: SMALL })
  await makeTopic(centre.port, CODECS_TOPIC)
  const newest = new Map<string, string | null>()
  for (let round = 0; round < 8; round++) {
    for (const codec of ['none', 'gzip', 'lz4', 'snappy', 'zstd']) {
      const lines = Array.from({ length: 60 }, (_, at) => {
        const [key, value] = [`key ${at}`, at % 17 === round ? null : `${codec} ${round} ${'abcdefghij'.repeat(at % 30)}`]
        newest.set(key, value)
        return `${key}\t${value ?? ''}`
      })
      const options = ['-K', '\t', '-Z', '-z', codec, '-X', `enable.idempotence=${round % 2 === 0}`]
      await kcat(['-b', `127.0.0.1:${centre.port}`, '-P', '-t', CODECS_TOPIC, ...options], `${lines.join('\n')}\n`)
    }
  }
  const partition = centre.store.topics.get(CODECS_TOPIC)?.partitions[0] as Partition
  await compacted(centre, partition.highWatermark / 2)
  const records = await readOurselves(partition)
  t.same(foldOf(records), foldOf([...newest].map(([key, value]) => ({ key, value }))), 'each key has its newest value')
  t.same(await readWithKcat(centre.port, CODECS_TOPIC, 'beginning'), records, 'kcat')
})
