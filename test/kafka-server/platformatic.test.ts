// @platformatic/kafka, a second independent client with other habits: newer versions, topic ids, long polls.

import { Admin, Consumer, Producer, stringDeserializers, stringSerializers } from '@platformatic/kafka'
import t from 'tap'
import { startCentre } from './centre.ts'

t.test('produces idempotently and consumes in a group', async (t) => {
  const centre = await startCentre(t)
  const bootstrapBrokers = [`127.0.0.1:${centre.port}`]
  const admin = new Admin({ clientId: 'admin', bootstrapBrokers })
  await admin.createTopics({ topics: ['events'], partitions: 1, replicas: 1 })
  const producer = new Producer({ clientId: 'producer', bootstrapBrokers, serializers: stringSerializers, idempotent: true })
  for (const value of ['a', 'b', 'c']) await producer.send({ messages: [{ topic: 'events', key: 'k', value }] })
  await producer.close()
  const consumer = new Consumer({
    clientId: 'consumer',
    groupId: 'group',
    bootstrapBrokers,
    deserializers: stringDeserializers,
    maxWaitTime: 100
  })
  const stream = await consumer.consume({ topics: ['events'], mode: 'earliest', autocommit: false })
  const values: string[] = []
  for await (const message of stream) {
    values.push(message.value)
    await message.commit()
    if (values.length === 3) break
  }
  t.same(values, ['a', 'b', 'c'])
  t.equal(centre.broker.committedOffsets.find('group', { topicName: 'events', partitionIndex: 0 })?.offset, 3)
  await stream.close()
  await consumer.close()
  await admin.close()
})
