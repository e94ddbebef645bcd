// What the centre keeps for us beside the events: how far each edge topic has been delivered. It is the metadata of a committed group
// offset on (upstream topic, partition 0), written inside the transaction that carries the events, so both happen or neither.
//
//   wadi1;<log id>;<incarnation>;<edge topic>=<next>,<next>…;<edge topic>=…       numbers in base 36, one per partition
//
// Kafka takes at most 4,096 characters (offset.metadata.max.bytes). Several edge topics may share one upstream topic.
// Not for: deciding what to do with a position (uplink.ts).

import { WadiError } from '../base/errors.ts'

export const METADATA_CHARS_MAX = 4096

const VERSION = 'wadi1'
const TOPIC = /^[a-zA-Z0-9._-]{1,249}$/
const LOG_ID = /^[a-zA-Z0-9-]{1,64}$/
const BASE_36 = /^(0|[1-9a-z][0-9a-z]{0,10})$/

export interface Position {
  readonly logId: string
  readonly incarnation: number
  /** Edge topic → next offset to deliver, by partition index. */
  readonly nextOffsets: ReadonlyMap<string, readonly number[]>
}

/** @throws WadiError WADI_CONFIG_INVALID when the position does not fit the centre's limit */
export function encodePosition(position: Position): string {
  const topics = [...position.nextOffsets].map(([topic, offsets]) => `;${topic}=${offsets.map((offset) => offset.toString(36)).join(',')}`)
  const text = `${VERSION};${position.logId};${position.incarnation.toString(36)}${topics.join('')}`
  if (text.length > METADATA_CHARS_MAX) {
    throw new WadiError('WADI_CONFIG_INVALID', {
      happened: `the position of ${position.nextOffsets.size} topics takes ${text.length} characters at the centre, which keeps ${METADATA_CHARS_MAX}.`,
      kept: 'Nothing was sent; the log keeps everything.',
      next: 'Send topics with many partitions to upstream topics of their own.'
    })
  }
  return text
}

/** null when the text is not a position of ours: another tool's, an older format, damaged. */
export function decodePosition(text: string): Position | null {
  if (text.length > METADATA_CHARS_MAX) return null
  const [version, logId, incarnationText, ...topics] = text.split(';')
  const incarnation = readNumber(incarnationText)
  if (version !== VERSION || logId === undefined || !LOG_ID.test(logId) || incarnation === null) return null
  const nextOffsets = new Map<string, number[]>()
  for (const entry of topics) {
    const [topic, list, ...rest] = entry.split('=')
    if (topic === undefined || list === undefined || rest.length > 0 || !TOPIC.test(topic) || nextOffsets.has(topic)) return null
    const offsets = list.split(',').map(readNumber)
    if (offsets.some((offset) => offset === null)) return null
    nextOffsets.set(topic, offsets as number[])
  }
  return { logId, incarnation, nextOffsets }
}

function readNumber(text: string | undefined): number | null {
  if (text === undefined || !BASE_36.test(text)) return null
  const value = Number.parseInt(text, 36)
  return Number.isSafeInteger(value) ? value : null
}
