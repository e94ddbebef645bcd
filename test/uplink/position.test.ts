// Proves for runtime/uplink/position.ts and delivery-notes.ts: what is written is read back, also from the version before, and nothing else is taken for it.

import t from 'tap'
import type { StateChange } from '../../runtime/log/contract.ts'
import { encodeStateKey } from '../../runtime/log/state-map.ts'
import { type DeliveryNotes, deliveryNoteChanges, type Place, readDeliveryNotes } from '../../runtime/uplink/delivery-notes.ts'
import {
  type BeginningAt,
  type Branch,
  beginningsOf,
  decodePosition,
  encodePosition,
  METADATA_CHARS_MAX,
  NO_BEGINNINGS,
  pieceCountOf
} from '../../runtime/uplink/position.ts'
import { Prng, seeds } from '../sim/prng.ts'

const LOG_ID = '0123456789abcdef0123456789abcdef'
const MAX = Number.MAX_SAFE_INTEGER

function startsFrom(incarnation: number, count: number): { incarnation: number; id: string }[] {
  return Array.from({ length: count }, (_, index) => ({ incarnation: incarnation + index, id: `abc${String(index).padStart(3, '0')}` }))
}

t.test('a position comes back as it was written', async (t) => {
  const branches: Branch[] = [
    {
      logId: LOG_ID,
      branchId: 'k3f9a0',
      starts: startsFrom(41, 3),
      nextOffsets: new Map([
        ['plant.temperature', [0, 1, 35, 36, MAX]],
        ['meter_1-2', [7]]
      ]),
      beginnings: {
        knownFrom: 42,
        list: [
          { edgeTopic: 'meter_1-2', partitionIndex: 0, incarnation: 43, startOffset: 7 },
          { edgeTopic: 'plant.temperature', partitionIndex: 4, incarnation: 42, startOffset: MAX },
          { edgeTopic: 'plant.temperature', partitionIndex: 0, incarnation: 42, startOffset: 0 }
        ]
      }
    },
    {
      logId: LOG_ID,
      branchId: '',
      starts: startsFrom(1, 1),
      nextOffsets: new Map([['plant.temperature', [9]]]),
      beginnings: NO_BEGINNINGS
    },
    { logId: 'ffff', branchId: '', starts: [], nextOffsets: new Map(), beginnings: NO_BEGINNINGS }
  ]
  t.same(decodePosition(encodePosition(branches)), branches)
})

t.test('the text is fixed: an older gateway must understand what this one writes', async (t) => {
  const starts = [
    { incarnation: 36, id: 'aaaaa1' },
    { incarnation: 37, id: 'aaaaa2' }
  ]
  const list = [
    { edgeTopic: 'plant', partitionIndex: 0, incarnation: 37, startOffset: 35 },
    { edgeTopic: 'plant', partitionIndex: 1, incarnation: 37, startOffset: 36 }
  ]
  const branch = { logId: 'abc', branchId: '', starts, nextOffsets: new Map([['plant', [0, 100]]]), beginnings: { knownFrom: 37, list } }
  t.same(encodePosition([branch]), ['wadi2;0/1;abc;;10,aaaaa1aaaaa2,11;plant=0,2s;plant@11=0:z,1:10'])
})

t.test('a position of version 1 is understood: one branch, the number of the start, no ids', async (t) => {
  const nextOffsets = new Map([['plant', [0, 100]]])
  t.same(decodePosition(['wadi1;abc;10;plant=0,2s']), [
    { logId: 'abc', branchId: '', starts: [{ incarnation: 36, id: '' }], nextOffsets, beginnings: NO_BEGINNINGS }
  ])
})

t.test('only the last starts are named, and a gap in their numbers ends the list', async (t) => {
  const named = (starts: Branch['starts']): unknown =>
    decodePosition(encodePosition([{ logId: 'abc', branchId: '', starts, nextOffsets: new Map(), beginnings: NO_BEGINNINGS }]))?.[0]?.starts
  t.same(named(startsFrom(100, 40)), startsFrom(100, 40).slice(-16))
  t.same(named([...startsFrom(1, 5), ...startsFrom(50, 2)]), startsFrom(50, 2))
  t.same(named([{ incarnation: 7, id: '' }, ...startsFrom(8, 1)]), [{ incarnation: 7, id: '000000' }, ...startsFrom(8, 1)])
})

t.test('beginnings are listed newest first, whole starts, and the position says from which one on', async (t) => {
  const starts = startsFrom(100, 5)
  const all = (incarnation: number, count: number): BeginningAt[] =>
    Array.from({ length: count }, (_, partitionIndex) => ({ edgeTopic: 'plant', partitionIndex, incarnation, startOffset: 7 }))
  t.same(beginningsOf(starts, []), { knownFrom: 101, list: [] })
  t.same(beginningsOf(starts.slice(0, 1), all(100, 1)), NO_BEGINNINGS, 'what the oldest named start began is no end of a named one')
  t.same(beginningsOf(starts, [...all(103, 60), ...all(104, 4)]), { knownFrom: 101, list: [...all(104, 4), ...all(103, 60)] })
  t.same(beginningsOf(starts, [...all(103, 61), ...all(104, 4)]), { knownFrom: 104, list: all(104, 4) })
  t.same(beginningsOf(starts, all(104, 1000)).list.length, 1000, 'those of the newest start always')
})

t.test('every configuration fits, up to the largest offsets there are: a long position goes in pieces that Kafka takes', async (t) => {
  const nextOffsets = new Map(
    Array.from({ length: 3 }, (_, index) => [`${'t'.repeat(248)}${index}`, Array.from({ length: 1000 }, () => MAX)] as const)
  )
  const pieces = encodePosition([{ logId: LOG_ID, branchId: '', starts: startsFrom(MAX - 20, 16), nextOffsets, beginnings: NO_BEGINNINGS }])
  t.ok(pieces.length > 1)
  t.ok(pieces.every((piece) => piece.length <= METADATA_CHARS_MAX))
  t.equal(pieceCountOf(pieces[0] ?? ''), pieces.length)
  t.same(decodePosition(pieces)?.[0]?.nextOffsets, nextOffsets)
  t.same(decodePosition([...pieces, 'left over from a longer one'])?.[0]?.nextOffsets, nextOffsets)
  t.equal(decodePosition(pieces.slice(0, -1)), null, 'one is missing')
  t.equal(decodePosition([...pieces.slice(1), pieces[0] ?? '']), null, 'in another order')
})

t.test('garbage is not a position', async (t) => {
  const garbage = [
    '',
    'wadi1',
    'wadi1;abc',
    'wadi1;;0;plant=1',
    'wadi1;abc;-1;plant=1',
    'wadi1;abc;0;plant',
    'wadi1;abc;0;plant=1,',
    'wadi1;abc;0;plant=1;plant=2',
    'wadi2;abc;0;plant=1',
    'wadi2;0/0;abc;;0,;plant=1',
    'wadi2;1/1;abc;;0,;plant=1',
    'wadi2;0/1;;;0,;plant=1',
    'wadi2;0/1;abc;B;0,;plant=1',
    'wadi2;0/1;abc;;0;plant=1',
    'wadi2;0/1;abc;;0,abc;plant=1',
    'wadi2;0/1;abc;;-1,;plant=1',
    'wadi2;0/1;abc;;0,;plant',
    'wadi2;0/1;abc;;0,;plant=',
    'wadi2;0/1;abc;;0,;plant=1,',
    'wadi2;0/1;abc;;0,;plant=01',
    'wadi2;0/1;abc;;0,;plant=1e9!',
    'wadi2;0/1;abc;;0,;plant=zzzzzzzzzzz',
    'wadi2;0/1;abc;;0,;plant=1;plant=2',
    'wadi2;0/1;abc;;0,;pl ant=1',
    'wadi2;0/1;abc;;0,;plant=1=2',
    'wadi2;0/1;abc;;0,;plant=1|',
    'wadi2;0/1;abc;;0,,B;plant=1',
    'wadi2;0/1;abc;;0,,1;plant@=0:1',
    'wadi2;0/1;abc;;0,,1;plant@1=',
    'wadi2;0/1;abc;;0,,1;plant@1=0',
    'wadi2;0/1;abc;;0,,1;plant@1=0:1:2',
    'wadi2;0/1;abc;;0,,1;@1=0:1',
    'wadi3;0/1;abc;;0,;plant=1',
    '{"logId":"abc"}',
    'x'.repeat(METADATA_CHARS_MAX + 1)
  ]
  for (const text of garbage) t.equal(decodePosition([text]), null, JSON.stringify(text.slice(0, 40)))
  t.equal(decodePosition([]), null)
})

t.test('no mutation of a position makes the decoder throw, or accept a number that is not an offset', async (t) => {
  for (const seed of seeds({ count: 300 })) {
    const prng = new Prng(seed)
    const nextOffsets = new Map([['plant', [prng.below(1e9), prng.below(1e9)]]])
    const list = [{ edgeTopic: 'plant', partitionIndex: 1, incarnation: 1 + prng.below(100), startOffset: prng.below(1e9) }]
    const beginnings = { knownFrom: prng.below(100), list }
    const [text = ''] = encodePosition([{ logId: LOG_ID, branchId: '', starts: startsFrom(prng.below(100), 2), nextOffsets, beginnings }])
    const at = prng.below(text.length)
    const mutated = text.slice(0, at) + String.fromCharCode(prng.below(128)) + text.slice(at + prng.below(3))
    for (const branch of decodePosition([mutated]) ?? []) {
      for (const offsets of branch.nextOffsets.values()) {
        if (!offsets.every((offset) => Number.isSafeInteger(offset) && offset >= 0)) t.fail(`SEED=${seed}: ${mutated}`)
      }
    }
  }
})

class State {
  readonly incarnation = 5
  readonly values = new Map<string, Uint8Array>()

  getState(key: string): Uint8Array | undefined {
    return this.values.get(key)
  }

  listState(prefix: string): string[] {
    return [...this.values.keys()].filter((key) => key.startsWith(prefix))
  }

  apply(changes: readonly StateChange[]): void {
    for (const { key, value } of changes) {
      if (value === null) this.values.delete(key)
      else this.values.set(key, value)
    }
  }
}

const notes: DeliveryNotes = {
  incarnation: 5,
  isClosed: false,
  confirmed: new Map([
    [
      'plant',
      {
        places: [place('centre.plant'), { ...place('before'), gatewayId: 'other' }, { ...place('old'), gatewayId: '' }],
        nextOffsets: [5, 0, MAX],
        isClosed: true,
        incarnation: 3
      }
    ]
  ]),
  written: new Map([
    ['plant', { upstreamTopic: 'centre.plant', topicId: 'ab'.repeat(16), baseOffsets: new Map([[1, 77]]) }],
    ['meter', { upstreamTopic: 'centre.new', topicId: '', baseOffsets: new Map() }]
  ])
}

t.test('delivery notes come back as they were written, and only what changed is written again', async (t) => {
  const state = new State()
  t.equal(readDeliveryNotes(state), null)
  state.apply(deliveryNoteChanges(state, notes))
  t.same(readDeliveryNotes(state), notes)
  t.same(deliveryNoteChanges(state, notes), [])
  const closed = { ...notes, isClosed: true }
  t.same(
    deliveryNoteChanges(state, closed).map(({ key }) => key),
    ['uplink/hint']
  )
  state.apply(deliveryNoteChanges(state, closed))
  t.same(readDeliveryNotes(state), closed)
})

t.test('the notes of a topic with the most partitions there can be fit one state value', async (t) => {
  const nextOffsets = Array.from({ length: 1024 }, () => MAX)
  const baseOffsets = new Map(Array.from({ length: 10_000 }, (_, index) => [index, 10 ** 12] as const))
  const changes = deliveryNoteChanges(new State(), {
    ...notes,
    confirmed: new Map([['t'.repeat(249), { places: [place('u'.repeat(249))], nextOffsets, isClosed: false, incarnation: 5 }]]),
    written: new Map([['t'.repeat(249), { upstreamTopic: 'u'.repeat(249), topicId: 'ab'.repeat(16), baseOffsets }]])
  })
  for (const change of changes) t.ok(encodeStateKey(change).byteLength > 0, `${change.key.slice(0, 30)}: ${change.value?.byteLength} bytes`)
})

t.test('notes of versions that did not say of each topic which start noted it last, and whether it ended', async (t) => {
  const put = (text: string): DeliveryNotes['confirmed'] | undefined => {
    const state = new State()
    state.values.set('uplink/hint', new TextEncoder().encode('2;7;closed'))
    state.values.set('uplink/confirmed/plant', new TextEncoder().encode(text))
    return readDeliveryNotes(state)?.confirmed
  }
  const entry = { places: [place('centre.plant')], nextOffsets: [5], isClosed: true, incarnation: 7 }
  t.same(put('plant;centre.plant@gateway-1;5;closed;3')?.get('plant'), { ...entry, incarnation: 3 })
  t.same(put('plant;centre.plant@gateway-1;5;open')?.get('plant'), { ...entry, isClosed: false })
  t.same(put('plant;centre.plant@gateway-1;5')?.get('plant'), entry)
})

t.test('a damaged note is read as one that knows nothing confirmed, and is said; the notes of other topics count', async (t) => {
  const state = new State()
  state.apply(deliveryNoteChanges(state, notes))
  const whole = readDeliveryNotes(state) as DeliveryNotes
  const [edgeTopic = ''] = whole.confirmed.keys()
  const key = `uplink/confirmed/${edgeTopic}`
  for (const text of ['xyz', '', `${edgeTopic};a;5;open;-1`, `${edgeTopic};a;NaN;open;1`, `${edgeTopic};a;5,,3;open;1`]) {
    const broken = new State()
    for (const [name, value] of state.values) broken.values.set(name, value)
    broken.values.set(key, new TextEncoder().encode(text))
    const read = readDeliveryNotes(broken)
    t.same(read?.damaged, [key])
    const unknown = { incarnation: state.incarnation - 1, isClosed: false }
    t.same(read?.confirmed.get(edgeTopic), { places: [], nextOffsets: [], ...unknown })
    t.same([...(read?.confirmed ?? [])].slice(1), [...whole.confirmed].slice(1))
    t.ok(whole.written.has(edgeTopic) && !read?.written.has(edgeTopic), 'and is looked for from the beginning, not at its last batches')
    t.ok(
      deliveryNoteChanges(broken, whole).some((change) => change.key === key),
      'and it is written anew'
    )
    broken.values.set('uplink/hint', new TextEncoder().encode(text))
    t.match(readDeliveryNotes(broken), { ...unknown, damaged: ['uplink/hint', key] })
    broken.values.set('uplink/hint', new TextEncoder().encode('3;7;closed'))
    t.throws(() => readDeliveryNotes(broken), { code: 'WADI_FORMAT_NEWER' })
  }
})

t.test('the notes of version 1 are taken over', async (t) => {
  const state = new State()
  const old = {
    version: 1,
    confirmed: [['plant', [5, 0]]],
    ending: { producerId: '9007199254740993', targets: [['centre.plant', 1, 77]], next: [['plant', [9, 0]]] },
    topicIds: [['centre.plant', 'ab'.repeat(16)]]
  }
  state.values.set('uplink/position', new TextEncoder().encode(JSON.stringify(old)))
  t.same(readDeliveryNotes(state), {
    incarnation: 4,
    isClosed: false,
    confirmed: new Map([['plant', { places: [], nextOffsets: [5, 0], isClosed: false, incarnation: 4 }]]),
    written: new Map()
  })
  state.values.set('uplink/position', new TextEncoder().encode(JSON.stringify({ ...old, ending: null })))
  t.equal(readDeliveryNotes(state)?.isClosed, true)
  state.apply(deliveryNoteChanges(state, notes))
  t.same(state.listState('uplink/position'), [], 'and it is gone')
  for (const text of ['null', '[]', '{"version":2}', '{"version":1,"confirmed":[["a",[-1]]],"topicIds":[]}']) {
    const broken = new State()
    broken.values.set('uplink/position', new TextEncoder().encode(text))
    const unknown = { incarnation: state.incarnation - 1, isClosed: false, confirmed: new Map(), written: new Map() }
    t.same(readDeliveryNotes(broken), { ...unknown, damaged: ['uplink/position'] }, text)
  }
})

function place(upstreamTopic: string): Place {
  return { upstreamTopic, gatewayId: 'gateway-1' }
}
