// On a slow device the next commit waits a little for those whom the last one answered: a closed loop shares one sync instead of two in turn.

import t from 'tap'
import type { Partition } from '../../runtime/log/contract.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { MIB } from '../../runtime/log/settings.ts'
import { event, SimMachine } from '../helpers/sim-store.ts'

const CLIENTS = 5
const SECONDS = 1

interface Figures {
  readonly perCommit: number
  readonly perSecond: number
  /** Of one write, as the store sees it. */
  readonly writeMs: number
}

/** Clients that send again a moment after they were answered. They begin one behind the other, in the middle of each other's writes. */
async function closedLoop({ delayMs, returnMs }: { delayMs: number; returnMs: number }): Promise<Figures> {
  const bytes = { journalFileBytes: 64 * MIB, commitBytesMax: MIB, sealBytes: 64 * MIB, tailBytesMax: 256 * MIB }
  const settings = { ...bytes, lingerMs: 2, sealAgeMs: 600_000, checkpointAgeMs: 600_000 }
  const machine = new SimMachine(3, { settings, disk: { delayMs: { min: delayMs, max: delayMs } } })
  const store: LogStore = await machine.open()
  const partition = (await machine.settle(store.createTopic('a', { codec: 'none' }))).partitions[0] as Partition
  let answered = 0
  const send = (): void =>
    store.append(partition, event('x'.repeat(4_000)), (error) => {
      if (error) throw error
      answered++
      machine.clock.after(returnMs, send)
    })
  for (let client = 0; client < CLIENTS; client++) machine.clock.after(client * delayMs * 2.5, send)
  await machine.run(2_000)
  const before = { answered, commits: store.metrics.commits }
  await machine.run(SECONDS * 1_000)
  const events = answered - before.answered
  const figures = { perCommit: events / (store.metrics.commits - before.commits), perSecond: events / SECONDS, writeMs: store.writeMs }
  machine.powerCut()
  return figures
}

t.test('a closed loop on a slow device comes together', async (t) => {
  const { perCommit, perSecond, writeMs } = await closedLoop({ delayMs: 5, returnMs: 0.5 })
  t.ok(perCommit > CLIENTS - 0.2, `${perCommit} to a commit`)
  const together = (CLIENTS / (writeMs + 1)) * 1_000
  t.ok(perSecond > together, `${perSecond} a second, all together make ${together}`)
})

t.test('who does not come again is not waited for longer than linger', async (t) => {
  const { perSecond, writeMs } = await closedLoop({ delayMs: 5, returnMs: 9 })
  const halves = (CLIENTS / 2 / (writeMs + 2.1)) * 1_000
  t.ok(perSecond >= halves, `${perSecond} a second, two halves in turn that wait 2 ms each make ${halves}`)
})

t.test('on a fast device nobody waits', async (t) => {
  const { perSecond, writeMs } = await closedLoop({ delayMs: 0.3, returnMs: 0.1 })
  const halves = (CLIENTS / 2 / (writeMs + 0.1)) * 1_000
  t.ok(perSecond >= halves, `${perSecond} a second, two halves in turn without a pause make ${halves}`)
})
