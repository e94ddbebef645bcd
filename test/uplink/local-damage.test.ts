// Proves for runtime/uplink: when the disk of the gateway lost what it had stored, the warnings of the uplink do not say that somebody deleted it,
// or put an older image back: they name damage among the causes, and where to look.

import t from 'tap'
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
