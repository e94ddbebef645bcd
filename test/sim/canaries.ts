// Mutations of the product and of its edges: each breaks one guarantee in one place. canaries.test.ts demands that each is noticed.

import type { Core } from '../../runtime/core/core.ts'
import { type Disk, DiskError } from '../../runtime/io/disk.ts'
import { TopicAccount } from '../../runtime/log/accounts.ts'
import type { StateChange } from '../../runtime/log/contract.ts'
import { DeletedTopics } from '../../runtime/log/deleted-topics.ts'
import { Journal } from '../../runtime/log/journal.ts'
import { JournalFile } from '../../runtime/log/journal-file.ts'
import { KnownDamage } from '../../runtime/log/known-damage.ts'
import { parseRetiredFileName } from '../../runtime/log/layout.ts'
import { LogStore } from '../../runtime/log/log-store.ts'
import { OwnStart } from '../../runtime/log/own-start.ts'
import { Quota } from '../../runtime/log/quota.ts'
import { Removals } from '../../runtime/log/removals.ts'
import { retentionTable, type Standing, type Verdict } from '../../runtime/log/retention.ts'
import { RetentionRound } from '../../runtime/log/retention-round.ts'
import { UnnamedTopics, unnamedEnds } from '../../runtime/log/unnamed-topics.ts'
import { Source } from '../../runtime/uplink/source.ts'
import type { Upstream } from '../../runtime/uplink/upstream.ts'
import { UpstreamTopics } from '../../runtime/uplink/upstream-topics.ts'
import { withMembers } from './with-members.ts'
import type { Mutation } from './world.ts'

/** What a disk would say whose syncs may be asked again. */
function asRefusedWrite(error: unknown): never {
  if (!(error instanceof DiskError)) throw error
  throw new DiskError(error.code, { operation: 'write', path: error.path })
}

function hasFile(this: JournalFile): boolean {
  return this.file !== null
}

/** A cell of the retention table with another verdict. */
function cell(group: keyof typeof retentionTable, standing: Standing, leave: string, verdict: Verdict): Mutation {
  return { install: () => Object.assign(retentionTable[group][standing], { [leave]: verdict }) }
}

/** What the log does not know as an answer of a disk, so that it handles it as it did before it knew damage. */
function asProgramError(error: unknown): never {
  throw new Error(error instanceof Error ? error.message : String(error))
}

export const canaries: Record<string, Mutation> = {
  'a quota deletes from a topic that is not forwarded and rejects': cell('quota', 'local', 'reject', 'delete'),
  'drop_oldest takes undelivered events without leave': cell('quota', 'undelivered', 'drop_oldest', 'delete'),
  'a full topic lets events through while retention thinks': {
    install: () => {
      const { run } = RetentionRound.prototype
      const { refusalFor } = Quota.prototype
      let thinking: RetentionRound | null = null
      RetentionRound.prototype.run = async function () {
        thinking = this
        await run.call(this)
        if (thinking === this) thinking = null
      }
      Quota.prototype.refusalFor = function (topic, bytes, alsoBytes) {
        return thinking ? null : refusalFor.call(this, topic, bytes, alsoBytes)
      }
    }
  },
  'what waits for its commit does not count in a quota': {
    install: () => {
      TopicAccount.prototype.reserve = () => undefined
    }
  },
  'what is dropped is counted in memory only': {
    install: () => {
      Removals.prototype.load = () => ({ batchOffset: 0, deliveredOffset: 0 })
    }
  },
  'files go before the commit that counts them': {
    install: () => {
      const { remove } = Removals.prototype
      Removals.prototype.foundDeleted = () => undefined
      Removals.prototype.remove = function (topic, partition, range) {
        void remove.call(this, topic, partition, range)
        partition.advanceLogStart(range.until)
        return Promise.resolve(null)
      }
    }
  },
  'the sync is removed': { lie: 'sync-skipped' },
  'the acknowledgement leaves before the sync': { ackEarly: true },
  'the CRC is not checked': {
    wrapCore: (core: Core) => withMembers(core, { verifyCommit: () => true, checkBatch: () => null, checkStoredBatch: () => null })
  },
  'the directory sync is skipped': { lie: 'directory-sync-skipped' },
  'a sync that says "no space" is tried again': {
    wrapDisk: (disk: Disk) =>
      withMembers(disk, {
        open: async (path, mode) => {
          const file = await disk.open(path, mode)
          return withMembers(file, { sync: () => file.sync().catch(asRefusedWrite) })
        },
        syncDirectory: (path) => disk.syncDirectory(path).catch(asRefusedWrite)
      })
  },
  'a journal counts on bytes that it has not synced': {
    wrapDisk: (disk: Disk) =>
      withMembers(disk, {
        open: async (path, mode) => {
          const file = await disk.open(path, mode)
          return path.endsWith('.journal') ? withMembers(file, { sync: async () => undefined }) : file
        }
      })
  },
  'a start insists on every journal file': {
    install: () => {
      const { open } = Journal
      Journal.open = async (options) => {
        const journal = await open(options)
        if (!journal.fileBytes.includes(0)) return journal
        await journal.close()
        throw new DiskError('ENOSPC', { operation: 'write', path: options.directory })
      }
    }
  },
  'a journal file that no commit fits takes commits': {
    install: () => Object.defineProperty(JournalFile.prototype, 'takesCommits', { get: hasFile })
  },
  'a read error is not taken for damage': {
    wrapDisk: (disk: Disk) =>
      withMembers(disk, {
        open: async (path, mode) => {
          const file = await disk.open(path, mode)
          return withMembers(file, { readAt: (position, into) => file.readAt(position, into).catch(asProgramError) })
        }
      })
  },
  'a size that the device does not tell is none': {
    wrapDisk: (disk: Disk) =>
      withMembers(disk, {
        fileSizeBytes: (path) =>
          disk.fileSizeBytes(path).catch((error: unknown) => {
            if (error instanceof DiskError && error.code === 'EIO') return 0
            throw error
          })
      })
  },
  'the position is taken from the delivery notes': {
    wrapUpstream: (upstream: Upstream) =>
      withMembers(upstream, {
        fetchPosition: async () => new Map(),
        readCommitted: async ({ fromOffset }) => ({ batches: [], nextOffset: fromOffset, isEnd: true, isDeleted: false })
      })
  },
  'a topic that does not take its events stops all': {
    install: () => {
      UpstreamTopics.prototype.leaveOut = () => false
    }
  },
  'a topic that is cured stays left out': {
    install: () => {
      UpstreamTopics.prototype.nextOnTrial = () => null
      UpstreamTopics.prototype.isOpen = function (name) {
        return this.reasonFor(name) === null
      }
    }
  },
  'a topic that is made again forgets where starts began to write it': {
    firstSeed: 301_790,
    install: () => {
      DeletedTopics.prototype.beginningsOf = () => []
    }
  },
  'a topic that is made again begins at 0': {
    install: () => {
      DeletedTopics.prototype.endsOf = () => []
    }
  },
  'what a topic lost with its entry is counted again when its segments are taken in': {
    install: () => {
      KnownDamage.prototype.changesForMove = () => null
    }
  },
  'what the journal has of a lost topic is looked at again when its segments have a name': {
    install: () => {
      const { making } = UnnamedTopics.prototype
      UnnamedTopics.prototype.making = async function (partitions) {
        const { changes, ...rest } = await making.call(this, partitions)
        return { ...rest, changes: changes.filter(({ key }) => !unnamedEnds.owns(key)) }
      }
    }
  },
  'a start does not look at what deleted segments left': {
    firstSeed: 376_777,
    wrapDisk: (disk: Disk) =>
      withMembers(disk, { list: async (path) => (await disk.list(path)).filter((name) => parseRetiredFileName(name) === null) })
  },
  'one connection settles what is in doubt, of all topics': {
    firstSeed: 601,
    install: () => {
      const { plan } = Source.prototype
      const { onConnected } = UpstreamTopics.prototype
      const planned = new Set<Source>()
      Source.prototype.plan = function (until) {
        planned.add(this)
        plan.call(this, until)
      }
      UpstreamTopics.prototype.onConnected = function (topics, sources) {
        for (const source of planned) source.isInDoubt = false
        planned.clear()
        onConnected.call(this, topics, sources)
      }
    }
  },
  'a start does not say that it found damage': {
    install: () => Object.defineProperty(OwnStart.prototype, 'lastDamaged', { get: () => 0 })
  },
  'an older image of the disk goes unnoticed': {
    breakPartition: (partition) => Object.defineProperty(partition, 'firstOffsetAfter', { value: () => null })
  },
  'where a copy of a running disk began is not looked at': {
    breakPartition: (partition) => Object.defineProperty(partition, 'beginningsSince', { value: () => [] })
  },
  'the last stable offset is the high watermark': {
    breakPartition: (partition) => Object.defineProperty(partition, 'lastStableOffset', { get: () => partition.highWatermark })
  },
  'aborted transactions are not left out': {
    breakPartition: (partition) => Object.defineProperty(partition, 'abortedBetween', { value: () => [] })
  },
  'an abort over several commits is not decided before its first marker': {
    firstSeed: 2_601,
    install: () => {
      const { commit } = LogStore.prototype
      const isDecision = ({ key, value }: StateChange): boolean => key.startsWith('txn-abort/') && value !== null
      LogStore.prototype.commit = function (appends, state) {
        return commit.call(this, appends, typeof state === 'function' ? state : state.filter((change) => !isDecision(change)))
      }
    }
  },
  'compressed batches are not opened at produce': {
    breakBroker: ({ core, codec }) => ({
      core: withMembers(core, { checkBatch: () => null, checkStoredBatch: () => null, lz4Decompress: (block) => block }),
      codec: withMembers(codec, { decompress: async (_codec, block) => block })
    })
  }
}
