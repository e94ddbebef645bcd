// Proves for runtime/uplink: a link that is lost while nothing is sent is told as lost, and is made again by itself, without an event.

import t from 'tap'
import { goodLink } from '../sim/sim-link.ts'
import { numbers, Rig } from './rig.ts'

async function idleRig(): Promise<Rig> {
  const rig = new Rig()
  await rig.open()
  rig.start()
  await rig.deliver(numbers(3))
  return rig
}

const stateOf = (rig: Rig): string => rig.uplink.status().state

t.test('a link that is lost while idle is down at once, and up again when it is there, with nothing sent', async (t) => {
  const rig = await idleRig()
  const states: string[] = []
  rig.uplink.onStatus(({ state }) => states.push(state))
  t.equal(stateOf(rig), 'idle')
  await rig.machine.run(300_000)
  t.same(states, [], 'a link that is there is not touched')
  rig.centre.link = { ...goodLink, isDown: true }
  await rig.machine.run(200)
  const down = rig.uplink.status()
  t.match(down, { state: 'waiting', lastError: 'connection refused' })
  await rig.machine.run(300_000)
  t.equal(rig.uplink.status().sinceMs, down.sinceMs, 'down since then, whatever was tried')
  t.not(stateOf(rig), 'idle')
  rig.centre.link = { ...goodLink }
  await rig.machine.run(70_000)
  t.equal(stateOf(rig), 'idle')
  await rig.deliver(numbers(3, 3))
  t.same(rig.values(), numbers(6))
  await rig.close()
})

t.test('events that come while it is down, a pause, and a loss while sending: each event once', async (t) => {
  const rig = await idleRig()
  for (let round = 1; round <= 20; round++) {
    rig.centre.link = { ...goodLink, isDown: true }
    if (round % 4 === 0) rig.uplink.pause()
    await rig.append(numbers(3, round * 3))
    await rig.machine.run(round * 37)
    rig.centre.link = { ...goodLink }
    if (round % 4 === 0) rig.uplink.resume()
    await rig.machine.run(round * 53)
  }
  await rig.machine.run(70_000)
  t.same(rig.values(), numbers(63))
  t.equal(stateOf(rig), 'idle')
  await rig.close()
})

t.test('canary: an uplink that does not listen for the loss is noticed', async (t) => {
  const rig = new Rig()
  await rig.open()
  const { connect } = rig.centre
  rig.centre.connect = (...given) => Object.assign(connect.apply(rig.centre, given), { onLost: () => undefined })
  rig.start()
  await rig.deliver(numbers(3))
  rig.centre.link = { ...goodLink, isDown: true }
  await rig.machine.run(450_000)
  t.equal(stateOf(rig), 'idle', 'up, it says')
  await rig.close()
})
