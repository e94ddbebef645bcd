// What finding the place to go on from needs: this disk, the centre, and what was noted. Not for: the decisions (centre-words.ts, resume.ts).

import type { Core } from '../core/core.ts'
import type { BlockCodec } from '../io/codec.ts'
import type { Store } from '../log/contract.ts'
import type { UplinkCounters } from './counters.ts'
import type { Forks } from './forks.ts'
import type { Hint } from './hint.ts'
import type { Notices } from './notices.ts'
import type { Upstream, UpstreamTopic } from './upstream.ts'

export interface ResumeContext {
  readonly store: Store
  readonly upstream: Upstream
  readonly core: Core
  readonly codec: BlockCodec
  readonly counters: UplinkCounters
  readonly notices: Notices
  readonly hint: Hint | null
  /** A commit was asked for and nobody knows whether it happened: what this process has confirmed may not be all. */
  readonly isCommitOpen: boolean
  readonly forks: Forks
  /** As described just now. */
  readonly topics: ReadonlyMap<string, UpstreamTopic>
}
