// Messages back from the log, for sessions that could not be sent them when they came: by their places, or all from an offset on.
//
// Invariants: what Kafka clients wrote is no message; a place that has nothing any more (retention, damage, a deleted topic) is null.
// Not for: who gets them (mqtt-sessions.ts).

import { WadiError } from '../../runtime/base/errors.ts'
import { toOffset } from '../../runtime/base/offset.ts'
import { HEADER_MQTT_CLIENT, HEADER_MQTT_TOPIC } from '../../runtime/broker/routes.ts'
import type { Core } from '../../runtime/core/core.ts'
import type { StoredRecord } from '../../runtime/core/record.ts'
import { headerText } from '../../runtime/core/record-headers.ts'
import type { BlockCodec } from '../../runtime/io/codec.ts'
import { readBatchRecords } from '../../runtime/log/batch-codec.ts'
import type { Partition, Store } from '../../runtime/log/contract.ts'
import { TOPIC_PARTITIONS_MAX } from '../../runtime/log/topic-catalogue.ts'
import { Message } from './message.ts'
import type { Qos } from './packets.ts'
import { readMessageHeaders, readQos } from './property-headers.ts'

export interface LoggedMessage {
  readonly message: Message
  /** '' = it had no name. */
  readonly publisherId: string
  /** Of the record: when it arrived, or what its payload says. */
  readonly timestampMs: number
}

/** Of a message, what says who gets it: all that is read of very many. */
export interface ScannedMessage {
  readonly topic: string
  readonly qos: Qos
  readonly publisherId: string
  readonly offset: number
  readonly timestampMs: number
}

export interface MessageLogOptions {
  readonly store: Pick<Store, 'topics'>
  readonly core: Core
  readonly codec: BlockCodec
  /** Names of the headers that a route gives the events of an MQTT topic. */
  readonly routeHeadersOf: (mqttTopic: string) => readonly string[]
}

const READ_BYTES = 64 * 1024
const SCAN_BYTES = 1024 * 1024
const NO_PRODUCER = -1n

/** Topic number and partition in one number: what a queue remembers of a partition. */
export function codeOf({ topicNumber, partitionIndex }: Pick<Partition, 'topicNumber' | 'partitionIndex'>): number {
  return topicNumber * TOPIC_PARTITIONS_MAX + partitionIndex
}

export class MessageLog {
  readonly #options: MessageLogOptions
  readonly #partitions = new Map<number, Partition>()

  constructor(options: MessageLogOptions) {
    this.#options = options
  }

  /** undefined: its topic is gone. */
  partitionOf(code: number): Partition | undefined {
    const known = this.#partitions.get(code)
    if (known && !known.isDeleted) return known
    this.#partitions.delete(code)
    for (const { partitions } of this.#options.store.topics.values()) {
      const found = partitions.find((partition) => codeOf(partition) === code)
      if (!found) continue
      this.#partitions.set(code, found)
      return found
    }
    return undefined
  }

  /** In the order of `places`. @throws DiskError, WadiError when the device cannot be read now */
  async read(places: readonly { readonly code: number; readonly offset: number }[]): Promise<(LoggedMessage | null)[]> {
    const found = new Map<number, Map<number, LoggedMessage>>()
    for (const code of new Set(places.map((place) => place.code))) {
      const offsets = places.filter((place) => place.code === code).map(({ offset }) => offset)
      found.set(code, await this.#readPartition(code, offsets))
    }
    return places.map(({ code, offset }) => found.get(code)?.get(offset) ?? null)
  }

  async #readPartition(code: number, offsets: readonly number[]): Promise<Map<number, LoggedMessage>> {
    const found = new Map<number, LoggedMessage>()
    const partition = this.partitionOf(code)
    if (!partition) return found
    const wanted = new Set(offsets)
    let next = 0
    for (const offset of [...wanted].sort((one, other) => one - other)) {
      if (offset < next) continue
      const read = await this.#readFrom(partition, offset, READ_BYTES, (one) => wanted.has(one))
      if (read === null) continue
      next = read.nextOffset
      for (const record of read.records) {
        const message = this.#messageOf(partition, record)
        message?.message.own() // not the whole batch with it
        if (message) found.set(record.offset, message)
      }
    }
    return found
  }

  /** Every message of a partition from `offset` on, below the high watermark of now. @throws as read() */
  async scan(partition: Partition, offset: number, visit: (message: ScannedMessage) => void): Promise<void> {
    let next = Math.max(offset, partition.logStartOffset)
    const end = partition.highWatermark
    while (next < end) {
      const read = await this.#readFrom(partition, next, SCAN_BYTES)
      if (read === null || read.nextOffset <= next) return
      for (const record of read.records) {
        const message = record.offset >= next ? scannedOf(record) : null
        if (message) visit(message)
      }
      next = read.nextOffset
    }
  }

  /** @returns null when there is nothing (any more) */
  async #readFrom(
    partition: Partition,
    offset: number,
    bytesMax: number,
    wants?: (offset: number) => boolean
  ): Promise<{ records: StoredRecord[]; nextOffset: number } | null> {
    if (partition.isDeleted || offset < partition.logStartOffset || offset >= partition.highWatermark) return null
    const { core, codec } = this.#options
    try {
      const { batches, nextOffset } = await partition.read(toOffset(offset), { bytesMax })
      const records: StoredRecord[] = []
      for (const { header, bytes } of batches) {
        if (header.producerId !== NO_PRODUCER) continue
        for (const record of (await readBatchRecords(core, codec, bytes, wants)) ?? []) records.push(record)
      }
      return { records, nextOffset }
    } catch (error) {
      const code = error instanceof WadiError ? error.code : ''
      if (code === 'WADI_OFFSET_OUT_OF_RANGE' || code === 'WADI_TOPIC_UNKNOWN') return null
      throw error
    }
  }

  #messageOf(partition: Partition, { offset, timestampMs, value, headers }: StoredRecord): LoggedMessage | null {
    const topic = headerText(headers, HEADER_MQTT_TOPIC)
    const publisherId = headerText(headers, HEADER_MQTT_CLIENT) ?? ''
    if (topic === null || value === null) return null
    const { expiresMs, ...marks } = readMessageHeaders(headers, this.#options.routeHeadersOf(topic))
    return { message: Message.from({ topic, payload: value, ...marks, place: { partition, offset } }, expiresMs), publisherId, timestampMs }
  }
}

function scannedOf({ offset, timestampMs, value, headers }: StoredRecord): ScannedMessage | null {
  const topic = headerText(headers, HEADER_MQTT_TOPIC)
  if (topic === null || value === null) return null
  return { topic, qos: readQos(headers), publisherId: headerText(headers, HEADER_MQTT_CLIENT) ?? '', offset, timestampMs }
}
