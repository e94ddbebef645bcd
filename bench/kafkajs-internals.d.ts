// Types for the files of kafkajs that bench/encode.ts and bench/functions.ts measure: kafkajs has no public door to them.

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

declare module 'kafkajs/src/producer/partitioners/default/murmur2.js' {
  export default function murmur2(key: Buffer): number
}
