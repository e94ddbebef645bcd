// What there is to see of a session, and which sessions somebody asks for. Not for: who asks (gateway/session-desk.ts), what a session is (client-session.ts).

import type { ClientSession } from './client-session.ts'
import type { ProtocolVersion, Qos } from './packets.ts'
import { SESSION_NEVER_EXPIRES } from './packets.ts'

export interface SessionFacts {
  readonly clientId: string
  readonly isConnected: boolean
  /** Wall time, ms: since when it is connected, or absent; since the start, when it was connected as the gateway was killed. */
  readonly sinceMs: number
  /** 3 = 3.1, 4 = 3.1.1, 5; of an absent client as it was connected last. null = an older version of Wadi has written it, which did not say. */
  readonly version: ProtocolVersion | null
  /** From the end of its connection on; 0 = it ends with it, null = it never ends by itself. */
  readonly expirySeconds: number | null
  readonly subscriptions: number
  /** Messages of QoS 1 and 2 that wait or are not acknowledged. */
  readonly queuedMessages: number
  /** Memory that they take: those that wait in the log are references. */
  readonly queuedBytes: number
  /** A will is armed, or waits for its delay. */
  readonly hasWill: boolean
  /** null = it is absent. */
  readonly remoteAddress: string | null
}

/** Of one session: what it subscribes to, in the order of the filters. */
export interface SessionDetail extends SessionFacts {
  readonly filters: readonly {
    readonly filter: string
    readonly qos: Qos
    readonly noLocal: boolean
    readonly retainAsPublished: boolean
    /** null = none. */
    readonly id: number | null
  }[]
}

/** All of it has to be so. */
export interface SessionQuery {
  /** Of client ids: "*" stands for any characters. */
  readonly pattern?: string | undefined
  readonly isConnected?: boolean | undefined
  /** A topic name: sessions with a subscription that matches it. */
  readonly topic?: string | undefined
}

/** Sessions that are looked at before others have their turn. */
const SESSIONS_PER_TURN = 200

/** What there is of a session's connection. */
interface ConnectionFacts {
  readonly sinceMs: number
  readonly remoteAddress: string
}

/** `connection` null = its client is away. */
export function factsOf(session: ClientSession, connection: ConnectionFacts | null, hasWill: boolean): SessionFacts {
  const { clientId, outbox, subscriptions, expirySeconds, endedMs, version } = session
  return {
    clientId,
    isConnected: connection !== null,
    sinceMs: connection?.sinceMs ?? endedMs ?? Date.now(),
    version: version === 0 ? null : version,
    expirySeconds: expirySeconds === SESSION_NEVER_EXPIRES ? null : expirySeconds,
    subscriptions: subscriptions.size,
    queuedMessages: outbox.size,
    queuedBytes: outbox.memoryBytes,
    hasWill,
    remoteAddress: connection?.remoteAddress ?? null
  }
}

/** Of the facts that `factsOf` gave. */
export function detailOf(facts: SessionFacts, { subscriptions }: ClientSession): SessionDetail {
  const filters = [...subscriptions].map(([filter, { qos, noLocal, retainAsPublished, id }]) => ({
    ...{ filter, qos, noLocal, retainAsPublished, id }
  }))
  return { ...facts, filters: filters.sort((one, other) => (one.filter < other.filter ? -1 : 1)) }
}

/** In the order of `clientIds`; `find` gives null for one that has ended meanwhile. Others have their turns in between. */
export async function* selectSessions(
  clientIds: readonly string[],
  find: (clientId: string) => SessionFacts | null,
  { pattern = '*', isConnected }: SessionQuery
): AsyncGenerator<SessionFacts, void, void> {
  const parts = pattern.split('*')
  for (const [index, clientId] of clientIds.entries()) {
    if (index % SESSIONS_PER_TURN === SESSIONS_PER_TURN - 1) await new Promise((resolve) => setImmediate(resolve))
    if (!fits(clientId, parts)) continue
    const facts = find(clientId)
    if (facts && (isConnected === undefined || facts.isConnected === isConnected)) yield facts
  }
}

/** "*" in `pattern` stands for any characters, none included; everything else for itself. */
export function matchesPattern(text: string, pattern: string): boolean {
  return fits(text, pattern.split('*'))
}

/** `parts`: of a pattern, between its "*". Each is looked for behind the one before: whatever the pattern, the text is passed once. */
function fits(text: string, parts: readonly string[]): boolean {
  const [first = ''] = parts
  if (parts.length === 1) return text === first
  const last = parts.at(-1) as string
  if (!text.startsWith(first)) return false
  let at = first.length
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return text.length - last.length >= at && text.endsWith(last)
}
