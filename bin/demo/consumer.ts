// Reads the centre as somebody who knows nothing of us: kafkajs, read_committed. It is a development dependency, so it may be absent where
// only the bundle is installed; then the demo says that delivery was counted by the uplink alone.

import type { Address } from '../../gateway/config/address.ts'

const QUIET_MS = 1200

export interface IndependentConsumer {
  readonly name: string
  /**
   * Every committed record of the topic, until nothing new has come for a while and at least `expected` are there, or time is up.
   * @throws Error with the client's own words when it gave up reading
   */
  readAll(options: {
    expected: number
    withinMs: number
    onRecord(value: Uint8Array | null): void
    onProgress(count: number): void
  }): Promise<void>
  /** Deletes the topic, our group and these. */
  cleanUp(groups: readonly string[]): Promise<void>
}

interface KafkaJs {
  Kafka: new (
    options: object
  ) => {
    consumer(options: object): {
      connect(): Promise<void>
      subscribe(options: object): Promise<void>
      run(options: { eachBatch(payload: { batch: { messages: { value: Buffer | null }[] } }): Promise<void> }): Promise<void>
      disconnect(): Promise<void>
      on(event: 'consumer.crash', listener: (event: { payload: { error: Error } }) => void): void
    }
    admin(): {
      connect(): Promise<void>
      deleteTopics(options: object): Promise<void>
      deleteGroups(groups: string[]): Promise<unknown>
      disconnect(): Promise<void>
    }
  }
  logLevel: { NOTHING: number }
}

/** null when kafkajs is not installed. */
export async function openConsumer(broker: Address, topic: string): Promise<IndependentConsumer | null> {
  const packageName = 'kafkajs' // not a literal import: the bundle must do without it
  const kafkajs = (await import(packageName).catch(() => null)) as (KafkaJs & { default?: KafkaJs }) | null
  if (!kafkajs) return null
  const { Kafka, logLevel } = kafkajs.default ?? kafkajs
  hushNegativeDelays()
  const groupId = `wadi-demo-auditor-${process.pid}`
  const kafka = new Kafka({
    clientId: 'wadi-demo-auditor',
    brokers: [`${broker.host}:${broker.port}`],
    logLevel: logLevel.NOTHING,
    retry: { retries: 8, initialRetryTime: 100, maxRetryTime: 1000 }
  })
  return {
    name: 'kafkajs, read_committed',
    async readAll({ expected, withinMs, onRecord, onProgress }) {
      const consumer = kafka.consumer({
        groupId,
        readUncommitted: false,
        sessionTimeout: 10_000,
        heartbeatInterval: 1000,
        maxWaitTimeInMs: 200
      })
      let count = 0
      let crash: Error | null = null
      consumer.on('consumer.crash', ({ payload }) => {
        crash = payload.error
      })
      let changedAtMs = performance.now()
      const startedAtMs = changedAtMs
      try {
        await consumer.connect()
        await consumer.subscribe({ topics: [topic], fromBeginning: true })
        await consumer.run({
          async eachBatch({ batch }) {
            for (const { value } of batch.messages) onRecord(value)
            count += batch.messages.length
            if (batch.messages.length > 0) changedAtMs = performance.now()
          }
        })
        for (;;) {
          await new Promise((resolve) => setTimeout(resolve, 50))
          onProgress(count)
          const nowMs = performance.now()
          if (crash && count < expected) throw new Error(`the independent client gave up: ${(crash as Error).message}`)
          if (nowMs - startedAtMs > withinMs || (count >= expected && nowMs - changedAtMs > QUIET_MS)) return
        }
      } finally {
        await consumer.disconnect().catch(() => undefined)
      }
    },
    async cleanUp(groups) {
      const admin = kafka.admin()
      await admin.connect()
      try {
        await admin.deleteTopics({ topics: [topic] })
        await admin.deleteGroups([groupId, ...groups])
      } finally {
        await admin.disconnect()
      }
    }
  }
}

/** kafkajs 2.2.4 asks for a timer in the past with every connection; newer Nodes tell the user, who can do nothing about it. */
function hushNegativeDelays(): void {
  const emitWarning = process.emitWarning.bind(process) as (...args: unknown[]) => void
  process.emitWarning = ((...args: unknown[]): void => {
    if (args[1] !== 'TimeoutNegativeWarning') emitWarning(...args)
  }) as typeof process.emitWarning
}
