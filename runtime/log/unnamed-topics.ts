// Topics whose entry damage took before a state file had it: the journal has their events, and nothing says what they are called. They cannot be
// served; what is in no segment either is lost with the journal file, and is counted. Segments are taken in when a topic of their name is made
// (left-segments.ts), so what they hold is not lost.
//
//   unnamed/<topic number>/<partition>   what the journal has of it in front of this offset was looked at before a topic took its segments in: while no
//                                        checkpoint is behind the journal file, each start meets it again, and its segments have a name then
//
// What was lost of a topic is told and counted under its number. When a topic takes in the segments of a directory, and only one number can be that of the
// directory, that becomes damage of the topic: a gap in front of its segments is not counted again, and lost offsets behind them are not given again.
//
// Invariant: changes no file; what segments have is synced before it is believed. Where several unnamed directories may be that of a partition, an offset that one of them has is not counted.

import type { Core } from '../core/core.ts'
import type { Disk } from '../io/disk.ts'
import { BatchScan } from './batch-scan.ts'
import type { OffsetRange, Removal, StateChange } from './contract.ts'
import type { DeletedTopics } from './deleted-topics.ts'
import { decodePlace, type KnownDamage, type Place } from './known-damage.ts'
import { TOPICS_DIRECTORY } from './layout.ts'
import { uncoveredParts } from './offset-ranges.ts'
import type { PartitionLog } from './partition-log.ts'
import type { Coverage } from './partition-recovery.ts'
import type { RecoveryReport } from './recovery-report.ts'
import { SalvageFile } from './salvage-read.ts'
import { listSegmentFiles, type SegmentFile } from './segment-files.ts'
import { StateArea, type StateReader } from './state-area.ts'
import { decimal, numberedKeyBytes } from './state-codec.ts'
import { onlyDisk } from './store-errors.ts'
import type { Making, TopicList } from './topic-list.ts'

export const unnamedEnds = new StateArea<number>('unnamed', decimal, {
  keys: '<topic number>/<partition>',
  keyBytesMax: numberedKeyBytes('unnamed', 2),
  valueBytesMax: decimal.bytesMax,
  entries: 'one for each partition that only the journal has, which bounds them',
  goes: 'when the journal has nothing of it any more'
})

export interface UnnamedTopicsHost {
  readonly state: StateReader
  readonly disk: Disk
  readonly core: Core
  readonly directory: string
  readonly damage: KnownDamage
  readonly deleted: DeletedTopics
  readonly topics: TopicList
}

export class UnnamedTopics {
  readonly #host: UnnamedTopicsHost
  /** `topicNumber/partitionIndex` → end of what the journal has of it. */
  readonly #lookedAt = new Map<string, number>()

  constructor(host: UnnamedTopicsHost) {
    this.#host = host
  }

  /** At a start, with what the journal holds: finds what no segment has, says it in `report`, and notes it, which counts it once over all starts. @throws DiskError */
  async find(coverage: ReadonlyMap<string, Coverage>, report: RecoveryReport): Promise<void> {
    const { state, damage } = this.#host
    const places = [...coverage].flatMap(([place, ranges]): [string, readonly OffsetRange[]][] => {
      const from = unnamedEnds.get(state, unnamedEnds.keyAt(place)) ?? 0
      const left = ranges.flatMap(({ start, end }) => (end > from ? [{ startOffset: Math.max(start, from), endOffset: end }] : []))
      return left.length > 0 && this.#isUnnamed(decodePlace(place)) ? [[place, left]] : []
    })
    if (places.length === 0) return
    const files = await this.#unnamedFiles()
    for (const [place, ranges] of places) {
      const { topicNumber, partitionIndex } = decodePlace(place)
      const held: OffsetRange[] = []
      for (const file of files) if (file.partitionName.endsWith(`-${partitionIndex}`)) held.push(...(await this.#holds(file)))
      this.#lookedAt.set(place, Math.max(...ranges.map(({ endOffset }) => endOffset)))
      const lost = ranges.flatMap((range) => uncoveredParts(range, held))
      for (const range of lost) damage.noteUnnamed({ place, ...range })
      const records = lost.reduce((sum, { startOffset, endOffset }) => sum + endOffset - startOffset, 0)
      const total = ranges.reduce((sum, { startOffset, endOffset }) => sum + endOffset - startOffset, 0)
      const words = `the journal has ${total === 1 ? '1 event' : `${total} events`} of topic number ${topicNumber}, partition ${partitionIndex}, which no state file knows: not served`
      report.notes.push(records === 0 ? words : `${words}; ${records} of them are in no segment: lost`)
    }
  }

  /** For the commit that makes `partitions`: from then on what was found is not looked at again, and what was lost of them is theirs. */
  async making(partitions: readonly PartitionLog[]): Promise<Making> {
    const { damage } = this.#host
    const changes = [...this.#lookedAt].map(([place, end]) => unnamedEnds.put(unnamedEnds.keyAt(place), end))
    const moves: [from: Place, to: Place][] = []
    for (const partition of partitions) {
      const former = await this.#formerPlaceOf(partition).catch(onlyDisk)
      const moved = former ? damage.changesForMove(former, partition) : null
      if (!former || !moved) continue
      changes.push(...moved)
      moves.push([former, partition])
    }
    return {
      changes,
      onDurable: () => {
        for (const [from, to] of moves) {
          damage.move(from, to)
          this.#lookedAt.delete(`${from.topicNumber}/${from.partitionIndex}`) // or it would be one of two, when there is no room to take its segments in
        }
      }
    }
  }

  /** The place that nothing names and whose segments lie in the directory of `partition`; null when there is none, or which one it is cannot be told. @throws DiskError */
  async #formerPlaceOf({ topicName, topicNumber, partitionIndex }: PartitionLog): Promise<Place | null> {
    const { damage } = this.#host
    const places = [...damage.places(), ...[...this.#lookedAt.keys()].map(decodePlace)]
    const unnamed = places.filter((place) => place.partitionIndex === partitionIndex && this.#isUnnamed(place))
    const [number, ...others] = new Set(unnamed.map((place) => place.topicNumber))
    if (number === undefined || number === topicNumber || others.length > 0) return null
    const names = new Set((await this.#unnamedFiles()).map(({ partitionName }) => partitionName))
    const isAlone = [...names].every((name) => name === `${topicName}-${partitionIndex}` || !name.endsWith(`-${partitionIndex}`))
    if (!isAlone || !names.has(`${topicName}-${partitionIndex}`)) return null
    await damage.save()
    return { topicNumber: number, partitionIndex }
  }

  /** What the file has, durable: a process before may have left it in the page cache only, and behind the next checkpoint the journal has it no more. @throws DiskError */
  async #holds(file: SegmentFile): Promise<OffsetRange[]> {
    const { disk, directory } = this.#host
    const held = await heldBy(this.#host, file)
    if (held.length === 0) return held
    const handle = await disk.open(file.path, 'write')
    await handle.sync().finally(() => handle.close().catch(onlyDisk))
    await disk.syncDirectory(`${directory}/${TOPICS_DIRECTORY}/${file.partitionName}`)
    await disk.syncDirectory(`${directory}/${TOPICS_DIRECTORY}`)
    return held
  }

  /** In directories that no topic has. @throws DiskError */
  async #unnamedFiles(): Promise<SegmentFile[]> {
    const named = new Set<string>()
    for (const { partitions } of this.#host.topics.all())
      for (const { topicName, partitionIndex } of partitions) named.add(`${topicName}-${partitionIndex}`)
    return (await listSegmentFiles(this.#host)).filter(({ partitionName }) => !named.has(partitionName))
  }

  /** What nobody needs any more, because the journal does not have it. */
  outdated(coverage: ReadonlyMap<string, Coverage>): StateChange[] {
    const keys = unnamedEnds.keysIn(this.#host.state).filter((key) => !coverage.has(unnamedEnds.restOf(key)))
    return keys.map((key) => unnamedEnds.remove(key))
  }

  /** One entry for each topic. */
  removals(): Removal[] {
    const { damage, topics } = this.#host
    return damage
      .recordsByNumber((place) => this.#isUnnamed(place))
      .map(([number, records]) => {
        const topicName = topics.withNumber(number)?.name ?? `topic number ${number} (its name is lost)`
        return { topicName, reason: 'damage', records, isLoss: true }
      })
  }

  #isUnnamed(place: Place): boolean {
    const { topics, deleted } = this.#host
    return topics.partitionAt(place) === undefined && !deleted.has(place.topicNumber)
  }
}

/** Offsets of whole batches in the file, as one that takes it in finds them. */
async function heldBy({ disk, core }: { readonly disk: Disk; readonly core: Core }, file: SegmentFile): Promise<OffsetRange[]> {
  const held: OffsetRange[] = []
  const handle = await SalvageFile.open(disk, file.path)
  try {
    const scan = new BatchScan(core, handle, { startBytes: 0, endBytes: file.bytes, nextOffset: file.baseOffset })
    for (;;) {
      const step = await scan.next()
      if (step.kind === 'end') return held
      if (step.kind === 'batch') {
        held.push({ startOffset: step.header.baseOffset, endOffset: step.header.lastOffset + 1 })
        continue
      }
      const behind = await scan.findBehind(step.positionBytes)
      if (behind === null) return held
      scan.positionBytes = behind
    }
  } finally {
    await handle.close()
  }
}
