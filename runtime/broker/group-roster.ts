// Who is in a consumer group: its members by id, the ids that its static members have now, ids that were promised to newcomers. Whether a request
// is what it says it is, is found out here; what follows from it is the group's (group.ts).
//
// Invariant: an instance id names one member that is in the group.

import type { Timer } from '../io/clock.ts'
import type { FaultName } from './fault.ts'
import { commonProtocols, type GroupProtocol, type JoinRequest, type Member, memberBytes, nameBytes } from './group-member.ts'

/** Who a request says it is. */
export interface MemberClaim {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly generationId: number
}

export class GroupRoster {
  readonly #members = new Map<string, Member>()
  readonly #staticIds = new Map<string, string>()
  /** Ids given with MEMBER_ID_REQUIRED that have not come back yet. */
  readonly #promised = new Map<string, Timer>()

  get size(): number {
    return this.#members.size
  }

  /** Nobody is in it, and nobody was promised a place. */
  get isUnused(): boolean {
    return this.#members.size === 0 && this.#promised.size === 0
  }

  get hasPromised(): boolean {
    return this.#promised.size > 0
  }

  /** In the order in which they came. */
  get members(): Member[] {
    return [...this.#members.values()]
  }

  /** About what they take in memory. */
  get bytes(): number {
    let bytes = 0
    for (const memberId of this.#promised.keys()) bytes += nameBytes(memberId)
    for (const member of this.#members.values()) bytes += memberBytes(member)
    return bytes
  }

  get(memberId: string): Member | undefined {
    return this.#members.get(memberId)
  }

  /** The one that has this instance id now. */
  findStatic(groupInstanceId: string | null): Member | undefined {
    const memberId = groupInstanceId === null ? undefined : this.#staticIds.get(groupInstanceId)
    return memberId === undefined ? undefined : this.#members.get(memberId)
  }

  add(member: Member): void {
    this.#members.set(member.memberId, member)
    if (member.groupInstanceId !== null) this.#staticIds.set(member.groupInstanceId, member.memberId)
  }

  /** In the place of the other: what is kept of the group changes there only. */
  replace(old: Member, member: Member): void {
    const members = this.members
    this.remove(old)
    this.#members.clear()
    for (const one of members) this.add(one === old ? member : one)
  }

  remove(member: Member): void {
    this.#members.delete(member.memberId)
    const { groupInstanceId } = member
    if (groupInstanceId !== null && this.#staticIds.get(groupInstanceId) === member.memberId) this.#staticIds.delete(groupInstanceId)
  }

  promise(memberId: string, timer: Timer): void {
    this.#promised.set(memberId, timer)
  }

  /** False when the id was not promised. */
  endPromise(memberId: string): boolean {
    this.#promised.get(memberId)?.cancel()
    return this.#promised.delete(memberId)
  }

  endPromises(): void {
    for (const memberId of [...this.#promised.keys()]) this.endPromise(memberId)
  }

  joinFault(request: JoinRequest, group: { readonly protocolType: string | null; readonly memberCountMax: number }): FaultName {
    const { memberId, groupInstanceId, protocols } = request
    if (protocols.length === 0 || request.protocolType === '') return 'INCONSISTENT_GROUP_PROTOCOL'
    const known = this.findStatic(groupInstanceId)
    if (memberId !== '') {
      if (groupInstanceId !== null && known === undefined && !this.#promised.has(memberId)) return 'UNKNOWN_MEMBER_ID'
      if (known !== undefined && known.memberId !== memberId) return 'FENCED_INSTANCE_ID'
      if (!this.#members.has(memberId) && !this.#promised.has(memberId)) return 'UNKNOWN_MEMBER_ID'
    }
    const others = this.members.filter((member) => member.memberId !== memberId && member !== known)
    if (others.length > 0) {
      if (request.protocolType !== group.protocolType) return 'INCONSISTENT_GROUP_PROTOCOL'
      const common = commonProtocols(others)
      if (!protocols.some(({ name }) => common.has(name))) return 'INCONSISTENT_GROUP_PROTOCOL'
    }
    const isNew = known === undefined && !this.#members.has(memberId)
    return isNew && others.length >= group.memberCountMax ? 'GROUP_MAX_SIZE_REACHED' : 'NONE'
  }

  claimFault(claim: MemberClaim, generationId: number): FaultName {
    if (claim.groupInstanceId !== null) {
      const known = this.findStatic(claim.groupInstanceId)
      if (known === undefined) return 'UNKNOWN_MEMBER_ID'
      if (known.memberId !== claim.memberId) return 'FENCED_INSTANCE_ID'
    }
    if (!this.#members.has(claim.memberId)) return 'UNKNOWN_MEMBER_ID'
    return claim.generationId === generationId ? 'NONE' : 'ILLEGAL_GENERATION'
  }

  /** Each member votes for its first protocol that all support. */
  chooseProtocol(): string {
    const members = this.members
    const common = commonProtocols(members)
    const votes = new Map<string, number>()
    for (const { protocols } of members) {
      const choice = protocols.find(({ name }: GroupProtocol) => common.has(name))
      if (choice) votes.set(choice.name, (votes.get(choice.name) ?? 0) + 1)
    }
    return [...votes].reduce((best, vote) => (vote[1] > best[1] ? vote : best), ['', 0] as [string, number])[0]
  }

  /** The longest of all. */
  rebalanceTimeoutMs(): number {
    let longestMs = 0
    for (const member of this.#members.values()) longestMs = Math.max(longestMs, member.rebalanceTimeoutMs)
    return longestMs
  }
}
