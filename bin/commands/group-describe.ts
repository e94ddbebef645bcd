// wadi group describe: who is in a consumer group, and how far behind it is.

import type { Command } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import type { KafkaAdmin } from '../kafka-admin.ts'
import { kafkaOptions } from '../kafka-options.ts'
import { columns, note, print } from '../terminal.ts'
import { jsonLine, visibleCell } from '../visible-text.ts'

interface Row {
  readonly topic: string
  readonly partition: number
  readonly currentOffset: number | null
  readonly logEndOffset: number | null
  readonly lag: number | null
  readonly consumerId: string | null
  readonly host: string | null
  readonly clientId: string | null
}

export const groupDescribe: Command = {
  name: 'group describe',
  operands: 'GROUP',
  operandsMin: 1,
  operandsMax: 1,
  summary: 'Who is in a consumer group, and how far behind it is',
  details: 'Exit code 1 when there is no such group. "-" is what nobody has committed, or nobody reads.',
  options: [{ name: 'json', doc: 'one JSON object' }, ...kafkaOptions],
  examples: ['wadi group describe readers', 'wadi group describe readers --json'],

  async run(input) {
    const { withKafka } = await import('../kafka-admin.ts')
    const [groupId = ''] = input.operands
    const found = await withKafka(input, (kafka) => read(kafka, groupId))
    if (found === null) {
      note(`There is no group ${visibleCell(groupId)}.`)
      return EXIT.no
    }
    const { state, rows } = found
    if (input.flag('json')) await print(jsonLine({ group: groupId, state, partitions: rows }))
    else await print(`group ${visibleCell(groupId)}, ${state}\n${tableOf(rows)}\n`)
    return EXIT.ok
  }
}

async function read(kafka: KafkaAdmin, groupId: string): Promise<{ state: string; rows: Row[] } | null> {
  const { assignedPlaces, committedOffsets, describeGroup } = await import('../group-offsets.ts')
  const { LATEST, offsetsAt, placeWords } = await import('../kafka-places.ts')
  const group = await describeGroup(kafka, groupId)
  if (!group) return null
  const committed = await committedOffsets(kafka, groupId)
  const offsetAt = new Map(committed.map((one) => [placeWords(one), one.offset]))
  const readers = new Map(
    group.members.flatMap((member) =>
      assignedPlaces(member.memberAssignment).map((place) => [placeWords(place), { place, member }] as const)
    )
  )
  const places = [...committed, ...[...readers.values()].map(({ place }) => place).filter((place) => !offsetAt.has(placeWords(place)))]
  const ends = await offsetsAt(kafka, places, LATEST)
  const rows = places.map((place): Row => {
    const at = placeWords(place)
    const member = readers.get(at)?.member
    const [currentOffset, logEndOffset] = [offsetAt.get(at) ?? null, ends.get(at) ?? null]
    return {
      topic: place.topic,
      partition: place.partition,
      currentOffset,
      logEndOffset,
      lag: currentOffset === null || logEndOffset === null ? null : Math.max(0, logEndOffset - currentOffset),
      consumerId: member?.memberId ?? null,
      host: member?.clientHost ?? null,
      clientId: member?.clientId ?? null
    }
  })
  rows.sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1))
  return { state: group.groupState, rows }
}

function tableOf(rows: readonly Row[]): string {
  const head = ['TOPIC', 'PARTITION', 'CURRENT-OFFSET', 'LOG-END-OFFSET', 'LAG', 'CONSUMER-ID', 'HOST', 'CLIENT-ID']
  const cells = rows.map((row) => [
    visibleCell(row.topic),
    ...[row.partition, row.currentOffset, row.logEndOffset, row.lag].map((number) => String(number ?? '-')),
    ...[row.consumerId, row.host, row.clientId].map(visibleCell)
  ])
  return columns([head, ...cells], { rightAligned: [1, 2, 3, 4] })
}
