// What a request names again is answered once, as in Kafka: else a few bytes of a request make thousands of an answer.

/** The last of each name, in the order of their first. */
export function distinct<T>(asked: readonly T[], nameOf: (one: T) => string | number): T[] {
  return [...new Map(asked.map((one) => [nameOf(one), one])).values()]
}

/** Names that come more than once. */
export function repeated<T>(asked: readonly T[], nameOf: (one: T) => string): ReadonlySet<string> {
  const once = new Set<string>()
  const twice = new Set<string>()
  for (const name of asked.map(nameOf)) (once.has(name) ? twice : once).add(name)
  return twice
}

/** The topics with each place once. A topic may come more than once, with other partitions: some clients ask so. */
export function distinctPlaces<Topic extends { readonly partitions: readonly unknown[] }>(
  topics: readonly Topic[],
  nameOf: (topic: Topic) => string,
  indexOf: (partition: Topic['partitions'][number]) => number
): Topic[] {
  const seen = new Map<string, Set<number>>()
  return topics.flatMap((topic) => {
    const name = nameOf(topic)
    const known = seen.get(name) ?? new Set()
    seen.set(name, known)
    const partitions = topic.partitions.filter((partition) => {
      const index = indexOf(partition)
      return !known.has(index) && known.add(index)
    })
    return partitions.length > 0 ? [{ ...topic, partitions }] : []
  })
}
