// Our codec against two that we did not write: @platformatic/kafka reads our answers and writes requests in the flexible versions,
// kafkajs in the older ones. Both are reached through their files, because neither exports its codec.

import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import type { Api } from '../../adapters/kafka-protocol/api.ts'
import { api } from '../../adapters/kafka-protocol/apis.ts'
import type { Field } from '../../adapters/kafka-protocol/schema.ts'
import { joinChunks } from '../../adapters/kafka-protocol/writer.ts'
import { createPrng, randomStruct } from './random-message.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 2 ** 31)
const ROUNDS = 5
/** Their error classes exist for Kafka's codes only. */
const KNOWN_ERRORS = 90
t.comment(`SEED=${SEED}`)

interface Loose {
  [name: string]: string | undefined
}
type Tree = Record<string, unknown>

const require = createRequire(import.meta.url)
const platformatic = path.dirname(require.resolve('@platformatic/kafka'))
const importFile = (file: string): Promise<Record<string, unknown>> => import(pathToFileURL(path.join(platformatic, file)).href)
const { Reader } = (await importFile('protocol/reader.js')) as { Reader: { from(bytes: Buffer): unknown } }

const FOLDERS = ['admin', 'consumer', 'metadata', 'producer']

function moduleOf(name: string, version: number): string | null {
  const kebab = name.replaceAll(/(?<!^)[A-Z]/g, (letter) => `-${letter}`).toLowerCase()
  for (const folder of FOLDERS) {
    const file = `apis/${folder}/${kebab}-v${version}.js`
    if (existsSync(path.join(platformatic, file))) return file
  }
  return null
}

/** Only what their reader takes: no null arrays, no record sets (it parses them), no tagged fields. */
function tame(fields: readonly Field[], struct: Tree): Tree {
  for (const field of fields) {
    if (!(field.name in struct)) continue
    const { type } = field
    if (field.tag !== null) delete struct[field.name]
    else if (field.name.endsWith('rrorCode')) struct[field.name] = Math.abs(struct[field.name] as number) % KNOWN_ERRORS
    else if (field.name === 'records') struct[field.name] = Buffer.alloc(0)
    else if (type.kind === 'struct') struct[field.name] &&= tame(type.fields, struct[field.name] as Tree)
    else if (type.kind === 'array') {
      const items = (struct[field.name] ?? []) as unknown[]
      if (type.element.kind === 'struct') for (const item of items) tame(type.element.fields, item as Tree)
      struct[field.name] = items
    }
  }
  return struct
}

/** An answer with error codes is thrown, with all of it inside. */
function evenWithErrors(parse: () => unknown): unknown {
  try {
    return parse()
  } catch (error) {
    const { response } = error as { response?: unknown }
    if (response === undefined) throw error
    return response
  }
}

let comparedCount = 0

/** Fields both have, in words both can be put in. */
function compare(ours: unknown, theirs: unknown, place: string): void {
  if (theirs === undefined) return
  if (Array.isArray(ours)) {
    const items = theirs as unknown[]
    if (ours.length !== items.length) t.fail(`${place}: ${ours.length} and ${items.length} elements SEED=${SEED}`)
    for (const [index, item] of ours.entries()) compare(item, items[index], `${place}[${index}]`)
  } else if (ours !== null && typeof ours === 'object' && !ArrayBuffer.isView(ours)) {
    for (const [name, value] of Object.entries(ours)) compare(value, (theirs as Tree)[name], `${place}.${name}`)
  } else {
    comparedCount++
    const [left, right] = [plain(ours), plain(theirs)]
    if (left !== right) t.fail(`${place}: ${left} and ${right} SEED=${SEED}`)
  }
}

function plain(value: unknown): string {
  if (ArrayBuffer.isView(value)) return Buffer.from(value as Uint8Array).toString('hex')
  if (value === null) return ''
  const text = String(value)
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text) ? text.replaceAll('-', '') : text
}

t.test('@platformatic/kafka reads our answers as we wrote them', async (t) => {
  const prng = createPrng(SEED)
  let versions = 0
  for (const known of Object.values(api) as unknown as Api<Loose, Loose>[]) {
    for (let version = known.flexibleFrom; version <= known.maxVersion; version++) {
      const file = moduleOf(known.name, version)
      if (file === null || known.name === 'OffsetForLeaderEpoch') continue // it reads the partition first: Kafka's own class, the error code
      versions++
      const { parseResponse } = (await importFile(file)) as { parseResponse: (...args: unknown[]) => unknown }
      const before = comparedCount
      for (let round = 0; round < ROUNDS; round++) {
        const response = tame(known.fields.response, randomStruct(prng, known.fields.response, version))
        const bytes = Buffer.from(joinChunks(known.encodeResponse(version, response as Loose, { correlationId: 1 })))
        const bodyAt = 8 + (known.key === api.ApiVersions.key ? 0 : 1)
        const reader = Reader.from(bytes.subarray(bodyAt))
        compare(
          response,
          evenWithErrors(() => parseResponse(1, known.key, version, reader)),
          `${known.name} v${version}`
        )
      }
      t.ok(comparedCount > before, `${known.name} v${version}: ${comparedCount - before} values`)
    }
  }
  t.ok(versions >= 35, `${versions} versions compared`)
})

t.test('requests written by @platformatic/kafka are read as meant', async (t) => {
  const read = async (known: Api<never, unknown>, version: number, ...args: unknown[]): Promise<unknown> => {
    const { createRequest } = (await importFile(moduleOf(known.name, version)!)) as {
      createRequest: (...args: unknown[]) => { buffer: Buffer }
    }
    return known.decodeRequest(version, createRequest(...args).buffer)
  }
  const uuid = '01234567-89ab-4cde-8f01-23456789abcd'
  const topicId = uuid.replaceAll('-', '')
  const metadata = Buffer.from('meta')
  t.match(await read(api.Metadata as never, 12, ['a', 'b'], true, true), {
    topics: [{ name: 'a' }, { name: 'b' }],
    allowAutoTopicCreation: true,
    includeTopicAuthorizedOperations: true
  })
  t.match(await read(api.Metadata as never, 9, null), { topics: null })
  t.match(await read(api.JoinGroup as never, 9, 'g', 1, 2, 'm', null, 'consumer', [{ name: 'range', metadata }], 'why'), {
    groupId: 'g',
    sessionTimeoutMs: 1,
    rebalanceTimeoutMs: 2,
    memberId: 'm',
    groupInstanceId: null,
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata }],
    reason: 'why'
  })
  t.match(
    await read(
      api.OffsetFetch as never,
      9,
      [{ groupId: 'g', memberId: null, memberEpoch: -1, topics: [{ name: 'a', partitionIndexes: [3] }] }],
      true
    ),
    {
      groups: [{ groupId: 'g', memberId: null, memberEpoch: -1, topics: [{ name: 'a', partitionIndexes: [3] }] }],
      requireStable: true
    }
  )
  const offsets = [
    { name: 'a', partitions: [{ partitionIndex: 1, committedOffset: 9n, committedLeaderEpoch: 4, committedMetadata: '{}' }] }
  ]
  t.match(await read(api.TxnOffsetCommit as never, 4, 't', 'g', 5n, 6, -1, '', null, offsets), {
    transactionalId: 't',
    groupId: 'g',
    producerId: 5n,
    producerEpoch: 6,
    generationId: -1,
    topics: [{ name: 'a', partitions: [{ partitionIndex: 1, committedOffset: 9, committedLeaderEpoch: 4, committedMetadata: '{}' }] }]
  })
  const partition = { partition: 2, currentLeaderEpoch: 7, fetchOffset: 12n, lastFetchedEpoch: -1, partitionMaxBytes: 99 }
  t.match(await read(api.Fetch as never, 16, 500, 1, 2, 1, 0, -1, [{ topicId: uuid, partitions: [partition] }], [], 'rack'), {
    maxWaitMs: 500,
    minBytes: 1,
    maxBytes: 2,
    isolationLevel: 1,
    sessionEpoch: -1,
    topics: [{ topicId, partitions: [{ ...partition, fetchOffset: 12, logStartOffset: -1 }] }],
    rackId: 'rack'
  })
  t.match(await read(api.InitProducerId as never, 5, 't', 60_000, -1n, -1), {
    transactionalId: 't',
    transactionTimeoutMs: 60_000,
    producerId: -1n
  })
  t.match(await read(api.EndTxn as never, 4, 't', 5n, 6, true), { transactionalId: 't', producerId: 5n, producerEpoch: 6, committed: true })
})

interface KafkajsRequest {
  readonly request: { encode(): Promise<{ buffer: Buffer }> }
  readonly response: { decode(bytes: Buffer): Promise<unknown> }
}
type KafkajsApi = { protocol(options: { version: number }): (fields: Tree) => KafkajsRequest }
const kafkajs = (name: string): KafkajsApi => require(`kafkajs/src/protocol/requests/${name}/index.js`) as KafkajsApi

t.test('kafkajs and we agree in the versions before', async (t) => {
  const read = async (known: Api<never, unknown>, name: string, version: number, fields: Tree): Promise<unknown> => {
    const { buffer } = await kafkajs(name).protocol({ version })(fields).request.encode()
    return known.decodeRequest(version, buffer)
  }
  const answer = async (known: Api<never, Tree>, name: string, version: number, response: Tree): Promise<unknown> => {
    const frame = Buffer.from(joinChunks(known.encodeResponse(version, response as never, { correlationId: 1 })))
    const needed = { topics: [], replicaId: -1, groupProtocols: [] }
    return kafkajs(name).protocol({ version })(needed).response.decode(frame.subarray(8))
  }
  for (let version = 4; version <= 11; version++) {
    const topics = [{ topic: 'a', partitions: [{ partition: 1, fetchOffset: 40, maxBytes: 50 }] }]
    t.match(
      await read(api.Fetch as never, 'fetch', version, {
        replicaId: -1,
        maxWaitTime: 1,
        minBytes: 2,
        maxBytes: 3,
        isolationLevel: 1,
        topics
      }),
      {
        replicaId: -1,
        maxWaitMs: 1,
        minBytes: 2,
        maxBytes: 3,
        isolationLevel: 1,
        topics: [{ topic: 'a', partitions: [{ fetchOffset: 40, partitionMaxBytes: 50 }] }]
      },
      `Fetch v${version}`
    )
    const partitions = [
      {
        partitionIndex: 1,
        highWatermark: 2 ** 40,
        lastStableOffset: 3,
        abortedTransactions: [{ producerId: 5n, firstOffset: 6 }],
        records: Buffer.alloc(0)
      }
    ]
    t.match(
      await answer(api.Fetch as never, 'fetch', version, { responses: [{ topic: 'a', partitions }] }),
      {
        responses: [
          {
            topicName: 'a',
            partitions: [{ partition: 1, highWatermark: String(2 ** 40), abortedTransactions: [{ producerId: '5', firstOffset: '6' }] }]
          }
        ]
      },
      `Fetch v${version} answer`
    )
  }
  for (let version = 0; version <= 5; version++) {
    const groupProtocols = [{ name: 'range', metadata: Buffer.from('m') }]
    const fields = { groupId: 'g', sessionTimeout: 1, rebalanceTimeout: 2, memberId: 'm', protocolType: 'consumer', groupProtocols }
    t.match(
      await read(api.JoinGroup as never, 'joinGroup', version, fields),
      { groupId: 'g', sessionTimeoutMs: 1, rebalanceTimeoutMs: version === 0 ? -1 : 2, memberId: 'm', protocols: groupProtocols },
      `JoinGroup v${version}`
    )
    t.match(
      await answer(api.JoinGroup as never, 'joinGroup', version, {
        generationId: 3,
        protocolName: 'range',
        leader: 'l',
        memberId: 'm',
        members: [{ memberId: 'm' }]
      }),
      { generationId: 3, groupProtocol: 'range', leaderId: 'l', memberId: 'm', members: [{ memberId: 'm' }] },
      `JoinGroup v${version} answer`
    )
  }
  for (let version = 0; version <= 6; version++) {
    t.match(
      await answer(api.Metadata as never, 'metadata', version, {
        brokers: [{ nodeId: 1, host: 'h', port: 9 }],
        topics: [{ name: 'a', partitions: [{ partitionIndex: 4, leaderId: 1, replicaNodes: [1, 2], isrNodes: [1] }] }]
      }),
      {
        brokers: [{ nodeId: 1, host: 'h', port: 9 }],
        topicMetadata: [{ topic: 'a', partitionMetadata: [{ partitionId: 4, leader: 1, replicas: [1, 2], isr: [1] }] }]
      },
      `Metadata v${version} answer`
    )
  }
  for (let version = 1; version <= 3; version++) {
    t.match(
      await answer(api.ListOffsets as never, 'listOffsets', version, {
        topics: [{ name: 'a', partitions: [{ partitionIndex: 1, offset: 77 }] }]
      }),
      { responses: [{ topic: 'a', partitions: [{ partition: 1, offset: '77' }] }] },
      `ListOffsets v${version} answer`
    )
  }
})
