// What happened in a simulated life, counted by its parts under their prefixes. Not for: counting.

export function allReached(parts: Readonly<Record<string, ReadonlyMap<string, number>>>): Map<string, number> {
  const all = new Map<string, number>()
  for (const [prefix, counts] of Object.entries(parts)) for (const [what, count] of counts) all.set(prefix + what, count)
  return all
}
