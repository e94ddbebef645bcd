// Types for the two files of kafkajs that bench/encode.ts measures: kafkajs has no public door to its encoder.

declare module 'kafkajs/src/protocol/recordBatch/v0/index.js' {
  interface KafkajsEncoder {
    readonly buffer: Buffer
  }
  interface KafkajsBatch {
    firstTimestamp: number
    maxTimestamp: number
    lastOffsetDelta: number
    records: readonly unknown[]
  }
  export function RecordBatch(batch: KafkajsBatch): Promise<KafkajsEncoder>
}

declare module 'kafkajs/src/protocol/recordBatch/record/v0/index.js' {
  interface KafkajsRecord {
    offsetDelta: number
    timestampDelta: number
    key: Buffer
    value: Buffer
    headers: Readonly<Record<string, Buffer>>
  }
  export default function encodeRecord(record: KafkajsRecord): unknown
}
