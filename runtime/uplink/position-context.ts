// What finding the positions needs: this disk, the centre, and the delivery notes. Not for: the decisions (claimed-offsets.ts, find-positions.ts).

import type { Core } from '../core/core.ts'
import type { BlockCodec } from '../io/codec.ts'
import type { Store } from '../log/contract.ts'
import type { UplinkCounters } from './counters.ts'
import type { DeliveryNotes } from './delivery-notes.ts'
import type { Forks } from './forks.ts'
import type { Notices } from './notices.ts'
import type { Upstream, UpstreamTopic } from './upstream.ts'

export interface PositionContext {
  readonly store: Store
  readonly upstream: Upstream
  readonly core: Core
  readonly codec: BlockCodec
  readonly counters: UplinkCounters
  readonly notices: Notices
  readonly notes: DeliveryNotes | null
  readonly forks: Forks
  /** Whose positions the centre is asked for. */
  readonly gatewayId: string
  /** As described just now. */
  readonly topics: ReadonlyMap<string, UpstreamTopic>
}
