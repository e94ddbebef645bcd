// The same happening, again and again, is worth one line of the log in a minute: the log leaves out what is too much, and that may be another's line.
// Not for: lines that are equal word for word (bin/log-lines.ts counts those).

const AGAIN_MS = 60_000
/** More than these at once are a flood anyway. */
const KNOWN_MAX = 100

/** For a happening of this name: null when it was told less than a minute ago, else how often it was not told since it was told last. */
export type Due = (name: string) => number | null

export function oncePerMinute(nowMs: () => number = () => performance.now()): Due {
  const known = new Map<string, { toldAtMs: number; untold: number }>()
  return (name) => {
    const entry = known.get(name)
    if (entry && nowMs() - entry.toldAtMs < AGAIN_MS) {
      entry.untold++
      return null
    }
    known.delete(name)
    const [oldest] = known.size >= KNOWN_MAX ? known.keys() : []
    if (oldest !== undefined) known.delete(oldest)
    known.set(name, { toldAtMs: nowMs(), untold: 0 })
    return entry?.untold ?? 0
  }
}
