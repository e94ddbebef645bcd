// Proves for runtime/log/state-snapshot.ts and state-map.ts: a snapshot of much state is written in slices between which the event loop turns,
// holds the state of one moment whatever comes meanwhile, and is read back as it was; lists look at one area.

import t from 'tap'
import type { StateChange } from '../../runtime/log/contract.ts'
import { bytesOfHeld } from '../../runtime/log/held-value.ts'
import { StateMap } from '../../runtime/log/state-map.ts'
import { loadSnapshot, writeSnapshot } from '../../runtime/log/state-snapshot.ts'
import { loadTestCore } from '../helpers/core.ts'
import { SimMachine } from '../helpers/sim-store.ts'
import { Prng, seeds } from '../sim/prng.ts'

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
  const image = state.image()
  const meter = { onWrite: () => undefined, onSync: () => undefined }
  const bytes = await machine.settle(
    writeSnapshot({ disk, core, clock, meter, directory: '/data', number: 1 }, { ...head, recoveryPoints: [[1, 0, 0, -1, 0, 0, 0]] }, image)
  )
  t.equal(turnsBeforeWrite, TURNS, 'they came before the last slice was made')
  t.equal(state.getState(changes[1]?.key ?? ''), undefined, 'a reader sees the changes meanwhile')
  const seen = state.listState('')
  state.release()
  t.same(state.listState(''), seen, 'and nothing else behind it')
  const loaded = await machine.settle(loadSnapshot(disk, core, '/data'))
  t.equal(loaded?.bytes, bytes)
  if (!loaded) throw new Error('no snapshot')
  const { state: read, ...rest } = loaded.snapshot
  t.same(rest, { ...head, recoveryPoints: [[1, 0, 0, -1, 0, 0, 0]] })
  const values = new Map(read)
  t.equal(values.size, VALUES + 1)
  for (const { key, value } of changes) {
    if (Buffer.from(values.get(key) ?? []).equals(Buffer.from(value as Uint8Array))) continue
    t.fail(`${key} is not what it was`)
    break
  }
})

const isSame = (one: Uint8Array | undefined, other: Uint8Array): boolean => one !== undefined && Buffer.compare(one, other) === 0

t.test('a value is what it was when it came, whatever its bytes, its length and what becomes of its buffer', async (t) => {
  const everyByte = Uint8Array.from({ length: 70_000 }, (_, index) => (index * 7 + (index >> 8)) & 0xff)
  const model = new Map<string, Uint8Array>()
  const state = new StateMap()
  for (const bytes of [0, 1, 63, 64, 65, 256, 2_047, 2_048, 2_049, 65_536]) {
    const value = everyByte.slice(3, 3 + bytes)
    model.set(`a/${bytes}`, value.slice())
    state.apply([{ key: `a/${bytes}`, value: everyByte.subarray(3, 3 + bytes) }])
  }
  everyByte.fill(0)
  for (const [key, value] of model) if (!isSame(state.getState(key), value)) t.fail(`${key} is not what it was`)
  const machine = new SimMachine(1)
  const { disk, clock } = machine
  await machine.settle(disk.makeDirectory('/data/state'))
  const meter = { onWrite: () => undefined, onSync: () => undefined }
  await machine.settle(
    writeSnapshot({ disk, core, clock, meter, directory: '/data', number: 1 }, { ...head, recoveryPoints: [] }, state.image())
  )
  const loaded = new StateMap((await machine.settle(loadSnapshot(disk, core, '/data')))?.snapshot.state)
  t.same(loaded.listState(''), [...model.keys()].sort())
  for (const [key, value] of model) if (!isSame(loaded.getState(key), value)) t.fail(`${key} is not read as it was`)
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
  t.equal(state.image().size, 2)
})

for (const seed of seeds({ count: 20 })) {
  t.test(
    `whatever changes while an image is read, the image does not, and readers see every change (replay with SEED=${seed})`,
    async (t) => {
      const prng = new Prng(seed)
      const model = new Map<string, Uint8Array>()
      const state = new StateMap()
      const someKey = (): string => `${prng.pick(['a', 'b', 'c', 'plain'])}${prng.chance(80) ? `/${prng.below(20)}` : ''}`
      const change = (): void => {
        const key = someKey()
        const value = prng.chance(60) ? new Uint8Array([prng.below(256)]) : null
        state.apply([{ key, value }])
        if (value) model.set(key, value)
        else model.delete(key)
      }
      const isAsModel = (): boolean =>
        state.listState('').join() === [...model.keys()].sort().join() &&
        state.listState('a/').join() ===
          [...model.keys()]
            .filter((key) => key.startsWith('a/'))
            .sort()
            .join() &&
        [...model].every(([key, value]) => isSame(state.getState(key), value))
      for (let round = 0; round < 20; round++) {
        for (let at = prng.below(40); at > 0; at--) change()
        const unsaved = prng.chance(50) ? [{ key: someKey(), value: new Uint8Array([1]) }] : []
        const expected = new Map([...model, ...unsaved.map(({ key, value }) => [key, value] as const)])
        const image = state.image(unsaved)
        for (let at = prng.below(40); at > 0; at--) change()
        if (!isAsModel()) return t.fail(`round ${round}, while it is read`)
        const read = [...image.areas].flatMap(([, values]) => [...values].map(([key, value]) => [key, bytesOfHeld(value)] as const))
        t.equal(image.size, read.length)
        t.same(new Map(read), expected)
        state.release()
        if (!isAsModel()) return t.fail(`round ${round}`)
      }
      t.throws(() => [state.image(), state.image()], /is being read/)
    }
  )
}
