// What is kept of a consumer group: a picture of its last generation, as Kafka's GroupMetadataValue has it (of each member the metadata of the chosen
// protocol only). Persisted under group/<group>/<piece>: one text, cut where a value of the state ends.
//
// Invariants
// - A picture is read whole or not at all: its pieces, and the removal of those that the picture before had beyond them, are one commit.
// - Pictures become durable in the order in which they were taken.
// Written when the leader has assigned, when the last member has gone and when a static member comes back under a new id; never by a heartbeat.

import type { StateChange, Store } from '../log/contract.ts'
import { STATE_VALUE_BYTES_MAX, StateArea, type StateReader } from '../log/state-area.ts'
import { fitsStateKey, stateDamaged, stateNewer, versioned } from '../log/state-codec.ts'
import { fields, integer, listOf, matching, orNull, whole, words } from '../log/state-shape.ts'

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
  readonly members: readonly StoredMember[]
}

const base64 = matching(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/)
const groupShape = fields<StoredGroup>({
  type: words,
  generation: whole,
  protocol: orNull(words),
  leader: orNull(words),
  time: integer,
  members: listOf(
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
})
const text = versioned(groupShape)

const PIECE_FORMAT = 1
/** Of the text, in one value. */
const PIECE_BYTES = STATE_VALUE_BYTES_MAX - 1

const pieceCodec = {
  encode(piece: Uint8Array): Uint8Array {
    const bytes = new Uint8Array(1 + piece.byteLength)
    bytes[0] = PIECE_FORMAT
    bytes.set(piece, 1)
    return bytes
  },

  /** @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
  decode(value: Uint8Array, key: string): Uint8Array {
    if (value.byteLength > 0 && (value[0] as number) > PIECE_FORMAT) throw stateNewer(key, value[0], PIECE_FORMAT)
    if (value.byteLength < 2 || value[0] !== PIECE_FORMAT) throw stateDamaged(key, value)
    return value.subarray(1)
  }
}

export const storedGroups = new StateArea<Uint8Array>('group', pieceCodec, {
  keys: '<group>/<piece>',
  valueBytesMax: STATE_VALUE_BYTES_MAX,
  entries: 'what its members bring, together about 8 MiB; a group at most what one commit takes',
  goes: 'when the group is empty and has no offsets: ten minutes later at most, or with DeleteGroups'
})

/** Is the name short enough for the keys of its pieces? */
export function canStoreGroup(groupId: string): boolean {
  return fitsStateKey(storedGroups.key(groupId, 2 ** 31))
}

/** @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
export function readGroups(state: StateReader): Map<string, { readonly record: GroupRecord; readonly pieceCount: number }> {
  const indexes = new Map<string, number[]>()
  for (const key of storedGroups.keysIn(state)) {
    const [groupId = '', index] = storedGroups.namesOf(key)
    const own = indexes.get(groupId) ?? []
    own.push(Number(index))
    indexes.set(groupId, own)
  }
  const groups = new Map<string, { record: GroupRecord; pieceCount: number }>()
  for (const [groupId, own] of indexes) {
    const pieces = own.sort((a, b) => a - b).map((index) => storedGroups.get(state, storedGroups.key(groupId, index)) ?? new Uint8Array(0))
    groups.set(groupId, { record: decodeGroup(Buffer.concat(pieces), storedGroups.key(groupId, 0)), pieceCount: pieces.length })
  }
  return groups
}

function decodeGroup(bytes: Uint8Array, key: string): GroupRecord {
  const { type, generation, protocol, leader, time, members } = text.decode(bytes, key)
  if (members.length > 0 && (protocol === null || leader === null)) throw stateDamaged(key, bytes)
  return {
    protocolType: type,
    generationId: generation,
    protocolName: protocol,
    leaderId: leader,
    timeMs: time,
    members: members.map((member) => ({
      memberId: member.id,
      groupInstanceId: member.instance,
      clientId: member.client,
      clientHost: member.host,
      rebalanceTimeoutMs: member.rebalance,
      sessionTimeoutMs: member.session,
      subscription: Uint8Array.from(Buffer.from(member.subscription, 'base64')),
      assignment: Uint8Array.from(Buffer.from(member.assignment, 'base64'))
    }))
  }
}

function encodeGroup(record: GroupRecord): Uint8Array {
  return text.encode({
    type: record.protocolType,
    generation: record.generationId,
    protocol: record.protocolName,
    leader: record.leaderId,
    time: record.timeMs,
    members: record.members.map((member) => ({
      id: member.memberId,
      instance: member.groupInstanceId,
      client: member.clientId,
      host: member.clientHost,
      rebalance: member.rebalanceTimeoutMs,
      session: member.sessionTimeoutMs,
      subscription: base64Of(member.subscription),
      assignment: base64Of(member.assignment)
    }))
  })
}

function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

/** What the store has of each group, and what is on its way there. */
export class GroupRecords {
  readonly #store: Store
  /** Group → how many pieces there may be of it, and which saving was the last. */
  readonly #pieces = new Map<string, { count: number; saving: number }>()
  #savings = 0

  constructor(store: Store) {
    this.#store = store
  }

  /** What was durable at the start. @throws WadiError WADI_STATE_DAMAGED, WADI_FORMAT_NEWER */
  read(): ReadonlyMap<string, GroupRecord> {
    const records = new Map<string, GroupRecord>()
    for (const [groupId, { record, pieceCount }] of readGroups(this.#store)) {
      records.set(groupId, record)
      this.#pieces.set(groupId, { count: pieceCount, saving: 0 })
    }
    return records
  }

  /** Durable when it resolves. @throws WadiError when the store refuses: it has what it had */
  save(groupId: string, record: GroupRecord): Promise<void> {
    const bytes = encodeGroup(record)
    const pieces: Uint8Array[] = []
    for (let at = 0; at < bytes.byteLength; at += PIECE_BYTES) pieces.push(bytes.subarray(at, at + PIECE_BYTES))
    return this.#put(groupId, pieces)
  }

  /** As save(), of nothing. */
  remove(groupId: string): Promise<void> {
    return this.#pieces.has(groupId) ? this.#put(groupId, []) : Promise.resolve()
  }

  async #put(groupId: string, pieces: readonly Uint8Array[]): Promise<void> {
    const countBefore = this.#pieces.get(groupId)?.count ?? 0
    const saving = ++this.#savings
    const changes: StateChange[] = pieces.map((piece, index) => storedGroups.put(storedGroups.key(groupId, index), piece))
    for (let index = pieces.length; index < countBefore; index++) changes.push(storedGroups.remove(storedGroups.key(groupId, index)))
    this.#pieces.set(groupId, { count: Math.max(countBefore, pieces.length), saving })
    await this.#store.commit([], changes)
    if (this.#pieces.get(groupId)?.saving !== saving) return // what is behind it knows of more pieces
    if (pieces.length === 0) this.#pieces.delete(groupId)
    else this.#pieces.set(groupId, { count: pieces.length, saving })
  }
}
