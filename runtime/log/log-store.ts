// The data directory: opens it, recovers it, wires journal, group commit and upkeep, keeps the list of topics, and closes it.
//
// Invariants:
//   L1  One process per directory (the disk's lock).
//   L2  Nothing is served before recovery has finished and its last commit is durable again.
//   L3  After a failed durable write or sync the store only reads (failure is set); restart reads the disk again.
// Not here: what a record means, topics' routes, clients; seals, checkpoints and retention (upkeep.ts).

import { assert } from '../base/assert.ts'
import type { WadiError } from '../base/errors.ts'
import { Listeners } from '../base/listeners.ts'
import type { Offset } from '../base/offset.ts'
import type { Core } from '../core/core.ts'
import type { RecordInput } from '../core/record.ts'
import { recordBytesBound } from '../core/record-bytes.ts'
import type { Clock } from '../io/clock.ts'
import type { BlockCodec } from '../io/codec.ts'
import { type Disk, DiskError, type DiskLock } from '../io/disk.ts'
import type { Random } from '../io/random.ts'
import { DirectoryAccount } from './accounts.ts'
import type {
  AlterOptions,
  Append,
  AppendDone,
  CommitDone,
  CommitState,
  DeleteOptions,
  DroppedRange,
  Partition,
  StateChange,
  Store,
  StoreMetrics,
  TopicConfig
} from './contract.ts'
import { prepareDirectory } from './data-directory.ts'
import { deleteRecords } from './delete-records.ts'
import { DeletedTopics } from './deleted-topics.ts'
import { withFinalSyncs } from './final-syncs.ts'
import { FreeSpace } from './free-space.ts'
import { GroupCommit } from './group-commit.ts'
import { Journal } from './journal.ts'
import { KnownDamage } from './known-damage.ts'
import { LaneLog } from './lane-log.ts'
import type { Start } from './lineage.ts'
import { contentBytesBound, type LogAppend } from './open-commit.ts'
import { OwnStart } from './own-start.ts'
import type { PartitionEnvironment } from './partition-environment.ts'
import type { PartitionLog } from './partition-log.ts'
import { Quota } from './quota.ts'
import { firstGeneration, lastTopicNumber, readJournals, replayJournals, restoreTransactions } from './recovery.ts'
import { isWithoutDamage, newRecoveryReport, type RecoveryReport } from './recovery-report.ts'
import { Removals, summedRemovals } from './removals.ts'
import { RetentionRound } from './retention-round.ts'
import { defaultStorageSettings, journalSizes, type StorageSettings, withinBounds } from './settings.ts'
import type { RecoveryPoint } from './snapshot-codec.ts'
import { StateMap } from './state-map.ts'
import { type LoadedSnapshot, loadSnapshot, writeSnapshot } from './state-snapshot.ts'
import { asStoreError, noJournalRoom, onlyDisk, onlyFull, storeClosed, tooLarge, topicUnknown, writeFailed } from './store-errors.ts'
import { StoreMeter } from './store-meter.ts'
import type { StoredTopic } from './stored-topic.ts'
import { TailTotals } from './tail.ts'
import { topicEntries } from './topic-catalogue.ts'
import { TopicList } from './topic-list.ts'
import { TopicRecovery } from './topic-recovery.ts'
import { UnnamedTopics } from './unnamed-topics.ts'
import { sealMemoryFor, Upkeep } from './upkeep.ts'

export interface LogStoreOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly random: Random
  readonly core: Core
  readonly codec: BlockCodec
  readonly directory: string
  readonly settings?: Partial<StorageSettings>
  /** Long work of the start, for a progress bar. */
  onProgress?(step: { what: string; done: number; total: number }): void
}

export class LogStore implements Store {
  readonly directory: string
  readonly logId: string
  readonly report: RecoveryReport
  readonly lane: LaneLog
  readonly #options: LogStoreOptions
  readonly #settings: StorageSettings
  readonly #lock: DiskLock
  readonly #meter: StoreMeter
  readonly #state: StateMap
  readonly #topics: TopicList
  readonly #deleted: DeletedTopics
  readonly #unnamed: UnnamedTopics
  readonly #drops = new Listeners<DroppedRange>((error) => this.#fail(writeFailed('A program error: telling what was dropped', error)))
  readonly #env: PartitionEnvironment
  readonly #account = new DirectoryAccount()
  readonly #tails = new TailTotals()
  readonly #quota: Quota
  readonly #damage: KnownDamage
  readonly #removals: Removals
  readonly #retention: RetentionRound
  /** As counted by versions that did not count by topic. */
  readonly #before: { readonly droppedRecords: number; readonly lostRecords: number }
  #journal!: Journal
  #commit!: GroupCommit
  #upkeep!: Upkeep
  readonly #freeSpace: FreeSpace
  #snapshotNumber: number
  #snapshotBytes = 0
  #ownStart!: OwnStart
  #failure: WadiError | null = null
  #isClosed = false

  private constructor(options: LogStoreOptions, lock: DiskLock, loaded: LoadedSnapshot | null, report: RecoveryReport) {
    this.#options = options
    this.directory = options.directory
    this.#settings = withinBounds({ ...defaultStorageSettings, ...options.settings }, options.core)
    this.#lock = lock
    this.#freeSpace = new FreeSpace(options.disk, options.directory)
    this.report = report
    this.logId = loaded?.snapshot.logId ?? Buffer.from(options.random.bytes(16)).toString('hex')
    this.#snapshotNumber = loaded?.number ?? 0
    this.#snapshotBytes = loaded?.bytes ?? 0
    this.#state = new StateMap(loaded?.snapshot.state)
    this.#before = { droppedRecords: loaded?.snapshot.droppedRecords ?? 0, lostRecords: loaded?.snapshot.lostRecords ?? 0 }
    this.#meter = new StoreMeter()
    this.#env = {
      disk: options.disk,
      core: options.core,
      codec: options.codec,
      sealMemory: sealMemoryFor(this.#settings),
      meter: this.#meter,
      indexIntervalBytes: this.#settings.indexIntervalBytes,
      unreadablePatienceMs: this.#settings.unreadablePatienceMs,
      tails: this.#tails,
      nowMs: () => options.clock.monotonicMs(),
      onDamage: (range) => this.#damage.report(range),
      isReported: (range) => this.#damage.isKnown(range)
    }
    this.#damage = new KnownDamage({
      state: this.#state,
      submit: (changes, done) => this.#submit([], changes, done),
      partitionOf: ({ topicName, partitionIndex }) => this.topics.get(topicName)?.partitions[partitionIndex],
      removedUpTo: (partition) => this.#removals.countedUpTo(partition),
      tell: (range) => this.#drops.tell(range)
    })
    this.#quota = this.#newQuota()
    this.#removals = new Removals({
      state: this.#state,
      damage: this.#damage,
      commit: (changes, done) => this.#submit([], changes, done),
      onDropped: (range) => this.#drops.tell(range)
    })
    this.#retention = this.#newRetention()
    this.#deleted = new DeletedTopics({
      disk: options.disk,
      directory: options.directory,
      state: this.#state,
      commit: (changes) => new Promise((resolve) => this.#submit([], changes, (error) => resolve(error === null))),
      sequence: () => this.#journal.sequence
    })
    this.#topics = this.#newTopicList()
    this.lane = new LaneLog({
      core: options.core,
      commit: () => this.#commit,
      batchBytesMax: this.#settings.batchBytesMax,
      topicWith: (number) => this.#topics.withNumber(number),
      refusalFor: (topic) => (topic.isEnding ? topicUnknown(topic.name) : this.#quota.refusalFor(topic, this.#settings.commitBytesMax)),
      onAppend: () => this.#ownStart.ask()
    })
    const own = { state: this.#state, damage: this.#damage, deleted: this.#deleted, topics: this.#topics }
    this.#unnamed = new UnnamedTopics({ ...options, ...own })
  }

  #newTopicList(): TopicList {
    return new TopicList({
      directory: this.#options.directory,
      settings: this.#settings,
      random: this.#options.random,
      state: this.#state,
      env: this.#env,
      account: this.#account,
      report: this.report,
      damage: this.#damage,
      removals: this.#removals,
      deleted: this.#deleted,
      making: (partitions) => this.#unnamed.making(partitions),
      commit: (state) => this.commit([], state),
      onDropped: (range) => this.#drops.tell(range),
      onProgramError: (error) => this.#fail(writeFailed('A program error: telling of a deleted topic', error)),
      changed: (topic) => this.lane.changed(topic),
      failedToTakeIn: (error) => this.#fail(writeFailed('Taking in segments that nothing named', error))
    })
  }

  #newQuota(): Quota {
    return new Quota({
      ...this.#settings,
      directory: this.#account,
      otherBytes: () => this.#journal.sizeBytes + this.#snapshotBytes,
      topics: () => this.#topics.all()
    })
  }

  #newRetention(): RetentionRound {
    return new RetentionRound({
      quota: this.#quota,
      removals: this.#removals,
      saveUnsaved: () => this.#saveUnsaved(),
      topics: () => this.#topics.all(),
      topicOf: (partition) => this.#topicOf(partition),
      wallMs: () => this.#options.clock.wallMs(),
      freeBytes: () => this.#freeSpace.bytes(),
      tailBytes: () => this.#tails.bytes,
      seal: (partition) => this.#upkeep.seal(partition)
    })
  }

  /**
   * Opens or makes the directory; everything that was ever acknowledged can be read when it resolves.
   * @throws WadiError WADI_DATA_DIR_LOCKED, WADI_DATA_DIR_UNUSABLE, WADI_FORMAT_NEWER, WADI_STATE_DAMAGED, WADI_DISK_FULL
   */
  static async open(given: LogStoreOptions): Promise<LogStore> {
    const options = { ...given, disk: withFinalSyncs(given.disk) }
    const { disk, directory, clock } = options
    const startedMs = clock.monotonicMs()
    const lock = await prepareDirectory(disk, directory)
    try {
      const report = newRecoveryReport()
      const loaded = await loadSnapshot(disk, options.core, directory)
      if (loaded) report.damagedFiles.push(...loaded.damaged)
      const store = new LogStore(options, lock, loaded, report)
      try {
        await store.#recover(loaded)
      } catch (error) {
        await store.#abandon()
        throw error
      }
      report.durationMs = clock.monotonicMs() - startedMs
      return store
    } catch (error) {
      await lock.release()
      throw asStoreError(error, directory)
    }
  }

  /** After a start that failed: nothing runs on and no file stays open. */
  async #abandon(): Promise<void> {
    this.#isClosed = true
    this.#upkeep?.halt()
    const quietly = (work: Promise<void> | undefined): Promise<void> => (work ?? Promise.resolve()).catch(() => undefined)
    for (const { partitions } of this.#topics.all()) for (const partition of partitions) await quietly(partition.close())
    await quietly(this.#journal?.close())
  }

  async #recover(loaded: LoadedSnapshot | null): Promise<void> {
    const context = { ...this.#options, report: this.report }
    const contents = await readJournals(context, loaded, this.#state)
    this.report.wasUnclean = contents.commits.length > 0
    const found = { ...contents, recoveryPoints: loaded?.snapshot.recoveryPoints ?? [], isJournalWhole: isWithoutDamage(this.report) }
    const recovery = new TopicRecovery({ state: this.#state, removals: this.#removals, damage: this.#damage, report: this.report }, found)
    this.#deleted.load(contents.lastSequence)
    this.#damage.load()
    for (const key of topicEntries.keysIn(this.#state)) await recovery.recover(this.#topics.restore(key))
    this.#topics.onNumberSeen(Math.max(lastTopicNumber(contents), this.#damage.lastNumber)) // one whose topic damage took is not given again
    const last = contents.commits.at(-1)
    const start = { generation: last?.generation ?? firstGeneration(loaded, this.#options.random), sequence: contents.lastSequence }
    this.#journal = await Journal.open({ ...this.#options, ...journalSizes(this.#settings), meter: this.#meter, isNew: !loaded, ...start })
    this.#upkeep = this.#newUpkeep(found.recoveryPoints)
    if (!loaded) await this.#writeSnapshot(0, [])
    const lastCommit = await replayJournals(context, contents, {
      partitionOf: (topicNumber, partitionIndex) => this.#topics.partitionAt({ topicNumber, partitionIndex }),
      nowMs: () => context.clock.monotonicMs(),
      onProgress: (done, total) => this.#options.onProgress?.({ what: 'journal', done, total }),
      afterCommit: () => this.#upkeep.sealAboveLimitOrLater()
    })
    await this.#unnamed.find(contents.coverage, this.report)
    restoreTransactions(this.#topics.all(), this.#state, this.report)
    for (const topic of this.#topics.all()) recovery.settleEnds(topic)
    this.report.holes = this.report.holes.filter((range) => !this.#damage.isKnown(range))
    const lastSequences = new Map(contents.commits.map((c) => [c.fileIndex, { sequence: c.sequence, generation: c.generation }]))
    const end = last ? { fileIndex: last.fileIndex, positionBytes: last.positionBytes + last.blockBytes } : null
    await this.#journal.continueFrom({ end, lastSequences, nowMs: context.clock.monotonicMs(), lastCommit })
    this.#journal.startFilling()
    this.#commit = this.#newGroupCommit()
    const noted = this.report.holes.flatMap((range) => this.#damage.note(range)) // before a checkpoint behind a commit takes their traces
    await this.#nameStart()
    void this.#damage.reportNoted(noted)
    this.#commit.note(this.#unnamed.outdated(contents.coverage))
    if (this.report.missingCommits > 0) await this.flush().catch(onlyFull) // or the gap in the sequences would be found again at every start
    this.#upkeep.schedule()
  }

  #newGroupCommit(): GroupCommit {
    return new GroupCommit({
      core: this.#options.core,
      clock: this.#options.clock,
      journal: this.#journal,
      state: this.#state,
      incarnation: () => this.#ownStart.incarnation,
      lingerMs: this.#settings.lingerMs,
      commitBytesMax: this.#settings.commitBytesMax,
      onCommit: (commit) => {
        this.#meter.onCommit(commit)
        for (const partition of commit.partitions) {
          partition.notify()
          if (partition.tail.bytes >= partition.share.sealBytes) this.#upkeep.sealSoon(partition)
          const topic = this.#topics.withNumber(partition.topicNumber)
          if (topic && this.#quota.isTopicOver(topic)) this.#upkeep.makeRoomSoon()
        }
        if (this.#quota.isDirectoryOver) this.#upkeep.makeRoomSoon()
        if (this.#tails.memoryBytes > this.#settings.tailBytesMax) this.#upkeep.housekeep()
        if (this.#journal.fullUpTo !== null) void this.#upkeep.checkpoint()
      },
      onFull: () => this.#onJournalFull(),
      onFailed: (error) => this.#fail(error)
    })
  }

  #onJournalFull(): void {
    const refusal = noJournalRoom(this.#journal.lack, this.#upkeep.full)
    if (refusal) this.#commit.refuseWaiting(refusal)
    if (this.#journal.lack === null) return void this.#upkeep.checkpoint()
    this.#options.clock.soon(() => this.#journal.wake()) // a checkpoint would free nothing
  }

  #topicOf({ topicNumber }: Partition): StoredTopic {
    const topic = this.#topics.withNumber(topicNumber)
    assert(topic !== undefined, `this store has no topic number ${topicNumber}`)
    return topic
  }

  /** What the handle stands for; null when its topic was deleted. */
  #own(handle: Partition): { topic: StoredTopic; partition: PartitionLog } | null {
    const topic = this.#topics.withNumber(handle.topicNumber)
    const partition = topic?.partitions[handle.partitionIndex]
    if (topic && partition) return { topic, partition }
    assert(handle.isDeleted, `${handle.topicName}-${handle.partitionIndex} is no partition of this store`)
    return null
  }

  #newUpkeep(recoveryPoints: readonly RecoveryPoint[]): Upkeep {
    return new Upkeep({
      ...this.#options,
      recoveryPoints,
      state: this.#state,
      commit: (changes) => new Promise((resolve) => this.#submit([], changes, (error) => resolve(error === null))),
      freeBytes: () => this.#freeSpace.bytes(),
      settings: this.#settings,
      meter: this.#meter,
      journal: this.#journal,
      retention: this.#retention,
      topics: this.#topics.byName,
      tails: this.#tails,
      writeSnapshot: (sequence, points) => this.#writeSnapshot(sequence, points),
      clearDeleted: () => this.#deleted.clear(),
      growJournal: () => this.#growJournal(),
      fail: (error) => this.#fail(error)
    })
  }

  /** A full disk is no reason not to start: what is stored can be read and delivered, which makes room. */
  async #nameStart(): Promise<void> {
    this.#ownStart = new OwnStart({
      state: this.#state,
      random: this.#options.random,
      hasFoundDamage: this.report.holes.length > 0 || !isWithoutDamage(this.report),
      submit: (changes, done) => this.#commit.submit([], changes, done)
    })
    const refusal = await this.#ownStart.askAndWait()
    if (refusal === null) return this.#removals.save()
    if (refusal.code !== 'WADI_DISK_FULL') throw refusal
    this.report.notes.push('the disk is full: what is stored is read and delivered; events are taken when there is room')
  }

  /** What could not be committed, again. */
  async #saveUnsaved(): Promise<void> {
    if ((await this.#ownStart.askAndWait()) !== null) return
    await this.#damage.save()
    await this.#removals.save()
  }

  #submit(appends: readonly LogAppend[], state: CommitState, done: CommitDone): void {
    this.#ownStart.ask()
    this.#commit.submit(appends, state, done)
  }

  get incarnation(): number {
    return this.#ownStart.incarnation
  }

  get lastDamagedStart(): number {
    return this.#ownStart.lastDamaged
  }

  get commitBytesMax(): number {
    return this.#settings.commitBytesMax
  }

  get writeMs(): number {
    return this.#commit.writeMs
  }

  get starts(): readonly Start[] {
    return this.#ownStart.starts
  }

  get topics(): ReadonlyMap<string, StoredTopic> {
    return this.#topics.byName
  }

  get failure(): WadiError | null {
    return this.#failure
  }

  get metrics(): StoreMetrics {
    return this.#meter.snapshot({
      usedBytes: this.#usedBytes(),
      tailBytes: this.#tails.bytes,
      removals: summedRemovals([...this.#removals.list(this.#topics.all()), ...this.#deleted.removals(), ...this.#unnamed.removals()]),
      lostBefore: this.#before.droppedRecords + this.#before.lostRecords,
      damagedRanges: this.#damage.count
    })
  }

  async space(): Promise<{ readonly usedBytes: number; readonly freeBytes: number | null }> {
    const freeBytes = await this.#freeSpace.bytes()
    return { usedBytes: this.#usedBytes(), freeBytes: freeBytes === Number.MAX_SAFE_INTEGER ? null : freeBytes }
  }

  createTopic(name: string, config: Partial<TopicConfig> = {}): Promise<StoredTopic> {
    return this.#topics.create(name, config)
  }

  alterTopic(name: string, config: Partial<TopicConfig>, options: AlterOptions = { holds: 'when durable' }): Promise<StoredTopic> {
    return this.#topics.alter(name, config, options)
  }

  deleteTopic(name: string, options: DeleteOptions): Promise<void> {
    return this.#topics.delete(name, options)
  }

  deleteRecords(handle: Partition, offset: Offset): Promise<Offset> {
    const { removals, fail, seal } = { removals: this.#removals, fail: this.#fail.bind(this), seal: this.#upkeep.seal.bind(this.#upkeep) }
    return this.#upkeep.alone(() => deleteRecords({ removals, fail, seal }, { handle, own: this.#own(handle) }, offset))
  }

  onTopicDeleted(listener: (topic: StoredTopic) => void): () => void {
    return this.#topics.onDeleted(listener)
  }

  /** What there was no room for at the start. */
  async #growJournal(): Promise<void> {
    const { missingBytes, isFilling } = this.#journal
    if (missingBytes === 0 || isFilling) return
    if ((await this.#freeSpace.bytes()) >= missingBytes + this.#settings.freeBytesMin) this.#journal.startFilling()
  }

  append(partition: Partition, record: RecordInput, done: AppendDone, state?: readonly StateChange[]): void {
    const bytesBound = recordBytesBound(record)
    const found = this.#own(partition)
    const refusal = found ? this.#refusalFor(found.topic, bytesBound) : topicUnknown(partition.topicName)
    if (found === null || refusal) {
      this.#meter.onRejected(1)
      return done(refusal, 0 as Offset)
    }
    const own = found.partition
    if (state && state.length > 0) {
      this.#submit([{ partition: own, content: { record } }], state, (error, offsets) => done(error, offsets[0] ?? (0 as Offset)))
      return
    }
    this.#ownStart.ask()
    this.#commit.append(own, record, bytesBound, done)
  }

  commit(appends: readonly Append[], state: CommitState): Promise<readonly Offset[]> {
    return new Promise((resolve, reject) => {
      this.submit(appends, state, (error, offsets) => (error ? reject(error) : resolve(offsets)))
    })
  }

  submit(appends: readonly Append[], state: CommitState, done: CommitDone): void {
    const [asked, owned] = [new Map<StoredTopic, number>(), [] as LogAppend[]]
    let askedBytes = 0
    for (const append of appends) {
      const found = this.#own(append.partition)
      const bytes = contentBytesBound(append.content)
      const alsoBytes = { topic: found ? (asked.get(found.topic) ?? 0) : 0, directory: askedBytes }
      const refusal = found
        ? this.#refusalFor(found.topic, bytes, alsoBytes, append.mayExceedQuota)
        : topicUnknown(append.partition.topicName)
      if (found === null || refusal) {
        this.#meter.onRejected(appends.length)
        return done(refusal, [])
      }
      asked.set(found.topic, alsoBytes.topic + bytes)
      askedBytes += bytes
      owned.push({ ...append, partition: found.partition })
    }
    this.#submit(owned, state, done)
  }

  #refusalFor(
    topic: StoredTopic,
    bytes: number,
    alsoBytes?: { topic: number; directory: number },
    mayExceedQuota = false
  ): WadiError | null {
    if (topic.isEnding) return topicUnknown(topic.name)
    if (bytes > this.#settings.batchBytesMax) return tooLarge(bytes, this.#settings.batchBytesMax)
    return mayExceedQuota ? null : this.#quota.refusalFor(topic, bytes, alsoBytes)
  }

  note(changes: readonly StateChange[]): void {
    this.#commit.note(changes)
  }

  getState(key: string): Uint8Array | undefined {
    return this.#state.getState(key)
  }

  listState(prefix: string): string[] {
    return this.#state.listState(prefix)
  }

  setDelivered(partition: Partition, offset: Offset): void {
    this.#own(partition)?.partition.setDelivered(offset)
  }

  onDropped(listener: (range: DroppedRange) => void): () => void {
    return this.#drops.add(listener)
  }

  #usedBytes(): number {
    let bytes = this.#journal.sizeBytes + this.#snapshotBytes
    for (const topic of this.#topics.all()) for (const partition of topic.partitions) bytes += partition.segmentBytes
    return bytes
  }

  #fail(error: WadiError): WadiError {
    if (this.#failure) return error
    this.#failure = error
    this.#commit.refuseAll(error, { drain: false })
    this.#upkeep.halt()
    return error
  }

  async #writeSnapshot(replayAfter: number, recoveryPoints: readonly RecoveryPoint[]): Promise<void> {
    const number = this.#snapshotNumber + 1 // counted when it is there: else one that fails would take an older one away
    const image = this.#state.image([...this.#removals.unsaved(), ...this.#damage.unsaved(), ...(this.#ownStart?.unsaved() ?? [])])
    const head = {
      logId: this.logId,
      replayAfter,
      stateSequence: this.#journal.sequence, // of the moment of the image
      generation: this.#journal.generationBehind(replayAfter),
      journalFileBytes: this.#journal.fileBytes,
      recoveryPoints,
      ...this.#before
    }
    try {
      this.#snapshotBytes = await writeSnapshot({ ...this.#options, meter: this.#meter, number }, head, image)
    } finally {
      this.#state.release()
    }
    this.#snapshotNumber = number
    this.#deleted.onSnapshot(replayAfter)
    if (this.#ownStart && !this.#isClosed) this.#damage.expire(recoveryPoints)
  }

  /** Everything into synced segments now: for a clean stop, and for whoever wants to copy the directory. */
  async flush(): Promise<void> {
    await this.#commit.drained()
    await this.#upkeep.flush()
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#upkeep.stop()
    this.#commit.refuseAll(storeClosed(), { drain: true })
    await this.#commit.drained()
    await this.#upkeep.settled()
    await this.#deleted.stop()
    try {
      await this.flush()
    } catch (error) {
      // Everything is in the journal: the next start replays it.
      if (!(error instanceof DiskError)) throw error
      this.report.notes.push(`the clean stop could not finish (${error.message}); the next start replays the journal`)
    }
    // What close() of a file says is about nothing that is not synced, or in the journal.
    for (const { partitions } of this.#topics.all()) for (const partition of partitions) await partition.close().catch(onlyDisk)
    await this.#journal.close().catch(onlyDisk)
    await this.#lock.release()
  }
}
