// Proves that the simulated edges do what the checks rely on: nothing unsynced is safe, everything synced is, and one seed is one run.

import t from 'tap'
import { DiskError } from '../../runtime/io/disk.ts'
import { Prng } from './prng.ts'
import { SimClock } from './sim-clock.ts'
import { SimDisk, type SimDiskOptions } from './sim-disk.ts'

const NOTHING = { sectorPercent: 0, sizePercent: 0, entryPercent: 0 }
const EVERYTHING = { sectorPercent: 100, sizePercent: 100, entryPercent: 100 }

function rig(options: Partial<SimDiskOptions> = {}, seed = 1): { clock: SimClock; disk: SimDisk } {
  const clock = new SimClock()
  return { clock, disk: new SimDisk({ clock, prng: new Prng(seed), ...options }) }
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

async function contentOf(disk: SimDisk, path: string): Promise<string | null> {
  const found = disk.files().find((file) => file.path === path)
  return found ? new TextDecoder().decode(found.bytes) : null
}

t.test('the clock runs events by time, then by the order they were set', async (t) => {
  const clock = new SimClock()
  const seen: string[] = []
  clock.after(5, () => seen.push('c'))
  clock.after(1, () => seen.push('a'))
  clock.after(1, () => seen.push('b'))
  clock.after(2, () => seen.push('never')).cancel()
  await clock.run({ untilMs: 4 })
  t.same(seen, ['a', 'b'])
  t.equal(clock.monotonicMs(), 4)
  t.equal(clock.pendingCount, 1)
  await clock.run({ untilMs: 5 })
  t.same(seen, ['a', 'b', 'c'])
})

t.test('between two events every promise goes on as far as it can', async (t) => {
  const clock = new SimClock()
  const seen: string[] = []
  clock.after(1, () => {
    void (async () => {
      for (let turn = 0; turn < 50; turn++) await null
      seen.push('chain')
    })()
  })
  clock.after(1, () => seen.push('next'))
  await clock.run({ untilMs: 1 })
  t.same(seen, ['chain', 'next'])
})

t.test('a killed process gets no callback any more', async (t) => {
  const clock = new SimClock()
  const process = clock.process()
  process.after(1, () => t.fail('dead'))
  t.equal(process.pendingCount, 1)
  process.kill()
  process.after(1, () => t.fail('dead'))
  await clock.run({ untilMs: 10 })
  t.equal(process.pendingCount, 0)
  t.equal(clock.pendingCount, 0)
})

t.test('settle says so when a promise can never settle', async (t) => {
  const { clock } = rig()
  await t.rejects(clock.settle(new Promise(() => undefined), { limitMs: 10 }), /still pending/)
})

t.test('what is not synced is lost when the luck is nothing, and kept when it is everything', async (t) => {
  for (const luck of [NOTHING, EVERYTHING]) {
    const { clock, disk } = rig({}, luck === NOTHING ? 1 : 2)
    const file = await clock.settle(disk.open('/data', 'create'))
    await clock.settle(disk.syncDirectory('/'))
    await clock.settle(file.writeAt(0, bytesOf('first')))
    await clock.settle(file.sync())
    await clock.settle(file.writeAt(5, bytesOf(' second')))
    disk.powerCut(luck)
    const content = await contentOf(disk, '/data')
    if (luck === NOTHING) t.equal(content, 'first')
    else t.match(content, /^first/)
  }
})

t.test('a synced file whose directory was not synced has no name after a power cut', async (t) => {
  const { clock, disk } = rig()
  const file = await clock.settle(disk.open('/data', 'create'))
  await clock.settle(file.writeDurableAt(0, bytesOf('content')))
  disk.powerCut(NOTHING)
  t.equal(await contentOf(disk, '/data'), null)
})

t.test('a rename is one item: after a cut the old or the new name leads to the whole content', async (t) => {
  const seen = new Set<string>()
  for (let seed = 1; seed < 30; seed++) {
    const { clock, disk } = rig({}, seed)
    const file = await clock.settle(disk.open('/new', 'create'))
    await clock.settle(file.writeDurableAt(0, bytesOf('content')))
    await clock.settle(disk.syncDirectory('/'))
    await clock.settle(disk.rename('/new', '/final'))
    disk.powerCut({ ...NOTHING, entryPercent: 50 })
    const names = disk.files().map((entry) => entry.path)
    t.equal(names.length, 1)
    t.equal(await contentOf(disk, names[0] as string), 'content')
    seen.add(names[0] as string)
  }
  t.same([...seen].sort(), ['/final', '/new'])
})

t.test('a removal that was not synced can come back; one that was does not', async (t) => {
  const { clock, disk } = rig()
  await clock.settle(disk.open('/a', 'create'))
  await clock.settle(disk.open('/b', 'create'))
  await clock.settle(disk.syncDirectory('/'))
  await clock.settle(disk.remove('/a'))
  await clock.settle(disk.syncDirectory('/'))
  await clock.settle(disk.remove('/b'))
  disk.powerCut(NOTHING)
  t.same(
    disk.files().map((file) => file.path),
    ['/b']
  )
})

t.test('a file that was left there stays, whatever became of its name before and was not synced', async (t) => {
  const { clock, disk } = rig()
  await clock.settle(disk.open('/data', 'create'))
  await clock.settle(disk.remove('/data'))
  disk.crash()
  disk.leave('/data', bytesOf('left'))
  await clock.settle(disk.syncDirectory('/'))
  disk.powerCut(NOTHING)
  t.equal(await contentOf(disk, '/data'), 'left')
  await clock.settle(disk.remove('/data'))
  await clock.settle(disk.syncDirectory('/'))
  disk.powerCut(EVERYTHING)
  t.equal(await contentOf(disk, '/data'), null, 'what becomes of it afterwards counts')
})

t.test('a write during a sync is not covered by it', async (t) => {
  const { clock, disk } = rig({ delayMs: { min: 1, max: 1 } })
  const file = await clock.settle(disk.open('/data', 'create'))
  await clock.settle(disk.syncDirectory('/'))
  await clock.settle(file.writeAt(0, bytesOf('one')))
  const sync = file.sync()
  await clock.settle(file.writeAt(0, bytesOf('two')))
  await clock.settle(sync)
  disk.powerCut(NOTHING)
  t.equal(await contentOf(disk, '/data'), 'one')
})

t.test('after a failed sync the next one says OK and the bytes are gone all the same', async (t) => {
  let lost = 0
  for (let seed = 1; seed < 20; seed++) {
    const { clock, disk } = rig({}, seed)
    const file = await clock.settle(disk.open('/data', 'create'))
    await clock.settle(disk.syncDirectory('/'))
    await clock.settle(file.writeAt(0, new Uint8Array(4096).fill(7)))
    disk.failNext('sync', '/data', 'EIO')
    await t.rejects(clock.settle(file.sync()), DiskError)
    await clock.settle(file.sync())
    disk.powerCut(EVERYTHING)
    const { bytes } = disk.files()[0] as { bytes: Uint8Array }
    if (bytes.some((byte) => byte === 0)) lost++
  }
  t.ok(lost > 0, `${lost} of 19 runs lost sectors`)
})

t.test('a killed process leaves the cache whole and its calls never settle', async (t) => {
  const { clock, disk } = rig()
  const file = await clock.settle(disk.open('/data', 'create'))
  await clock.settle(file.writeAt(0, bytesOf('kept')))
  await clock.settle(disk.lock('/'))
  const pending = file.sync().then(() => t.fail('settled'))
  disk.crash()
  await clock.run({ untilMs: clock.monotonicMs() + 100_000 })
  await t.rejects(clock.settle(file.sizeBytes(), { limitMs: 10 }), /still pending/)
  t.equal(await contentOf(disk, '/data'), 'kept')
  await t.resolves(clock.settle(disk.lock('/')))
  void pending
})

t.test('a full disk takes what fits, says ENOSPC, and takes more when there is room', async (t) => {
  const { clock, disk } = rig({ capacityBytes: 1000 })
  const file = await clock.settle(disk.open('/data', 'create'))
  await t.rejects(clock.settle(file.writeAt(0, new Uint8Array(1500))), { code: 'ENOSPC' })
  t.equal(await clock.settle(file.sizeBytes()), 1000)
  t.equal(await clock.settle(disk.freeBytes('/')), 0)
  await clock.settle(file.truncate(100))
  await clock.settle(file.writeAt(100, new Uint8Array(900)))
})

t.test('a buffer that is reused before the write is done is written wrong', async (t) => {
  const { clock, disk } = rig()
  const file = await clock.settle(disk.open('/data', 'create'))
  const bytes = bytesOf('right')
  const write = file.writeAt(0, bytes)
  bytes.set(bytesOf('wrong'))
  await clock.settle(write)
  t.equal(await contentOf(disk, '/data'), 'wrong')
})

t.test('only one holds the lock', async (t) => {
  const { clock, disk } = rig()
  const lock = await clock.settle(disk.lock('/'))
  await t.rejects(clock.settle(disk.lock('/')), { code: 'ELOCKED' })
  await lock.release()
  await t.resolves(clock.settle(disk.lock('/')))
})

async function randomRun(seed: number): Promise<{ print: string; wasLawful: boolean }> {
  const { clock, disk } = rig({}, seed)
  const prng = new Prng(seed)
  const file = await clock.settle(disk.open('/data', 'create'))
  await clock.settle(disk.syncDirectory('/'))
  let synced = 0
  for (let step = prng.below(20); step > 0; step--) {
    await clock.settle(file.writeAt(synced, new Uint8Array(prng.between(1, 3000)).fill(prng.between(1, 255))))
    if (prng.chance(40)) {
      await clock.settle(file.sync())
      synced = await clock.settle(file.sizeBytes())
    }
  }
  const before = (disk.files()[0] as { bytes: Uint8Array }).bytes.slice(0, synced)
  disk.powerCut()
  const after = (disk.files()[0] as { bytes: Uint8Array }).bytes
  return {
    print: `${clock.monotonicMs()} ${Buffer.from(after).toString('base64')}`,
    wasLawful: Buffer.from(after.subarray(0, synced)).equals(before)
  }
}

t.test('one seed, the same bytes twice; synced bytes survive every cut', async (t) => {
  const prints = new Set<string>()
  for (let seed = 1; seed <= 100; seed++) {
    const first = await randomRun(seed)
    const second = await randomRun(seed)
    if (first.print !== second.print) t.fail(`SEED=${seed}: two runs differ`)
    if (!first.wasLawful) t.fail(`SEED=${seed}: synced bytes changed`)
    prints.add(first.print)
  }
  t.ok(prints.size > 90, 'seeds differ from each other')
})
