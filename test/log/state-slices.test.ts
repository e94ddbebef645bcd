// Proves for runtime/log/state-snapshot.ts and state-map.ts: a snapshot of much state is written in slices between which the event loop turns,
// holds the state of one moment, and is read back as it was; lists look at one area.

import t from 'tap'
import type { StateChange } from '../../runtime/log/contract.ts'
import { StateMap } from '../../runtime/log/state-map.ts'
import { loadSnapshot, writeSnapshot } from '../../runtime/log/state-snapshot.ts'
import { loadTestCore } from '../helpers/core.ts'
import { SimMachine } from '../helpers/sim-store.ts'

const core = loadTestCore()
const VALUES = 20_000
/** The snapshot has more slices: changes come before its last one is made. */
const TURNS = 5
const head = {
  logId: 'a'.repeat(32),
  replayAfter: 1,
  stateSequence: 2,
  generation: 3,
  journalFileBytes: [4096],
  droppedRecords: 0,
  lostRecords: 0
}

t.test('the event loop turns while a snapshot is made, and what changes meanwhile is not in it', async (t) => {
  const machine = new SimMachine(1)
  const { disk, clock } = machine
  await machine.settle(disk.makeDirectory('/data/state'))
  const state = new StateMap()
  const changes: StateChange[] = Array.from({ length: VALUES }, (_, index) => ({
    key: `area "${index % 7}"/${index}`,
    value: new Uint8Array([index, index >> 8])
  }))
  changes.push({ key: '__proto__', value: new Uint8Array([7]) })
  state.apply(changes)
  let turns = 0
  const count = (): void => {
    turns++
    state.apply([
      { key: `area "0"/${turns}`, value: new Uint8Array([255]) },
      { key: changes[turns]?.key ?? '', value: null }
    ])
    if (turns < TURNS) clock.soon(count)
  }
  clock.soon(count)
  const { open } = disk
  let turnsBeforeWrite = 0
  disk.open = (...call) => {
    turnsBeforeWrite = turns
    return open.apply(disk, call)
  }
  const meter = { onWrite: () => undefined, onSync: () => undefined }
  const bytes = await machine.settle(
    writeSnapshot(
      { disk, core, clock, meter, directory: '/data', number: 1 },
      { ...head, recoveryPoints: [[1, 0, 0, -1, 0, 0, 0]] },
      state.entries()
    )
  )
  t.equal(turnsBeforeWrite, TURNS, 'they came before the last slice was made')
  const loaded = await machine.settle(loadSnapshot(disk, core, '/data'))
  t.equal(loaded?.bytes, bytes)
  if (!loaded) throw new Error('no snapshot')
  const { state: read, ...rest } = loaded.snapshot
  t.same(rest, { ...head, recoveryPoints: [[1, 0, 0, -1, 0, 0, 0]] })
  t.equal(read.length, VALUES + 1)
  const values = new Map(read)
  for (const { key, value } of changes) {
    if (Buffer.from(values.get(key) ?? []).equals(Buffer.from(value as Uint8Array))) continue
    t.fail(`${key} is not what it was`)
    break
  }
})

t.test('a list is of one area, or of all, in the order of the keys; empty areas go', async (t) => {
  const state = new StateMap([
    ['b/2', new Uint8Array(1)],
    ['b/1', new Uint8Array(1)],
    ['bb/1', new Uint8Array(1)],
    ['plain', new Uint8Array(1)]
  ])
  t.same(state.listState('b/'), ['b/1', 'b/2'])
  t.same(state.listState('b'), ['b/1', 'b/2', 'bb/1'])
  t.same(state.listState(''), ['b/1', 'b/2', 'bb/1', 'plain'])
  t.same(state.listState('plain'), ['plain'])
  t.same(state.listState('c/'), [])
  state.apply([
    { key: 'b/1', value: null },
    { key: 'b/2', value: null },
    { key: 'c/0', value: null }
  ])
  t.same(state.listState('b/'), [])
  t.equal(state.getState('b/1'), undefined)
  t.equal(state.entries().length, 2)
})
