// docs/mqtt-conformance.md and the tests say the same: every statement has its tests or a reason why not, every test its statement.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'

const FOLDER = 'test/mqtt/conformance'
const PAGE = 'docs/mqtt-conformance.md'
const CALL = /^(v4|v5|both)\(\s*'([\d.-]+)',\s*(?:'([\d.-]+)',\s*)?'([^']+)'/gm

/** "3.1.1 MQTT-3.1.0-1 words" of every call in the tests. */
function named(): string[] {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith('.test.ts'))
  return files.flatMap((name) => {
    const calls = [...readFileSync(`${FOLDER}/${name}`, 'utf8').matchAll(CALL)]
    return calls.flatMap(([, kind, first, second, words]) => {
      if (kind === 'both') return [`3.1.1 MQTT-${first} ${words}`, `5.0 MQTT-${second} ${words}`]
      return [`${kind === 'v4' ? '3.1.1' : '5.0'} MQTT-${first} ${words}`]
    })
  })
}

/** Calls that CALL does not read would be tests that nobody compares. */
function callCount(): number {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith('.test.ts'))
  return files.flatMap((name) => readFileSync(`${FOLDER}/${name}`, 'utf8').match(/^(v4|v5|both)\(/gm) ?? []).length
}

interface Row {
  readonly version: string
  readonly id: string
  readonly by: string
}

function rows(): Row[] {
  let version = ''
  return readFileSync(PAGE, 'utf8')
    .split('\n')
    .flatMap((line) => {
      version = line.match(/^## MQTT (3\.1\.1|5\.0)$/)?.[1] ?? version
      const [, id, by] = line.match(/^\| (MQTT-[\d.-]+) \| [^|]+ \| ([^|]+) \|$/) ?? []
      return id && by ? [{ version, id, by }] : []
    })
}

test('the page names exactly the tests that there are', () => {
  const onPage = rows()
    .filter(({ by }) => !by.startsWith('not applicable: '))
    .flatMap(({ version, id, by }) => by.split('; ').map((words) => `${version} ${id} ${words}`))
  assert.deepEqual(onPage.sort(), named().sort())
})

test('every call is one that the comparison reads, no two tests have one name', () => {
  const names = named()
  const calls = readdirSync(FOLDER)
    .filter((name) => name.endsWith('.test.ts'))
    .flatMap((name) => [...readFileSync(`${FOLDER}/${name}`, 'utf8').matchAll(CALL)])
  assert.equal(calls.length, callCount())
  assert.equal(new Set(names).size, names.length)
})

test('the page has every statement once: 142 of 3.1.1, 251 of 5.0', () => {
  const ids = rows().map(({ version, id }) => `${version} ${id}`)
  assert.equal(new Set(ids).size, ids.length)
  const count = (version: string): number => ids.filter((id) => id.startsWith(`${version} `)).length
  assert.deepEqual([count('3.1.1'), count('5.0')], [142, 251])
})

test('what is not tested has a reason', () => {
  for (const { id, by } of rows()) assert.ok(!by.startsWith('not applicable') || /^not applicable: \S.{10,}/.test(by), id)
})
