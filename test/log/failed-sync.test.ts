// Proves: a sync that fails, whatever it says, is final for what it did not write. Nothing acknowledged is lost by a power cut after it, and no
// offset is given twice. "No space" for something new is no such thing: it is tried again.

import t from 'tap'
import { DiskError, type DiskErrorCode } from '../../runtime/io/disk.ts'
import { nodeDisk } from '../../runtime/io/node-disk.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import { appendText, readAll, SimMachine, textOf } from '../helpers/sim-store.ts'

const EVENTS = 30
const SEEDS = 12
const CODES: readonly DiskErrorCode[] = ['EIO', 'ENOSPC', 'EDQUOT', 'EFBIG', 'EMFILE']
const PLACES = [
  ['sync', '.log'],
  ['sync', '.index'],
  ['sync', 'state'],
  ['sync-directory', 'topics'],
  ['sync-directory', 'state'],
  ['write-sync', 'journal']
] as const

/** Events, one failing sync, a power cut. Returns what is wrong then. */
async function liveThrough(
  seed: number,
  [operation, pathPart]: readonly [string, string],
  code: DiskErrorCode
): Promise<{ wrong: string[]; isMet: boolean }> {
  const machine = new SimMachine(seed * 7919)
  const store = await machine.open()
  const partition = (await machine.settle(store.createTopic('telemetry', { codec: 'none' }))).partitions[0] as Partition
  const acked: string[] = []
  const send = async (text: string): Promise<void> => {
    const done = appendText(store, partition, text).then(
      () => acked.push(text),
      () => undefined
    )
    await machine.settle(done)
  }
  // In a few commits, so that the journal is not full and the checkpoint below is the first.
  for (let i = 0; i < EVENTS; i += 10) await Promise.all(Array.from({ length: 10 }, (_, j) => send(`event ${i + j} ${'s'.repeat(150)}`)))
  machine.disk.failNext(operation, pathPart, code)
  await machine.settle(store.flush().catch(() => undefined))
  for (let i = EVENTS; i < EVENTS + 5; i++) await send(`event ${i} `)
  await machine.run(machine.prng.below(20_000))
  const wrong: string[] = []
  const isMet = machine.disk.reached.has(`planned:${operation}`)
  machine.disk.heal()
  if (isMet && store.failure?.code !== 'WADI_LOG_FAILED') wrong.push(`failure is ${store.failure?.code}`)
  if ((await machine.settle(readAll(partition))).length < acked.length) wrong.push('it does not serve reads')
  machine.powerCut()
  const again = await machine.open()
  const recovered = again.topics.get('telemetry')?.partitions[0] as Partition
  const texts = (await machine.settle(readAll(recovered))).map(textOf)
  const lost = acked.filter((text) => !texts.includes(text))
  if (lost.length > 0) wrong.push(`${lost.length} of ${acked.length} acknowledged events are lost`)
  if (again.report.holes.length + again.report.missingCommits + again.metrics.lostRecords > 0) wrong.push('a loss is reported')
  return { wrong, isMet }
}

for (const place of PLACES) {
  for (const code of CODES) {
    t.test(`${place.join(' of ')} says ${code}: the store only reads, and a power cut loses nothing acknowledged`, async (t) => {
      let met = 0
      for (let seed = 1; seed <= SEEDS; seed++) {
        const { wrong, isMet } = await liveThrough(seed, place, code)
        t.same(wrong, [], `seed ${seed}`)
        if (isMet) met++
      }
      t.ok(met > 0, `the error was met in ${met} of ${SEEDS} lives`)
    })
  }
}

t.test('only what takes something new can be full', async (t) => {
  for (const code of ['ENOSPC', 'EDQUOT', 'EFBIG', 'EMFILE'] as const) {
    const isFull = (operation: string): boolean => new DiskError(code, { operation, path: '/x' }).isFull
    for (const operation of ['write', 'open', 'mkdir', 'truncate', 'rename']) t.equal(isFull(operation), true, `${operation} ${code}`)
    for (const operation of ['sync', 'write-sync', 'sync-directory', 'remove', 'close', 'read', 'list'])
      t.equal(isFull(operation), false, `${operation} ${code}`)
  }
  t.equal(new DiskError('EIO', { operation: 'write', path: '/x' }).isFull, false)
})

t.test('a checkpoint without room is tried again and forgets no file of a deleted segment', async (t) => {
  const machine = new SimMachine(9)
  const store = await machine.open()
  const topic = await machine.settle(store.createTopic('telemetry', { partitionCount: 2, codec: 'none', retentionBytes: 8_000 }))
  const [first, second] = topic.partitions as readonly Partition[] as [Partition, Partition]
  const retired = (): string[] => machine.disk.files().flatMap(({ path }) => (path.endsWith('.deleted') ? [path] : []))
  for (let i = 0; i < 120; i++) await machine.settle(appendText(store, first, `event ${i} ${'r'.repeat(300)}`))
  await machine.settle(store.flush())
  store.setDelivered(first, first.highWatermark)
  for (let i = 0; i < 20 && retired().length === 0; i++) await machine.run(250)
  const taken = retired()
  t.ok(taken.length > 0, 'retention has taken a segment')
  await machine.settle(appendText(store, second, 'event of the other partition'))
  machine.disk.failNext('open', 'telemetry-1', 'ENOSPC')
  await t.rejects(machine.settle(store.flush()), { code: 'ENOSPC' })
  await machine.settle(store.flush())
  const left = retired().filter((path) => taken.includes(path))
  t.same(left, [], 'its name is gone with the next checkpoint')
  t.equal(store.failure, null)
})

t.test('the real disk: a durable write without room is refused as a write, which may be tried again', async (t) => {
  const file = await nodeDisk.open('/dev/full', 'write').catch(() => null)
  if (file === null) return t.comment('this platform has no /dev/full: the simulated disk is the proof')
  const error: unknown = await file.writeDurableAt(0, new Uint8Array(4096)).catch((reason: unknown) => reason)
  t.match(error, { code: 'ENOSPC', operation: 'write', isFull: true })
  await file.close()
})
