// What Kafka's error codes mean for a transaction of ours, in the words of the uplink, and whether they are about one topic or about all.

import { UpstreamFault, type UpstreamFaultKind } from '../../runtime/uplink/upstream.ts'
import { ERROR_CODE as E, kafkaError } from '../kafka-protocol/error-codes.ts'

export interface FaultTarget {
  readonly topicName: string
  readonly partitionIndex: number
}

/** A Kafka error code in an answer, before it is decided whether the call goes on. Never leaves this adapter. */
export class KafkaErrorAnswer extends Error {
  override readonly name = 'KafkaErrorAnswer'
  readonly code: number
  readonly #subject: string
  readonly target: FaultTarget | undefined
  /** The topics that alone are the reason, each with what is said of it; empty: no topic is. */
  readonly topics: ReadonlyMap<string, string>

  constructor(code: number, subject: string, about: { target?: FaultTarget; topics?: ReadonlyMap<string, string> } = {}) {
    super(`${subject}: ${kafkaError(code).name} (${code})`)
    this.code = code
    this.#subject = subject
    this.target = about.target
    this.topics = about.topics ?? new Map()
  }

  /** The same, and also of others. */
  withTopics(topics: ReadonlyMap<string, string>): KafkaErrorAnswer {
    return new KafkaErrorAnswer(this.code, this.#subject, { topics, ...(this.target && { target: this.target }) })
  }

  /** The same request may succeed in a moment. A damaged batch is Kafka's only retriable error that is not worth it here. */
  get isRetriable(): boolean {
    return kafkaError(this.code).isRetriable && this.code !== E.CORRUPT_MESSAGE
  }
}

/** What one topic, or one partition of it, was answered. */
export interface TopicAnswer {
  readonly topicName: string
  readonly code: number
  readonly subject: string
  readonly target?: FaultTarget
}

/** One answer for all of `failed`, at least one: what cannot be tried again decides. @param isOfTopic whether a code can be about the topic that it stands beside */
export function joinAnswers(failed: readonly TopicAnswer[], isOfTopic: (code: number) => boolean): KafkaErrorAnswer {
  const decisive = failed.find(({ code }) => !isOfTopic(code)) ?? failed.find(({ code }) => !kafkaError(code).isRetriable) ?? failed[0]
  const { code, subject, target } = decisive as TopicAnswer
  const topics = new Map<string, string>()
  // Those that may pass are told when they are all that is left.
  const isToldNow = (other: number): boolean => kafkaError(other).isRetriable === kafkaError(code).isRetriable
  if (isOfTopic(code))
    for (const answer of failed)
      if (isOfTopic(answer.code) && isToldNow(answer.code)) topics.set(answer.topicName, textOf(answer.code, answer.subject))
  return new KafkaErrorAnswer(code, subject, { topics, ...(target && { target }) })
}

/** With what a person has to do about it. */
export function textOf(code: number, subject: string): string {
  const advice = ADVICE.get(code)
  return `${subject}: ${kafkaError(code).name} (${code})${advice === undefined ? '' : `: ${advice}`}`
}

/** Of the answers of coordinators, which write what is wrong with us beside every topic, these are about the topic. */
const OF_TOPIC: ReadonlySet<number> = new Set<number>([
  E.UNKNOWN_TOPIC_OR_PARTITION,
  E.OFFSET_METADATA_TOO_LARGE,
  E.INVALID_TOPIC_EXCEPTION,
  E.INVALID_COMMIT_OFFSET_SIZE,
  E.TOPIC_AUTHORIZATION_FAILED,
  E.POLICY_VIOLATION,
  E.UNKNOWN_TOPIC_ID
])

/** Of the answers of leaders, these are about us. Every other one is about the partition: also a code that we do not know. */
const OF_US: ReadonlySet<number> = new Set<number>([
  E.INVALID_REQUIRED_ACKS,
  E.CLUSTER_AUTHORIZATION_FAILED,
  E.UNSUPPORTED_VERSION,
  E.INVALID_PRODUCER_EPOCH,
  E.INVALID_TXN_STATE,
  E.INVALID_PRODUCER_ID_MAPPING,
  E.CONCURRENT_TRANSACTIONS,
  E.TRANSACTION_COORDINATOR_FENCED,
  E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
  E.SECURITY_DISABLED,
  E.SASL_AUTHENTICATION_FAILED,
  E.PRODUCER_FENCED,
  E.TRANSACTION_ABORTABLE,
  // From the transaction coordinator, which the leader asks.
  E.COORDINATOR_LOAD_IN_PROGRESS,
  E.COORDINATOR_NOT_AVAILABLE,
  E.NOT_COORDINATOR
])

export function isOfTopicAtCoordinator(code: number): boolean {
  return OF_TOPIC.has(code)
}

export function isOfTopicAtLeader(code: number): boolean {
  return !OF_US.has(code)
}

const KINDS: ReadonlyMap<number, UpstreamFaultKind> = new Map<number, UpstreamFaultKind>([
  [E.PRODUCER_FENCED, 'fenced'],
  [E.OUT_OF_ORDER_SEQUENCE_NUMBER, 'aborted'],
  [E.DUPLICATE_SEQUENCE_NUMBER, 'aborted'],
  [E.INVALID_PRODUCER_EPOCH, 'aborted'],
  [E.INVALID_TXN_STATE, 'aborted'],
  [E.INVALID_PRODUCER_ID_MAPPING, 'aborted'],
  [E.UNKNOWN_PRODUCER_ID, 'aborted'],
  [E.TRANSACTION_ABORTABLE, 'aborted'],
  [E.MESSAGE_TOO_LARGE, 'too-large'],
  [E.RECORD_LIST_TOO_LARGE, 'too-large'],
  [E.CORRUPT_MESSAGE, 'bad-record'],
  [E.INVALID_TIMESTAMP, 'bad-record'],
  [E.INVALID_RECORD, 'bad-record'],
  // The data may be in the log of the leader already.
  [E.REQUEST_TIMED_OUT, 'in-doubt'],
  [E.NOT_ENOUGH_REPLICAS_AFTER_APPEND, 'in-doubt'],
  [E.UNKNOWN_SERVER_ERROR, 'in-doubt']
])

/** What a person has to do, for the errors that only a person can cure. */
const ADVICE: ReadonlyMap<number, string> = new Map<number, string>([
  [E.TOPIC_AUTHORIZATION_FAILED, 'give this principal Write, Read and Describe on the topic'],
  [E.GROUP_AUTHORIZATION_FAILED, 'give this principal Read and Describe on the group'],
  [E.CLUSTER_AUTHORIZATION_FAILED, 'give this principal Create on the cluster, or create the topics yourself'],
  [E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, 'give this principal Write and Describe on the transactional id'],
  [E.INVALID_TRANSACTION_TIMEOUT, 'lower the transaction timeout below transaction.max.timeout.ms of the cluster'],
  [E.UNKNOWN_TOPIC_OR_PARTITION, 'create the topic, or allow the gateway to create it'],
  [E.INVALID_TOPIC_EXCEPTION, 'choose a topic name that Kafka accepts'],
  [E.UNSUPPORTED_COMPRESSION_TYPE, 'choose another codec'],
  [E.OFFSET_METADATA_TOO_LARGE, 'raise offset.metadata.max.bytes of the cluster']
])

const KNOWN: ReadonlySet<number> = new Set(Object.values(E))

/** Answers to a Produce that may be about the batch, though they do not say so; codes that we do not know too. */
const MAYBE_CONTENT: ReadonlySet<number> = new Set<number>([
  E.UNKNOWN_SERVER_ERROR,
  E.INVALID_REQUEST,
  E.UNSUPPORTED_FOR_MESSAGE_FORMAT,
  E.POLICY_VIOLATION,
  E.UNSUPPORTED_COMPRESSION_TYPE
])

export function toFault(answer: KafkaErrorAnswer): UpstreamFault {
  const kind = KINDS.get(answer.code) ?? (answer.isRetriable ? 'retry' : 'refused')
  const advice = kind === 'refused' ? ADVICE.get(answer.code) : undefined
  const message = advice === undefined ? answer.message : `${answer.message}: ${advice}`
  const mayBeContent = answer.target !== undefined && (MAYBE_CONTENT.has(answer.code) || !KNOWN.has(answer.code))
  const { target, topics } = answer
  return new UpstreamFault(kind, message, { cause: answer, mayBeContent, topics, ...(target && { target }) })
}

/** @throws KafkaErrorAnswer unless the code is 0 */
export function checkCode(code: number, subject: string): void {
  if (code !== E.NONE) throw new KafkaErrorAnswer(code, subject)
}

/** @throws KafkaErrorAnswer that names the topics, unless all codes are 0 */
export function checkTopics(answers: readonly TopicAnswer[], isOfTopic: (code: number) => boolean): void {
  const failed = answers.filter(({ code }) => code !== E.NONE)
  if (failed.length > 0) throw joinAnswers(failed, isOfTopic)
}

/** For requests that change nothing: not knowing whether they were carried out is no doubt. */
export async function readOnly<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (error instanceof UpstreamFault && error.kind === 'in-doubt') throw new UpstreamFault('unreachable', error.message, { cause: error })
    throw error
  }
}

const SEVERITY: readonly UpstreamFaultKind[] = [
  'fenced',
  'aborted',
  'refused',
  'bad-record',
  'too-large',
  'in-doubt',
  'retry',
  'unreachable'
]

/** Of several faults of one call the one that decides what happens next; with the topics of all that are of its kind, when each is of a topic. */
export function worstFault(faults: readonly UpstreamFault[]): UpstreamFault | undefined {
  const [worst] = [...faults].sort((a, b) => SEVERITY.indexOf(a.kind) - SEVERITY.indexOf(b.kind))
  if (!worst) return undefined
  const same = faults.filter(({ kind }) => kind === worst.kind)
  const topics = new Map(same.some(({ topics }) => topics.size === 0) ? [] : same.flatMap((fault) => [...fault.topics]))
  const { kind, message, cause, target, mayBeContent } = worst
  return new UpstreamFault(kind, message, { cause, mayBeContent, topics, ...(target && { target }) })
}
