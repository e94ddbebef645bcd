// Kafka clients on this gateway: their listener as the configuration says, and what topics they may make.
// Invariants: a topic that a client makes is what a route would have made of the same name, delivered or not by the same rules; what is
// Wadi's own or Kafka's own is read by clients and not written; a fault of one connection ends that connection and is told, no more.
// Not for: the protocol (adapters/kafka-server), what is behind it (runtime/broker).

import type { CloseReason } from '../adapters/kafka-server/connection.ts'
import { KafkaListener } from '../adapters/kafka-server/listener.ts'
import type { Handshakes } from '../adapters/tls/handshakes.ts'
import { collidingTopic, TOPIC_NAME } from '../runtime/base/topic-names.ts'
import type { RefusedBatch } from '../runtime/broker/appends.ts'
import type { BrokerSettings } from '../runtime/broker/broker.ts'
import { BrokerFault } from '../runtime/broker/fault.ts'
import type { OnFull } from '../runtime/broker/shared-bound.ts'
import type { TopicRules } from '../runtime/broker/topics.ts'
import type { Store, TopicConfig } from '../runtime/log/contract.ts'
import { isInternal } from './config/internal-topics.ts'
import type { Config, KafkaSection } from './config/schema.ts'
import type { Log } from './log.ts'
import { oncePerMinute } from './once-per-minute.ts'
import { partitionWords, placeOfTopic, topicConfigOf } from './topics-setup.ts'

/** Ends that are part of every day. */
const USUAL_ENDS: ReadonlySet<CloseReason> = new Set(['peer', 'idle', 'shutdown'])
const NAME_CHARS_TOLD = 100

/** Batches of a megabyte for as many partitions as a gateway has clients for. */
const REQUEST_BYTES_MAX = 16 * 1024 * 1024

const gatewayBrokerSettings: Partial<BrokerSettings> = {
  /** A gateway without a battery for its clock starts in 1970: a time ahead of ours is no reason to refuse an event. */
  timestampAheadMsMax: null,
  /** Few members start together here, so nobody waits three seconds for company. */
  initialRebalanceDelayMs: 0
}

export function brokerSettingsOf({ kafka }: Config): Partial<BrokerSettings> {
  return { ...gatewayBrokerSettings, ...(kafka && { partitionCountDefault: kafka.default_partitions }) }
}

// A name that no topic can have may hold anything, and so may the message that repeats it.
const toldName = (name: string): string => (TOPIC_NAME.test(name) ? name : JSON.stringify(name.slice(0, NAME_CHARS_TOLD)))

/** A producer that sends again and again is told once a minute for each topic and reason. */
export function refusalLog(log: Log): (refusal: RefusedBatch) => void {
  const isDue = oncePerMinute()
  return ({ topicName, partitionIndex, fault, message }) => {
    const isName = TOPIC_NAME.test(topicName)
    const name = toldName(topicName)
    if (isDue(`${fault} ${name}`) === null) return
    const words = `refused a batch of a Kafka client for ${name}-${partitionIndex}: ${fault}${isName ? `, ${message}` : ''}`
    log('warn', words, { topic: name, partition: partitionIndex, fault })
  }
}

/** What clients make is told, and what they may not make or delete: their tools show the number of the fault, seldom the words. */
export function topicChangesLog(log: Log): Pick<TopicRules, 'onCreated' | 'onAltered' | 'onRecordsDeleted' | 'onRefused'> {
  const isDue = oncePerMinute()
  return {
    onCreated({ name, partitions }, maker) {
      if (maker !== 'client') return // whoever made it says why
      log('info', `made topic ${name} with ${partitionWords(partitions.length)}, for a Kafka client`, { topic: name })
    },
    onAltered({ name }, words) {
      log('info', `altered topic ${name} for a Kafka client: ${words}`, { topic: name })
    },
    onRecordsDeleted({ topicName, partitionIndex }, startOffset) {
      if (isDue(`delete records of ${topicName}`) === null) return // Kafka Streams does it all the time
      log('info', `deleted records of topic ${topicName} for a Kafka client: partition ${partitionIndex} starts at ${startOffset}`, {
        topic: topicName
      })
    },
    onRefused({ name, change, fault, message }) {
      if (fault === 'TOPIC_ALREADY_EXISTS') return // programs make what they need at each start
      const topic = toldName(name)
      if (isDue(`${change} ${fault} ${topic}`) === null) return
      const words = TOPIC_NAME.test(name) ? message : fault
      log('warn', `refused to ${change} topic ${topic} for a Kafka client: ${words}`, { topic, fault })
    }
  }
}

/** What all clients share is used up: others are refused until it is given back. */
export function fullLog(log: Log, nowMs?: () => number): OnFull {
  const isDue = oncePerMinute(nowMs)
  return (bound, holders) => {
    const untold = isDue(bound)
    if (untold === null) return
    const more = untold === 0 ? '' : `, as ${untold} others since that was told last`
    log('warn', `refused a Kafka client${more}: no room for more ${bound}; there are ${holders()}`, { bound })
  }
}

/** Ends of connections that are not part of every day, once a minute for each reason and host. */
export function closesLog(log: Log, nowMs?: () => number): (reason: CloseReason, detail: string, client: string) => void {
  const isDue = oncePerMinute(nowMs)
  return (reason, detail, client) => {
    const untold = USUAL_ENDS.has(reason) ? null : isDue(`${reason} ${hostOf(client)}`)
    if (untold === null) return
    const more = untold === 0 ? '' : `; ${untold} more from there since that was told last`
    log('warn', `closed the connection of the Kafka client ${client}: ${reason}, ${detail}${more}`, { reason, client })
  }
}

/** Not bound yet. */
export function createKafka(
  { listen, advertised, create_topics, delete_topics, limits }: KafkaSection,
  handshakes: Handshakes | undefined,
  log: Log
): KafkaListener {
  const isDue = oncePerMinute() // without a file descriptor a fault comes with every connection
  return new KafkaListener({
    host: listen.host,
    port: listen.port,
    handshakes,
    ...(advertised && { advertised }),
    autoCreateTopics: create_topics,
    deleteTopics: delete_topics,
    connectionCountMax: limits.connections,
    requestBytesMax: limits.memory / 2,
    answerBytesMax: limits.memory / 2,
    limits: { frameBytesMax: Math.min(limits.memory / 2, REQUEST_BYTES_MAX) },
    onClose: closesLog(log),
    onError: (error) => {
      const words = error instanceof Error ? error.message : String(error)
      if (isDue(words) !== null)
        log('error', `a fault while serving Kafka clients: ${words}`, { error: error instanceof Error ? (error.stack ?? words) : words })
    }
  })
}

/** Without the port, which is another one for each connection. */
function hostOf(client: string): string {
  return client.slice(0, client.lastIndexOf(':'))
}

/** A topic of a client that no section of the configuration describes has as many partitions as kafka.default_partitions says. */
function clientTopicConfig(config: Config, name: string): TopicConfig {
  const topic = topicConfigOf(config, name)
  return config.topics.has(name) ? topic : { ...topic, partitionCount: config.kafka?.default_partitions ?? topic.partitionCount }
}

/** `claimed`: topics that the configuration names, there or not. The others: as in TopicRules. */
export function topicRulesOf(
  config: Config,
  store: Pick<Store, 'topics'>,
  { claimed, ...changes }: { claimed: readonly string[] } & Pick<TopicRules, 'onCreated' | 'onAltered' | 'onRecordsDeleted' | 'onRefused'>
): TopicRules {
  const isReserved = (name: string): boolean => isInternal(name) || name === config.dead_letter.topic
  /** One that has no room yet is made as the configuration says, or never: another topic under a name like that would end the next start. */
  const checkClaim = (name: string): void => {
    const waiting = claimed.filter((one) => !store.topics.has(one))
    const other = waiting.includes(name) ? name : collidingTopic(name, waiting)
    if (other === null) return
    const words = other === name ? 'is the name of' : 'differs only in "." and "_" from'
    throw new BrokerFault(
      'POLICY_VIOLATION',
      `"${name}" ${words} the topic "${other}", which the configuration names and which is not made yet`
    )
  }
  return {
    isReserved,
    ...changes,
    defaultsOf: (name) => topicConfigOf(config, name),
    checkChange({ name }, change) {
      if (isReserved(name)) throw new BrokerFault('POLICY_VIOLATION', `the topic "${name}" is Wadi's own`)
      const { kafka } = config
      if (change === 'alter' && !kafka?.create_topics)
        throw new BrokerFault('POLICY_VIOLATION', 'clients alter no topics here (kafka.create_topics)')
      if (change !== 'alter' && !kafka?.delete_topics)
        throw new BrokerFault('POLICY_VIOLATION', 'clients delete no topics and no records here (kafka.delete_topics)')
      const place = change === 'delete records of' ? null : placeOfTopic(config, name)
      if (place !== null) throw new BrokerFault('POLICY_VIOLATION', `${place} of the configuration names the topic "${name}"`)
    },
    configOf(name) {
      if (isReserved(name)) throw new BrokerFault('INVALID_TOPIC_EXCEPTION', `the name "${name}" is reserved`)
      if (!config.kafka?.create_topics) throw new BrokerFault('POLICY_VIOLATION', 'clients make no topics here (kafka.create_topics)')
      checkClaim(name)
      return clientTopicConfig(config, name)
    },
    checkPartitions(count) {
      const { partitions: countMax } = config.kafka?.limits ?? { partitions: 0 }
      let total = count
      for (const { partitions } of store.topics.values()) total += partitions.length
      if (total > countMax) {
        throw new BrokerFault(
          'POLICY_VIOLATION',
          `the gateway would have ${total} partitions; ${countMax} is the most (kafka.limits.partitions)`
        )
      }
    }
  }
}
