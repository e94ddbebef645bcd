// wadi log verify: is everything that is stored whole? Offline and read-only.

import { formatCount } from '../../gateway/config/units.ts'
import { formatBytes } from '../../runtime/base/byte-text.ts'
import type { VerifyReport } from '../../runtime/log/inspect.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { openInspection } from '../inspection.ts'
import { Progress } from '../progress.ts'
import { paint, print } from '../terminal.ts'
import { jsonLine, visibleTexts } from '../visible-text.ts'

export const logVerify: Command = {
  name: 'log verify',
  operands: 'DIR',
  operandsMin: 1,
  operandsMax: 1,
  summary: 'Check every stored byte of a data directory; changes nothing',
  details: 'Works while the gateway is stopped. While one runs, what it is writing at that moment may look torn.',
  options: [{ name: 'json', doc: 'one JSON object' }],
  examples: ['wadi log verify /var/lib/wadi'],

  async run(input) {
    const { inspection, verifyDirectory } = await openInspection(input.operands[0] ?? '.')
    const progress = new Progress({ label: 'verify', unit: 'bytes' })
    const report = await verifyDirectory(inspection, (done, total) => progress.update({ done, total }))
    progress.clear()
    await print(input.flag('json') ? jsonLine(report) : verifyText(visibleTexts(report), inspection.directory))
    return report.problems.length > 0 ? EXIT.dataError : EXIT.ok
  }
}

function verifyText(report: VerifyReport, directory: string): string {
  const short = (file: string): string => (file.startsWith(`${directory}/`) ? file.slice(directory.length + 1) : file)
  const lines = report.problems.map(
    ({ file, positionBytes, what, meaning }) => `${paint('red', short(file))} byte ${positionBytes}: ${what}\n    ${meaning}`
  )
  for (const repair of report.repairs) lines.push(`the next start puts right: ${repair}`)
  const plural = (count: number, word: string): string => `${formatCount(count)} ${word}${count === 1 ? '' : 's'}`
  const verdict = report.problems.length === 0 ? paint('green', 'no problem') : paint('red', plural(report.problems.length, 'problem'))
  const extent = [
    plural(report.topics, 'topic'),
    plural(report.partitions, 'partition'),
    plural(report.segments, 'segment'),
    formatBytes(report.bytes),
    `${formatCount(report.records + report.journalRecords)} events, ${formatCount(report.journalRecords)} of them in the journal only`,
    `${plural(report.journalCommits, 'commit')} to replay`
  ]
  const lost = report.lostRecords ? paint('red', `, ${plural(report.lostRecords, 'event')} lost by damage`) : ''
  return `${[...lines, `verified ${extent.join(', ')}: ${verdict}${lost}`].join('\n')}\n`
}
