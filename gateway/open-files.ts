// Are there file descriptors enough: for the connections that the configuration allows, and now? Clients that use up the last ones take them from storage: what it
// then cannot open is refused until there are some again. Who connects meanwhile is accepted and closed below Node, which is not told: so it is looked for.
// Not for: raising the limit (the service manager, LimitNOFILE).

import { closeSync, openSync, readFileSync } from 'node:fs'
import type { Config } from './config/schema.ts'
import type { Log } from './log.ts'
import { oncePerMinute } from './once-per-minute.ts'

/** Journal, segments and indexes that are written, the control socket, the uplink, Node itself. */
const OWN_FILES = 256
const LOOK_MS = 5_000
const WHAT_TO_DO = 'Raise the limit (LimitNOFILE, ulimit -n) or allow fewer connections'

/** Says once a minute that there is no file descriptor left, while it is so. @returns stops that */
export function watchOpenFiles(log: Log): () => void {
  const look = openFilesLook(log)
  const timer = setInterval(look, LOOK_MS).unref()
  return () => clearInterval(timer)
}

/** `tryFile` opens a file and closes it. */
export function openFilesLook(log: Log, { tryFile = tryNull, nowMs }: { tryFile?: () => void; nowMs?: () => number } = {}): () => void {
  const isDue = oncePerMinute(nowMs)
  return () => {
    try {
      tryFile()
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException
      if ((code !== 'EMFILE' && code !== 'ENFILE') || isDue(code) === null) return
      const whose = code === 'EMFILE' ? 'this process' : 'the machine'
      const words = `${whose} has no file descriptor left (${code}): clients that connect are closed without an answer, and storage may be refused files. ${WHAT_TO_DO} (limits.connections)`
      log('warn', words, { code })
    }
  }
}

function tryNull(): void {
  closeSync(openSync('/dev/null', 'r'))
}

/** What to warn of at the start; null = there are enough, or this system does not tell. `limits`: the text of /proc/self/limits. */
export function lackOfOpenFiles({ mqtt, kafka }: Pick<Config, 'mqtt' | 'kafka'>, limits: string | null = readLimits()): string | null {
  const found = /^Max open files\s+(\d+)/m.exec(limits ?? '')?.[1]
  if (found === undefined) return null
  const connections = mqtt.reduce((sum, listener) => sum + listener.limits.connections, 0) + (kafka?.limits.connections ?? 0)
  const needed = connections + OWN_FILES
  if (Number(found) >= needed) return null
  return `the process may open ${found} files; ${connections} connections and the files of storage need ${needed}. ${WHAT_TO_DO}`
}

function readLimits(): string | null {
  try {
    return readFileSync('/proc/self/limits', 'utf8')
  } catch {
    return null
  }
}
