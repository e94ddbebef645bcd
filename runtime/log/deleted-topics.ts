// Topics that were deleted: what of them still lies on the disk, and where their offsets ended.
//
//   gone/<topic number>   name, partitions, isMoved: in the commit that takes the topic away, until nothing of it is left
//   ended/<name>          next offset of each partition, where starts began to write them, and what its counters said: a topic of that name goes on there
//   ended/                counters of those whose names were too many to remember
//
// The commit is the deletion. Then, one behind the other and again after an error or a restart:
//   1  the directories get a name that no topic has (<number>-<partition>.deleted), which is made durable
//   2  a commit says so (isMoved): only now a topic of the same name may be made, so no start takes new files for old ones
//   3  files and directories are removed, and the state that belongs to the number
//   4  when a durable snapshot covers the deletion, so that no replay meets a batch of the number, the commit that forgets it
//
// Invariants: a number is never given again; nor is an offset of a name that was delivered, because the position at the centre and wadi.offset go by name.
// Not for: which topics may be deleted (topic-list.ts and its callers), who still reads them (contract.ts, isDeleted).

import { inParts } from '../base/in-parts.ts'
import { type Disk, DiskError } from '../io/disk.ts'
import { compactionRecords } from './compaction.ts'
import type { Removal, StateChange, Store } from './contract.ts'
import { decodeBeginnings, encodeBeginnings, type FormerBeginning, withinBound } from './former-beginnings.ts'
import { incarnationStarts } from './incarnation-offsets.ts'
import { damageCounts } from './known-damage.ts'
import { deletedDirectory, partitionDirectory, TOPICS_DIRECTORY } from './layout.ts'
import { holes } from './missing-ranges.ts'
import { removalRecords, summedRemovals } from './removals.ts'
import { STATE_VALUE_BYTES_MAX, StateArea, type StateReader } from './state-area.ts'
import { decimal, deleteState, numberedKeyBytes, versioned } from './state-codec.ts'
import { fields, flag, listOf, oneOf, optional, whole, within, words } from './state-shape.ts'
import { collisionKey, TOPIC_PARTITIONS_MAX, topicEntries } from './topic-catalogue.ts'
import { abortedTransactions, producerRecords } from './transaction-index.ts'

const KEYS_PER_COMMIT = 200
const ENDED_NAMES_MAX = 10_000
/** For their counters. No topic is called so. */
const OTHER_TOPICS = '(other deleted topics)'

/** Areas whose keys begin with a topic number. */
const AREAS_BY_NUMBER: readonly Pick<StateArea<unknown>, 'keysIn'>[] = [
  removalRecords,
  damageCounts,
  holes,
  incarnationStarts,
  producerRecords,
  abortedTransactions,
  compactionRecords
]

interface GoneTopic {
  readonly name: string
  readonly partitions: number
  readonly isMoved: boolean
}

/** In this process. */
interface Going {
  /** Of a commit at or behind the deletion. */
  readonly sequence: number
  readonly closed: Promise<unknown>
}

/** Of all topics of one name that were deleted. */
interface EndedTopic {
  /** By partition: the first offset that was not given. */
  readonly ends: readonly number[]
  readonly removals: readonly Removal[]
  /** Oldest first, partition, start and offset one behind the other; none in what earlier versions left. */
  readonly beginnings?: readonly number[] | undefined
}

export const goneTopics = new StateArea<GoneTopic>(
  'gone',
  versioned(fields({ name: words, partitions: within(1, TOPIC_PARTITIONS_MAX), isMoved: flag })),
  {
    keys: '<topic number>',
    keyBytesMax: numberedKeyBytes('gone', 1),
    valueBytesMax: 1024,
    entries: 'deletions behind the last checkpoint, which the journal bounds, and those whose files the disk refuses to remove',
    goes: 'when the files and the state of the topic are removed, behind a checkpoint'
  }
)

const removalShape = fields<Removal>({
  topicName: words,
  reason: oneOf('quota', 'retention', 'damage', 'deletion'),
  records: whole,
  isLoss: flag
})

const endedShape = fields<EndedTopic>({
  ends: listOf(whole),
  removals: listOf(removalShape),
  beginnings: optional(listOf(whole))
})

export const endedTopics = new StateArea<EndedTopic>('ended', versioned(endedShape), {
  keys: '<name>',
  valueBytesMax: STATE_VALUE_BYTES_MAX,
  entries: '10,000 names, the others are counted together; above that no topic is deleted that was delivered',
  goes: 'never: nothing at the centre may have one offset twice'
})

/** The greatest number that was given when a topic was deleted. */
export const lastTopicNumbers = new StateArea<number>('meta/last-topic', decimal, {
  keys: '',
  valueBytesMax: decimal.bytesMax,
  goes: 'never: a number is not given twice'
})

export interface DeletedTopicsHost {
  readonly disk: Disk
  readonly directory: string
  readonly state: StateReader
  /** Through the group commit; false when it was refused. */
  commit(changes: readonly StateChange[]): Promise<boolean>
  /** Of the newest commit. */
  sequence(): number
}

export class DeletedTopics {
  readonly #host: DeletedTopicsHost
  /** By number. */
  readonly #gone = new Map<number, Going>()
  /** Everything below is in synced segments, as the newest durable snapshot says. */
  #coveredSequence = -1
  #work: Promise<void> = Promise.resolve()
  #isStopped = false

  constructor(host: DeletedTopicsHost) {
    this.#host = host
  }

  /**
   * As the last commit has it; `sequence` is that of the last commit. All is read here: what is damaged refuses the start, and not the work behind it.
   * @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER
   */
  load(sequence: number): void {
    const { state } = this.#host
    for (const key of goneTopics.keysIn(state)) {
      goneTopics.get(state, key)
      this.#gone.set(Number(goneTopics.restOf(key)), { sequence, closed: Promise.resolve() })
    }
    for (const key of endedTopics.keysIn(state)) endedTopics.get(state, key)
  }

  has(number: number): boolean {
    return this.#gone.has(number)
  }

  /** Where the partitions of a new topic of this name begin. */
  endsOf(name: string): readonly number[] {
    return this.#ended(name).ends
  }

  /** Where starts began to write them, before a topic of this name was deleted. */
  beginningsOf(name: string): readonly FormerBeginning[] {
    return formerBeginnings(this.#host.state, name)
  }

  /** What the counters of deleted topics say. */
  removals(): Removal[] {
    return endedTopics.keysIn(this.#host.state).flatMap((key) => this.#ended(endedTopics.restOf(key)).removals)
  }

  #ended(name: string): EndedTopic {
    return endedTopics.get(this.#host.state, endedTopics.key(name)) ?? { ends: [], removals: [] }
  }

  /** Names that were delivered are remembered for ever, so their number has a bound. */
  canRemember(name: string): boolean {
    const { state } = this.#host
    return state.getState(endedTopics.key(name)) !== undefined || endedTopics.keysIn(state).length < ENDED_NAMES_MAX
  }

  /** For the commit that deletes. `ends` is empty when nobody outside of this disk knows offsets of the topic. */
  changesFor(
    topic: { number: number; name: string; partitions: number },
    left: Pick<EndedTopic, 'ends' | 'removals'> & { readonly beginnings: readonly FormerBeginning[] }
  ): StateChange[] {
    const { number, name: topicName, partitions } = topic
    const isNameless = left.ends.length === 0 && !this.canRemember(topicName)
    const name = isNameless ? '' : topicName
    const before = this.#ended(name)
    const ends = Array.from({ length: Math.max(before.ends.length, left.ends.length) }, (_, index) =>
      Math.max(before.ends[index] ?? 0, left.ends[index] ?? 0)
    )
    const counted = isNameless ? left.removals.map((removal) => ({ ...removal, topicName: OTHER_TOPICS })) : left.removals
    const removals = summedRemovals([...before.removals, ...counted])
    const kept = this.beginningsOf(name).filter(({ partitionIndex }) => partitionIndex >= partitions)
    const beginnings = ends.length === 0 ? [] : encodeBeginnings(withinBound([...left.beginnings, ...kept]))
    const changes = [goneTopics.put(goneTopics.key(number), { name: topicName, partitions, isMoved: false })]
    if (ends.length > 0 || removals.length > 0) changes.push(endedTopics.put(endedTopics.key(name), { ends, removals, beginnings }))
    return changes
  }

  /** The commit is durable. `closed`: nothing works on the files of the topic any more. */
  onDeleted(number: number, closed: Promise<unknown>): void {
    this.#gone.set(number, { sequence: this.#host.sequence(), closed })
  }

  /**
   * Whether a topic of this name may be made: nothing of an older one has its directories. Does the work for it when that is left.
   * @throws DiskError
   */
  async isNameFree(name: string): Promise<boolean> {
    const isOfName = (number: number): boolean => {
      const gone = this.#goneTopic(number)
      return gone !== null && !gone.isMoved && collisionKey(gone.name) === collisionKey(name)
    }
    if ([...this.#gone.keys()].some(isOfName)) await this.clear()
    return ![...this.#gone.keys()].some(isOfName)
  }

  #goneTopic(number: number): GoneTopic | null {
    return goneTopics.get(this.#host.state, goneTopics.key(number)) ?? null
  }

  /** A snapshot is durable behind which the journal is replayed from `sequence` on. */
  onSnapshot(sequence: number): void {
    this.#coveredSequence = Math.max(this.#coveredSequence, sequence)
  }

  /** One step further with everything that is left, behind what is under way. @throws DiskError, of one topic only when all others had their turn */
  clear(): Promise<void> {
    const run = this.#work.then(() => this.#clearAll())
    this.#work = run.catch(() => undefined)
    return run
  }

  /** Nothing is begun any more. Resolves when what is under way has ended: a later start goes on. */
  stop(): Promise<void> {
    this.#isStopped = true
    return this.#work
  }

  async #clearAll(): Promise<void> {
    let failure: unknown = null
    for (const number of [...this.#gone.keys()]) {
      if (this.#isStopped) return
      try {
        await this.#clearOne(number)
      } catch (error) {
        if (!(error instanceof DiskError)) throw error
        failure ??= error
      }
    }
    if (failure !== null) throw failure
  }

  async #clearOne(number: number): Promise<void> {
    const gone = this.#goneTopic(number)
    if (gone === null) return void this.#gone.delete(number)
    const { sequence, closed } = this.#gone.get(number) as Going
    await closed // a checkpoint or a seal under way opens and syncs them by their names
    const key = goneTopics.key(number)
    if (!gone.isMoved) {
      // A topic has the name already: it was made behind the move, and damage took the commit that said so.
      if (this.#host.state.getState(topicEntries.key(gone.name)) === undefined) await this.#move(number, gone)
      if (!(await this.#host.commit([goneTopics.put(key, { ...gone, isMoved: true })]))) return
    }
    for (let index = 0; index < gone.partitions; index++) await this.#removeDirectory(deletedDirectory(this.#host.directory, number, index))
    if (this.#isStopped) return
    const keys = AREAS_BY_NUMBER.flatMap((area) => area.keysIn(this.#host.state, number))
    for (const part of inParts(keys, KEYS_PER_COMMIT)) if (!(await this.#host.commit(part.map(deleteState)))) return
    if (this.#coveredSequence < sequence) return
    await this.#host.disk.syncDirectory(`${this.#host.directory}/${TOPICS_DIRECTORY}`) // or a power cut brings directories back that nothing names
    if (await this.#host.commit([deleteState(key)])) this.#gone.delete(number)
  }

  async #move(number: number, { name, partitions }: GoneTopic): Promise<void> {
    const { disk, directory } = this.#host
    for (let index = 0; index < partitions; index++) {
      await disk.rename(partitionDirectory(directory, name, index), deletedDirectory(directory, number, index)).catch(onlyAbsent)
    }
    await disk.syncDirectory(`${directory}/${TOPICS_DIRECTORY}`)
  }

  async #removeDirectory(path: string): Promise<void> {
    const { disk } = this.#host
    const names = await disk.list(path).catch((error: unknown) => {
      onlyAbsent(error)
      return null
    })
    if (names === null) return
    for (const name of names) {
      if (this.#isStopped) return
      await disk.remove(`${path}/${name}`).catch(onlyAbsent)
    }
    await disk.removeDirectory(path)
  }
}

/** Where starts began to write the partitions of topics of this name that were deleted. */
export function formerBeginnings(state: Pick<StateReader, 'getState'>, name: string): readonly FormerBeginning[] {
  return decodeBeginnings(endedTopics.get(state, endedTopics.key(name))?.beginnings ?? [])
}

/** By partition: where topics of this name that were deleted ended; empty when there was none, or nobody outside goes by its offsets. */
export function formerEnds(state: Pick<StateReader, 'getState'>, name: string): readonly number[] {
  return endedTopics.get(state, endedTopics.key(name))?.ends ?? []
}

/** Partition directories of deleted topics that still have their old names: the next step of the deletion moves them. */
export function unmovedPartitions(store: Pick<Store, 'listState' | 'getState'>): string[] {
  return goneTopics.keysIn(store).flatMap((key) => {
    const { name, partitions, isMoved } = goneTopics.get(store, key) as GoneTopic
    return isMoved ? [] : Array.from({ length: partitions }, (_, index) => `${name}-${index}`)
  })
}

function onlyAbsent(error: unknown): void {
  if (!(error instanceof DiskError && error.code === 'ENOENT')) throw error
}
