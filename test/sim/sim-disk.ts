// The simulated disk. Data sectors, file sizes and directory entries have a cached and a durable state each; a power cut decides for
// every unsynced item by luck whether it survives. Every call completes through the simulated clock after a seeded delay, and takes
// effect when it completes: a write buffer that is reused too early shows up as wrong bytes.
//
// crash()     the process dies: its handles, locks and pending calls are gone (they never settle), the page cache stays
// powerCut()  the same, and the cache is gone too
// Not for: permissions, links, quotas per user.

import { type Disk, DiskError, type DiskErrorCode, type DiskFile, type DiskLock } from '../../runtime/io/disk.ts'
import type { Prng } from './prng.ts'
import type { SimClock } from './sim-clock.ts'
import { type CallOptions, type DiskLie, SimFile, type SimFileHost } from './sim-file.ts'
import { type Luck, SimInode } from './sim-inode.ts'

export interface SimDiskFaults {
  /** Percent of calls that fail with EIO. */
  readErrorPercent: number
  writeErrorPercent: number
  /** A sync says EIO once; afterwards the pages count as clean and the next sync says OK. */
  syncErrorPercent: number
  /** Percent of calls that take `stallMs`. */
  stallPercent: number
  stallMs: number
}

export const noFaults: SimDiskFaults = { readErrorPercent: 0, writeErrorPercent: 0, syncErrorPercent: 0, stallPercent: 0, stallMs: 30_000 }

export interface SimDiskOptions {
  clock: SimClock
  prng: Prng
  /** Delay of a call: uniform in [min, max]. Syncs take `syncFactor` times as long. */
  delayMs?: { min: number; max: number }
  syncFactor?: number
  /** All file sizes together; writes beyond are ENOSPC after what fits. */
  capacityBytes?: number
  lie?: DiskLie
}

class Directory {
  readonly entries = new Map<string, SimInode | Directory>()
  readonly durable = new Map<string, SimInode | Directory>()
  /** Changes of names since the last sync: applied to `durable` one by one, in order, each with its own luck. */
  pending: NameChange[] = []
  /** Of a sync that failed: believed to be written. */
  forgotten: NameChange[] = []
}

/** What a device held at one moment. */
export class DiskImage {
  readonly root: Directory

  constructor(root: Directory) {
    this.root = root
  }
}

function copyOf(directory: Directory): Directory {
  const copy = new Directory()
  for (const [name, entry] of directory.durable) {
    const copied = entry instanceof Directory ? copyOf(entry) : entry.copyDurable()
    copy.entries.set(name, copied)
    copy.durable.set(name, copied)
  }
  return copy
}

interface NameChange {
  readonly kind: 'create' | 'rename' | 'remove'
  /** Name → what it means afterwards (null = gone). A rename within a directory is one change of two names. */
  readonly sets: readonly (readonly [string, SimInode | Directory | null])[]
}

interface Pending {
  readonly kind: string
  readonly half: (() => void) | undefined
}

export class SimDisk implements Disk, SimFileHost {
  readonly #clock: SimClock
  readonly #prng: Prng
  readonly #delayMs: { min: number; max: number }
  readonly #syncFactor: number
  #root = new Directory()
  readonly #pending = new Set<Pending>()
  readonly #locks = new Set<string>()
  #epoch = 0
  #isReadOnly = false
  /** What was met: 'sync', 'eio:sync', 'lost-sectors' … → how often. */
  readonly reached = new Map<string, number>()
  faults: SimDiskFaults = { ...noFaults }
  capacityBytes: number
  lie: DiskLie
  /** Path prefix → fault of the next matching call, once. Key "operation path-part". */
  readonly #planned: { operation: string; pathPart: string; code: DiskErrorCode; saidOf?: string }[] = []

  constructor(options: SimDiskOptions) {
    this.#clock = options.clock
    this.#prng = options.prng
    this.#delayMs = options.delayMs ?? { min: 0.01, max: 0.5 }
    this.#syncFactor = options.syncFactor ?? 4
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY
    this.lie = options.lie ?? 'none'
  }

  get usedBytes(): number {
    let sum = 0
    for (const inode of this.#inodes(this.#root, 'entries')) sum += inode.sizeBytes
    return sum
  }

  /**
   * The next `operation` ('read', 'write', 'write-sync', 'sync', 'sync-directory', 'open', 'open-read', 'close', 'rename', 'remove', 'truncate',
   * 'mkdir', 'list', 'stat', 'statfs') on a path with `pathPart` in it fails once. An error of a sync that says "no space" is one of a sync.
   */
  failNext(operation: string, pathPart: string, code: DiskErrorCode): void {
    this.#planned.push({ operation, pathPart, code })
  }

  /** The next durable write on a path with `pathPart` in it finds no room and writes nothing. */
  refuseNext(operation: 'write-sync', pathPart: string): void {
    this.#planned.push({ operation, pathPart, code: 'ENOSPC', saidOf: 'write' })
  }

  /** Everything works from now on. */
  heal(): void {
    this.faults = { ...noFaults }
    this.capacityBytes = Number.POSITIVE_INFINITY
    this.#planned.length = 0
    this.#isReadOnly = false
  }

  /**
   * The sector at `atByte` cannot be read any more, by nobody, until it is written again (which a device does elsewhere). false when there is
   * no such byte.
   */
  spoil(path: string, atByte: number, code: DiskErrorCode = 'EIO'): boolean {
    const inode = this.#inodeAt(path)
    if (!inode || atByte >= inode.sizeBytes) return false
    inode.spoil(atByte, code)
    this.#count('bad-sector')
    return true
  }

  /** The file system is read-only from now on, as after an error of its own journal, until the power is cut. */
  goReadOnly(): void {
    this.#isReadOnly = true
    this.#count('read-only')
  }

  #inodeAt(path: string): SimInode | null {
    if (!this.#isDirectory(path.slice(0, path.lastIndexOf('/')))) return null
    const { directory, name } = this.#parent(path, 'spoil')
    const inode = directory.entries.get(name)
    return inode instanceof SimInode ? inode : null
  }

  // -- Disk

  open(path: string, mode: 'read' | 'write' | 'create'): Promise<DiskFile> {
    const operation = mode === 'read' ? 'open-read' : 'open'
    return this.#call(operation, path, () => {
      const { directory, name } = this.#parent(path, operation)
      let entry = directory.entries.get(name)
      if (entry instanceof Directory) throw new DiskError('OTHER', { operation, path, detail: 'is a directory' })
      if (!entry) {
        if (mode !== 'create') throw new DiskError('ENOENT', { operation, path })
        entry = new SimInode()
        this.#change(directory, 'create', [[name, entry]])
      }
      return new SimFile(this, path, entry, this.#epoch)
    })
  }

  list(path: string): Promise<string[]> {
    return this.#call('list', path, () => [...this.#directory(path, 'list').entries.keys()].sort())
  }

  makeDirectory(path: string): Promise<void> {
    return this.#call('mkdir', path, () => {
      let directory = this.#root
      for (const name of namesOf(path)) {
        let next = directory.entries.get(name)
        if (next === undefined) {
          next = new Directory()
          this.#change(directory, 'create', [[name, next]])
        }
        if (next instanceof SimInode) throw new DiskError('EEXIST', { operation: 'mkdir', path })
        directory = next
      }
    })
  }

  rename(from: string, to: string): Promise<void> {
    return this.#call('rename', from, () => {
      const source = this.#parent(from, 'rename')
      const target = this.#parent(to, 'rename')
      const entry = source.directory.entries.get(source.name)
      if (!entry) throw new DiskError('ENOENT', { operation: 'rename', path: from })
      if (source.directory === target.directory) {
        this.#change(source.directory, 'rename', [
          [target.name, entry],
          [source.name, null]
        ])
      } else {
        this.#change(target.directory, 'rename', [[target.name, entry]])
        this.#change(source.directory, 'rename', [[source.name, null]])
      }
    })
  }

  remove(path: string): Promise<void> {
    return this.#call('remove', path, () => {
      const { directory, name } = this.#parent(path, 'remove')
      if (!(directory.entries.get(name) instanceof SimInode)) throw new DiskError('ENOENT', { operation: 'remove', path })
      this.#change(directory, 'remove', [[name, null]])
    })
  }

  removeDirectory(path: string): Promise<void> {
    return this.#call('rmdir', path, () => {
      const { directory, name } = this.#parent(path, 'rmdir')
      const entry = directory.entries.get(name)
      if (!(entry instanceof Directory)) throw new DiskError('ENOENT', { operation: 'rmdir', path })
      if (entry.entries.size > 0) throw new DiskError('OTHER', { operation: 'rmdir', path, detail: 'ENOTEMPTY' })
      this.#change(directory, 'remove', [[name, null]])
    })
  }

  syncDirectory(path: string): Promise<void> {
    const asked = new Set(this.#isDirectory(path) ? this.#directory(path, 'sync-directory').pending : [])
    return this.#call(
      'sync-directory',
      path,
      () => {
        const directory = this.#directory(path, 'sync-directory')
        if (this.lie === 'directory-sync-skipped' || this.lie === 'sync-skipped') return
        for (const change of directory.pending) if (asked.has(change)) applyNames(directory.durable, change)
        directory.pending = directory.pending.filter((change) => !asked.has(change))
      },
      { factor: this.#syncFactor, fail: () => this.#failDirectorySync(path, asked) }
    )
  }

  fileSizeBytes(path: string): Promise<number | null> {
    return this.#call('stat', path, () => {
      const names = namesOf(path)
      const name = names.pop() as string
      let directory: Directory = this.#root
      for (const part of names) {
        const next = directory.entries.get(part)
        if (!(next instanceof Directory)) return null
        directory = next
      }
      const entry = directory.entries.get(name)
      return entry instanceof SimInode ? entry.sizeBytes : null
    })
  }

  freeBytes(path: string): Promise<number> {
    return this.#call('statfs', path, () => Math.max(0, Math.min(Number.MAX_SAFE_INTEGER, this.capacityBytes - this.usedBytes)))
  }

  lock(directory: string): Promise<DiskLock> {
    const epoch = this.#epoch
    return this.#call('lock', directory, () => {
      this.#directory(directory, 'lock')
      if (this.#locks.has(directory)) throw new DiskError('ELOCKED', { operation: 'lock', path: directory })
      this.#locks.add(directory)
      return {
        release: async () => {
          if (epoch === this.#epoch) this.#locks.delete(directory)
        }
      }
    })
  }

  // -- What happens to it

  /** kill -9: calls under way happened, half happened or did not; everything in the page cache stays. */
  crash(): void {
    this.#count('crash')
    this.#endProcess()
    for (const inode of this.#inodes(this.#root, 'entries')) inode.forgetSyncs()
    this.#remember(this.#root)
  }

  #remember(directory: Directory): void {
    directory.pending = [...directory.forgotten.splice(0), ...directory.pending]
    for (const entry of directory.entries.values()) if (entry instanceof Directory) this.#remember(entry)
  }

  /** Power is cut: `luck` is drawn when not given, from "nothing unsynced survives" to "everything does". */
  powerCut(luck?: Luck): Luck {
    this.#count('power-cut')
    this.#endProcess()
    this.#isReadOnly = false
    const drawn = luck ?? this.#drawLuck()
    const seen = new Set<SimInode>()
    for (const inode of [...this.#inodes(this.#root, 'entries'), ...this.#inodes(this.#root, 'durable')]) {
      if (seen.has(inode)) continue
      seen.add(inode)
      const result = inode.powerCut(drawn, this.#prng)
      if (result.lostSectors > 0) this.#count('lost-sectors')
      if (result.keptSectors > 0) this.#count('kept-unsynced-sectors')
      if (result.lostSectors > 0 && result.keptSectors > 0) this.#count('reordered-sectors')
      if (result.tornSectors > 0) this.#count('torn-sector')
      if (result.isSizeLost) this.#count('lost-size')
    }
    this.#cutDirectory(this.#root, drawn, new Set())
    return drawn
  }

  /** A copy of what the device holds now: what a power cut would leave at the least. */
  takeImage(): DiskImage {
    return new DiskImage(copyOf(this.#root))
  }

  /** The device holds what `image` does; only while no process runs (crash or powerCut came first). */
  putBack(image: DiskImage): void {
    this.#count('image-put-back')
    this.#root = copyOf(image.root)
  }

  /** A file lies there, on the device too; only while no process runs. What became of its name before, and no sync has written yet, is of the past. */
  leave(path: string, bytes: Uint8Array): void {
    const { directory, name } = this.#parent(path, 'leave')
    const inode = SimInode.holding(bytes)
    const withoutName = (change: NameChange): NameChange => ({ ...change, sets: change.sets.filter(([each]) => each !== name) })
    directory.pending = directory.pending.map(withoutName)
    directory.entries.set(name, inode)
    directory.durable.set(name, inode)
  }

  /** Turns one bit of a file over. false when there is no such byte. */
  rot(path: string, atByte: number, bit = 0): boolean {
    if (!this.#isDirectory(path.slice(0, path.lastIndexOf('/')))) return false
    const { directory, name } = this.#parent(path, 'rot')
    const inode = directory.entries.get(name)
    if (!(inode instanceof SimInode) || atByte >= inode.sizeBytes) return false
    inode.rot(atByte, bit)
    this.#count('rot')
    return true
  }

  /** Path and cached content of every file, sorted. For checks and fingerprints, not for the product. */
  files(): { path: string; bytes: Uint8Array }[] {
    const result: { path: string; bytes: Uint8Array }[] = []
    const walk = (directory: Directory, prefix: string): void => {
      for (const [name, entry] of [...directory.entries].sort(([left], [right]) => (left < right ? -1 : 1))) {
        if (entry instanceof Directory) walk(entry, `${prefix}/${name}`)
        else result.push({ path: `${prefix}/${name}`, bytes: entry.cached.subarray(0, entry.sizeBytes) })
      }
    }
    walk(this.#root, '')
    return result
  }

  // -- For SimFile

  file<T>(operation: string, file: SimFile, effect: () => T, options: CallOptions = {}): Promise<T> {
    if (file.epoch !== this.#epoch) return new Promise(() => undefined)
    return this.#call(
      operation,
      file.path,
      () => {
        if (file.isClosed) throw new DiskError('OTHER', { operation, path: file.path, detail: 'file is closed' })
        return effect()
      },
      options
    )
  }

  get prng(): Prng {
    return this.#prng
  }

  get syncFactor(): number {
    return this.#syncFactor
  }

  /** How many of `bytes` fit at `positionBytes`: less than all means ENOSPC after them. */
  fitBytes(inode: SimInode, positionBytes: number, count: number): number {
    if (this.capacityBytes === Number.POSITIVE_INFINITY) return count
    const growth = Math.max(0, positionBytes + count - inode.sizeBytes)
    if (growth === 0) return count
    const free = Math.max(0, this.capacityBytes - this.usedBytes)
    return growth <= free ? count : Math.max(0, count - (growth - free))
  }

  count(what: string): void {
    this.#count(what)
  }

  // -- Inside

  #call<T>(operation: string, path: string, effect: () => T, options: CallOptions = {}): Promise<T> {
    const { min, max } = this.#delayMs
    let delayMs = (min + this.#prng.fraction() * (max - min)) * (options.factor ?? 1)
    if (this.faults.stallPercent > 0 && this.#prng.chance(this.faults.stallPercent)) {
      delayMs += this.faults.stallMs
      this.#count('stall')
    }
    const epoch = this.#epoch
    const pending: Pending = { kind: operation, half: options.half }
    this.#pending.add(pending)
    return new Promise((resolve, reject) => {
      this.#clock.after(delayMs, () => {
        if (epoch !== this.#epoch) return
        this.#pending.delete(pending)
        this.#count(operation)
        try {
          const fault = this.#drawFault(operation, path)
          if (fault) {
            const { code, saidOf = operation } = fault
            const { fail = options.half } = options
            if (code !== 'EROFS' && saidOf === operation) fail?.()
            throw new DiskError(code, { operation: saidOf, path, detail: 'simulated' })
          }
          resolve(effect())
        } catch (error) {
          reject(error)
        }
      })
    })
  }

  #drawFault(operation: string, path: string): { code: DiskErrorCode; saidOf?: string } | null {
    const planned = this.#planned.findIndex((plan) => plan.operation === operation && path.includes(plan.pathPart))
    if (planned >= 0) {
      this.#count(`planned:${operation}`)
      return this.#planned.splice(planned, 1)[0] ?? null
    }
    if (this.#isReadOnly && WRITING.has(operation)) return { code: 'EROFS' }
    const isRead = operation === 'read'
    const isSync = operation === 'sync' || operation === 'sync-directory'
    const isWrite = operation === 'write' || operation === 'write-sync' || operation === 'truncate'
    const percent = isRead
      ? this.faults.readErrorPercent
      : isSync
        ? this.faults.syncErrorPercent
        : operation === 'write-sync'
          ? this.faults.writeErrorPercent + this.faults.syncErrorPercent
          : isWrite
            ? this.faults.writeErrorPercent
            : 0
    if (percent === 0 || !this.#prng.chance(percent)) return null
    this.#count(`eio:${operation}`)
    return { code: 'EIO' }
  }

  #endProcess(): void {
    this.#epoch++
    this.#locks.clear()
    const pending = [...this.#pending]
    this.#pending.clear()
    for (const call of pending) {
      if (!call.half) continue
      this.#count(`crash-during:${call.kind}`)
      call.half()
    }
  }

  #drawLuck(): Luck {
    const draw = (): number => this.#prng.pick([0, 100, this.#prng.fraction() * 100])
    const kind = this.#prng.below(10)
    if (kind === 0) return { sectorPercent: 0, sizePercent: 0, entryPercent: 0 }
    if (kind === 1) return { sectorPercent: 100, sizePercent: 100, entryPercent: 100 }
    return { sectorPercent: draw(), sizePercent: draw(), entryPercent: draw() }
  }

  #cutDirectory(directory: Directory, luck: Luck, seen: Set<Directory>): void {
    if (seen.has(directory)) return
    seen.add(directory)
    for (const change of directory.pending) {
      if (this.#prng.chance(luck.entryPercent)) {
        applyNames(directory.durable, change)
        this.#count(`kept-entry:${change.kind}`)
      } else this.#count(`lost-entry:${change.kind}`)
    }
    directory.pending = []
    directory.forgotten = []
    directory.entries.clear()
    for (const [name, entry] of directory.durable) {
      directory.entries.set(name, entry)
      if (entry instanceof Directory) this.#cutDirectory(entry, luck, seen)
    }
  }

  /**
   * Said once; afterwards the changes count as written, and no later sync of this process tries them again. (A new process does: on real file
   * systems its own changes write the same blocks.)
   */
  #failDirectorySync(path: string, asked: ReadonlySet<NameChange>): void {
    if (!this.#isDirectory(path)) return
    const directory = this.#directory(path, 'sync-directory')
    const keepPercent = this.#prng.pick([0, 50, 100])
    for (const change of directory.pending.filter((each) => asked.has(each))) {
      if (this.#prng.chance(keepPercent)) applyNames(directory.durable, change)
      else directory.forgotten.push(change)
    }
    directory.pending = directory.pending.filter((change) => !asked.has(change))
  }

  #change(directory: Directory, kind: NameChange['kind'], sets: NameChange['sets']): void {
    const change: NameChange = { kind, sets }
    applyNames(directory.entries, change)
    directory.pending.push(change)
  }

  *#inodes(directory: Directory, which: 'entries' | 'durable'): Iterable<SimInode> {
    for (const entry of directory[which].values()) {
      if (entry instanceof SimInode) yield entry
      else yield* this.#inodes(entry, which)
    }
  }

  #isDirectory(path: string): boolean {
    let directory: SimInode | Directory | undefined = this.#root
    for (const name of namesOf(path)) {
      if (!(directory instanceof Directory)) return false
      directory = directory.entries.get(name)
    }
    return directory instanceof Directory
  }

  #directory(path: string, operation: string): Directory {
    let directory = this.#root
    for (const name of namesOf(path)) {
      const next = directory.entries.get(name)
      if (!(next instanceof Directory)) throw new DiskError('ENOENT', { operation, path })
      directory = next
    }
    return directory
  }

  #parent(path: string, operation: string): { directory: Directory; name: string } {
    const names = namesOf(path)
    const name = names.pop()
    if (name === undefined) throw new DiskError('OTHER', { operation, path, detail: 'no name' })
    return { directory: this.#directory(names.join('/'), operation), name }
  }

  #count(what: string): void {
    this.reached.set(what, (this.reached.get(what) ?? 0) + 1)
  }
}

const WRITING = new Set(['open', 'write', 'write-sync', 'sync', 'sync-directory', 'rename', 'remove', 'rmdir', 'truncate', 'mkdir'])

function applyNames(names: Map<string, SimInode | Directory>, change: NameChange): void {
  for (const [name, entry] of change.sets) {
    if (entry === null) names.delete(name)
    else names.set(name, entry)
  }
}

function namesOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.')
}
