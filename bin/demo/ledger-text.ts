// The ledger as a table, and when it is what we promise.

import { formatCount } from '../../gateway/config/units.ts'
import { columns, paint } from '../terminal.ts'
import type { Verdict } from './ledger.ts'

/** Sent = acknowledged + unknown; what is stored is delivered; nothing lost, twice, invented or out of order. */
export function isPerfect(verdict: Verdict, stored: number): boolean {
  const { lost, duplicated, invented, disordered, acknowledged, unknownDelivered, delivered, sent } = verdict
  return (
    sent > 0 && lost + duplicated + invented + disordered === 0 && delivered === stored && delivered === acknowledged + unknownDelivered
  )
}

export function ledgerText(verdict: Verdict, stored: number): string {
  const { sent, acknowledged, unknown, unknownDelivered, delivered, lost, duplicated, invented, disordered } = verdict
  const none = (count: number): string => paint(count === 0 ? 'green' : 'red', formatCount(count).padStart(9))
  const rows: [string, string, string][] = [
    ['sent', formatCount(sent).padStart(9), 'handed to a connection by a sensor'],
    ['acknowledged', formatCount(acknowledged).padStart(9), 'answered by the gateway: these must arrive, each once']
  ]
  if (unknown > 0) {
    const words = `no answer before the kill: MQTT allows both; ${formatCount(unknownDelivered)} of them were stored`
    rows.push(['unknown', formatCount(unknown).padStart(9), words])
  }
  rows.push(
    ['stored', formatCount(stored).padStart(9), `in the gateway's log${unknown > 0 ? ': acknowledged + stored unknown' : ''}`],
    ['delivered', formatCount(delivered).padStart(9), 'read at the centre'],
    ['lost', none(lost), 'acknowledged and not delivered'],
    ['duplicated', none(duplicated), 'delivered more than once']
  )
  if (invented > 0) rows.push(['invented', none(invented), 'delivered and never sent'])
  if (disordered > 0) rows.push(['disordered', none(disordered), 'delivered behind a later event of the same sensor'])
  const sum = unknown === 0 ? 'sent = acknowledged = stored = delivered' : 'acknowledged + stored unknown = stored = delivered'
  const verdictLine = isPerfect(verdict, stored)
    ? paint('green', `${sum}, lost 0, duplicated 0`)
    : paint('red', 'the books do not balance: this is a bug of Wadi')
  return `\n${columns(rows, { indent: '        ' })}\n\n        ${verdictLine}\n`
}
