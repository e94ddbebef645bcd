// A whole gateway from one seed: devices, storage, uplink and centre on simulated disk, clock and link, with power cuts, killed processes,
// failing syncs, a full disk and a bad link. run() lives through it, then stops all faults, lets time go on and compares with the ledger.
//
// A device sends one event, waits for the acknowledgement, sends the same again when none comes or the gateway died.

import { WadiError } from '../../runtime/base/errors.ts'
import type { Core } from '../../runtime/core/core.ts'
import { instantiateCore } from '../../runtime/core/wasm-core.ts'
import { type Disk, DiskError } from '../../runtime/io/disk.ts'
import type { DroppedRange, Partition } from '../../runtime/log/contract.ts'
import { LogStore } from '../../runtime/log/log-store.ts'
import { KIB, type StorageSettings } from '../../runtime/log/settings.ts'
import { Uplink } from '../../runtime/uplink/uplink.ts'
import type { Upstream } from '../../runtime/uplink/upstream.ts'
import { readCoreWasm } from '../helpers/core.ts'
import { AbortCuts } from './abort-cuts.ts'
import { CleanStop } from './clean-stop.ts'
import { CommitSizes } from './commit-sizes.ts'
import { CopiedDisk } from './copied-disk.ts'
import { Devices } from './devices.ts'
import { DiskFaults } from './disk-faults.ts'
import { fingerprintOf } from './fingerprint.ts'
import { FullStarts } from './full-starts.ts'
import { Ledger, type LedgerCounts } from './ledger.ts'
import { type BrokerMutation, DEAD_LETTERS, LocalClients } from './local-clients.ts'
import { LostEntries } from './lost-entries.ts'
import { MAPPINGS, type Mapping } from './mappings.ts'
import { Operator } from './operator.ts'
import { PassingFaults } from './passing-faults.ts'
import { Prng } from './prng.ts'
import { allReached } from './reached.ts'
import { readPartition } from './read-partition.ts'
import { SimCentre } from './sim-centre.ts'
import { SimClock, type SimProcessClock } from './sim-clock.ts'
import { simCodec } from './sim-codec.ts'
import { noFaults, SimDisk } from './sim-disk.ts'
import type { DiskLie } from './sim-file.ts'
import { goodLink } from './sim-link.ts'
import { TopicDeletions } from './topic-deletions.ts'
import { TopicFaults } from './topic-faults.ts'
import { TopicLimits } from './topic-limits.ts'

/** What the canaries break. */
export interface Mutation {
  readonly lie?: DiskLie
  /** The device is told "stored" when the store has been asked, not when it has answered. */
  readonly ackEarly?: boolean
  /** Where a canary begins to look for a seed that notices: near one that is known to. Default 1. */
  readonly firstSeed?: number
  /** Breaks something inside the product, for the rest of the thread. */
  install?(): void
  wrapCore?(core: Core): Core
  wrapDisk?(disk: Disk): Disk
  wrapUpstream?(upstream: Upstream): Upstream
  breakPartition?(partition: Partition): void
  readonly breakBroker?: BrokerMutation
}

export interface WorldResult {
  readonly seed: number
  readonly counts: LedgerCounts
  readonly violations: readonly string[]
  readonly reached: ReadonlyMap<string, number>
  readonly simulatedMs: number
  readonly recoveryMsMax: number
  /** Of every byte on the disk and at the centre: the same seed gives the same twice. */
  readonly fingerprint: string
}

const DIRECTORY = '/data'

export class World {
  readonly clock = new SimClock()
  readonly prng: Prng
  readonly disk: SimDisk
  readonly centre: SimCentre
  readonly ledger = new Ledger()
  readonly reached = new Map<string, number>()
  readonly #diskFaults: DiskFaults
  readonly #passing: PassingFaults
  readonly #topicFaults: TopicFaults
  readonly #abortCuts: AbortCuts
  readonly #copiedDisk: CopiedDisk
  readonly #lostEntries: LostEntries
  readonly #topicDeletions: TopicDeletions
  readonly #seed: number
  readonly #mutation: Mutation
  readonly #mapping: Mapping
  readonly #operator: Operator
  readonly #cleanStop: CleanStop
  readonly #commitSizes: CommitSizes
  readonly #fullStarts: FullStarts
  readonly #devices: Devices
  readonly #clients: LocalClients
  readonly #storage: Partial<StorageSettings>
  readonly #retentionBytes: number | null
  /** Of each topic, which then may lose its oldest events, delivered or not; null = nothing undelivered is ever dropped. */
  readonly #quotaBytes: number | null
  readonly #limits: TopicLimits
  #process: SimProcessClock | null = null
  #store: LogStore | null = null
  /** Of the store. */
  #core: Core | null = null
  #uplink: Uplink | null = null
  #starting: Promise<void> | null = null
  #isCalm = false
  #durationMs: number
  #recoveryMsMax = 0

  constructor(seed: number, mutation: Mutation = {}) {
    this.#seed = seed
    this.#mutation = mutation
    mutation.install?.()
    this.prng = new Prng(seed)
    const { prng } = this
    const slow = prng.chance(20)
    this.disk = new SimDisk({
      clock: this.clock,
      prng: prng.fork(),
      delayMs: slow ? { min: 1, max: 12 } : { min: 0.05, max: 0.8 },
      lie: mutation.lie ?? 'none'
    })
    this.#diskFaults = new DiskFaults(seed, this.disk)
    this.centre = new SimCentre({
      clock: this.clock,
      prng: prng.fork(),
      transactionTimeoutMs: prng.pick([3_000, 20_000, 60_000]),
      batchBytesMax: prng.pick([2 * KIB, 16 * KIB, 1_048_588])
    })
    this.#mapping = prng.pick(MAPPINGS)
    const commitSizes = new CommitSizes(seed)
    this.#commitSizes = commitSizes
    this.#clients = new LocalClients({ seed, ...this, mapping: this.#mapping, breakBroker: mutation.breakBroker, commitSizes })
    this.#limits = new TopicLimits(
      seed,
      {
        clock: this.clock,
        store: () => this.#store,
        isCalm: () => this.#isCalm,
        violate: (sentence) => this.ledger.violate('lost', sentence),
        count: (what) => this.#count(what)
      },
      { commitBytesMax: 16 * KIB }
    )
    this.#operator = new Operator(seed, this.#mapping.upstream)
    this.#topicFaults = new TopicFaults(seed, this.centre, this.#operator.everDelivered, {
      violate: (sentence) => this.ledger.violate('lost', sentence),
      mayForget: () => this.#mayForgetPositions
    })
    this.#abortCuts = new AbortCuts(seed, {
      clock: this.clock,
      commitSizes,
      crash: (kind, why) => {
        if (this.#isCalm || this.#store === null) return
        this.#count(`crash-${why}`)
        this.#crash(kind)
      }
    })
    this.#cleanStop = new CleanStop(seed)
    this.#fullStarts = new FullStarts(seed)
    this.#retentionBytes = prng.chance(50) ? 8 * KIB : null
    this.#storage = {
      journalFileBytes: prng.pick([32, 64]) * KIB,
      commitBytesMax: 16 * KIB,
      lingerMs: prng.pick([0, 2, 5]),
      sealBytes: prng.pick([1, 4]) * KIB,
      sealAgeMs: prng.pick([500, 3_000]),
      tailBytesMax: 32 * KIB,
      segmentBytes: prng.pick([3, 8]) * KIB,
      segmentBytesMin: KIB,
      checkpointAgeMs: prng.pick([2_000, 10_000]),
      housekeepingIntervalMs: prng.pick([200, 1_000]),
      freeBytesMin: 0,
      batchBytesMax: 8 * KIB,
      defaultCodec: prng.pick(['none', 'lz4', 'gzip'] as const)
    }
    this.#durationMs = prng.chance(10) ? prng.between(10_000, 25_000) : prng.between(1_500, 9_000)
    for (const [, name, count] of this.#operator.everDelivered)
      if (this.centre.partitionCount(name) === 0) this.centre.createTopic(name, count)
    this.#quotaBytes = prng.chance(15) ? prng.pick([8, 16]) * KIB : null
    this.#copiedDisk = new CopiedDisk(seed, {
      ...this,
      isCalm: () => this.#isCalm,
      copy: () => this.#store !== null && this.#operator.copy(this.disk, this.ledger, this.#store),
      crash: (kind) => this.#crash(kind)
    })
    this.#lostEntries = new LostEntries(seed, {
      ...this,
      topicNames: this.#mapping.edge.map(([name]) => name),
      isCalm: () => this.#isCalm,
      crash: (kind) => this.#crash(kind),
      count: (what) => this.#count(what),
      hasDelivered: () => this.centre.reached.has('transaction-committed'),
      mayForgetPositions: () => this.#mayForgetPositions,
      forgetPositions: () => this.centre.expirePositions()
    })
    if (this.#mayPutBack) this.#durationMs = Math.max(this.#durationMs, this.#copiedDisk.durationMsMin)
    this.#storage = { ...this.#storage, ...this.#diskFaults.settings }
    this.#storage = { ...this.#storage, quotaBytes: this.#limits.directoryQuota(2 * (this.#storage.journalFileBytes ?? 0)) }
    this.#passing = new PassingFaults({ ...this, durationMs: () => this.#durationMs, count: (what) => this.#count(what) })
    this.#topicDeletions = new TopicDeletions(
      seed,
      {
        clock: this.clock,
        store: () => this.#store,
        uplink: () => this.#uplink,
        violate: (sentence) => this.ledger.violate('lost', sentence),
        count: (what) => this.#count(what)
      },
      new Map(this.#mapping.upstream.map(([edge, name]) => [edge, name]))
    )
    this.#devices = new Devices(this, {
      edge: this.#mapping.edge,
      store: () => this.#store,
      core: () => this.#core,
      isCalm: () => this.#isCalm,
      ackEarly: mutation.ackEarly === true,
      count: (what) => this.#count(what)
    })
  }

  /** Lives through the seed. Never rejects for what the product did: that is a violation. */
  async run(): Promise<WorldResult> {
    const { clock, ledger } = this
    const onUnhandled = (error: unknown): void =>
      ledger.violate('lost', `the process would have ended: ${error instanceof Error ? error.stack : String(error)}`)
    process.on('unhandledRejection', onUnhandled)
    try {
      this.#start()
      this.#devices.run()
      this.#clients.run()
      this.#limits.start()
      await this.#disturb()
      await this.#calm()
    } catch (error) {
      ledger.violate('lost', `the run ended with ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    }
    process.off('unhandledRejection', onUnhandled)
    ledger.finish()
    return {
      seed: this.#seed,
      counts: ledger.counts,
      violations: ledger.violations,
      reached: allReached({
        '': this.reached,
        'clients:': this.#clients.reached,
        'disk:': this.disk.reached,
        'operator:': this.#operator.reached,
        'full:': this.#fullStarts.reached,
        'centre:': this.centre.reached
      }),
      simulatedMs: Math.round(clock.monotonicMs()),
      recoveryMsMax: Math.round(this.#recoveryMsMax),
      fingerprint: fingerprintOf(this, { core: sharedCore, topics: this.#operator.everDelivered.map(([, name]) => name) })
    }
  }

  // -- The gateway's process

  #start(): void {
    const life = this.clock.process()
    this.#process = life
    this.#starting = this.#open(life)
    this.#starting.catch((error: unknown) => {
      this.ledger.violate(
        'lost',
        `the gateway's start ended with ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`
      )
    })
  }

  async #open(process: SimProcessClock): Promise<void> {
    const core = this.#newCore()
    this.#core = core
    try {
      const startedMs = process.monotonicMs()
      const store = await LogStore.open({
        disk: this.#mutation.wrapDisk?.(this.disk) ?? this.disk,
        clock: process,
        random: this.prng.fork(),
        core,
        codec: simCodec,
        directory: DIRECTORY,
        settings: {
          ...this.#storage,
          ...this.#diskFaults.settings,
          ...this.#commitSizes.next(),
          ...this.#fullStarts.settings(this.#storage)
        }
      }).catch((error: unknown) => {
        const wrong = this.#fullStarts.onStarted(this.disk, error)
        if (wrong !== null) this.ledger.violate('lost', wrong)
        throw error
      })
      this.#fullStarts.onStarted(this.disk, null)
      this.#recoveryMsMax = Math.max(this.#recoveryMsMax, process.monotonicMs() - startedMs)
      for (const [name, partitionCount] of this.#mapping.edge) {
        if (store.topics.has(name)) continue
        const lossy = { quotaBytes: this.#quotaBytes, whenFull: 'drop_oldest', dropUndelivered: true } as const
        const limits = { retentionBytes: this.#retentionBytes, ...(this.#quotaBytes === null ? this.#limits.forwarded : lossy) }
        await store.createTopic(name, { partitionCount, ...limits })
      }
      await this.#limits.create(store)
      const { holes, missingCommits, damagedFiles, unreadable } = store.report
      const isDamaged = holes.length + missingCommits + damagedFiles.length + unreadable.length > 0
      const damage = isDamaged ? `recovery reports damage: ${JSON.stringify(store.report)}` : null
      const wrong = this.#lostEntries.isLost ? this.#lostEntries.onStarted(store) : damage
      if (wrong !== null) this.ledger.violate('lost', wrong)
      store.onDropped((range) => this.#onDropped(range))
      await this.#clients.prepare(store)
      for (const topic of store.topics.values()) for (const partition of topic.partitions) this.#mutation.breakPartition?.(partition)
      await this.#checkStore(store, core)
      const wrongCount = this.#lostEntries.wrongCount(store)
      if (wrongCount !== null) this.ledger.violate('lost', wrongCount)
      await this.#limits.check(store, core)
      this.#store = store
      this.#clients.start({ store: this.#abortCuts.watch(store), core, clock: process })
      this.#count('started')
      const { delivered, gatewayId } = this.#operator
      const link = this.centre.connect(process, `edge.sim.${gatewayId}`)
      const upstream = this.#mutation.wrapUpstream?.(link) ?? link
      this.#uplink = new Uplink({
        store,
        core,
        codec: simCodec,
        clock: process,
        random: this.prng.fork(),
        upstream,
        settings: {
          topics: new Map(delivered.map(([edge, name]) => [edge, name])),
          gatewayId,
          compression: this.prng.pick(['none', 'gzip'] as const),
          transactionBytesMax: this.prng.pick([2 * KIB, 64 * KIB]),
          aheadBytesMin: this.prng.pick([1, 2 * KIB, 64 * KIB]),
          lingerMs: 20,
          backoff: { firstMs: 200, capMs: 5_000 },
          fencedDelayMs: 60_000
        }
      })
      this.#uplink.onNotice((notice) => {
        this.#count(`notice:${notice.kind}`)
        if (notice.kind === 'hole') this.#onHole(notice.facts as { partition: string; from: number; until: number })
        if (notice.kind === 'stopped') this.ledger.violate('lost', notice.text)
      })
      this.#uplink.start()
    } catch (error) {
      if (!(error instanceof WadiError)) throw error
      this.#count(`start-refused:${error.code}`)
      if (error.code === 'WADI_STATE_DAMAGED') this.ledger.violate('lost', `the start was refused: ${error.message}`)
      this.#kill('kill')
      this.clock.after(1_000, () => this.#restartIfDown())
    }
  }

  #onDropped(range: DroppedRange): void {
    this.#limits.onDropped(range)
    const { topicName, partitionIndex, startOffset, endOffset, isDelivered, reason } = range
    if (isDelivered || reason === 'damage' || reason === 'hole') return
    this.#count('dropped-undelivered')
    const partitionKey = `${topicName}/${partitionIndex}`
    if (this.#quotaBytes === null) this.ledger.violate('lost', `${partitionKey}: ${startOffset} to ${endOffset} dropped without leave`)
    else this.ledger.onDropped(partitionKey, { from: startOffset, until: endOffset })
  }

  /** The uplink met a gap: after a kill in the middle of a deletion it is the only one to say so. */
  #onHole({ partition, from, until }: { partition: string; from: number; until: number }): void {
    const isExpected = this.#quotaBytes !== null || this.#lostEntries.isGone(partition, until)
    if (!isExpected) this.ledger.violate('lost', `${partition}: the uplink found ${from} to ${until} deleted`)
    else this.ledger.onDropped(partition, { from, until })
  }

  /** Every fault that is drawn here is one of the disk: a store that fails for another reason has met a fault of its own. */
  #checkFailure(): void {
    const { cause, message } = this.#store?.failure ?? {}
    if (cause !== undefined && !(cause instanceof DiskError))
      this.ledger.violate('lost', `the store failed without a fault of the disk: ${message}`)
  }

  #kill(kind: 'kill' | 'power'): void {
    this.#checkFailure()
    this.#process?.kill()
    this.#process = null
    this.#store = null
    this.#uplink = null
    this.#starting = null
    this.#clients.stop()
    this.#devices.onCrash()
    if (kind === 'kill') this.disk.crash()
    else this.disk.powerCut()
  }

  #restartIfDown(): void {
    if (this.#process !== null) return
    if (!this.#isCalm && !this.#mayLoseEntries)
      this.#operator.betweenLives(this.disk, this.ledger, {
        mayMove: !this.reached.has('notice:notes') && this.#topicFaults.areReadable,
        mayPutBack: this.#mayPutBack,
        hasForgotten: this.centre.reached.has('positions-expired')
      })
    if (this.#mayLoseEntries) this.#lostEntries.betweenLives(sharedCore)
    if (!this.#isCalm) this.#fullStarts.beforeStart(this.disk, this.clock, { ...this.#storage, directory: DIRECTORY })
    this.#start()
  }

  /** Everybody who keeps books can follow an older disk. */
  get #mayPutBack(): boolean {
    return !this.#clients.isActive && !this.#limits.keepsBooks && this.#quotaBytes === null
  }

  /** Then nobody swaps disks and nobody deletes topics: what is lost could not be told from what is meant. */
  get #mayLoseEntries(): boolean {
    return this.#lostEntries.isDrawn && !this.#clients.isActive && this.#limits.areLocal && this.#quotaBytes === null
  }

  /** One WASM instance serves all lives: a killed process can have left nothing in it but a commit that was not released. */
  #newCore(): Core {
    try {
      sharedCore.commit.release()
    } catch {
      // Nothing was pinned.
    }
    return this.#mutation.wrapCore?.(sharedCore) ?? sharedCore
  }

  // -- What happens to them

  async #disturb(): Promise<void> {
    const { clock, prng } = this
    if (this.#mayLoseEntries) this.#lostEntries.plan()
    else if (this.#mayPutBack) this.#copiedDisk.plan()
    const times = Array.from({ length: prng.between(1, 8) }, () => prng.between(50, this.#durationMs)).sort((left, right) => left - right)
    if (prng.chance(25)) this.#passing.later({ linkNoise: true })
    for (const atMs of times) {
      await clock.run({ untilMs: atMs })
      this.#clients.checkOpen()
      this.#disturbOnce()
      for (const faults of [this.#diskFaults, this.#topicFaults]) faults.disturb()
      if (!this.#mayLoseEntries) this.#topicDeletions.disturb()
      if (this.#store?.failure && prng.chance(80)) this.#crash(prng.chance(50) ? 'power' : 'kill')
    }
    await clock.run({ untilMs: this.#durationMs })
  }

  #disturbOnce(): void {
    const { prng, clock, centre, disk } = this
    if (this.#store) this.#operator.look(disk, this.ledger, this.#store)
    const kind = prng.below(16)
    if (kind < 4) this.#crash('power')
    else if (kind < 6) this.#crash('kill')
    else if (kind === 6) this.#passing.later({ linkDown: true })
    else if (kind === 7) this.#passing.later({ linkNoise: true })
    else if (kind === 8) {
      this.#count('plan:sync-error')
      disk.failNext(prng.pick(['sync', 'write-sync', 'sync-directory']), prng.pick(['', 'journal', 'topics', 'state']), 'EIO')
    } else if (kind === 9) this.#passing.later({ diskFull: true })
    else if (kind === 10) centre.restart()
    else if (kind === 11) {
      const [, name, partitionCount] = prng.pick(this.#mapping.upstream)
      centre.moveLeader(name, prng.below(partitionCount), prng.between(100, 5_000))
    } else if (kind === 12) {
      centre.expireProducers()
      if (prng.chance(50) && this.#mayForgetPositions) centre.expirePositions()
    } else if (kind === 13) {
      this.#count('clock-jump')
      clock.jumpWall(prng.pick([-3_600_000, 86_400_000, 40 * 365 * 86_400_000]))
    } else if (kind === 14) {
      disk.faults = { ...noFaults, stallPercent: 2, stallMs: 3_000 }
      clock.after(2_000, () => {
        disk.faults = { ...noFaults }
      })
    } else {
      this.#count('write-error')
      disk.failNext(
        prng.pick(['write', 'write-sync', 'truncate', 'rename', 'open', 'remove']),
        prng.pick(['', 'journal', 'topics', 'state']),
        prng.pick(['EIO', 'ENOSPC'])
      )
    }
  }

  /** Without delivery notes an expired position cannot be resolved; a storage that fails for as long as the centre remembers is not simulated. */
  get #mayForgetPositions(): boolean {
    return !this.reached.has('notice:notes') && !this.#operator.needsPositions
  }

  #crash(kind: 'power' | 'kill'): void {
    this.#count(this.#store ? `${kind}-while-running` : `${kind}-while-starting`)
    const [process, store, uplink] = [this.#process, this.#store, this.#uplink]
    if (process === null) return
    if (kind === 'kill' && store && uplink && this.#cleanStop.isDue()) {
      this.#count('closed-cleanly')
      this.#uplink = null // it is nobody's any more, and a crash meanwhile is a crash
      this.#cleanStop.run(store, uplink).then(
        () => process === this.#process && this.#crashNow('kill'),
        (error: unknown) => this.ledger.violate('lost', `a clean stop ended with ${String(error)}`)
      )
    } else this.#crashNow(kind)
  }

  #crashNow(kind: 'power' | 'kill'): void {
    this.#kill(kind)
    this.clock.after(this.prng.between(1, 2_000), () => this.#restartIfDown())
  }

  // -- The end: no more faults, everything must come to rest

  async #calm(): Promise<void> {
    const { clock, centre, disk, ledger } = this
    this.#isCalm = true
    this.#operator.rest({ mayMove: !this.reached.has('notice:notes') && this.#topicFaults.areReadable })
    this.#clients.calm()
    disk.heal()
    // The last configuration may deliver less than all: one more start.
    if (this.#process !== null) this.#crashNow('kill')
    centre.link = structuredClone(goodLink)
    const limitMs = clock.monotonicMs() + 1_800_000
    while (clock.monotonicMs() < limitMs && this.ledger.violations.length < 20) {
      await clock.run({ untilMs: clock.monotonicMs() + 1_000 })
      if (this.#store?.failure) this.#crash(this.prng.chance(50) ? 'power' : 'kill')
      this.#restartIfDown()
      this.#topicFaults.look(this.#uplink?.status())
      const isAcked = this.#devices.waiting.length === 0 && this.#clients.isSettled
      if (isAcked && this.#uplink && this.#uplink.status().lagEvents === 0 && this.#uplink.status().state === 'idle') break
    }
    const store = this.#store
    const uplink = this.#uplink
    if (!store || !uplink) return ledger.violate('lost', 'the gateway did not come up again')
    const status = uplink.status()
    if (status.lagEvents > 0)
      ledger.violate('lost', `not delivered in 30 minutes: ${status.lagEvents} events, ${status.state}, ${status.lastError}`)
    const waiting = this.#devices.waiting
    if (waiting.length > 0) ledger.violate('lost', `${waiting.length} devices got no answer in 30 minutes`)
    if (!this.#clients.isSettled) ledger.violate('lost', 'a transaction did not end in 30 minutes')
    this.#checkFailure()
    await clock.settle(this.#checkStore(store, sharedCore))
    const wrongCount = this.#lostEntries.wrongCount(store)
    if (wrongCount !== null) ledger.violate('lost', wrongCount)
    this.#checkCentre()
    await clock.settle(this.#clients.checkEnd(store, sharedCore))
    this.#clients.close()
    await clock.settle(this.#limits.check(store, sharedCore, ledger.missing))
    await clock.settle(uplink.close({ deadlineMs: 10_000 }))
    await clock.settle(store.close())
    const left = this.#process?.pendingCount ?? 0
    if (left > 0) ledger.violate('lost', `${left} timers are left after the end`)
  }

  async #checkStore(store: LogStore, core: Core): Promise<void> {
    for (const topic of store.topics.values()) {
      if (topic.name === DEAD_LETTERS || !topic.config.isForwarded) continue
      for (const partition of topic.partitions) {
        const key = `${topic.name}/${partition.partitionIndex}`
        const records = await readPartition(partition, core)
        const silent = this.#lostEntries.silentIn(partition, records)
        this.ledger.checkPartition(key, { start: records.start, end: records.end }, records.records, silent)
        this.ledger.checkDeviceOrder(key, records.records)
        if (records.start > 0) this.#count('log-start-moved')
      }
    }
    this.#checkGone(store)
  }

  /** What retention took must have been delivered. */
  #checkGone(store: LogStore): void {
    for (const { topicName, reason, records } of store.metrics.removals)
      if (reason === 'damage' && !this.#lostEntries.isLost)
        this.ledger.violate('lost', `${topicName}: the store counts ${records} records lost by damage`)
    for (const topic of store.topics.values()) {
      if (topic.config.dropUndelivered) continue
      for (const partition of topic.partitions)
        if (partition.logStartOffset > partition.highWatermark)
          this.ledger.violate('lost', `${topic.name}: log start above the high watermark`)
    }
  }

  #checkCentre(): void {
    const names = new Set(this.#operator.everDelivered.map(([, name]) => name as string))
    const upstream: { name: string; records: ReturnType<SimCentre['committed']> }[] = []
    for (const name of names) {
      for (let index = 0; index < this.centre.partitionCount(name); index++) {
        const records = this.centre.committed(name, index)
        upstream.push({ name: `${name}-${index}`, records })
        // A disk that came back brings what its devices sent before those of the other.
        if (!this.#operator.reached.has('disk-came-back')) this.ledger.checkDeviceOrder(`the centre, ${name}-${index}`, records)
      }
    }
    this.ledger.checkKeys(upstream)
    this.ledger.checkCentre(upstream)
  }

  #count(what: string): void {
    this.reached.set(what, (this.reached.get(what) ?? 0) + 1)
  }
}

const sharedCore = instantiateCore(readCoreWasm())
