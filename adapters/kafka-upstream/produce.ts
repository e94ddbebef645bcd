// One round of Produce: a request per leader, all in parallel, and what each partition answered.

import { type ProduceTarget, UpstreamFault } from '../../runtime/uplink/upstream.ts'
import { api } from '../kafka-protocol/apis.ts'
import { ERROR_CODE } from '../kafka-protocol/error-codes.ts'
import type { ProducePartitionResponse } from '../kafka-protocol/messages/produce.ts'
import type { Address } from './address.ts'
import type { Cluster } from './cluster.ts'
import { KafkaErrorAnswer } from './faults.ts'

const ACKS_ALL = -1

export interface ProduceContext {
  readonly transactionalId: string
  /** How long the leader may wait for its replicas. */
  readonly replicationTimeoutMs: number
  /** Bound of the whole request even while its upload makes progress. */
  readonly hardLimitMs: number
}

export type ProduceOutcome = { readonly baseOffset: number } | KafkaErrorAnswer | UpstreamFault

interface LeaderGroup {
  readonly leader: Address
  readonly targets: ProduceTarget[]
}

/** Outcome per target; never rejects for anything a cluster can do. */
export async function produceRound(
  cluster: Cluster,
  targets: readonly ProduceTarget[],
  context: ProduceContext
): Promise<Map<ProduceTarget, ProduceOutcome>> {
  const outcomes = new Map<ProduceTarget, ProduceOutcome>()
  const groups = new Map<string, LeaderGroup>()
  for (const target of targets) {
    const leader = cluster.leaderOf(target.topicName, target.partitionIndex)
    if (!leader) {
      outcomes.set(target, new KafkaErrorAnswer(ERROR_CODE.LEADER_NOT_AVAILABLE, subjectOf(target), target))
      continue
    }
    const key = `${leader.host}:${leader.port}`
    const group = groups.get(key) ?? { leader, targets: [] }
    group.targets.push(target)
    groups.set(key, group)
  }
  await Promise.all([...groups.values()].map((group) => produceTo(cluster, group, context, outcomes)))
  return outcomes
}

async function produceTo(
  cluster: Cluster,
  group: LeaderGroup,
  context: ProduceContext,
  outcomes: Map<ProduceTarget, ProduceOutcome>
): Promise<void> {
  try {
    const connection = await cluster.at(group.leader)
    const draft = {
      transactionalId: context.transactionalId,
      acks: ACKS_ALL,
      timeoutMs: context.replicationTimeoutMs,
      topicData: byTopic(group.targets)
    }
    const answer = await connection.request(api.Produce, () => draft, { hardLimitMs: context.hardLimitMs })
    const answered = new Map<string, ProducePartitionResponse>()
    for (const topic of answer.responses)
      for (const partition of topic.partitionResponses) answered.set(`${topic.name}/${partition.index}`, partition)
    for (const target of group.targets)
      outcomes.set(target, outcomeOf(target, answered.get(`${target.topicName}/${target.partitionIndex}`)))
  } catch (error) {
    if (!(error instanceof UpstreamFault)) throw error
    for (const target of group.targets) outcomes.set(target, error)
  }
}

function outcomeOf(target: ProduceTarget, partition: ProducePartitionResponse | undefined): ProduceOutcome {
  if (!partition) return new UpstreamFault('in-doubt', `${subjectOf(target)}: not mentioned in the answer`)
  if (partition.errorCode === 0) return { baseOffset: partition.baseOffset }
  const detail = partition.recordErrors[0]?.batchIndexErrorMessage ?? partition.errorMessage
  const place = { topicName: target.topicName, partitionIndex: target.partitionIndex }
  return new KafkaErrorAnswer(partition.errorCode, `${subjectOf(target)}${detail ? ` (${detail})` : ''}`, place)
}

function subjectOf(target: ProduceTarget): string {
  return `Produce to ${target.topicName}/${target.partitionIndex}`
}

/** Targets or partitions grouped as Kafka's requests want them. */
function byTopic(targets: readonly ProduceTarget[]): { name: string; partitionData: { index: number; records: Uint8Array }[] }[] {
  const topics = new Map<string, { index: number; records: Uint8Array }[]>()
  for (const { topicName, partitionIndex, batch } of targets) {
    const partitions = topics.get(topicName) ?? []
    partitions.push({ index: partitionIndex, records: batch })
    topics.set(topicName, partitions)
  }
  return [...topics].map(([name, partitionData]) => ({ name, partitionData }))
}
