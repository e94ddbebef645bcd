// wadi log dump: what is stored, batch by batch or event by event. Offline and read-only.

import { nearestWord } from '../../gateway/config/suggest.ts'
import { toTailEvent } from '../../gateway/tail-feed.ts'
import { visibleLine } from '../../runtime/base/visible-line.ts'
import type { BatchHeader, StoredRecord } from '../../runtime/core/record.ts'
import type { Inspection, Problem } from '../../runtime/log/inspection.ts'
import { type Command, usageError } from '../command.ts'
import { jsonFormat, textFormat } from '../event-format.ts'
import { EXIT } from '../exit-code.ts'
import { type OpenInspection, openInspection } from '../inspection.ts'
import { note, print } from '../terminal.ts'
import { jsonLine } from '../visible-text.ts'

export const logDump: Command = {
  name: 'log dump',
  operands: 'DIR [TOPIC[:PART]]',
  operandsMin: 1,
  operandsMax: 2,
  summary: 'Print what a data directory holds; changes nothing',
  details: `Segments first, by partition and offset, then what is in the journal only.
Without --events a line per batch, with the fields of Kafka's DumpLogSegments.`,
  options: [
    { name: 'events', short: 'e', doc: 'a line per event instead of per batch' },
    { name: 'json', doc: 'JSON lines' }
  ],
  examples: ['wadi log dump /var/lib/wadi telemetry:0', 'wadi log dump ./data alarms --events --json'],

  async run(input) {
    const [directory = '.', selector] = input.operands
    const takes = parseSelector(selector)
    const opened = await openInspection(directory)
    const printer = new DumpPrinter({ areEvents: input.flag('events'), isJson: input.flag('json') })
    const ended = await dumpSegments(opened, takes, printer, input.signal)
    if (ended && !input.signal.aborted) await dumpJournalOnly(opened, takes, printer)
    if (selector !== undefined && ended && printer.isEmpty && !input.signal.aborted) await throwWhenUnknown(opened, selector, takes)
    return input.signal.aborted ? EXIT.interrupted : printer.problemCount > 0 ? EXIT.dataError : EXIT.ok
  }
}

type Selector = (topicName: string, partitionIndex: number) => boolean

function parseSelector(selector: string | undefined): Selector {
  if (selector === undefined) return () => true
  const match = /^([A-Za-z0-9._-]+)(?::(\d+))?$/.exec(selector)
  if (!match) throw usageError(`"${selector}" is not TOPIC or TOPIC:PARTITION.`, 'Write for example telemetry or telemetry:0.')
  const [, topic, partition] = match
  return (topicName, partitionIndex) => topicName === topic && (partition === undefined || Number(partition) === partitionIndex)
}

/** Nothing was dumped: the topic has no events, or there is none of that name. @throws WadiError WADI_USAGE */
async function throwWhenUnknown(
  { inspection, listSegmentFiles, viewJournal }: OpenInspection,
  selector: string,
  takes: Selector
): Promise<void> {
  const { partitionNames } = await viewJournal(inspection)
  const names = new Set([...partitionNames, ...(await listSegmentFiles(inspection)).map((file) => file.partitionName)])
  const partitions = [...names].map(splitName)
  if (partitions.some(([topicName, partitionIndex]) => takes(topicName, partitionIndex))) return
  const [topic = '', partition] = selector.split(':')
  const counts = new Map<string, number>()
  for (const [topicName] of partitions) counts.set(topicName, (counts.get(topicName) ?? 0) + 1)
  const count = counts.get(topic)
  if (count !== undefined)
    throw usageError(`${topic} has no partition ${partition}.`, count === 1 ? 'It has one: 0.' : `It has ${count}: 0 to ${count - 1}.`)
  const near = nearestWord(topic, counts.keys())
  const known = counts.size === 0 ? 'There are no topics there.' : `There are: ${[...counts.keys()].sort().join(', ')}.`
  throw usageError(`There is no topic "${topic}" in ${inspection.directory}.`, near ? `Did you mean "${near}"? ${known}` : known)
}

function splitName(partitionName: string): [topicName: string, partitionIndex: number] {
  const dash = partitionName.lastIndexOf('-')
  return [partitionName.slice(0, dash), Number(partitionName.slice(dash + 1))]
}

/** False when the reader has gone. */
async function dumpSegments(
  { inspection, listSegmentFiles, dumpRecords }: OpenInspection,
  takes: Selector,
  printer: DumpPrinter,
  signal: AbortSignal
): Promise<boolean> {
  for (const file of await listSegmentFiles(inspection)) {
    const [topicName, partitionIndex] = splitName(file.partitionName)
    if (!takes(topicName, partitionIndex)) continue
    for await (const step of dumpRecords(inspection as Inspection, file)) {
      if (signal.aborted) return false
      if ('problem' in step) printer.problem(step.problem)
      else if (!(await printer.batch({ ...step, topicName, partitionIndex, file: file.path }))) return false
    }
  }
  return true
}

async function dumpJournalOnly({ inspection, dumpJournal }: OpenInspection, takes: Selector, printer: DumpPrinter): Promise<void> {
  for await (const { partitionName, header, records, codec } of dumpJournal(inspection)) {
    const [topicName, partitionIndex] = splitName(partitionName)
    if (!takes(topicName, partitionIndex) || header.lastOffset < printer.endOf(topicName, partitionIndex)) continue
    if (!(await printer.batch({ header, records, codec, topicName, partitionIndex, file: 'journal', positionBytes: null }))) return
  }
}

interface DumpedBatch {
  readonly topicName: string
  readonly partitionIndex: number
  readonly file: string
  readonly positionBytes: number | null
  readonly codec: string
  readonly header: BatchHeader
  readonly records: readonly StoredRecord[]
}

class DumpPrinter {
  readonly #areEvents: boolean
  readonly #isJson: boolean
  readonly #ends = new Map<string, number>()
  problemCount = 0

  constructor(options: { areEvents: boolean; isJson: boolean }) {
    this.#areEvents = options.areEvents
    this.#isJson = options.isJson
  }

  /** Nothing was printed, and nothing was wrong. */
  get isEmpty(): boolean {
    return this.#ends.size === 0 && this.problemCount === 0
  }

  /** Behind the last offset that was printed of this partition. */
  endOf(topicName: string, partitionIndex: number): number {
    return this.#ends.get(`${topicName}-${partitionIndex}`) ?? 0
  }

  problem({ file, positionBytes, what, meaning }: Problem): void {
    this.problemCount++
    note(visibleLine(`${file} byte ${positionBytes}: ${what}; ${meaning}`))
  }

  async batch(batch: DumpedBatch): Promise<boolean> {
    const { topicName, partitionIndex, header, records } = batch
    this.#ends.set(`${topicName}-${partitionIndex}`, Math.max(this.endOf(topicName, partitionIndex), header.lastOffset + 1))
    if (!this.#areEvents) return print(this.#isJson ? batchJson(batch) : batchText(batch))
    const format = this.#isJson ? jsonFormat : textFormat({ widthMax: null })
    return print(records.map((record) => format(toTailEvent(topicName, partitionIndex, record))).join(''))
  }
}

function batchText({ topicName, partitionIndex, file, positionBytes, codec, header }: DumpedBatch): string {
  const place = positionBytes === null ? 'journal' : `${file.slice(file.lastIndexOf('/') + 1)} position: ${positionBytes}`
  return `${visibleLine(
    `${topicName}-${partitionIndex} baseOffset: ${header.baseOffset} lastOffset: ${header.lastOffset} count: ${header.recordCount} ` +
      `baseSequence: ${header.baseSequence} producerId: ${header.producerId} producerEpoch: ${header.producerEpoch} ` +
      `partitionLeaderEpoch: ${header.partitionLeaderEpoch} isTransactional: ${(header.attributes & 0x10) !== 0} isControl: ${(header.attributes & 0x20) !== 0} ` +
      `maxTimestamp: ${header.maxTimestampMs} size: ${header.batchBytes} compresscodec: ${codec} crc: ${header.crc} ${place}`
  )}\n`
}

function batchJson({ topicName, partitionIndex, file, positionBytes, codec, header }: DumpedBatch): string {
  const { producerId, ...numbers } = header
  return jsonLine({
    topic: topicName,
    partition: partitionIndex,
    file,
    positionBytes,
    codec,
    ...numbers,
    producerId: producerId.toString()
  })
}
