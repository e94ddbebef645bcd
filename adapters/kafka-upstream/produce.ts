// One round of Produce: a request per leader, all in parallel, and what each partition answered.

import { type ProduceTarget, UpstreamFault } from '../../runtime/uplink/upstream.ts'
import { api } from '../kafka-protocol/apis.ts'
import { ERROR_CODE } from '../kafka-protocol/error-codes.ts'
import type { ProducePartitionResponse } from '../kafka-protocol/messages/produce.ts'
import type { Address } from './address.ts'
import type { Cluster } from './cluster.ts'
import { isOfTopicAtLeader, joinAnswers, type KafkaErrorAnswer } from './faults.ts'

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
      outcomes.set(target, answerOf(target, ERROR_CODE.LEADER_NOT_AVAILABLE, subjectOf(target)))
      continue
    }
    const key = `${leader.host}:${leader.port}`
    const group = groups.get(key) ?? { leader, targets: [] }
    group.targets.push(target)
    groups.set(key, group)
  }
  const answered = await Promise.all([...groups.values()].map((group) => produceTo(cluster, group, context, outcomes)))
  if (answered.includes(true)) nameUnreached(outcomes)
  return outcomes
}

/** A leader has answered: it is not the link that is to blame for those that did not. */
function nameUnreached(outcomes: Map<ProduceTarget, ProduceOutcome>): void {
  for (const [target, outcome] of outcomes) {
    if (!(outcome instanceof UpstreamFault)) continue
    const { kind, message, cause } = outcome
    outcomes.set(target, new UpstreamFault(kind, message, { cause, topics: new Map([[target.topicName, message]]) }))
  }
}

/** Whether there was an answer. */
async function produceTo(
  cluster: Cluster,
  group: LeaderGroup,
  context: ProduceContext,
  outcomes: Map<ProduceTarget, ProduceOutcome>
): Promise<boolean> {
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
    return true
  } catch (error) {
    if (!(error instanceof UpstreamFault)) throw error
    for (const target of group.targets) outcomes.set(target, error)
    return false
  }
}

function outcomeOf(target: ProduceTarget, partition: ProducePartitionResponse | undefined): ProduceOutcome {
  if (!partition) return new UpstreamFault('in-doubt', `${subjectOf(target)}: not mentioned in the answer`)
  if (partition.errorCode === 0) return { baseOffset: partition.baseOffset }
  const detail = partition.recordErrors[0]?.batchIndexErrorMessage ?? partition.errorMessage
  return answerOf(target, partition.errorCode, `${subjectOf(target)}${detail ? ` (${detail})` : ''}`)
}

function answerOf({ topicName, partitionIndex }: ProduceTarget, code: number, subject: string): KafkaErrorAnswer {
  return joinAnswers([{ topicName, code, subject, target: { topicName, partitionIndex } }], isOfTopicAtLeader)
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
