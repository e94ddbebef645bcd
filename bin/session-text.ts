// MQTT sessions for people: a table in pages, one session whole, what an end took away. Not for: asking for them (bin/commands/session-*.ts).

import type { SessionDetail, SessionFacts } from '../adapters/mqtt/session-facts.ts'
import { formatDuration } from '../gateway/config/units.ts'
import { formatBytes } from '../runtime/base/byte-text.ts'
import { columns } from './terminal.ts'
import { visibleCell } from './visible-text.ts'

const HEAD = ['CLIENT', 'STATE', 'SINCE', 'MQTT', 'EXPIRY', 'SUBSCRIPTIONS', 'QUEUED', 'BYTES', 'ADDRESS'] as const
const NUMBERS = [5, 6, 7]
const VERSIONS = { 3: '3.1', 4: '3.1.1', 5: '5' } as const

/** Pages of one table: the columns of a page are at least as wide as those before. */
export class SessionTable {
  readonly #widths: number[] = []
  #hasHead = false

  page(sessions: readonly SessionFacts[]): string {
    const rows = [...(this.#hasHead ? [] : [HEAD]), ...sessions.map(cellsOf)]
    this.#hasHead = true
    return rows.length === 0 ? '' : `${columns(rows, { rightAligned: NUMBERS, widths: this.#widths })}\n`
  }
}

function cellsOf(session: SessionFacts): string[] {
  const { clientId, subscriptions, queuedMessages, queuedBytes, remoteAddress } = session
  const counts = [subscriptions, queuedMessages, queuedBytes].map(String)
  return [visibleCell(clientId), stateOf(session), timeOf(session), versionOf(session), expiryOf(session), ...counts, remoteAddress ?? '-']
}

const stateOf = ({ isConnected }: SessionFacts): string => (isConnected ? 'connected' : 'absent')
const timeOf = ({ sinceMs }: SessionFacts): string => new Date(sinceMs).toISOString().replace(/\.\d+/, '')
const versionOf = ({ version }: SessionFacts): string => (version === null ? '-' : VERSIONS[version])
const expiryOf = ({ expirySeconds }: SessionFacts): string =>
  expirySeconds === null ? 'never' : expirySeconds === 0 ? '0' : formatDuration(expirySeconds * 1_000).replace(' ', '')

/** All of one, its subscriptions as a table. */
export function sessionText(session: SessionDetail): string {
  const { clientId, remoteAddress, queuedMessages, queuedBytes, hasWill, filters } = session
  const expiry = session.expirySeconds === 0 ? 'with its connection' : expiryOf(session)
  const head = [
    ['client', visibleCell(clientId)],
    ['state', `${stateOf(session)} since ${timeOf(session)}`],
    ['address', remoteAddress ?? '-'],
    ['MQTT', versionOf(session)],
    ['expiry', expiry],
    ['queued', queuedWords(queuedMessages, queuedBytes)],
    ['will', hasWill ? 'yes' : 'no']
  ]
  const rows = filters.map(({ filter, qos, noLocal, retainAsPublished, id }) => {
    const options = [
      ...(noLocal ? ['no-local'] : []),
      ...(retainAsPublished ? ['retain-as-published'] : []),
      ...(id === null ? [] : [`id=${id}`])
    ]
    return [visibleCell(filter), String(qos), options.join(',') || '-']
  })
  return `${columns(head)}\n${columns([['FILTER', 'QOS', 'OPTIONS'], ...rows])}\n`
}

/** What an end has taken away. */
export function endedText({
  clientId,
  isConnected,
  remoteAddress,
  subscriptions,
  queuedMessages,
  queuedBytes,
  hasWill
}: SessionDetail): string {
  const parts = [
    ...(isConnected ? [`disconnected from ${remoteAddress}`] : []),
    subscriptions === 1 ? '1 subscription' : `${subscriptions} subscriptions`,
    `${queuedWords(queuedMessages, queuedBytes)} discarded`,
    ...(hasWill ? ['its will is sent'] : [])
  ]
  return `ended ${visibleCell(clientId)}: ${parts.join(', ')}\n`
}

function queuedWords(messages: number, bytes: number): string {
  return `${messages === 1 ? '1 message' : `${messages} messages`} (${formatBytes(bytes)} of memory)`
}
