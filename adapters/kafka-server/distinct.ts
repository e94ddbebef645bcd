// What a request names again is answered once, as in Kafka: else a few bytes of a request make thousands of an answer.

/** The last of each name, in the order of their first. */
export function distinct<T>(asked: readonly T[], nameOf: (one: T) => string | number): T[] {
  return [...new Map(asked.map((one) => [nameOf(one), one])).values()]
}
