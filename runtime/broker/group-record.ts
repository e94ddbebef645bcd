// What is kept of a consumer group: a picture of its last generation, as Kafka's GroupMetadataValue has it (of each member the metadata of the chosen
// protocol only). Persisted under group/<group>/<piece>: a text for the group and one for each member, cut where a value of the state ends.
//
// Invariants
// - A picture is read whole or not at all: what changes of it, and the removal of pieces that the picture before had beyond it, are one commit.
// - Pictures become durable in the order in which they were taken. What did not change is not written again: a static member that comes and goes costs
//   what it brings, whatever the others have.
// Written when the leader has assigned, when the last member has gone and when a static member comes back under a new id; never by a heartbeat.

import type { StateChange, Store } from '../log/contract.ts'
import { STATE_VALUE_BYTES_MAX, StateArea, type StateReader } from '../log/state-area.ts'
import { fitsStateKey, stateDamaged, stateNewer, versioned } from '../log/state-codec.ts'
import { fields, integer, matching, orNull, whole, words } from '../log/state-shape.ts'

export interface GroupRecord {
  readonly protocolType: string
  readonly generationId: number
  /** null when there are no members. */
  readonly protocolName: string | null
  readonly leaderId: string | null
  /** Since when it is so, by the wall clock. */
  readonly timeMs: number
  readonly members: readonly MemberRecord[]
}

export interface MemberRecord {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly rebalanceTimeoutMs: number
  readonly sessionTimeoutMs: number
  /** Metadata of the chosen protocol. */
  readonly subscription: Uint8Array
  readonly assignment: Uint8Array
}

interface StoredMember {
  readonly id: string
  readonly instance: string | null
  readonly client: string
  readonly host: string
  readonly rebalance: number
  readonly session: number
  readonly subscription: string
  readonly assignment: string
}

interface StoredGroup {
  readonly type: string
  readonly generation: number
  readonly protocol: string | null
  readonly leader: string | null
  readonly time: number
  /** How many texts of members follow. */
  readonly members: number
}

const base64 = matching(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/)
const groupText = versioned(
  fields<StoredGroup>({ type: words, generation: whole, protocol: orNull(words), leader: orNull(words), time: integer, members: whole })
)
const memberText = versioned(
  fields<StoredMember>({
    id: words,
    instance: orNull(words),
    client: words,
    host: words,
    rebalance: whole,
    session: whole,
    subscription: base64,
    assignment: base64
  })
)

/** Of a text, or the rest of one. */
interface Piece {
  readonly begins: boolean
  readonly bytes: Uint8Array
}

const BEGINS = 1
const CONTINUES = 2
/** Of a text, in one value. */
const PIECE_BYTES = STATE_VALUE_BYTES_MAX - 1

const pieceCodec = {
  encode({ begins, bytes }: Piece): Uint8Array {
    const value = new Uint8Array(1 + bytes.byteLength)
    value[0] = begins ? BEGINS : CONTINUES
    value.set(bytes, 1)
    return value
  },

  /** @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
  decode(value: Uint8Array, key: string): Piece {
    if (value.byteLength > 0 && (value[0] as number) > CONTINUES) throw stateNewer(key, value[0], CONTINUES)
    if (value.byteLength < 2 || value[0] === 0) throw stateDamaged(key, value)
    return { begins: value[0] === BEGINS, bytes: value.subarray(1) }
  }
}

export const storedGroups = new StateArea<Piece>('group', pieceCodec, {
  keys: '<group>/<piece>',
  valueBytesMax: STATE_VALUE_BYTES_MAX,
  entries: 'one for each group and member, more of large ones: together about 8 MiB; a group at most what one commit takes',
  goes: 'when the group is empty and has no offsets: ten minutes later at most, or with DeleteGroups'
})

/** Is the name short enough for the keys of its pieces? */
export function canStoreGroup(groupId: string): boolean {
  return fitsStateKey(storedGroups.key(groupId, 2 ** 31))
}

/** How many pieces there are of each group. */
function pieceCountsIn(state: StateReader): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  for (const key of storedGroups.keysIn(state)) {
    const [groupId = ''] = storedGroups.namesOf(key)
    counts.set(groupId, (counts.get(groupId) ?? 0) + 1)
  }
  return counts
}

/** @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
function readGroup(state: StateReader, groupId: string, pieceCount: number): GroupRecord {
  const texts: Uint8Array[][] = []
  for (let index = 0; index < pieceCount; index++) {
    const key = storedGroups.key(groupId, index)
    const piece = storedGroups.get(state, key)
    if (!piece) throw stateDamaged(key, new Uint8Array(0))
    if (piece.begins) texts.push([piece.bytes])
    else texts.at(-1)?.push(piece.bytes)
  }
  const key = storedGroups.key(groupId, 0)
  const [own = new Uint8Array(0), ...others] = texts.map((pieces) =>
    pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces)
  )
  const { type, generation, protocol, leader, time, members } = groupText.decode(own, key)
  if (members !== others.length || (members > 0 && (protocol === null || leader === null))) throw stateDamaged(key, own)
  return {
    protocolType: type,
    generationId: generation,
    protocolName: protocol,
    leaderId: leader,
    timeMs: time,
    members: others.map((text) => memberOf(memberText.decode(text, key)))
  }
}

function memberOf(stored: StoredMember): MemberRecord {
  return {
    memberId: stored.id,
    groupInstanceId: stored.instance,
    clientId: stored.client,
    clientHost: stored.host,
    rebalanceTimeoutMs: stored.rebalance,
    sessionTimeoutMs: stored.session,
    subscription: Uint8Array.from(Buffer.from(stored.subscription, 'base64')),
    assignment: Uint8Array.from(Buffer.from(stored.assignment, 'base64'))
  }
}

function textsOf(record: GroupRecord): Uint8Array[] {
  const { protocolType: type, generationId: generation, protocolName: protocol, leaderId: leader, timeMs: time, members } = record
  return [
    groupText.encode({ type, generation, protocol, leader, time, members: members.length }),
    ...members.map((member) =>
      memberText.encode({
        id: member.memberId,
        instance: member.groupInstanceId,
        client: member.clientId,
        host: member.clientHost,
        rebalance: member.rebalanceTimeoutMs,
        session: member.sessionTimeoutMs,
        subscription: base64Of(member.subscription),
        assignment: base64Of(member.assignment)
      })
    )
  ]
}

function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

function piecesOf(text: Uint8Array): Piece[] {
  const pieces: Piece[] = []
  for (let at = 0; at < text.byteLength; at += PIECE_BYTES) pieces.push({ begins: at === 0, bytes: text.subarray(at, at + PIECE_BYTES) })
  return pieces
}

interface Saved {
  /** How many pieces there may be. */
  readonly count: number
  /** Which saving was the last. */
  readonly saving: number
  /** Nothing is on its way: what the store has is what was saved last. */
  readonly isSettled: boolean
}

/** What the store has of each group, and what is on its way there. */
export class GroupRecords {
  readonly #store: Store
  readonly #saved = new Map<string, Saved>()
  #savings = 0

  constructor(store: Store) {
    this.#store = store
  }

  /** What was durable at the start. @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
  read(): ReadonlyMap<string, GroupRecord> {
    const records = new Map<string, GroupRecord>()
    for (const [groupId, count] of pieceCountsIn(this.#store)) {
      records.set(groupId, readGroup(this.#store, groupId, count))
      this.#saved.set(groupId, { count, saving: 0, isSettled: true })
    }
    return records
  }

  /** Durable when it resolves. @throws WadiError when the store refuses: it has what it had */
  save(groupId: string, record: GroupRecord): Promise<void> {
    return this.#put(groupId, textsOf(record).flatMap(piecesOf))
  }

  /** As save(), of nothing. */
  remove(groupId: string): Promise<void> {
    return this.#saved.has(groupId) ? this.#put(groupId, []) : Promise.resolve()
  }

  async #put(groupId: string, pieces: readonly Piece[]): Promise<void> {
    const before = this.#saved.get(groupId) ?? { count: 0, isSettled: true }
    const saving = ++this.#savings
    const changes: StateChange[] = pieces.map((piece, index) => storedGroups.put(storedGroups.key(groupId, index), piece))
    for (let index = pieces.length; index < before.count; index++) changes.push(storedGroups.remove(storedGroups.key(groupId, index)))
    const count = Math.max(before.count, pieces.length)
    this.#saved.set(groupId, { count, saving, isSettled: false })
    const written = before.isSettled ? changes.filter((change) => this.#isNew(change)) : changes
    if (written.length > 0) await this.#store.commit([], written)
    if (this.#saved.get(groupId)?.saving !== saving) return // something is behind it
    if (pieces.length === 0) this.#saved.delete(groupId)
    else this.#saved.set(groupId, { count: pieces.length, saving, isSettled: true })
  }

  #isNew({ key, value }: StateChange): boolean {
    const durable = this.#store.getState(key)
    return value === null ? durable !== undefined : durable === undefined || Buffer.compare(durable, value) !== 0
  }
}
