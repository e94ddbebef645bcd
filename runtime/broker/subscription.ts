// Which topics a member of a consumer group subscribes to: the beginning of Kafka's ConsumerProtocolSubscription, in every version
// (i16 version, i32 count, topics as i16 length and UTF-8). What stands behind it belongs to the assignors.
// Not for: other protocol types (Connect), whose metadata is their own.

/** Kafka's protocol type of consumers. */
export const CONSUMER_PROTOCOL = 'consumer'

const VERSION_BYTES = 2
const COUNT_BYTES = 4
const LENGTH_BYTES = 2

/** null when it is something else. */
export function subscribedTopics(metadata: Uint8Array): readonly string[] | null {
  if (metadata.byteLength < VERSION_BYTES + COUNT_BYTES) return null
  const view = new DataView(metadata.buffer, metadata.byteOffset, metadata.byteLength)
  const count = view.getInt32(VERSION_BYTES)
  if (view.getInt16(0) < 0 || count < 0 || count > metadata.byteLength / LENGTH_BYTES) return null
  const topics: string[] = []
  let at = VERSION_BYTES + COUNT_BYTES
  for (let left = count; left > 0; left--) {
    if (at + LENGTH_BYTES > metadata.byteLength) return null
    const bytes = view.getInt16(at)
    at += LENGTH_BYTES
    if (bytes < 0 || at + bytes > metadata.byteLength) return null
    topics.push(Buffer.from(metadata.buffer, metadata.byteOffset + at, bytes).toString())
    at += bytes
  }
  return topics
}
