// The numbers of the uplink, with their defaults.

import type { CodecName } from '../io/codec.ts'
import type { BackoffSettings } from './backoff.ts'

export interface UplinkSettings {
  /** Edge topic → topic at the centre. Several edge topics may share one. */
  readonly topics: ReadonlyMap<string, string>
  /** Names this gateway in the header `wadi.id` and in the position. */
  readonly gatewayId: string
  readonly compression: CodecName | 'best'
  /** Events of one transaction before compression, about. Two transactions are in memory at most. */
  readonly transactionBytesMax: number
  /** From so many waiting bytes on, the next transaction is made while one is on its way. */
  readonly aheadBytesMin: number
  /** After a pause the first event waits this long for company. */
  readonly lingerMs: number
  readonly backoff: BackoffSettings
  /** Pause after the centre refused us (rights, unknown topic). */
  readonly refusedDelayMs: number
  /** Pause after we were fenced too often. */
  readonly fencedDelayMs: number
  /** Fences within `fenceWindowMs` that make us stop. */
  readonly fencesMax: number
  readonly fenceWindowMs: number
  /** Make missing topics at the centre, with the edge's partition count. */
  readonly createTopics: boolean
  /** Where single events go that the centre will never take. */
  readonly deadLetterTopic: string
}

export const defaultUplinkSettings: Omit<UplinkSettings, 'topics' | 'gatewayId'> = {
  compression: 'gzip',
  transactionBytesMax: 4 * 1024 * 1024,
  aheadBytesMin: 64 * 1024,
  lingerMs: 20,
  backoff: { firstMs: 500, capMs: 60_000 },
  refusedDelayMs: 60_000,
  fencedDelayMs: 300_000,
  fencesMax: 3,
  fenceWindowMs: 600_000,
  createTopics: true,
  deadLetterTopic: '_wadi.dlq'
}
