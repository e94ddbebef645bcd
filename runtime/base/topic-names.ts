// Which names a topic may have. Source: Apache Kafka, org.apache.kafka.common.internals.Topic.

const TOPIC_NAME_CHARACTERS_MAX = 249

/** Good names, and only those. File names come from these names only. */
export const TOPIC_NAME = /^(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}$/

/** Why Kafka would refuse the name, null when it is good. */
export function topicNameFault(name: string): string | null {
  if (name === '') return 'a topic name must not be empty'
  if (name === '.' || name === '..') return 'a topic name must not be "." or ".."'
  if (name.length > TOPIC_NAME_CHARACTERS_MAX) return `a topic name has at most ${TOPIC_NAME_CHARACTERS_MAX} characters, not ${name.length}`
  if (!TOPIC_NAME.test(name)) return 'a topic name consists of letters, digits, ".", "_" and "-"'
  return null
}

/** An existing name that would share its metric name with `name` ("." and "_" are the same there), null when there is none. */
export function collidingTopic(name: string, existing: Iterable<string>): string | null {
  const folded = name.replaceAll('.', '_')
  for (const other of existing) if (other !== name && other.replaceAll('.', '_') === folded) return other
  return null
}
