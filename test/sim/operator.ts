// What an operator does to a gateway between two of its lives: puts an older image of its disk back, takes a topic out of the delivery or moves it
// to another topic of the centre, and undoes it, gives the gateway another id and the old one again. Draws from streams of its own, so that
// it does not shift what the rest of a seed does.
// Not for: faults (world.ts).

import type { LogStore } from '../../runtime/log/log-store.ts'
import { readDeliveryNotes } from '../../runtime/uplink/delivery-notes.ts'
import type { Ledger, LedgerSnapshot } from './ledger.ts'
import { Prng } from './prng.ts'
import type { DiskImage, SimDisk } from './sim-disk.ts'

type UpstreamMap = readonly (readonly [edgeTopic: string, topicName: string, partitionCount: number])[]

const GATEWAY_IDS = ['gateway', 'renamed'] as const

export class Operator {
  readonly #prng: Prng
  readonly #upstream: UpstreamMap
  /** Percent of restarts. */
  readonly #imagePercent: number
  readonly #topicsPercent: number
  readonly #renames: Prng
  readonly #renamePercent: number
  #gatewayId = GATEWAY_IDS[0] as string
  #image: { disk: DiskImage; ledger: LedgerSnapshot; isReplaced: boolean; isNoted: boolean } | null = null
  #delivered: UpstreamMap
  /** Edge topic → where it was delivered to last. */
  readonly #lastPlace = new Map<string, UpstreamMap[number]>()
  #needsPositions = false
  /** Stops at which a disk is put back for certain. */
  #dueSwaps = 0
  /** As of the last look: of the disk that is in the gateway. */
  #isDiskNoted = false
  /** The disk was put back and has not noted yet where it delivers to: after a move nobody could know it. */
  #isPlaceUnknown = false
  readonly reached = new Map<string, number>()

  constructor(seed: number, upstream: UpstreamMap) {
    this.#prng = new Prng(seed ^ 0x6f70657a)
    this.#upstream = upstream
    this.#delivered = upstream
    this.#imagePercent = this.#prng.chance(60) ? 80 : 0
    this.#topicsPercent = this.#prng.chance(20) ? 50 : 0
    this.#renames = new Prng(seed ^ 0x72656e61)
    // An older image does not know of a later id: what was delivered under it nobody can know.
    this.#renamePercent = this.#imagePercent === 0 && this.#renames.chance(30) ? 60 : 0
  }

  /** Edge topic → topic at the centre, in the life that begins. */
  get delivered(): UpstreamMap {
    return this.#delivered
  }

  /** `gateway.id`, in the life that begins. */
  get gatewayId(): string {
    return this.#gatewayId
  }

  /** Every topic of the centre that may have been delivered to. */
  get everDelivered(): UpstreamMap {
    return this.#topicsPercent === 0 ? this.#upstream : [...this.#upstream, ...this.#upstream.map((entry) => moved(entry))]
  }

  /**
   * While the gateway runs, now and then: an image of its disk. A disk without a note of every partition
   * is like one that never delivered: when the centre has forgotten the position too, nobody can know better.
   */
  look(disk: SimDisk, ledger: Ledger, store: LogStore): void {
    this.#readNotes(store)
    if (this.#imagePercent === 0 || !this.#prng.chance(this.#image ? 20 : 80)) return
    this.#takeImage(disk, ledger)
  }

  /** An image now: it is put back at the next stop, and the disk that it replaced at the one behind. false where an image may not be put back. */
  copy(disk: SimDisk, ledger: Ledger, store: LogStore): boolean {
    if (this.#renamePercent > 0) return false
    this.#readNotes(store)
    this.#takeImage(disk, ledger)
    this.#dueSwaps = 2
    return true
  }

  #readNotes(store: LogStore): void {
    if (this.#isPlaceUnknown) this.#isPlaceUnknown = !this.#isNoted(store)
    this.#isDiskNoted = this.#isNoted(store)
  }

  #takeImage(disk: SimDisk, ledger: Ledger): void {
    this.#count('image-taken')
    this.#image = { disk: disk.takeImage(), ledger: ledger.snapshot(), isReplaced: false, isNoted: this.#isDiskNoted }
  }

  /** Something of every partition that is delivered was noted as delivered, and where to. */
  #isNoted(store: LogStore): boolean {
    const confirmed = readDeliveryNotes(store)?.confirmed
    const places = this.#upstream.map((entry) => this.#lastPlace.get(entry[0]) ?? entry) // of topics that are not delivered now too
    return places.every(([edgeTopic, topicName]) => {
      const count = store.topics.get(edgeTopic)?.partitions.length ?? 0
      const { nextOffsets = [], places: noted = [] } = confirmed?.get(edgeTopic) ?? {}
      const isKnown = (index: number): boolean => (nextOffsets[index] ?? 0) > 0
      return (
        noted.some((place) => place.upstreamTopic === topicName) &&
        count > 0 &&
        Array.from({ length: count }, (_, index) => isKnown(index)).every(Boolean)
      )
    })
  }

  /** The centre must keep the positions from now on: a disk that has no note of what it delivered was put back (docs/decisions/0007-older-images.md, not solved). */
  get needsPositions(): boolean {
    return this.#needsPositions
  }

  /** The gateway is off. `mayPutBack`: everybody who keeps books can follow an older disk. `mayMove`: every start could note on its disk where it delivers to; else nobody can know it after topics are moved. */
  betweenLives(
    disk: SimDisk,
    ledger: Ledger,
    { mayMove, mayPutBack, hasForgotten }: { mayMove: boolean; mayPutBack: boolean; hasForgotten: boolean }
  ): void {
    const isDue = this.#dueSwaps > 0
    if (this.#image && (this.#prng.chance(this.#imagePercent) || isDue) && mayPutBack && (!hasForgotten || this.#image.isNoted)) {
      this.#needsPositions ||= !this.#image.isNoted
      this.#count('image-put-back')
      if (this.#image.isReplaced) this.#count('disk-came-back')
      const replaced = { disk: disk.takeImage(), ledger: ledger.snapshot(), isReplaced: true, isNoted: this.#isDiskNoted }
      this.#isDiskNoted = this.#image.isNoted
      this.#isPlaceUnknown = !this.#image.isNoted
      disk.putBack(this.#image.disk)
      ledger.putBack(this.#image.ledger)
      // The disk that was replaced lies in a drawer: it may come back.
      if (this.#prng.chance(80) || isDue) this.#image = replaced
      if (isDue) this.#dueSwaps--
    }
    if (this.#renamePercent > 0 && this.#renames.chance(this.#renamePercent) && mayMove) {
      const renamed = this.#renames.pick(GATEWAY_IDS)
      if (renamed !== this.#gatewayId) this.#count('gateway-renamed')
      this.#gatewayId = renamed
    }
    if (!this.#prng.chance(this.#topicsPercent) || !mayMove || this.#isPlaceUnknown) return
    this.#count('topics-changed')
    // A disk from before a move cannot know where was delivered to since, and the configuration names the present topic only.
    this.#image = null
    const kind = this.#prng.below(3)
    const at = this.#prng.below(this.#upstream.length)
    if (kind === 0) this.#delivered = this.#upstream.filter((_, index) => index !== at)
    else if (kind === 1) this.#delivered = this.#upstream.map((entry, index) => (index === at ? moved(entry) : entry))
    else this.#delivered = this.#upstream
    for (const entry of this.#delivered) this.#lastPlace.set(entry[0], entry)
  }

  /** At the end everything is delivered again, and no more is changed. */
  rest({ mayMove }: { mayMove: boolean }): void {
    this.#image = null
    this.#delivered =
      mayMove && !this.#isPlaceUnknown ? this.#upstream : this.#upstream.map((entry) => this.#lastPlace.get(entry[0]) ?? entry)
  }

  #count(what: string): void {
    this.reached.set(what, (this.reached.get(what) ?? 0) + 1)
  }
}

function moved([edgeTopic, topicName, partitionCount]: UpstreamMap[number]): UpstreamMap[number] {
  return [edgeTopic, `${topicName}.moved`, partitionCount]
}
