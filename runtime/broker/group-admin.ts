// What administrators ask of consumer groups: which there are, who is in them, to take them or some of their offsets away.
// A group is whoever has members, had some and is remembered, or has offsets (a consumer that assigns itself its partitions has a group so).
// Not for: membership (groups.ts), committing and reading offsets (committed-offsets.ts).

import { inParts } from '../base/in-parts.ts'
import type { CommittedOffsets, KeptOffset, TopicPartition } from './committed-offsets.ts'
import { placeKey } from './committed-offsets.ts'
import { type FaultName, faultOfStoreError } from './fault.ts'
import type { Group, GroupStatus } from './group.ts'
import { metadataOf, NO_ASSIGNMENT } from './group-member.ts'
import type { Groups } from './groups.ts'
import { CONSUMER_PROTOCOL } from './subscription.ts'
import type { Transactions } from './transactions.ts'

const CHANGES_AT_ONCE = 1000

export interface GroupOverview {
  readonly groupId: string
  /** "" of a group that has offsets only. */
  readonly protocolType: string
  readonly status: GroupStatus
}

export interface GroupDescription {
  readonly groupId: string
  /** Dead: there is no such group. */
  readonly status: GroupStatus | 'Dead'
  readonly protocolType: string
  /** "" but in Stable. */
  readonly protocolName: string
  readonly members: readonly DescribedMember[]
}

export interface DescribedMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  /** Both empty but in Stable. */
  readonly metadata: Uint8Array
  readonly assignment: Uint8Array
}

export interface OffsetDeletion {
  /** Of the whole request: nothing was deleted. */
  readonly fault: FaultName
  /** By place (placeKey), of those that stay. */
  readonly faultAt: ReadonlyMap<string, FaultName>
}

export interface GroupAdminContext {
  readonly groups: Groups
  readonly committedOffsets: CommittedOffsets
  readonly transactions: Pick<Transactions, 'hasPendingOffsets'>
}

export class GroupAdmin {
  readonly #context: GroupAdminContext

  constructor(context: GroupAdminContext) {
    this.#context = context
  }

  list(): readonly GroupOverview[] {
    const { groups, committedOffsets } = this.#context
    const listed = groups.groupIds().flatMap((groupId): GroupOverview[] => {
      const group = groups.find(groupId)
      return group ? [{ groupId, protocolType: group.protocolType ?? '', status: group.status }] : []
    })
    for (const groupId of committedOffsets.groupIds())
      if (!groups.find(groupId)) listed.push({ groupId, protocolType: '', status: 'Empty' })
    return listed
  }

  describe(groupId: string): GroupDescription {
    const group = this.#context.groups.find(groupId)
    if (!group) {
      const status = this.#isKnown(groupId) ? 'Empty' : 'Dead'
      return { groupId, status, protocolType: '', protocolName: '', members: [] }
    }
    const { status } = group
    const protocolName = status === 'Stable' ? (group.protocolName ?? '') : ''
    const members = group.members.map((member) => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      metadata: status === 'Stable' ? metadataOf(member, protocolName) : NO_ASSIGNMENT,
      assignment: status === 'Stable' ? member.assignment : NO_ASSIGNMENT
    }))
    return { groupId, status, protocolType: group.protocolType ?? '', protocolName, members }
  }

  /** The group and its offsets. Durable when it answers NONE. A group that an open transaction will commit offsets for is in use too. */
  async delete(groupId: string): Promise<FaultName> {
    const { groups, committedOffsets, transactions } = this.#context
    if (!this.#isKnown(groupId)) return 'GROUP_ID_NOT_FOUND'
    if ((groups.find(groupId)?.memberCount ?? 0) > 0 || transactions.hasPendingOffsets(groupId)) return 'NON_EMPTY_GROUP'
    try {
      await this.#forget(committedOffsets.list(groupId))
      // who joined meanwhile has found a group whose offsets are gone
      if ((groups.find(groupId)?.memberCount ?? 0) === 0) await groups.remove(groupId)
      return 'NONE'
    } catch (error) {
      return faultOfStoreError(error, 'COORDINATOR_NOT_AVAILABLE')
    }
  }

  /** Offsets of these places, but of topics that members of the group read. Durable when it answers NONE. */
  async deleteOffsets(groupId: string, places: readonly TopicPartition[]): Promise<OffsetDeletion> {
    const { groups, committedOffsets } = this.#context
    const faultAt = new Map<string, FaultName>()
    if (!this.#isKnown(groupId)) return { fault: 'GROUP_ID_NOT_FOUND', faultAt }
    const group = groups.find(groupId)
    const isRead = group ? readerOf(group) : () => false
    if (isRead === null) return { fault: 'NON_EMPTY_GROUP', faultAt }
    const asked = new Set<string>()
    for (const place of places) {
      if (isRead(place.topicName)) faultAt.set(placeKey(place), 'GROUP_SUBSCRIBED_TO_TOPIC')
      else asked.add(placeKey(place))
    }
    try {
      await this.#forget(committedOffsets.list(groupId).filter((entry) => asked.has(placeKey(entry))))
      return { fault: 'NONE', faultAt }
    } catch (error) {
      return { fault: faultOfStoreError(error, 'COORDINATOR_NOT_AVAILABLE'), faultAt }
    }
  }

  #isKnown(groupId: string): boolean {
    const { groups, committedOffsets, transactions } = this.#context
    return groups.find(groupId) !== null || committedOffsets.hasGroup(groupId) || transactions.hasPendingOffsets(groupId)
  }

  async #forget(offsets: readonly KeptOffset[]): Promise<void> {
    for (const part of inParts(offsets, CHANGES_AT_ONCE)) await this.#context.committedOffsets.forget(part)
  }
}

/** Which topics are read by its members; null: they do not say it in Kafka's words. */
function readerOf(group: Group): ((topicName: string) => boolean) | null {
  if (group.memberCount === 0) return () => false
  if (group.protocolType !== CONSUMER_PROTOCOL) return null
  const topics = group.subscribedTopics()
  return (topicName) => topics?.has(topicName) ?? true
}
