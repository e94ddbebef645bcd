// What the devices know: which events they sent, which were acknowledged at which offset. It lies outside the gateway and is compared
// with what the gateway shows and with what arrived at the centre. Every difference is a violation with a sentence.
//
// "Unknown" is a class of its own: no answer came, so the event may be there or not (once for each time it was sent).

import type { DecodedRecord } from './sim-decode.ts'

export interface SimEvent {
  /** Unique: "<device>:<number>". */
  readonly id: string
  readonly device: string
  readonly number: number
  readonly value: string
  /** "<topic>/<partition>" */
  readonly partitionKey: string
  /** Times it was handed to the gateway. */
  attempts: number
  isAcked: boolean
  /** Part of a transaction: it need not arrive because it is stored, only when its transaction was committed. */
  readonly isOptional?: boolean
}

export interface LedgerCounts {
  sent: number
  acked: number
  unknown: number
  read: number
  lost: number
  phantom: number
  altered: number
  reordered: number
  duplicated: number
  refused: number
}

/** What a disk held at one moment, as far as the devices know. */
export interface LedgerSnapshot {
  readonly acked: Map<string, Map<number, string>>
  readonly seen: Map<string, Map<number, string>>
}

export class Ledger {
  readonly events = new Map<string, SimEvent>()
  /** "<topic>/<partition>" → offset → event id, as acknowledged. */
  acked = new Map<string, Map<number, string>>()
  /** "<topic>/<partition>" → offset → event id, as anybody ever read it: what is visible stays. */
  seen = new Map<string, Map<number, string>>()
  /** Of disks that an operator took out: what they gave to other events under the same offsets. */
  readonly #before: LedgerSnapshot[] = []
  readonly #ackedSomewhere: SimEvent[] = []
  /** "<topic>/<partition>" → offsets [from, until) that the gateway said were deleted before they were delivered. */
  readonly #gone = new Map<string, { from: number; until: number }[]>()
  /** Kafka clients write beside the devices: there are offsets of markers, of aborted events, and of what cannot be read. */
  hasClients = false
  /** Topic → acknowledged events that were dropped with leave and did not reach the centre. Known after checkCentre. */
  readonly missing = new Map<string, number>()
  readonly violations: string[] = []
  readonly counts: LedgerCounts = {
    sent: 0,
    acked: 0,
    unknown: 0,
    read: 0,
    lost: 0,
    phantom: 0,
    altered: 0,
    reordered: 0,
    duplicated: 0,
    refused: 0
  }

  violate(kind: keyof LedgerCounts, sentence: string): void {
    this.counts[kind]++
    if (this.violations.length < 20) this.violations.push(`${kind}: ${sentence}`)
  }

  snapshot(): LedgerSnapshot {
    return { acked: copyOf(this.acked), seen: copyOf(this.seen) }
  }

  /** An operator put this disk back: what was acknowledged behind it is gone unless the centre has it. Not a fault of the gateway. */
  putBack(snapshot: LedgerSnapshot): void {
    this.#before.push({ acked: this.acked, seen: this.seen })
    this.acked = copyOf(snapshot.acked)
    this.seen = copyOf(snapshot.seen)
  }

  onSent(event: SimEvent): void {
    if (event.attempts++ === 0) {
      this.counts.sent++
      this.events.set(event.id, event)
    }
  }

  onAcked(event: SimEvent, offset: number): void {
    if (event.isAcked) return
    event.isAcked = true
    this.counts.acked++
    const acked = mapOf(this.acked, event.partitionKey)
    const other = acked.get(offset)
    if (other !== undefined) this.violate('altered', `${event.partitionKey}/${offset} was acknowledged to ${other} and to ${event.id}`)
    acked.set(offset, event.id)
    const seen = this.seen.get(event.partitionKey)?.get(offset)
    if (seen !== undefined && seen !== event.id)
      this.violate('altered', `${event.partitionKey}/${offset} held ${seen} and is acknowledged to ${event.id}`)
  }

  /** The gateway was allowed to drop these, and has said that it did. */
  onDropped(partitionKey: string, range: { from: number; until: number }): void {
    this.#gone.set(partitionKey, [...(this.#gone.get(partitionKey) ?? []), range])
  }

  /** Must this offset be at the centre because another above it is? */
  #mustArrive(partitionKey: string, offset: number): boolean {
    if (!this.hasClients) return true
    const id = this.seen.get(partitionKey)?.get(offset)
    return id !== undefined && this.events.get(id)?.isOptional !== true
  }

  isGone(partitionKey: string, offset: number): boolean {
    return (this.#gone.get(partitionKey) ?? []).some(({ from, until }) => offset >= from && offset < until)
  }

  /** "Stored", said without knowing where: the event must be somewhere in the end. */
  onAckedEarly(event: SimEvent): void {
    event.isAcked = true
    this.counts.acked++
    this.#ackedSomewhere.push(event)
  }

  /** A partition as read from the gateway, from its log start to its high watermark. */
  checkPartition(
    partitionKey: string,
    range: { start: number; end: number },
    records: readonly { offset: number; value: string | null }[],
    silent: ReadonlySet<number> = new Set()
  ): void {
    let expected = range.start
    for (const record of records) {
      while (silent.has(expected)) expected++
      if (record.offset !== expected) this.violate('lost', `${partitionKey}: offset ${expected} is missing, ${record.offset} follows`)
      expected = record.offset + 1
      this.counts.read++
      this.#see(partitionKey, record.offset, record.value, 'the gateway')
    }
    while (silent.has(expected)) expected++
    if (expected !== range.end) this.violate('lost', `${partitionKey}: read up to ${expected}, the high watermark is ${range.end}`)
    for (const [offset, id] of this.acked.get(partitionKey) ?? []) {
      if (offset >= range.end)
        this.violate('lost', `${partitionKey}/${offset} (${id}) was acknowledged, the high watermark is ${range.end}`)
    }
  }

  /** All records of the centre, by upstream partition in its order: each acknowledged event once, each edge partition in order and without gaps. */
  checkCentre(upstream: readonly { name: string; records: readonly DecodedRecord[] }[]): void {
    /** "<log and branch> <topic>/<partition>" → offset → event id. */
    const arrived = new Map<string, Map<number, string>>()
    for (const { name, records } of upstream) this.#checkArrivals(name, records, arrived)
    for (const [partitionKey, acked] of this.acked) {
      for (const [offset, id] of acked) {
        if (branches(arrived, partitionKey).some((offsets) => offsets.get(offset) === id)) continue
        if (this.isGone(partitionKey, offset)) {
          const topicName = partitionKey.slice(0, partitionKey.lastIndexOf('/'))
          this.missing.set(topicName, (this.missing.get(topicName) ?? 0) + 1)
          continue
        }
        this.violate('lost', `${partitionKey}/${offset} (${id}) was acknowledged and did not arrive at the centre`)
      }
    }
    const ids = new Set(upstream.flatMap(({ records }) => records.map((record) => this.#eventOf(record.value)?.id)))
    for (const { id } of this.#ackedSomewhere)
      if (!ids.has(id)) this.violate('lost', `${id} was acknowledged and did not arrive at the centre`)
    for (const [name, offsets] of arrived) {
      const [branch = '', partitionKey = ''] = name.split(' ')
      const highest = Math.max(...offsets.keys())
      // A branch begins where an older image ended, the line that a log began with at 0.
      const lowest = branch.includes('~') ? Math.min(...offsets.keys()) : 0
      for (let offset = lowest; offset < highest; offset++) {
        if (offsets.has(offset) || this.isGone(partitionKey, offset) || !this.#mustArrive(partitionKey, offset)) continue
        this.violate('lost', `${name}: ${offsets.size} events arrived, the highest offset is ${highest}, ${offset} is missing`)
        break
      }
    }
  }

  /** A key is in one partition of an upstream topic only. */
  checkKeys(upstream: readonly { name: string; records: readonly DecodedRecord[] }[]): void {
    const places = new Map<string, string>()
    for (const { name, records } of upstream) {
      const topic = name.slice(0, name.lastIndexOf('-'))
      for (const record of records) {
        const key = `${topic} ${record.key}`
        const place = places.get(key)
        if (place !== undefined && place !== name) this.violate('reordered', `key ${record.key} is in ${place} and ${name}`)
        places.set(key, name)
      }
    }
  }

  #checkArrivals(name: string, records: readonly DecodedRecord[], arrived: Map<string, Map<number, string>>): void {
    const last = new Map<string, number>()
    for (const record of records) {
      const text = record.headers.get('wadi.offset') ?? ''
      const cut = text.lastIndexOf('/')
      const partitionKey = text.slice(0, cut)
      const offset = Number(text.slice(cut + 1))
      if (cut < 0 || !Number.isSafeInteger(offset)) {
        this.violate('phantom', `${name}: a record with wadi.offset "${text}"`)
        continue
      }
      const event = this.#see(partitionKey, offset, record.value, `the centre (${name})`)
      // With the offset it names one event, under whatever gateway.id it was sent.
      const id = record.headers.get('wadi.id') ?? ''
      const place = `${id.slice(id.indexOf('/') + 1)} ${partitionKey}`
      const places = mapOf(arrived, place)
      const before = last.get(place) ?? -1
      if (places.has(offset)) this.violate('duplicated', `${place}/${offset} arrived again at ${name}`)
      else if (offset < before) this.violate('reordered', `${name}: ${place}/${offset} came after ${before}`)
      places.set(offset, event?.id ?? '')
      last.set(place, Math.max(before, offset))
    }
  }

  /** Events of one device are in the order they were sent (first arrivals; each device waits for its acknowledgement). */
  checkDeviceOrder(name: string, records: readonly { value: string | null }[]): void {
    const highest = new Map<string, number>()
    const seen = new Set<string>()
    for (const { value } of records) {
      const event = this.#eventOf(value)
      if (!event || seen.has(event.id)) continue
      seen.add(event.id)
      if (event.number < (highest.get(event.device) ?? -1))
        this.violate('reordered', `${name}: ${event.id} after ${highest.get(event.device)}`)
      highest.set(event.device, Math.max(event.number, highest.get(event.device) ?? -1))
    }
  }

  finish(): void {
    for (const event of this.events.values()) if (!event.isAcked) this.counts.unknown++
  }

  #see(partitionKey: string, offset: number, value: string | null, where: string): SimEvent | undefined {
    const event = this.#eventOf(value)
    if (!event) {
      this.violate('phantom', `${where} shows at ${partitionKey}/${offset} what nobody sent: ${(value ?? 'null').slice(0, 40)}`)
      return undefined
    }
    if (event.value !== value) this.violate('altered', `${where} shows ${event.id} at ${partitionKey}/${offset} with another value`)
    if (event.partitionKey !== partitionKey) this.violate('altered', `${where} shows ${event.id} in ${partitionKey}`)
    if (where.startsWith('the centre') && this.#wasBefore(partitionKey, offset, event.id)) return event
    const acked = this.acked.get(partitionKey)?.get(offset)
    if (acked !== undefined && acked !== event.id)
      this.violate('altered', `${where} shows ${event.id} at ${partitionKey}/${offset}, acknowledged to ${acked}`)
    const seen = mapOf(this.seen, partitionKey)
    const before = seen.get(offset)
    if (before !== undefined && before !== event.id)
      this.violate('altered', `${where} shows ${event.id} at ${partitionKey}/${offset}, where ${before} was visible`)
    seen.set(offset, event.id)
    return event
  }

  /** An earlier disk had this event there. */
  #wasBefore(partitionKey: string, offset: number, id: string): boolean {
    return this.#before.some(({ acked, seen }) => {
      const known = acked.get(partitionKey)?.get(offset) ?? seen.get(partitionKey)?.get(offset)
      // Nobody was told: it may have been any event.
      return known === undefined || known === id
    })
  }

  #eventOf(value: string | null): SimEvent | undefined {
    if (value === null) return undefined
    const end = value.indexOf(' ')
    return this.events.get(end < 0 ? value : value.slice(0, end))
  }
}

function copyOf(maps: Map<string, Map<number, string>>): Map<string, Map<number, string>> {
  return new Map([...maps].map(([key, map]) => [key, new Map(map)]))
}

/** Of all branches of the log: what arrived from one partition. */
function branches(arrived: ReadonlyMap<string, ReadonlyMap<number, string>>, partitionKey: string): ReadonlyMap<number, string>[] {
  return [...arrived].filter(([name]) => name.endsWith(` ${partitionKey}`)).map(([, offsets]) => offsets)
}

function mapOf<K, L, V>(maps: Map<K, Map<L, V>>, key: K): Map<L, V> {
  let map = maps.get(key)
  if (!map) {
    map = new Map()
    maps.set(key, map)
  }
  return map
}
