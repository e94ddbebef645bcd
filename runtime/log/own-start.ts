// The entry of the present start in the log: its number and id among the starts of the directory (lineage.ts). A commit of its own, before
// anything else of this start. When the disk has no room for it the store serves what is stored all the same: what is read and delivered was
// written by earlier starts, which are named. Everything that needs a commit asks for the entry first, and is refused while it is refused.
//
// Invariant: nothing of this start is durable before its entry is, and `starts` names no start that a crash could take back.
// Not for: which offsets a start wrote (incarnation-offsets.ts).

import type { WadiError } from '../base/errors.ts'
import type { Random } from '../io/random.ts'
import type { StateChange } from './contract.ts'
import { drawStartId, type Start, withStart } from './lineage.ts'
import { STATE_VALUE_BYTES_MAX, StateArea, type StateReader } from './state-area.ts'
import { decimal, textual, wholeOf } from './state-codec.ts'

export const lineages = new StateArea<readonly Start[]>('meta/starts', textual({ format: formatStarts, parse: parseStarts }), {
  keys: '',
  valueBytesMax: STATE_VALUE_BYTES_MAX,
  goes: 'never; beyond 1,000 starts those in the middle do'
})

/** The newest start that found damage to what was stored. */
export const damagedStarts = new StateArea<number>('meta/damaged', decimal, { keys: '', valueBytesMax: decimal.bytesMax, goes: 'never' })

/** How many starts there were. */
export const incarnations = new StateArea<number>('meta/incarnation', decimal, { keys: '', valueBytesMax: decimal.bytesMax, goes: 'never' })

export interface OwnStartHost {
  readonly state: StateReader
  readonly random: Random
  /** This start found damage: what was stored before it may not be all that was. */
  readonly hasFoundDamage: boolean
  /** Through the group commit: what is submitted behind something that is refused is refused with it, and so is never durable without it. */
  submit(changes: readonly StateChange[], done: (error: WadiError | null) => void): void
}

export class OwnStart {
  /** The number of this start, durable or not. */
  readonly incarnation: number
  readonly #lastDamaged: number
  readonly #host: OwnStartHost
  readonly #next: readonly Start[]
  #starts: readonly Start[]
  #isDurable = false
  #waiters: ((error: WadiError | null) => void)[] | null = null

  /** @throws WadiError WADI_STATE_DAMAGED */
  constructor(host: OwnStartHost) {
    this.#host = host
    const known = lineages.get(host.state, lineages.key()) ?? []
    const last = incarnations.get(host.state, incarnations.key()) ?? 0
    // A directory of a version that drew no ids: what it wrote belongs to the last of its starts.
    this.#starts = known.length === 0 && last > 0 ? [{ incarnation: last, id: '' }] : known
    this.incarnation = last + 1
    const lastDamaged = damagedStarts.get(host.state, damagedStarts.key()) ?? 0
    this.#lastDamaged = host.hasFoundDamage ? this.incarnation : lastDamaged
    this.#next = withStart(this.#starts, { incarnation: this.incarnation, id: drawStartId(host.random) })
  }

  /** Those that are durable, oldest first: the last one is this as soon as it is. */
  get starts(): readonly Start[] {
    return this.#starts
  }

  /** The newest start that found damage: this one, or as the state has it; 0 when none did. */
  get lastDamaged(): number {
    return this.#lastDamaged
  }

  get isDurable(): boolean {
    return this.#isDurable
  }

  /** For a snapshot that is written before the entry is durable: behind it no start may find that damage again. */
  unsaved(): StateChange[] {
    return this.#host.hasFoundDamage && !this.#isDurable ? [damagedStarts.put(damagedStarts.key(), this.incarnation)] : []
  }

  /** Before anything is submitted: the entry goes in front of it, when it is not durable yet and not on its way. */
  ask(done: (error: WadiError | null) => void = () => undefined): void {
    if (this.#isDurable) return done(null)
    if (this.#waiters) return void this.#waiters.push(done)
    this.#waiters = [done]
    const changes = [incarnations.put(incarnations.key(), this.incarnation), lineages.put(lineages.key(), this.#next)]
    if (this.#host.hasFoundDamage) changes.push(damagedStarts.put(damagedStarts.key(), this.incarnation))
    this.#host.submit(changes, (error) => this.#onAnswer(error))
  }

  #onAnswer(error: WadiError | null): void {
    if (error === null) {
      this.#isDurable = true
      this.#starts = this.#next
    }
    const waiters = this.#waiters ?? []
    this.#waiters = null
    for (const waiter of waiters) waiter(error)
  }

  /** Resolves with the reason when it is not durable now. */
  askAndWait(): Promise<WadiError | null> {
    return new Promise((resolve) => this.ask(resolve))
  }
}

/** "<incarnation>.<id>", separated by commas; numbers in base 36. */
function formatStarts(starts: readonly Start[]): string {
  return starts.map(({ incarnation, id }) => `${incarnation.toString(36)}.${id}`).join(',')
}

/** Oldest first; null when it is no such list. */
function parseStarts(text: string): Start[] | null {
  const starts: Start[] = []
  for (const entry of text.split(',')) {
    const [, number = '', id = ''] = /^([0-9a-z]+)\.((?:[0-9a-z]{6})?)$/.exec(entry) ?? []
    const incarnation = wholeOf(number, 36)
    if (incarnation === null) return null
    starts.push({ incarnation, id })
  }
  return starts
}
