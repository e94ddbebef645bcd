// Proves for the areas of the durable state: every area of the sources is registered; docs/formats/state.md has each of them with its bounds and its end, and
// no other; no key is of two; what the first release wrote is of one each; a value or key above its bound, or of no area, is refused by name.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import '../../gateway/index.ts' // everything that ships
import { defaultBrokerSettings } from '../../runtime/broker/broker.ts'
import { lastTopicNumbers } from '../../runtime/log/deleted-topics.ts'
import { areaOfKey, registeredAreas, StateArea } from '../../runtime/log/state-area.ts'
import { decimal } from '../../runtime/log/state-codec.ts'
import { encodeStateKey } from '../../runtime/log/state-map.ts'
import { storedForks } from '../../runtime/uplink/forks.ts'

type Area = ReturnType<typeof registeredAreas>[number]

const areas = registeredAreas()
const keyWords = ({ name, rules }: Area): string => (rules.keys === '' ? name : `${name}/${rules.keys}`)
const page = readFileSync('docs/formats/state.md', 'utf8')
const counted = (count: number): string => count.toLocaleString('en')

function entriesOf({ rules }: Area): string {
  return rules.keys === '' ? 'one' : (rules.entries ?? '?')
}

t.test('every area of the sources is registered', async (t) => {
  const sources = ['runtime', 'adapters', 'gateway', 'bin'].flatMap((folder) =>
    (readdirSync(folder, { recursive: true }) as string[]).filter((name) => name.endsWith('.ts')).map((name) => join(folder, name))
  )
  const made = sources.flatMap((path) => readFileSync(path, 'utf8').match(/new StateArea\b/g) ?? [])
  t.ok(made.length > 20)
  t.equal(areas.length, made.length)
})

t.test('the page has every area with its bounds and its end, in both tables', async (t) => {
  const heading = '| key | bytes of a key, at most | bytes of a value, at most | how many | goes |\n|---|--:|--:|---|---|\n'
  const at = page.indexOf(heading)
  t.ok(at >= 0, heading)
  const rows = page
    .slice(at + heading.length)
    .split('\n\n')[0]
    ?.split('\n')
  const expected = areas.map(
    (area) => `| \`${keyWords(area)}\` | ${area.keyBytesMax} | ${area.rules.valueBytesMax} | ${entriesOf(area)} | ${area.rules.goes} |`
  )
  t.same([...(rows ?? [])].sort(), expected.sort())
  const described = [...page.matchAll(/^\| `([^`]+)` \| [^|]+ \| `(?:runtime|adapters)/gm)].map(([, key]) => key)
  t.same([...described].sort(), areas.map(keyWords).sort())
})

t.test('the words of a bound have the number of the code', async (t) => {
  const { producerCountMax, transactionalIdCountMax, abortedCountMax } = defaultBrokerSettings
  for (const [key, count] of [
    ['producer/1/0/1', producerCountMax],
    ['txn/a', transactionalIdCountMax],
    ['aborted/1/0/1', abortedCountMax]
  ] as const)
    t.ok(areaOfKey(key)?.rules.entries?.startsWith(counted(count)), key)
  const mebibytes = (bytes: number): string => `about ${bytes / 1024 / 1024} MiB`
  t.match(areaOfKey('txn/a')?.rules.entries, mebibytes(defaultBrokerSettings.transactionBytesMax))
  t.match(areaOfKey('offsets/g/1/0')?.rules.entries, mebibytes(defaultBrokerSettings.offsetBytesMax))
})

t.test('no key is of two areas, and every key that 0.1.0 wrote is of one', async (t) => {
  for (const area of areas) {
    const key = area.rules.keys === '' ? area.key() : area.key('1', '2', '3')
    t.same(
      areas.filter((one) => one.owns(key)).map(({ name }) => name),
      [area.name]
    )
    t.equal(areaOfKey(key), area)
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
  for (const name of ['meta/starts', 'txn', 'epoch/more'])
    t.throws(
      () => new StateArea(name, decimal, { keys: '<x>', valueBytesMax: 1, entries: 'one', goes: 'never' }),
      /has keys of another/,
      name
    )
  t.equal(registeredAreas().length, areas.length, 'and none of them was registered')
})

t.test('a value or key above the bound of its area, and a key of no area, are refused by name', async (t) => {
  t.throws(() => storedForks.put(storedForks.key(), [{ branchId: 'x'.repeat(70_000), after: 1 }]), {
    code: 'WADI_RECORD_INVALID',
    message: /"uplink\/forks" would have 700\d\d bytes, at most 65536/
  })
  const damage = areaOfKey('damage/1/0')
  t.throws(() => damage?.put(`damage/${'1'.repeat(60)}/0`, 1), { code: 'WADI_RECORD_INVALID', message: /69 bytes, at most 48/ })
  const value = new Uint8Array(1)
  for (const key of ['nobody/1', 'meta/other', 'topic', 'meta/incarnation/1', '', '/', '__proto__', 'constructor/a'])
    t.throws(() => encodeStateKey({ key, value }), { code: 'WADI_RECORD_INVALID' }, key)
  t.ok(encodeStateKey({ key: 'nobody/1', value: null }).byteLength > 0, 'to take one away is no harm')
  t.ok(encodeStateKey({ key: lastTopicNumbers.key(), value }).byteLength > 0)
})
