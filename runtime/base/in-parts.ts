// A long list in parts that fit one commit.

/** In order, each of `countMax` but the last; at least one in each. */
export function inParts<T>(list: readonly T[], countMax: number): T[][] {
  const count = Math.max(1, Math.floor(countMax))
  return Array.from({ length: Math.ceil(list.length / count) }, (_, at) => list.slice(at * count, (at + 1) * count))
}
