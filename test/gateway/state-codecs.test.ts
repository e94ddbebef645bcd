// Proves for the codecs of all areas of the durable state: bytes that none of our versions wrote are damage by name, or are what the codec itself writes for
// what it read; never anything else. A greater format number is refused as newer. What older versions wrote is read.

import t from 'tap'
import { WadiError } from '../../runtime/base/errors.ts'
import '../../gateway/index.ts' // everything that ships
import { registeredAreas } from '../../runtime/log/state-area.ts'
import { Prng, seeds } from '../sim/prng.ts'

interface Samples {
  readonly now: readonly (string | Uint8Array)[]
  /** Of versions before: read, and written in another way. */
  readonly older?: readonly string[]
  readonly newer?: readonly (string | Uint8Array)[]
}

const olderConfig =
  '{"partitionCount":2,"codec":"best","retentionMs":604800000,"retentionBytes":null,"quotaBytes":1000000,"whenFull":"reject","dropUndelivered":false,"isForwarded":true}'
const config = `${olderConfig.slice(0, -1)},"cleanup":"compact","segmentBytes":1048576,"segmentAgeMs":null,"batchBytesMax":null,"timestampType":"LogAppendTime","timestampBehindMsMax":5,"timestampAheadMsMax":null,"given":{"cleanup.policy":"compact"}}`
const topicId = '0123456789abcdef0123456789abcdef'
const removal = '{"topicName":"plant","reason":"damage","records":7,"isLoss":true}'
const transaction =
  '{"v":1,"producerId":"1000","epoch":3,"lastEpoch":-1,"timeoutMs":60000,"status":"Ongoing","partitions":[[1,0],[2,5]],"groups":["g"],"time":1700000000000,"start":1699999999000}'
const pending =
  '{"v":1,"offsets":[{"groupId":"g","topicName":"plant","partitionIndex":0,"offset":12,"leaderEpoch":-1,"metadata":"m","topicNumber":1}]}'

function storedMessage(header: string, payload: string): Uint8Array {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(Buffer.byteLength(header))
  return Buffer.concat([Buffer.from([1]), length, Buffer.from(header), Buffer.from(payload)])
}

const will = storedMessage('{"topic":"d/will","qos":1,"retain":true,"delay":30,"expiry":60,"properties":"AQE="}', 'gone')
const retained = storedMessage('{"topic":"d/ä","qos":2,"retain":true,"expires":1700000000000}', '{"t":21}')

/** By the name of the area. */
const samples: Readonly<Record<string, Samples>> = {
  topic: {
    now: [`{"number":1,"id":"${topicId}","config":${config},"isLocal":false}`, `{"number":1,"id":"${topicId}","config":${config}}`],
    older: [
      `{"number":1,"id":"${topicId}","config":{"partitionCount":1,"codec":"snappy"}}`,
      `{"number":1,"id":"${topicId}","config":${olderConfig},"isLocal":false}`
    ]
  },
  'meta/last-topic': { now: ['0', '17', '9007199254740991'] },
  gone: { now: ['{"v":1,"name":"plant","partitions":3,"isMoved":false}'], newer: ['{"v":2}'] },
  ended: { now: [`{"v":1,"ends":[5,0],"removals":[${removal}]}`, '{"v":1,"ends":[],"removals":[]}'], newer: ['{"v":2,"ends":[]}'] },
  'meta/incarnation': { now: ['1', '4711'] },
  'meta/damaged': { now: ['1', '4711'] },
  hole: { now: ['120 7', '120 0', '120'] },
  unnamed: { now: ['20'] },
  removed: {
    now: [
      '{"v":1,"start":5,"delivered":7,"lost":{"retention":0,"quota":3},"dropped":0}',
      '{"v":1,"start":5,"batch":2,"delivered":7,"lost":{"retention":0,"quota":3,"deletion":2},"dropped":0}'
    ],
    newer: ['{"v":3}']
  },
  compacted: { now: ['{"v":1,"end":900,"mapFrom":0,"passes":[[400,1700000000000],[900,1700000100000]]}'], newer: ['{"v":2}'] },
  damage: { now: ['12'] },
  'mqtt.qos2': { now: [new Uint8Array([1, 2, 3, 4])] },
  'mqtt.will': { now: [will, storedMessage('{"topic":"d/x","qos":0}', '')], newer: [new Uint8Array([2])] },
  'mqtt.retained': { now: [retained], newer: [new Uint8Array([3, 0, 0])] },
  'mqtt.retained-part': { now: [new Uint8Array([1, 5, 6])], newer: [new Uint8Array([2, 5])] },
  'mqtt.session': {
    now: ['{"v":1,"expirySeconds":60}', '{"v":1,"expirySeconds":4294967295,"endedMs":1700000000000,"version":5}'],
    newer: ['{"v":2}']
  },
  'mqtt.subscription': {
    now: ['{"v":1,"filter":"a/#","qos":1}', '{"v":1,"filter":"+","qos":0,"noLocal":true,"retainAsPublished":true,"id":7}'],
    newer: ['{"v":2}']
  },
  'mqtt.flight': {
    now: [new Uint8Array([1, 0, 0, 0, 0, 0]), new Uint8Array([1, 5, 9, 2, 1, 1, 1, 0, 20, 2, 3, 1, 1, 0, 30, 1, 1, 0, 33])],
    newer: [new Uint8Array([2, 0])]
  },
  'mqtt.queue': { now: [new Uint8Array([1, 0, 2, 1, 0, 20, 1, 3, 0x80, 0x01])], newer: [new Uint8Array([2])] },
  'mqtt.queued': { now: [new Uint8Array([1, 2, 5, 0x80, 0x01]), new Uint8Array([1, 0])], newer: [new Uint8Array([2])] },
  'mqtt.routed': { now: [new Uint8Array([1, 2, 5, 0x80, 0x01]), new Uint8Array([1, 0])], newer: [new Uint8Array([2])] },
  'meta/starts': { now: ['1.,2.a0b1c2', '1.zzzzzz'] },
  epoch: { now: ['1000'] },
  'uplink/hint': { now: ['2;7;closed', '2;1;open'], newer: ['3;7;closed', '10'] },
  'uplink/confirmed': {
    now: [
      'plant;centre.plant@gateway-1,old@b;5,zz;open;7',
      'plant;centre.plant;5;closed',
      'plant;centre.plant@gateway-1;5',
      'plant;;0;open;7'
    ]
  },
  'uplink/written': { now: [`plant;centre.plant;${topicId};0:5,1:zz`, 'plant;centre.plant;;'] },
  'uplink/forks': { now: ['[{"branchId":"a0b1c2","after":3},{"branchId":"b","after":5,"cuts":{"plant/0":17}}]', '[]'] },
  'uplink/position': {
    now: [`{"version":1,"confirmed":[["plant",[5,0]]],"ending":null,"topicIds":[["centre.plant","${topicId}"]]}`],
    newer: []
  },
  'uplink/parked': { now: ['5', '5,7-9,12'] },
  'producer-id/next': { now: ['{"v":1,"next":2000}'], newer: ['{"v":2,"next":2000}'] },
  producer: {
    now: [Buffer.from('020003 0000018bcfe56800 ac02 02 0a02ac02 0c0103'.replaceAll(' ', ''), 'hex')],
    older: [
      '{"v":1,"epoch":3,"batches":[[10,11,300,301,1700000000000],[12,12,305,305,1700000000000]],"txn":299,"time":1700000000000}',
      '{"v":1,"epoch":-1,"batches":[],"txn":null,"time":1700000000000}'
    ],
    newer: [new Uint8Array([3, 0]), '{"v":2}']
  },
  aborted: { now: ['{"v":1,"producerId":"9007199254740993","firstOffset":5}'], newer: ['{"v":2}'] },
  txn: { now: [transaction, transaction.replace(',"time":1700000000000', '')], newer: ['{"v":2}'] },
  'txn-abort': { now: ['{"v":1,"epoch":4,"lastEpoch":3,"time":1700000000000}'], newer: ['{"v":2}'] },
  'txn-offsets': { now: [pending, pending.replace(',"topicNumber":1', '')], newer: ['{"v":2}'] },
  group: {
    now: [Buffer.concat([Buffer.from([1]), Buffer.from('{"v":1,"type":"consumer","generation":3')]), new Uint8Array([2, 0xff])],
    newer: [new Uint8Array([3, 0])]
  },
  offsets: {
    now: ['{"v":1,"offset":5,"epoch":-1,"metadata":"\u00e4","time":1700000000000}', '{"v":1,"offset":5,"epoch":0,"metadata":""}'],
    newer: ['{"v":2}']
  }
}

const areas = registeredAreas()
const bytesOf = (value: string | Uint8Array): Buffer => Buffer.from(value as Uint8Array)
const HUGE = ['99999999999999999999', '9007199254740993', '1e400', '1e21', '-1', '1.5', '007', 'NaN', 'Infinity', '', ' 5']

/** Nothing of ours, of which some is in the form of a value. */
function* garbageFor({ now, older = [] }: Samples): Generator<Buffer> {
  for (const text of [
    '',
    ' ',
    'xyz',
    'null',
    '{}',
    '[]',
    '7',
    '"xyz"',
    'true',
    '{"v":1}',
    '{"v":null}',
    '{"v":"2"}',
    '{"v":1.5}',
    '{"v":0}',
    '[null]',
    '[[]]',
    ';',
    ';;;;',
    ',',
    '-',
    ' ',
    '\0'
  ])
    yield bytesOf(text)
  for (const huge of HUGE) yield bytesOf(huge)
  yield bytesOf(new Uint8Array([0xff, 0xfe, 0x00]))
  yield bytesOf(new Uint8Array(20).fill(0xff))
  yield bytesOf(`[{"branchId":"${'x'.repeat(70_000)}"}]`)
  for (const sample of [...now, ...older].map(bytesOf)) {
    for (let end = 0; end < sample.byteLength; end++) yield sample.subarray(0, end)
    for (const more of [' ', '\n', '0', '\0', ',', ';', '}']) yield Buffer.concat([sample, Buffer.from(more)])
    yield Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), sample])
    const text = sample.toString('latin1')
    for (const { 0: digits, index } of text.matchAll(/\d+/g))
      for (const huge of HUGE) yield Buffer.from(text.slice(0, index) + huge + text.slice(index + digits.length), 'latin1')
    for (const { 0: word, index } of text.matchAll(/"[^"]*"|true|false|null|\[|\{/g))
      for (const other of ['null', '{}', '[]', '7', '"xyz"'])
        yield Buffer.from(text.slice(0, index) + other + text.slice(index + word.length), 'latin1')
  }
}

/** A number that cannot be counted with. */
function hasNoNumber(value: unknown): boolean {
  if (typeof value === 'number') return !Number.isFinite(value)
  if (value instanceof Map) return [...value].some(hasNoNumber)
  return typeof value === 'object' && value !== null && Object.values(value).some(hasNoNumber)
}

/** What the area makes of it: how it is written again, or the code of the error. */
function outcome(area: (typeof areas)[number], value: Uint8Array): Buffer | string {
  const key = area.rules.keys === '' ? area.key() : area.key(1, 2, 3)
  try {
    const decoded = area.decode(value, key)
    if (hasNoNumber(decoded)) return `${key} decodes to something with NaN`
    return Buffer.from(area.put(key, decoded).value as Uint8Array)
  } catch (error) {
    if (!(error instanceof WadiError)) throw error
    const { happened, kept, next } = error.story
    if (!happened.includes(key) || kept === '' || next === '') throw new Error(`${error.code} does not say which: ${happened}`)
    return error.code
  }
}

t.test('each area has samples, which are read and written again as they were; so are those of older versions from then on', async (t) => {
  t.same(Object.keys(samples).sort(), areas.map(({ name }) => name).sort())
  for (const area of areas) {
    const { now, older = [], newer = [] } = samples[area.name] as Samples
    for (const value of now.map(bytesOf)) t.same(outcome(area, value), value, `${area.name}: ${value}`)
    for (const value of older.map(bytesOf)) {
      const again = outcome(area, value)
      t.ok(Buffer.isBuffer(again), `${area.name}: ${value}`)
      t.same(outcome(area, again as Buffer), again)
    }
    for (const value of newer.map(bytesOf)) t.equal(outcome(area, value), 'WADI_FORMAT_NEWER', `${area.name}: ${value}`)
  }
})

for (const area of areas) {
  t.test(`${area.name}: what none of our versions wrote is damage by name`, async (t) => {
    const own = samples[area.name] as Samples
    let refused = 0
    const check = (value: Buffer): void => {
      const seen = outcome(area, value)
      if (seen === 'WADI_STATE_DAMAGED' || (seen === 'WADI_FORMAT_NEWER' && own.newer)) refused++
      else if (typeof seen === 'string') t.fail(`${seen}: ${value.subarray(0, 200)}`)
      else if (own.older && !seen.equals(value)) t.same(outcome(area, seen), seen, `${value}`)
      else if (!seen.equals(value)) t.equal(seen.toString(), value.toString())
    }
    for (const value of garbageFor(own)) check(value)
    t.ok(refused > 30, `${refused} refused`)
  })
}

for (const seed of seeds({ count: 3 })) {
  t.test(`random bytes, and samples with a byte changed (replay with SEED=${seed})`, async (t) => {
    const prng = new Prng(seed)
    for (const area of areas) {
      const { now, older = [] } = samples[area.name] as Samples
      const all = [...now, ...older].map(bytesOf)
      for (let round = 0; round < 400; round++) {
        const value = prng.chance(50) ? Buffer.alloc(prng.below(40)) : Buffer.from(prng.pick(all))
        const isRandom = value.every((byte) => byte === 0)
        for (let at = 0; at < value.byteLength; at++) if (isRandom || prng.chance(3)) value[at] = prng.below(256)
        const seen = outcome(area, value)
        if (Buffer.isBuffer(seen) && !seen.equals(value) && (!older.length || !outcome(area, seen).toString().startsWith(seen.toString())))
          t.fail(`${area.name}: ${value.toString('latin1')} is written as ${seen.toString('latin1')}`)
      }
    }
  })
}
