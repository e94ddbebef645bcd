// Proves for the areas of the durable state: docs/formats/state.md has each of them with its bound and its end, and no other; no key is of two; what the
// first release wrote is of one each; a value above its bound is refused by name.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { rememberedQos2 } from '../../adapters/mqtt/qos2-memory.ts'
import { storedOffsets } from '../../runtime/broker/committed-offsets.ts'
import { reservedProducerIds } from '../../runtime/broker/producer-ids.ts'
import { storedAborts, storedPendingOffsets, storedTransactions } from '../../runtime/broker/transaction-state.ts'
import { endedTopics, goneTopics, lastTopicNumbers } from '../../runtime/log/deleted-topics.ts'
import { incarnationStarts } from '../../runtime/log/incarnation-offsets.ts'
import { damageCounts } from '../../runtime/log/known-damage.ts'
import { holes } from '../../runtime/log/missing-ranges.ts'
import { damagedStarts, incarnations, lineages } from '../../runtime/log/own-start.ts'
import { removalRecords } from '../../runtime/log/removals.ts'
import type { StateArea } from '../../runtime/log/state-area.ts'
import { topicEntries } from '../../runtime/log/topic-catalogue.ts'
import { abortedTransactions, producerRecords } from '../../runtime/log/transaction-index.ts'
import { unnamedEnds } from '../../runtime/log/unnamed-topics.ts'
import { putAside } from '../../runtime/uplink/dead-letters.ts'
import { confirmedNotes, notesHead, oldNotes, writtenNotes } from '../../runtime/uplink/delivery-notes.ts'
import { storedForks } from '../../runtime/uplink/forks.ts'

type Area = Pick<StateArea<unknown>, 'name' | 'rules' | 'owns' | 'key'>

const areas: readonly Area[] = [
  topicEntries,
  lastTopicNumbers,
  goneTopics,
  endedTopics,
  incarnations,
  damagedStarts,
  holes,
  unnamedEnds,
  removalRecords,
  damageCounts,
  rememberedQos2,
  lineages,
  incarnationStarts,
  notesHead,
  confirmedNotes,
  writtenNotes,
  storedForks,
  oldNotes,
  putAside,
  reservedProducerIds,
  producerRecords,
  abortedTransactions,
  storedTransactions,
  storedAborts,
  storedPendingOffsets,
  storedOffsets
]

const keyWords = ({ name, rules }: Area): string => (rules.keys === '' ? name : `${name}/${rules.keys}`)
const page = readFileSync('docs/formats/state.md', 'utf8')

t.test('the page has every area with its bound and its end, in both tables', async (t) => {
  const rows = areas.map((area) => `| \`${keyWords(area)}\` | ${area.rules.valueBytesMax} | ${area.rules.goes} |\n`)
  const table = `| key | bytes of a value, at most | goes |\n|---|--:|---|\n${rows.join('')}`
  t.ok(page.includes(table), `the table is\n${table}`)
  const described = [...page.matchAll(/^\| `([^`]+)` \| [^|]+ \| `(?:runtime|adapters)/gm)].map(([, key]) => key)
  t.same([...described].sort(), areas.map(keyWords).sort())
})

t.test('no key is of two areas, and every key that 0.1.0 wrote is of one', async (t) => {
  for (const area of areas) {
    const key = area.rules.keys === '' ? area.key() : area.key('1', '2', '3')
    t.same(
      areas.filter((one) => one.owns(key)).map(({ name }) => name),
      [area.name]
    )
  }
  const folder = 'test/fixtures/0.1.0'
  const keys = readdirSync(folder).flatMap((name) => {
    const { state } = JSON.parse(readFileSync(join(folder, name, 'expected.json'), 'utf8')) as { state: Record<string, unknown> }
    return Object.keys(state)
  })
  t.ok(keys.length > 20)
  t.same(
    keys.filter((key) => areas.filter((area) => area.owns(key)).length !== 1),
    []
  )
})

t.test('a value above the bound of its area is refused by name', async (t) => {
  t.throws(() => storedForks.put(storedForks.key(), [{ branchId: 'x'.repeat(70_000), after: 1 }]), {
    code: 'WADI_RECORD_INVALID',
    message: /"uplink\/forks" would have 700\d\d bytes, at most 65536/
  })
})
