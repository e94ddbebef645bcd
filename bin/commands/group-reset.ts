// wadi group reset: where an empty consumer group goes on reading.

import { WadiError } from '../../runtime/base/errors.ts'
import { type Command, type CommandInput, usageError } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import type { KafkaAdmin } from '../kafka-admin.ts'
import { kafkaOptions } from '../kafka-options.ts'
import { parsePointInTime } from '../point-in-time.ts'
import { columns, note, print } from '../terminal.ts'
import { visibleCell } from '../visible-text.ts'

type Goal =
  | { readonly kind: 'earliest' | 'latest' }
  | { readonly kind: 'time'; readonly timestampMs: number }
  | { readonly kind: 'offset'; readonly offset: number }
  | { readonly kind: 'shift'; readonly by: number }

const GOALS = ['to-earliest', 'to-latest', 'to-datetime', 'to-offset', 'shift-by']

export const groupReset: Command = {
  name: 'group reset',
  operands: 'GROUP [TOPIC[:PART] ...]',
  operandsMin: 1,
  operandsMax: 1000,
  summary: 'Say where a consumer group that nobody is in goes on reading',
  details: `Without --execute it only shows what it would do. Without a TOPIC it is all that the group has offsets of. An offset is kept between the
first and the last of its partition. TIME is 1h (ago), 10:30 (today), 2026-11-25T10:30 or @MS; where nothing is newer it is the end.`,
  options: [
    { name: 'to-earliest', doc: 'to the first event' },
    { name: 'to-latest', doc: 'behind the last event' },
    { name: 'to-datetime', value: 'TIME', doc: 'to the first event from then on' },
    { name: 'to-offset', value: 'N', doc: 'to that offset, in each partition' },
    { name: 'shift-by', value: 'N', doc: 'so many further, or back: --shift-by=-10' },
    { name: 'execute', doc: 'do it' },
    ...kafkaOptions
  ],
  examples: ['wadi group reset readers telemetry --to-earliest', 'wadi group reset readers telemetry:0 --to-datetime 1h --execute'],

  async run(input) {
    const { withKafka } = await import('../kafka-admin.ts')
    const [groupId = '', ...topics] = input.operands
    const goal = goalOf(input)
    const isExecuted = input.flag('execute')
    const moved = await withKafka(input, (kafka) => reset(kafka, { groupId, topics, goal, isExecuted }))
    if (moved === null) {
      note(`The group ${visibleCell(groupId)} has members: its offsets are theirs. Stop them first.`)
      return EXIT.no
    }
    const rows = moved.map(({ topic, partition, offset }) => [visibleCell(topic), String(partition), String(offset)])
    await print(`${columns([['TOPIC', 'PARTITION', 'NEW-OFFSET'], ...rows], { rightAligned: [1, 2] })}\n`)
    if (!isExecuted) note('Nothing was changed: --execute does it.')
    return EXIT.ok
  }
}

/** @throws WadiError WADI_USAGE */
function goalOf(input: CommandInput): Goal {
  const named = GOALS.filter((name) => input.flag(name) || input.text(name) !== undefined)
  const [name] = named
  if (name === undefined || named.length > 1) {
    const what =
      name === undefined ? 'It is not said where to.' : `It is said more than once where to: ${named.map((one) => `--${one}`).join(', ')}.`
    throw usageError(what, `Give one of ${GOALS.map((one) => `--${one}`).join(', ')}.`)
  }
  if (name === 'to-earliest') return { kind: 'earliest' }
  if (name === 'to-latest') return { kind: 'latest' }
  if (name === 'to-datetime') return { kind: 'time', timestampMs: parsePointInTime(name, input.text(name) ?? '', Date.now()) }
  if (name === 'to-offset') return { kind: 'offset', offset: input.count(name, 0) }
  const by = input.text(name) ?? ''
  if (!/^[+-]?\d{1,15}$/.test(by)) throw usageError(`--shift-by is "${by}".`, 'Write a whole number: 10, or --shift-by=-10.')
  return { kind: 'shift', by: Number(by) }
}

interface Reset {
  readonly groupId: string
  readonly topics: readonly string[]
  readonly goal: Goal
  readonly isExecuted: boolean
}

function unknownEnds(place: string): WadiError {
  return new WadiError('WADI_UNAVAILABLE', {
    happened: `The gateway did not say where ${place} begins and ends.`,
    kept: 'Nothing was changed.',
    next: 'Try again; "wadi topic describe" shows whether the topic is there.'
  })
}

/** null: somebody is in the group. */
async function reset(kafka: KafkaAdmin, { groupId, topics, goal, isExecuted }: Reset) {
  const { commitOffsets, committedOffsets, describeGroup, partitionsOf } = await import('../group-offsets.ts')
  const { EARLIEST, LATEST, offsetsAt, placeWords } = await import('../kafka-places.ts')
  const group = await describeGroup(kafka, groupId)
  if (group && group.groupState !== 'Empty') return null
  const committed = await committedOffsets(kafka, groupId)
  const offsetAt = new Map(committed.map((one) => [placeWords(one), one.offset]))
  const names = [...new Set(topics.map((words) => words.replace(/:\d+$/, '')))]
  const wanted = new Set(topics)
  const places =
    topics.length === 0
      ? committed
      : (await partitionsOf(kafka, names)).filter((place) => wanted.has(place.topic) || wanted.has(placeWords(place)))
  if (places.length === 0 && topics.length > 0)
    throw usageError(`There is no partition ${topics.join(', ')}.`, '"wadi topic describe TOPIC" names those that there are.')
  if (places.length === 0)
    throw usageError(`The group "${groupId}" has no offsets, and no topic is named.`, 'Name the topics behind the group.')
  const [first, end] = [await offsetsAt(kafka, places, EARLIEST), await offsetsAt(kafka, places, LATEST)]
  const atTime = goal.kind === 'time' ? await offsetsAt(kafka, places, goal.timestampMs) : null
  const moved = places.map(({ topic, partition }) => {
    const at = placeWords({ topic, partition })
    const [least, most] = [first.get(at), end.get(at)]
    if (least === undefined || most === undefined) throw unknownEnds(at)
    if (goal.kind === 'shift' && !offsetAt.has(at))
      throw usageError(
        `The group "${groupId}" has no offset in ${at} that could be shifted.`,
        'Name where to: --to-earliest, --to-offset N.'
      )
    const asked = {
      earliest: least,
      latest: most,
      time: atTime?.get(at) ?? most,
      offset: goal.kind === 'offset' ? goal.offset : 0,
      shift: (offsetAt.get(at) ?? 0) + (goal.kind === 'shift' ? goal.by : 0)
    }[goal.kind]
    return { topic, partition, offset: Math.min(most, Math.max(least, asked)) }
  })
  if (isExecuted) await commitOffsets(kafka, groupId, moved)
  return moved
}
