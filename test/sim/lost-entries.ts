// The commit that made a topic rots in the journal, between two lives and before a state file has it. What was acknowledged of the topic may be lost then,
// and has to be counted, once; what the topic of that name takes from then on arrives like everything else, and under a place that names it alone.
// Or the commit rots that notes for the first time what is delivered: nothing is lost then. The centre may have forgotten the positions meanwhile.
// The last commit of a process that was killed may lie in the page cache only, where a power cut takes it before a start has written it again. Nobody was
// told of its events then, and they need not be counted. Events that were acknowledged, or seen, or that another commit has, always are.
// Draws from its own Prng, so that the rest of a seed's life stays as it is.
// Not for: what of it a start can still bring back (test/log/left-segments.test.ts).

import { readBatchHeader } from '../../runtime/core/batch-header.ts'
import { type CommitFrame, readFrames } from '../../runtime/core/commit-frames.ts'
import type { Core } from '../../runtime/core/core.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { decodeSnapshot, STATE_FORMAT_VERSION, type StateEntry } from '../../runtime/log/snapshot-codec.ts'
import { topicEntries } from '../../runtime/log/topic-catalogue.ts'
import { confirmedNotes, notesHead, writtenNotes } from '../../runtime/uplink/delivery-notes.ts'
import type { Ledger } from './ledger.ts'
import { Prng } from './prng.ts'
import type { SimClock } from './sim-clock.ts'
import type { SimDisk } from './sim-disk.ts'

const AREA = 0x656e7472 // "entr"
const NOTES = [notesHead, confirmedNotes, writtenNotes]
const LOOK_MS = 50
const BLOCK_BYTES = 4096
/** Of a state file, in front of its payload. */
const STATE_HEADER_BYTES = 16
/** In a commit: behind its header and that of the first frame. */
const ENTRY_AT = 60

interface WholeCommit {
  readonly path: string
  readonly at: number
  readonly sequence: number
  readonly frames: readonly CommitFrame[]
}

/** The newest commit of the journal when the entry rotted. */
interface LastCommit {
  readonly sequence: number
  /** `topic/partition` → offsets in it that nobody was told of. */
  readonly unanswered: ReadonlyMap<string, readonly number[]>
}

export interface LostEntriesHost {
  readonly clock: SimClock
  readonly disk: SimDisk
  readonly ledger: Ledger
  /** That the ledger keeps book of. */
  readonly topicNames: readonly string[]
  isCalm(): boolean
  crash(kind: 'power' | 'kill'): void
  count(what: string): void
  /** Something is at the centre. */
  hasDelivered(): boolean
  /** What was delivered can be known without positions. */
  mayForgetPositions(): boolean
  forgetPositions(): void
}

export class LostEntries {
  readonly #prng: Prng
  readonly #host: LostEntriesHost
  readonly isDrawn: boolean
  /** A commit is gone. */
  #isRotten = false
  /** Its entry is gone; null: no topic lost its entry. */
  #topicName: string | null = null
  /** `topic/partition` → what of it came from segments ends here, when it was made again. */
  readonly #takenIn = new Map<string, number>()
  /** `topic/partition` → offsets that the journal had of it. */
  readonly #journaled = new Map<string, Set<number>>()
  /** `topic/partition` → events of it that nothing brings back, when it was made again. */
  readonly #lostEvents = new Map<string, number>()
  /** null: a start has it, and has made it durable. */
  #lastCommit: LastCommit | null = null

  constructor(seed: number, host: LostEntriesHost) {
    this.#prng = new Prng(seed ^ AREA)
    this.#host = host
    this.isDrawn = this.#prng.chance(40)
  }

  /** A stop while the journal alone has the entry: at any moment, or soon after the first delivery, before the notes say anything of it. */
  plan(): void {
    const { clock } = this.#host
    if (this.#prng.chance(50)) clock.after(this.#prng.between(100, 2_500), () => this.#stop())
    else this.#stopAfterDelivery(this.#prng.between(0, 200))
  }

  #stopAfterDelivery(delayMs: number): void {
    const { clock } = this.#host
    const look = (): void => {
      if (this.#host.hasDelivered()) clock.after(delayMs, () => this.#stop())
      else if (!this.#host.isCalm()) clock.after(LOOK_MS, look)
    }
    look()
  }

  #stop(): void {
    if (!this.#host.isCalm()) this.#host.crash(this.#prng.chance(50) ? 'power' : 'kill')
  }

  /** The gateway is off: before each start. */
  betweenLives(core: Core): void {
    if (this.#isRotten) return this.#forgetVanished(core)
    if (this.#host.isCalm()) return
    const entry = this.#findEntry(core)
    if (entry === null) return
    const { path, atByte, topicName, number } = entry
    if (!this.#host.disk.rot(path, atByte, this.#prng.below(8))) return
    this.#isRotten = true
    if (this.#prng.chance(50) && this.#host.mayForgetPositions()) this.#host.forgetPositions()
    if (topicName === null) return this.#host.count('first-note-lost')
    this.#topicName = topicName
    const commits = [...this.#commits(core)]
    for (const [place, offsets] of offsetsIn(commits, number)) this.#journaled.set(`${topicName}/${place}`, offsets)
    this.#host.count('topic-entry-lost')
    const { acked, seen } = this.#host.ledger.snapshot()
    const sequence = lastSequenceOf(commits)
    const ofLast = offsetsIn(
      commits.filter((commit) => commit.sequence === sequence),
      number
    )
    const unanswered = new Map<string, number[]>()
    for (const [index, offsets] of ofLast) {
      const place = `${topicName}/${index}`
      const isTold = (offset: number): boolean => acked.get(place)?.has(offset) === true || seen.get(place)?.has(offset) === true
      unanswered.set(
        place,
        [...offsets].filter((offset) => !isTold(offset))
      )
    }
    this.#lastCommit = { sequence, unanswered }
    for (const places of [acked, seen]) for (const place of [...places.keys()]) if (place.startsWith(`${topicName}/`)) places.delete(place)
    this.#host.ledger.putBack({ acked, seen })
  }

  /** The power took the last commit before any start had made it durable. */
  #forgetVanished(core: Core): void {
    const last = this.#lastCommit
    if (last === null || lastSequenceOf([...this.#commits(core)]) >= last.sequence) return
    for (const [place, offsets] of last.unanswered) for (const offset of offsets) this.#journaled.get(place)?.delete(offset)
    this.#lastCommit = null
    this.#host.count('unanswered-commit-vanished')
  }

  /** Damage is expected now. @returns what is wrong with how it is counted; null when nothing is */
  onStarted({ report }: LogStore): string | null {
    this.#lastCommit = null
    // Of its topic that is made again: what was in front of segments that are taken in, or between them.
    const holes = report.holes.filter(({ topicName }) => topicName !== this.#topicName)
    const other = holes.length + report.unreadable.length + report.damagedFiles.length
    // Until a checkpoint is behind the gap every start finds it again.
    if (other > 0 || report.missingCommits > 1) return `one commit is gone, recovery reports: ${JSON.stringify(report)}`
    return null
  }

  /** At the end of each start, when its partitions were read: what was lost with the entry is counted, once. @returns what is wrong with it; null when nothing is */
  wrongCount({ metrics }: LogStore): string | null {
    if (!this.#isRotten) return null
    const ofDamage = metrics.removals.filter(({ reason }) => reason === 'damage')
    const counted = ofDamage.reduce((sum, { records }) => sum + records, 0)
    const lost = [...this.#lostEvents.values()].reduce((sum, events) => sum + events, 0)
    return counted === lost ? null : `${counted} events are counted as lost with their topic, they were ${lost}`
  }

  /** Offsets of the partition that readers need not see: beside `silent` those that were lost with its entry, in front of what came since. */
  silentIn(
    { topicName, partitionIndex }: Partition,
    read: {
      readonly start: number
      readonly end: number
      readonly records: readonly { offset: number }[]
      readonly silent: ReadonlySet<number>
    }
  ): ReadonlySet<number> {
    if (topicName !== this.#topicName) return read.silent
    const place = `${topicName}/${partitionIndex}`
    const end = this.#takenIn.get(place) ?? read.end
    if (!this.#takenIn.has(place)) this.#host.ledger.onDropped(place, { from: 0, until: end })
    this.#takenIn.set(place, end)
    const there = new Set(read.records.map(({ offset }) => offset))
    if (!this.#lostEvents.has(place)) {
      const had = [...(this.#journaled.get(place) ?? [])]
      this.#lostEvents.set(place, had.filter((offset) => !there.has(offset)).length)
    }
    const lost = Array.from({ length: Math.max(0, end - read.start) }, (_, at) => read.start + at).filter((offset) => !there.has(offset))
    return new Set([...read.silent, ...lost])
  }

  /** Everything of the place in front of `until` was lost with its entry, or may be. */
  isGone(place: string, until: number): boolean {
    return until <= (this.#takenIn.get(place) ?? 0)
  }

  /** Damage is expected from the next start on. */
  get isLost(): boolean {
    return this.#isRotten
  }

  /** A byte of a commit of the journal that holds nothing but the entry of a topic, or nothing but notes of what is delivered. */
  #findEntry(core: Core): { path: string; atByte: number; topicName: string | null; number: number } | null {
    const found: { path: string; atByte: number; topicName: string | null; number: number; sequence: number }[] = []
    let lastSequence = 0
    const files = this.#host.disk.files()
    const entriesOf = (bytes: Uint8Array): Iterable<StateEntry> =>
      decodeSnapshot(STATE_FORMAT_VERSION, bytes.subarray(STATE_HEADER_BYTES))?.state ?? []
    const isInState = (key: string): boolean =>
      files.some(({ path, bytes }) => path.includes('/state/') && new Map(entriesOf(bytes)).has(key))
    for (const { path, at, sequence, frames } of this.#commits(core)) {
      lastSequence = Math.max(lastSequence, sequence)
      const [frame] = frames
      const isOfNotes = frames.every((one) => one.kind === 'state' && NOTES.some((area) => area.owns(one.key)) && !isInState(one.key))
      if (frame && isOfNotes) found.push({ path, atByte: at + ENTRY_AT, topicName: null, number: 0, sequence })
      if (frames.length !== 1 || frame?.kind !== 'state' || frame.value === null || !topicEntries.owns(frame.key)) continue
      const topicName = topicEntries.restOf(frame.key)
      if (!this.#host.topicNames.includes(topicName) || isInState(frame.key)) continue
      const { number } = topicEntries.decode(frame.value, frame.key)
      found.push({ path, atByte: at + ENTRY_AT, topicName, number, sequence })
    }
    const behind = found.filter(({ sequence }) => sequence < lastSequence) // else it is a torn end
    return behind.length === 0 ? null : this.#prng.pick(behind)
  }

  /** Whole commits of the journal, in no order. */
  *#commits(core: Core): Generator<WholeCommit> {
    for (const { path, bytes } of this.#host.disk.files()) {
      if (!path.endsWith('.journal')) continue
      for (let at = BLOCK_BYTES; at + BLOCK_BYTES <= bytes.byteLength; at += BLOCK_BYTES) {
        const header = core.readCommitHeader(bytes.subarray(at, at + BLOCK_BYTES))
        const block = header && bytes.subarray(at, at + header.blockBytes)
        if (!block || block.byteLength < header.blockBytes || !core.verifyCommit(block)) continue
        yield { path, at, sequence: header.sequence, frames: [...readFrames(block, header)] }
      }
    }
  }
}

/** Partition index → offsets that the commits have of the topic. */
function offsetsIn(commits: readonly WholeCommit[], topicNumber: number): Map<number, Set<number>> {
  const found = new Map<number, Set<number>>()
  for (const { frames } of commits)
    for (const frame of frames) {
      const batch = frame.kind === 'batch' && frame.topicNumber === topicNumber ? readBatchHeader(frame.batch) : null
      if (frame.kind !== 'batch' || batch === null) continue
      const offsets = found.get(frame.partitionIndex) ?? new Set()
      found.set(frame.partitionIndex, offsets)
      for (let offset: number = batch.baseOffset; offset <= batch.lastOffset; offset++) offsets.add(offset)
    }
  return found
}

function lastSequenceOf(commits: readonly WholeCommit[]): number {
  return Math.max(0, ...commits.map(({ sequence }) => sequence))
}
