// Proves for runtime/uplink/position.ts and hint.ts: what is written is read back, and nothing else is taken for a position.

import t from 'tap'
import { decodeHint, encodeHint } from '../../runtime/uplink/hint.ts'
import { decodePosition, encodePosition, METADATA_CHARS_MAX, type Position } from '../../runtime/uplink/position.ts'
import { Prng, seeds } from '../sim/prng.ts'

const LOG_ID = '0123456789abcdef0123456789abcdef'

t.test('a position comes back as it was written', async (t) => {
  const position: Position = {
    logId: LOG_ID,
    incarnation: 41,
    nextOffsets: new Map([
      ['plant.temperature', [0, 1, 35, 36, Number.MAX_SAFE_INTEGER]],
      ['meter_1-2', [7]]
    ])
  }
  t.same(decodePosition(encodePosition(position)), position)
})

t.test('the text is fixed: an older gateway must understand what this one writes', async (t) => {
  const text = encodePosition({ logId: 'abc', incarnation: 36, nextOffsets: new Map([['plant', [0, 100]]]) })
  t.equal(text, 'wadi1;abc;10;plant=0,2s')
})

t.test('garbage is not a position', async (t) => {
  const garbage = [
    '',
    'wadi1',
    'wadi1;abc',
    'wadi2;abc;0;plant=1',
    'wadi1;;0;plant=1',
    'wadi1;abc;-1;plant=1',
    'wadi1;abc;0;plant',
    'wadi1;abc;0;plant=',
    'wadi1;abc;0;plant=1,',
    'wadi1;abc;0;plant=01',
    'wadi1;abc;0;plant=1e9!',
    'wadi1;abc;0;plant=zzzzzzzzzzz',
    'wadi1;abc;0;plant=1;plant=2',
    'wadi1;abc;0;pl ant=1',
    'wadi1;abc;0;plant=1=2',
    '{"logId":"abc"}',
    'x'.repeat(METADATA_CHARS_MAX + 1)
  ]
  for (const text of garbage) t.equal(decodePosition(text), null, JSON.stringify(text.slice(0, 40)))
})

t.test('a position that does not fit the centre is refused in words, not cut', async (t) => {
  const nextOffsets = new Map([['plant', Array.from({ length: 1000 }, () => 10 ** 9)]])
  t.throws(() => encodePosition({ logId: LOG_ID, incarnation: 1, nextOffsets }), { code: 'WADI_CONFIG_INVALID' })
})

t.test('no mutation of a position makes the decoder throw, or accept a number that is not an offset', async (t) => {
  for (const seed of seeds({ count: 300 })) {
    const prng = new Prng(seed)
    const text = encodePosition({
      logId: LOG_ID,
      incarnation: prng.below(100),
      nextOffsets: new Map([['plant', [prng.below(1e9), prng.below(1e9)]]])
    })
    const at = prng.below(text.length)
    const mutated = text.slice(0, at) + String.fromCharCode(prng.below(128)) + text.slice(at + prng.below(3))
    const position = decodePosition(mutated)
    for (const offsets of position?.nextOffsets.values() ?? []) {
      if (!offsets.every((offset) => Number.isSafeInteger(offset) && offset >= 0)) t.fail(`SEED=${seed}: ${mutated}`)
    }
  }
})

t.test('a hint comes back as it was written; anything else is no hint', async (t) => {
  const hint = {
    confirmed: new Map([['plant', [5, 0]]]),
    ending: {
      producerId: 9007199254740993n,
      targets: [{ topicName: 'centre.plant', partitionIndex: 1, baseOffset: 77 }],
      next: new Map([['plant', [9, 0]]])
    },
    topicIds: new Map([['centre.plant', 'ab'.repeat(16)]])
  }
  const bytes = encodeHint(hint)
  t.same(decodeHint(bytes), hint)
  t.same(decodeHint(encodeHint({ ...hint, ending: null })), { ...hint, ending: null })
  t.equal(decodeHint(undefined), null)
  for (let cut = 0; cut < bytes.byteLength; cut++) if (decodeHint(bytes.subarray(0, cut)) !== null) t.fail(`cut at ${cut}`)
  for (const text of ['null', '[]', '{"version":2}', '{"version":1,"confirmed":[["a",[-1]]],"topicIds":[]}']) {
    t.equal(decodeHint(new TextEncoder().encode(text)), null, text)
  }
})
