// Proves for runtime/log/state-snapshot.ts and snapshot-codec.ts: what is written is what is read, also when values are larger than a slice; format 1 is
// read; whatever byte of the newest file is wrong or missing, whatever it says of its size or holds with a right checksum, the one before is used and that
// is reported; a newer format is refused untouched.

import t from 'tap'
import type { SnapshotHead, StateEntry } from '../../runtime/log/snapshot-codec.ts'
import { decodeSnapshot, encodeSnapshot } from '../../runtime/log/snapshot-codec.ts'
import { StateMap } from '../../runtime/log/state-map.ts'
import { loadSnapshot, writeSnapshot } from '../../runtime/log/state-snapshot.ts'
import { loadTestCore } from '../helpers/core.ts'
import { SimMachine } from '../helpers/sim-store.ts'
import { Prng, seeds } from '../sim/prng.ts'

const core = loadTestCore()
const HEADER_BYTES = 16
const head: SnapshotHead = {
  logId: 'a'.repeat(32),
  replayAfter: 1,
  stateSequence: 2,
  generation: 3,
  journalFileBytes: [4096],
  recoveryPoints: [[1, 0, 0, -1, 0, 0, 0]],
  droppedRecords: 4,
  lostRecords: 5
}
const few: readonly StateEntry[] = [
  ['topic/a', Buffer.from('{}')],
  ['topic/b', new Uint8Array(0)],
  ['topic/', new Uint8Array([2])],
  ['plain', new Uint8Array([0, 1])],
  ['/', new Uint8Array([3])],
  ['mqtt.qos2/ä/1', new Uint8Array(4)]
]
const meter = { onWrite: () => undefined, onSync: () => undefined }

async function machineWith(snapshots: readonly (readonly StateEntry[])[]): Promise<SimMachine> {
  const machine = new SimMachine(1)
  const { disk, clock } = machine
  await machine.settle(disk.makeDirectory('/data/state'))
  for (const [index, state] of snapshots.entries())
    await machine.settle(
      writeSnapshot({ disk, core, clock, meter, directory: '/data', number: index + 1 }, head, new StateMap(state).image())
    )
  return machine
}

const load = (machine: SimMachine) => machine.settle(loadSnapshot(machine.disk, core, '/data'))
const plain = (state: Iterable<StateEntry>) => Array.from(state, ([key, value]) => [key, Buffer.from(value)])
const pathOf = (number: number): string => `/data/state/${String(number).padStart(20, '0')}.state`

async function contentOf(machine: SimMachine, path: string): Promise<Uint8Array> {
  const file = await machine.settle(machine.disk.open(path, 'read'))
  const bytes = new Uint8Array(await machine.settle(file.sizeBytes()))
  await machine.settle(file.readAt(0, bytes))
  await machine.settle(file.close())
  return bytes
}

async function replace(machine: SimMachine, path: string, bytes: Uint8Array): Promise<void> {
  const file = await machine.settle(machine.disk.open(path, 'create'))
  await machine.settle(file.truncate(0))
  if (bytes.byteLength > 0) await machine.settle(file.writeAt(0, bytes))
  await machine.settle(file.close())
}

for (const seed of seeds({ count: 6 })) {
  t.test(`what is written is what is read (replay with SEED=${seed})`, async (t) => {
    const prng = new Prng(seed)
    const state = new Map<string, Uint8Array>(few)
    for (let at = 0; at < 3_000; at++) {
      const key = `${prng.pick(['a', 'b', 'area "x"', 'é'])}/${'k'.repeat(prng.below(200))}${at}`
      state.set(key, new Uint8Array(prng.chance(1) ? prng.below(65_537) : prng.below(100)).fill(at))
    }
    const machine = await machineWith([[...state]])
    const loaded = await load(machine)
    const { state: found, ...numbers } = loaded?.snapshot ?? { state: [] }
    const read = [...found]
    t.same(numbers, head)
    t.equal(read.length, state.size)
    t.equal(
      read.findIndex(([key, value]) => !Buffer.from(value).equals(Buffer.from(state.get(key) ?? [255, 255, 255]))),
      -1
    )
  })
}

t.test(
  'every byte of the newest that is wrong, and every place where it ends early, makes the one before count, and is reported',
  async (t) => {
    const machine = await machineWith([few.slice(1), few])
    const newest = await contentOf(machine, pathOf(2))
    t.equal((await load(machine))?.number, 2)
    const isOlder = async (bytes: Uint8Array): Promise<boolean> => {
      await replace(machine, pathOf(2), bytes)
      const loaded = await load(machine)
      return loaded?.number === 1 && loaded.damaged.join() === pathOf(2)
    }
    for (let at = 0; at < newest.byteLength; at++) {
      const changed = newest.slice()
      changed[at] = (changed[at] as number) ^ 0x41
      if (!(await isOlder(changed))) t.fail(`byte ${at} changed`)
      if (!(await isOlder(newest.slice(0, at)))) t.fail(`ends at ${at}`)
    }
    await replace(machine, pathOf(2), newest)
    const loaded = await load(machine)
    t.same(plain(loaded?.snapshot.state ?? []), plain(few))
  }
)

/** Each slice holds until the next one is asked for. */
function payloadOf(state: readonly StateEntry[]): Buffer {
  const slices: Buffer[] = []
  for (const slice of encodeSnapshot(head, new StateMap(state).image())) slices.push(Buffer.from(slice))
  return Buffer.concat(slices)
}

t.test('a payload that is not of this form is no snapshot, whatever its checksum says', async (t) => {
  const payload = payloadOf(few)
  t.same(plain(decodeSnapshot(2, payload)?.state ?? []), plain(few))
  for (let end = 0; end < payload.byteLength; end++) if (decodeSnapshot(2, payload.subarray(0, end)) !== null) t.fail(`${end} bytes`)
  t.equal(decodeSnapshot(1, payload), null)
  const numbersEnd = 4 + payload.readUInt32BE(0)
  for (const kind of [2, 255]) {
    const unknown = Buffer.from(payload)
    unknown[payload.indexOf(Buffer.from([1, 2, 0x2f, 0x61]), numbersEnd)] = kind // the value of topic/a
    t.equal(decodeSnapshot(2, unknown), null, `an entry of kind ${kind}`)
  }
  const withoutArea = Buffer.from(payload)
  withoutArea[numbersEnd] = 1
  t.equal(decodeSnapshot(2, withoutArea), null, 'a value in front of every area')
})

t.test('numbers that are missing, or are none, are no snapshot, in both formats', async (t) => {
  const framed = (json: string): Buffer => Buffer.concat([Buffer.from([0, 0, 0, json.length]), Buffer.from(json)])
  const isRefused = (fields: object): boolean => {
    const json = JSON.stringify(fields)
    return decodeSnapshot(1, Buffer.from(json)) === null && decodeSnapshot(2, framed(json)) === null
  }
  const whole = { ...head, values: 0, state: {} }
  t.notOk(isRefused({ ...whole, state: undefined }) || decodeSnapshot(1, Buffer.from(JSON.stringify(whole))) === null)
  for (const name of Object.keys(head)) {
    t.ok(isRefused({ ...whole, [name]: undefined }), `without ${name}`)
    for (const other of [null, 'xyz', {}, [[1]], 1.5, 1e300])
      t.ok(isRefused({ ...whole, [name]: other }) || typeof other === 'string', name)
  }
  for (const json of ['null', '{}', '[]', '7', '"xyz"', '']) {
    t.equal(decodeSnapshot(1, Buffer.from(json)), null, `format 1: ${json}`)
    t.equal(decodeSnapshot(2, framed(json)), null, `format 2: ${json}`)
  }
  for (const state of [null, 7, [], { 'topic/a': 7 }])
    t.equal(decodeSnapshot(1, Buffer.from(JSON.stringify({ ...whole, state }))), null, `state ${JSON.stringify(state)}`)
})

t.test('a file that grew, and one that says it is large, are not held in memory: the one before counts', async (t) => {
  const machine = await machineWith([few, few])
  const newest = await contentOf(machine, pathOf(2))
  const { disk } = machine
  const { fileSizeBytes } = disk
  let sizeBytes = 0
  disk.fileSizeBytes = (path) => (path === pathOf(2) ? Promise.resolve(sizeBytes) : fileSizeBytes.call(disk, path))
  const load2 = async (size: number, saidBytes: number): Promise<void> => {
    sizeBytes = size
    const lying = newest.slice()
    new DataView(lying.buffer).setUint32(8, saidBytes)
    await replace(machine, pathOf(2), lying)
    const before = process.memoryUsage().arrayBuffers
    const loaded = await load(machine)
    t.same([loaded?.number, loaded?.damaged], [1, [pathOf(2)]], `${size} bytes, and it says ${saidBytes}`)
    t.ok(process.memoryUsage().arrayBuffers - before < 16 * 1024 * 1024)
  }
  await load2(newest.byteLength + 1, newest.byteLength - HEADER_BYTES)
  await load2(9 * 1024 ** 3, newest.byteLength - HEADER_BYTES)
  await load2(HEADER_BYTES + 0xffff_ffff, 0xffff_ffff)
  await load2(HEADER_BYTES + 1024 ** 3, 1024 ** 3)
})

/** As 0.1.0 and the versions up to this format wrote it. */
function formatOne(state: readonly StateEntry[], version = 1): Uint8Array {
  const values = Object.fromEntries(state.map(([key, value]) => [key, Buffer.from(value).toString('base64')]))
  const payload = Buffer.from(JSON.stringify({ ...head, state: values }))
  const bytes = Buffer.alloc(HEADER_BYTES + payload.byteLength)
  bytes.write('WADS', 0)
  bytes.writeUInt32BE(version, 4)
  bytes.writeUInt32BE(payload.byteLength, 8)
  payload.copy(bytes, HEADER_BYTES)
  bytes.writeUInt32BE(core.crc32c(payload, core.crc32c(bytes.subarray(0, 12))), 12)
  return bytes
}

t.test('format 1 is read, a newer one is refused and left as it is', async (t) => {
  const machine = await machineWith([[]])
  await replace(machine, pathOf(2), formatOne(few))
  const loaded = await load(machine)
  t.equal(loaded?.number, 2)
  t.same(plain(loaded?.snapshot.state ?? []), plain(few))
  t.equal(loaded?.snapshot.lostRecords, 5)
  const newer = formatOne(few, 3)
  await replace(machine, pathOf(2), newer)
  await t.rejects(load(machine), { code: 'WADI_FORMAT_NEWER' })
  t.same(Buffer.from(await contentOf(machine, pathOf(2))), Buffer.from(newer))
})
