// Are there file descriptors enough for the connections that the configuration allows? Clients that use up the last ones take them from storage: what it then
// cannot open is refused until there are some again. Not for: raising the limit (the service manager, LimitNOFILE).

import { readFileSync } from 'node:fs'
import type { Config } from './config/schema.ts'

/** Journal, segments and indexes that are written, the control socket, the uplink, Node itself. */
const OWN_FILES = 256

/** What to warn of at the start; null = there are enough, or this system does not tell. `limits`: the text of /proc/self/limits. */
export function lackOfOpenFiles({ mqtt, kafka }: Pick<Config, 'mqtt' | 'kafka'>, limits: string | null = readLimits()): string | null {
  const found = /^Max open files\s+(\d+)/m.exec(limits ?? '')?.[1]
  if (found === undefined) return null
  const connections = mqtt.reduce((sum, listener) => sum + listener.limits.connections, 0) + (kafka?.limits.connections ?? 0)
  const needed = connections + OWN_FILES
  if (Number(found) >= needed) return null
  return `the process may open ${found} files; ${connections} connections and the files of storage need ${needed}. Raise the limit (LimitNOFILE, ulimit -n) or allow fewer connections`
}

function readLimits(): string | null {
  try {
    return readFileSync('/proc/self/limits', 'utf8')
  } catch {
    return null
  }
}
