// What Kafka's error codes mean for a transaction of ours, in the words of the uplink.

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
  readonly subject: string
  readonly target: FaultTarget | undefined

  constructor(code: number, subject: string, target?: FaultTarget) {
    super(`${subject}: ${kafkaError(code).name} (${code})`)
    this.code = code
    this.subject = subject
    this.target = target
  }

  /** The same request may succeed in a moment. A damaged batch is Kafka's only retriable error that is not worth it here. */
  get isRetriable(): boolean {
    return kafkaError(this.code).isRetriable && this.code !== E.CORRUPT_MESSAGE
  }
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
  return new UpstreamFault(kind, message, { cause: answer, mayBeContent, ...(answer.target && { target: answer.target }) })
}

/** @throws KafkaErrorAnswer unless the code is 0 */
export function checkCode(code: number, subject: string, target?: FaultTarget): void {
  if (code !== E.NONE) throw new KafkaErrorAnswer(code, subject, target)
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

/** Of several faults of one call the one that decides what happens next. */
export function worstFault(faults: readonly UpstreamFault[]): UpstreamFault | undefined {
  return [...faults].sort((a, b) => SEVERITY.indexOf(a.kind) - SEVERITY.indexOf(b.kind))[0]
}
