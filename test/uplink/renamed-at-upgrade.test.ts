// Proves for runtime/uplink/former-ids.ts: delivery notes of a version that did not note gateway ids are of the id that was in use then, also when the
// first start of this version has another one: nothing is sent again, and the notices say what happened.

import t from 'tap'
import { goodLink } from '../sim/sim-link.ts'
import { numbers, Rig } from './rig.ts'

type Version = 'without ids' | 'first'

/** The notes as a version before wrote them. */
async function asOf(rig: Rig, version: Version): Promise<void> {
  const { store, machine } = rig
  const texts = store.listState('uplink/confirmed/').map((key) => [key, Buffer.from(store.getState(key) ?? []).toString()] as const)
  const changes: { key: string; value: Uint8Array | null }[] =
    version === 'without ids'
      ? texts.map(([key, text]) => ({ key, value: Buffer.from(text.replaceAll(/@[^;,]+/g, '').replace(/;(?:open|closed)$/, '')) }))
      : [...texts.map(([key]) => key), ...store.listState('uplink/written/'), 'uplink/hint'].map((key) => ({ key, value: null }))
  if (version === 'first') {
    const confirmed = texts
      .map(([, text]) => text.split(';'))
      .map(([topic, , list = '']) => [topic, list.split(',').map((n) => parseInt(n, 36))])
    changes.push({ key: 'uplink/position', value: Buffer.from(JSON.stringify({ version: 1, confirmed, ending: null })) })
  }
  await machine.settle(store.commit([], changes))
}

async function live(
  rig: Rig,
  gatewayId: string,
  { texts, ending }: { texts: readonly string[]; ending: 'closed' | 'killed' }
): Promise<void> {
  rig.start({ gatewayId })
  await rig.machine.run(100_000) // longer than a transaction may be open
  for (let at = 0; at < texts.length; at += 3) await rig.deliver(texts.slice(at, at + 3))
  await end(rig, ending)
}

async function end(rig: Rig, ending: 'closed' | 'killed'): Promise<void> {
  if (ending === 'closed') await rig.close()
  else rig.kill()
  rig.centre.link = structuredClone(goodLink)
  rig.notices.length = 0
  await rig.open()
}

for (const version of ['without ids', 'first'] as const) {
  for (const ending of ['closed', 'killed'] as const) {
    // The first version noted every transaction before its commit.
    if (version === 'first' && ending === 'killed') continue
    t.test(`notes of the version ${version}, ${ending}; an id that was in use before is in use again: nothing is sent again`, async (t) => {
      const rig = new Rig()
      await rig.open()
      await live(rig, 'g2', { texts: numbers(6), ending })
      await live(rig, 'g1', { texts: numbers(30, 6), ending })
      await asOf(rig, version)
      rig.start({ gatewayId: 'g2' })
      await rig.machine.run(100_000)
      t.same(rig.values(), numbers(36))
      t.same(rig.noticeKinds(), ['renamed'])
      await end(rig, 'killed')
      rig.start({ gatewayId: 'g2' })
      await rig.machine.run(100_000)
      await rig.deliver(['later'])
      t.same(rig.values(), [...numbers(36), 'later'], 'also when that start delivered nothing')
      t.equal(rig.uplink.status().counters.undecidedEvents, 0)
      await rig.close()
    })

    t.test(`notes of the version ${version}, ${ending}; the id is the same: nothing is looked for, nothing is sent again`, async (t) => {
      const rig = new Rig()
      await rig.open()
      await live(rig, 'g1', { texts: numbers(30), ending })
      await asOf(rig, version)
      rig.start({ gatewayId: 'g1' })
      await rig.deliver(['later'])
      t.same(rig.values(), [...numbers(30), 'later'])
      t.same(rig.noticeKinds(), [])
      await rig.close()
    })

    t.test(
      `notes of the version ${version}, ${ending}; the id is the same and the centre went back: it is believed, and told`,
      async (t) => {
        const rig = new Rig()
        await rig.open()
        await live(rig, 'g1', { texts: numbers(30), ending })
        await asOf(rig, version)
        rig.centre.alterPositions((piece) => piece.replace(/;plant=[0-9a-z]+/, ';plant=i')) // 18
        rig.start({ gatewayId: 'g1' })
        await rig.machine.run(100_000)
        t.same(rig.values(), [...numbers(30), ...numbers(12, 18)])
        t.same(rig.noticeKinds(), ['went-back'])
        await rig.close()
      }
    )
  }
}

t.test('the centre has deleted what would tell the id: it is sent again from where this id was, and told', async (t) => {
  const rig = new Rig()
  await rig.open()
  await live(rig, 'g2', { texts: numbers(6), ending: 'closed' })
  await live(rig, 'g1', { texts: numbers(30, 6), ending: 'closed' })
  await asOf(rig, 'without ids')
  rig.centre.deleteRecords('centre.plant')
  rig.start({ gatewayId: 'g2' })
  await rig.machine.run(100_000)
  t.same(rig.values(), [...numbers(36), ...numbers(30, 6)])
  t.same(rig.noticeKinds(), ['went-back'])
  t.match(rig.notices[0]?.text, /or gateway\.id was another/)
  await rig.close()
})
