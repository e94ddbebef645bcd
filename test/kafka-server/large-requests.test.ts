// What one request may ask for is bounded by its bytes alone: some 100,000 names fit. Answering it takes time in proportion to that, never to its
// square, and what is named twice is done once: the same thread takes in the events of the devices.
// How: requests that took minutes when each name was compared with all others.

import { connect } from 'node:net'
import t from 'tap'
import { api } from '../../adapters/kafka-protocol/apis.ts'
import { FrameSplitter } from '../../adapters/kafka-protocol/frame.ts'
import { joinChunks } from '../../adapters/kafka-protocol/writer.ts'
import { startCentre } from './centre.ts'

const header = { correlationId: 7, clientId: 'test' }
const COUNT = 100_000
const many = <T>(of: (at: number) => T, count = COUNT): T[] => Array.from({ length: count }, (_, at) => of(at))

function ask(port: number, request: Uint8Array[]): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const splitter = new FrameSplitter(2 ** 30)
    const socket = connect({ host: '127.0.0.1', port }, () => socket.write(joinChunks(request)))
    socket.on('data', (chunk) => {
      const [frame] = splitter.push(chunk as Buffer)
      if (!frame) return
      socket.destroy()
      resolve(frame)
    })
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('closed without an answer'))) // after an answer this says nothing
  })
}

t.test('an administrator who asks for more than there can be is not read to the end', async (t) => {
  const centre = await startCentre(t)
  const resources = (count: number) => many((at) => ({ resourceType: 2, resourceName: `t${at}`, configs: [] }), count)
  const alter = (count: number) =>
    ask(centre.port, api.AlterConfigs.encodeRequest(2, { resources: resources(count), validateOnly: true }, header))
  const { responses } = api.AlterConfigs.decodeResponse(2, await alter(20_000)).response
  t.equal(responses.length, 20_000)
  await t.rejects(alter(20_001), /closed without an answer|ECONNRESET/)
  await t.rejects(
    ask(centre.port, api.DeleteAcls.encodeRequest(2, { filters: many(() => ({})) }, header)),
    /closed without an answer|ECONNRESET/
  )
})

t.test('CreateTopics of many names', async (t) => {
  const centre = await startCentre(t)
  const topics = many((at) => ({ name: at < 2 ? 'twice' : `not a name ${at}`, numPartitions: 1, replicationFactor: 1 }))
  const frame = await ask(centre.port, api.CreateTopics.encodeRequest(4, { topics, timeoutMs: 1, validateOnly: true }, header))
  const answer = api.CreateTopics.decodeResponse(4, frame).response
  const codes = answer.topics.map(({ errorCode }) => errorCode)
  t.same([codes.length, codes.slice(0, 3), new Set(codes.slice(2)).size], [COUNT, [42, 42, 17], 1])
})

t.test('Fetch and ListOffsets of one partition, many times: it is read once', async (t) => {
  const centre = await startCentre(t)
  await centre.store.createTopic('a')
  const fetched = await ask(
    centre.port,
    api.Fetch.encodeRequest(
      4,
      {
        maxWaitMs: 1,
        minBytes: 1,
        topics: [0, 1].map(() => ({ topic: 'a', partitions: many((at) => ({ partition: at % 2, fetchOffset: 0, partitionMaxBytes: 1 })) }))
      },
      header
    )
  )
  const { responses } = api.Fetch.decodeResponse(4, fetched).response
  t.same(
    responses.map(({ partitions }) => partitions.map(({ partitionIndex, errorCode }) => [partitionIndex, errorCode])),
    [
      [
        [0, 0],
        [1, 3]
      ]
    ]
  )
  const listed = await ask(
    centre.port,
    api.ListOffsets.encodeRequest(
      7,
      { topics: [0, 1].map(() => ({ name: 'a', partitions: many(() => ({ partitionIndex: 0, timestamp: -3 })) })) },
      header
    )
  )
  const { topics } = api.ListOffsets.decodeResponse(7, listed).response
  t.same(
    topics.map(({ name, partitions }) => [name, partitions.length]),
    [['a', 1]]
  )
})

t.test('OffsetCommit of one place, many times: the last one counts', async (t) => {
  const centre = await startCentre(t)
  await centre.store.createTopic('a')
  const topics = [{ name: 'a', partitions: many((committedOffset) => ({ partitionIndex: 0, committedOffset })) }]
  const request = { groupId: 'g', generationIdOrMemberEpoch: -1, memberId: '', topics }
  const frame = await ask(centre.port, api.OffsetCommit.encodeRequest(7, request, header))
  const answer = api.OffsetCommit.decodeResponse(7, frame).response
  t.same([answer.topics[0]?.partitions.length, answer.topics[0]?.partitions[0]?.errorCode], [COUNT, 0])
  t.equal(centre.broker.committedOffsets.find('g', { topicName: 'a', partitionIndex: 0 })?.offset, COUNT - 1)
})
