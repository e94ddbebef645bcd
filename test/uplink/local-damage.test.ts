// Proves for runtime/uplink: when the disk of the gateway lost what it had stored, the warnings of the uplink do not say that somebody deleted it,
// or put an older image back: they name damage among the causes, and where to look.

import t from 'tap'
import { readDeliveryNotes } from '../../runtime/uplink/delivery-notes.ts'
import { UpstreamFault } from '../../runtime/uplink/upstream.ts'
import { Prng } from '../sim/prng.ts'
import { goodLink } from '../sim/sim-link.ts'
import { numbers, Rig } from './rig.ts'

t.test('events that damage took before they were delivered: the warning does not call it a deletion', async (t) => {
  const rig = new Rig()
  await rig.open()
  rig.start()
  rig.centre.link = { ...goodLink, isDown: true }
  await rig.append(numbers(300).map((text, index) => `${text} ${Buffer.from(new Prng(index).bytes(100)).toString('hex')}`))
  await rig.machine.run(10_000)
  await rig.close()
  const [first] = rig.machine.disk
    .files()
    .filter(({ path }) => path.includes('plant-0') && path.endsWith('.log'))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
  await rig.machine.settle(rig.machine.disk.remove(first?.path ?? ''))
  rig.centre.link = { ...goodLink }
  await rig.open()
  rig.start()
  await rig.machine.run(10_000)
  t.same(rig.noticeKinds(), ['hole'])
  t.notMatch(rig.notices[0]?.text, /were deleted/)
  t.match(rig.notices[0]?.text, /^plant\/0: \d+ events from 0 on .*not delivered.* retention, a quota or damage/)
  t.equal(rig.store.metrics.lostRecords, rig.uplink.status().counters.lostEvents)
  await rig.close()
})

t.test('a journal that lost events which were delivered: the warning names damage beside images and copies', async (t) => {
  const rig = new Rig()
  await rig.open()
  rig.start()
  await rig.deliver(numbers(10))
  rig.kill()
  for (const { path, bytes } of rig.machine.disk.files().filter(({ path }) => path.endsWith('.journal')))
    for (let at = 4096; at < bytes.byteLength; at += 4096) rig.machine.disk.rot(path, at + 20)
  await rig.open()
  rig.start()
  await rig.deliver(numbers(3, 100))
  t.same(rig.values(), [...numbers(10), ...numbers(3, 100)])
  const forked = rig.notices.find(({ kind }) => kind === 'forked')
  t.match(forked?.text, /older image .* copy .* lost what it had stored/)
  await rig.close()
})

/** Everything of `rotten` in the journal is gone; what is behind it is not, so it is no torn end. The centre forgets the position, too. */
async function loseOfJournal(rig: Rig, rotten: readonly string[]): Promise<void> {
  await rig.append(numbers(1, 900), { topic: 'other' })
  rig.kill()
  for (const { path, bytes } of rig.machine.disk.files().filter(({ path }) => path.endsWith('.journal')))
    for (let at = 4096; at < bytes.byteLength; at += 4096) {
      const block = Buffer.from(bytes.buffer, bytes.byteOffset + at, 4096)
      if (rotten.some((text) => block.includes(text))) rig.machine.disk.rot(path, at + 20)
    }
  rig.centre.expirePositions()
  rig.notices.length = 0
}

/** The journal alone has them. */
async function deliverUnsealed(rig: Rig): Promise<void> {
  await rig.append(numbers(3))
  await rig.machine.run(500)
}

const TOPICS = { plant: {}, other: {} }

/** `wadi.id` and `wadi.offset` of everything at the centre. */
function names(rig: Rig): string[] {
  return rig.centre.committed('centre.plant', 0).map(({ headers }) => `${headers.get('wadi.id')} ${headers.get('wadi.offset')}`)
}

t.test('a journal that lost all of what was delivered, and the notes know of nothing: what takes its offsets is a branch', async (t) => {
  const rig = new Rig()
  await rig.open(TOPICS)
  rig.start()
  await deliverUnsealed(rig)
  await loseOfJournal(rig, numbers(3))
  await rig.open(TOPICS)
  t.equal(rig.store.report.missingCommits > 0, true, 'the damage is found')
  t.equal(rig.store.topics.get('plant')?.partitions[0]?.highWatermark, 0)
  await rig.append(numbers(2, 100))
  rig.start()
  await rig.machine.run(10_000)
  t.same(rig.values(), [...numbers(3), ...numbers(2, 100)])
  t.equal(new Set(names(rig)).size, 5, 'no name is given twice')
  t.same(rig.noticeKinds(), ['forked'])
  await rig.close()
})

t.test(
  'so too when the notes know of it, and the newest batch there is of another partition: it is not looked for in front of that',
  async (t) => {
    const rig = new Rig()
    const lost = ['lost 0', 'lost 1', 'lost 2']
    const topics = { plant: { partitionCount: 2 }, other: {} }
    rig.centre.createTopic('centre.plant', 1)
    Object.assign(rig.machine.settings, { sealAgeMs: 3_600_000, checkpointAgeMs: 3_600_000 }) // the journal alone has them
    await rig.open(topics)
    rig.start()
    await rig.deliver(lost)
    await rig.deliver(numbers(1, 800), { partition: 1 })
    await loseOfJournal(rig, lost)
    await rig.open(topics)
    t.equal(rig.store.topics.get('plant')?.partitions[0]?.highWatermark, 0)
    t.same(readDeliveryNotes(rig.store)?.confirmed.get('plant')?.nextOffsets, [3, 1])
    await rig.append(numbers(2, 100))
    rig.start()
    await rig.machine.run(10_000)
    t.same(rig.values(), [...lost, ...numbers(1, 800), ...numbers(2, 100)])
    t.equal(new Set(names(rig)).size, 6, 'no name is given twice')
    t.same(rig.noticeKinds(), ['forked'])
    await rig.close()
  }
)

t.test('the same, and a start that did not reach the centre found the damage', async (t) => {
  const rig = new Rig()
  await rig.open(TOPICS)
  rig.start()
  await deliverUnsealed(rig)
  await loseOfJournal(rig, numbers(3))
  rig.centre.link = { ...goodLink, isDown: true }
  await rig.open(TOPICS)
  rig.start()
  const damagedStart = rig.store.incarnation
  t.equal(rig.store.lastDamagedStart, damagedStart)
  await rig.deliver(numbers(2, 100))
  rig.kill()
  rig.centre.link = { ...goodLink }
  await rig.open(TOPICS)
  t.equal(rig.store.report.missingCommits, 0, 'a checkpoint is behind it')
  t.equal(rig.store.lastDamagedStart, damagedStart)
  rig.start()
  await rig.deliver(numbers(2, 200))
  t.same(rig.values(), [...numbers(3), ...numbers(2, 100), ...numbers(2, 200)])
  t.equal(new Set(names(rig)).size, 7, 'no name is given twice')
  await rig.close()
})

t.test('the same without the right to read at the centre: it is a branch, because nobody can know', async (t) => {
  const rig = new Rig()
  await rig.open(TOPICS)
  rig.start()
  await deliverUnsealed(rig)
  await loseOfJournal(rig, numbers(3))
  await rig.open(TOPICS)
  rig.start()
  rig.upstream.readCommitted = () => Promise.reject(new UpstreamFault('refused', 'TOPIC_AUTHORIZATION_FAILED'))
  await rig.deliver(numbers(2, 100))
  t.same(rig.values(), [...numbers(3), ...numbers(2, 100)])
  t.equal(new Set(names(rig)).size, 5, 'no name is given twice')
  await rig.close()
})

t.test('a journal that lost the notes of what was delivered: it is looked for at the centre, and not sent again', async (t) => {
  const rig = new Rig()
  await rig.open(TOPICS)
  rig.start()
  await deliverUnsealed(rig)
  await loseOfJournal(rig, ['uplink/'])
  await rig.open(TOPICS)
  t.equal(rig.store.report.missingCommits > 0, true, 'the damage is found')
  rig.start()
  await rig.deliver(numbers(2, 100))
  t.same(rig.values(), [...numbers(3), ...numbers(2, 100)])
  t.equal(new Set(names(rig)).size, 5)
  t.same(rig.noticeKinds(), [], 'nothing is in doubt')
  await rig.close()
})
