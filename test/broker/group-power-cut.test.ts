// Consumer groups through power cuts on the real storage engine and a simulated disk: what a member was told of its generation and its assignment before a
// cut is so after it, a static member that was told its new id has it, and who left with the last of them has left.

import t from 'tap'
import { type Broker, openBroker } from '../../runtime/broker/broker.ts'
import type { JoinAnswer } from '../../runtime/broker/group-member.ts'
import { sleep } from '../../runtime/io/clock.ts'
import { loadTestCore } from '../helpers/core.ts'
import { SimMachine } from '../helpers/sim-store.ts'
import { simCodec } from '../sim/sim-codec.ts'
import type { SimDiskOptions } from '../sim/sim-disk.ts'
import { claim, EMPTY, encoder, request, syncRequest } from './group-requests.ts'

const CUT_COUNT = 8
const SEED_COUNT = 25
const NAMES = ['a', 'b', 'c']
/** Longer than a whole run between two cuts: nobody is removed for being silent. */
const PATIENT = { sessionTimeoutMs: 1_800_000, rebalanceTimeoutMs: 1_800_000 }
const decoder = new TextDecoder()

interface Told {
  readonly joined: JoinAnswer
  readonly assignment: string
}

class Run {
  readonly machine: SimMachine
  /** Of this life: null while the power is off. */
  broker: Broker | null = null
  /** By instance: what it was told last. */
  readonly told = new Map<string, Told>()
  /** Instances that have asked for a new id and do not know yet whether they have one: no answer came before the power was cut. */
  readonly asking = new Set<string>()
  /** All were told that they have left, and nobody has asked for anything since. */
  isEmpty = true
  rounds = 0

  constructor(seed: number, disk: Partial<SimDiskOptions>) {
    this.machine = new SimMachine(seed, { disk })
  }

  async open(): Promise<void> {
    const { machine } = this
    const store = await machine.open()
    const settings = { initialRebalanceDelayMs: 0 }
    this.broker = openBroker({ store, core: loadTestCore(), clock: machine.clock, random: machine.prng.fork(), codec: simCodec, settings })
  }

  cut(): void {
    this.broker?.close()
    this.broker = null
    this.machine.powerCut()
  }

  /** Rebalances, static members that come back, and now and then all leave. Ends only by a cut: `broker` is that of this life. */
  async live(broker: Broker): Promise<void> {
    while (this.broker === broker) {
      const kind = this.machine.prng.below(10)
      if (kind < 4 && this.asking.size === 0) await this.#rebalance(broker)
      else if (kind < 9) await this.#comeBack(broker, this.machine.prng.pick(NAMES))
      else await this.#leaveAll(broker)
      this.rounds++
      await sleep(this.machine.clock, this.machine.prng.below(3))
    }
  }

  async #rebalance(broker: Broker): Promise<void> {
    const { groups } = broker
    this.isEmpty = false
    const wasEmpty = (groups.find('g')?.memberCount ?? 0) === 0
    const joining = NAMES.map((name) => {
      const metadata = encoder.encode(`${name}${this.rounds}`)
      const memberId = this.told.get(name)?.joined.memberId ?? ''
      return groups.join(request({ groupInstanceId: name, memberId, ...PATIENT, protocols: [{ name: 'range', metadata }] }))
    })
    const early = wasEmpty ? await this.#firstAlone(broker, joining) : await Promise.all(joining)
    if (this.broker !== broker) return
    const assignments = new Map(early.map(({ memberId }, at) => [memberId, encoder.encode(`${NAMES[at]}@${early[0]?.generationId}`)]))
    await Promise.all(
      early.map(async (joined, at) => {
        const name = NAMES[at] as string
        const answer = await groups.sync('g', syncRequest(joined, joined.leaderId === joined.memberId ? assignments : EMPTY, name))
        if (answer.fault === 'NONE' && this.broker === broker)
          this.told.set(name, { joined, assignment: decoder.decode(answer.assignment) })
      })
    )
  }

  /** Of an empty group the first member has a generation alone, and comes again for that of all. */
  async #firstAlone(broker: Broker, joining: readonly Promise<JoinAnswer>[]): Promise<JoinAnswer[]> {
    const first = await (joining[0] as Promise<JoinAnswer>)
    const again = broker.groups.join(request({ groupInstanceId: NAMES[0] as string, memberId: first.memberId, ...PATIENT }))
    return Promise.all([again, ...joining.slice(1)])
  }

  async #comeBack(broker: Broker, name: string): Promise<void> {
    const known = this.told.get(name)
    if (!known || broker.groups.find('g')?.status !== 'Stable') return
    this.asking.add(name)
    const joined = await broker.groups.join(request({ groupInstanceId: name, ...PATIENT }))
    if (this.broker !== broker || joined.fault !== 'NONE') return
    this.told.set(name, { joined, assignment: known.assignment })
    this.asking.delete(name)
  }

  async #leaveAll(broker: Broker): Promise<void> {
    for (const name of this.told.keys()) broker.groups.leave('g', { memberId: '', groupInstanceId: name })
    this.told.clear()
    this.asking.clear()
    await broker.groups.whenSaved('g')
    if (this.broker === broker) this.isEmpty = true
  }

  /** After a cut. */
  async violations(): Promise<string[]> {
    const { groups } = this.broker as Broker
    const found: string[] = []
    const group = groups.find('g')
    if (this.isEmpty && (group?.memberCount ?? 0) > 0) found.push(`${group?.memberCount} members have left`)
    for (const [name, { joined, assignment }] of this.told) {
      const generationId = group?.generationId ?? 0
      if (generationId < joined.generationId) found.push(`${name} was told of generation ${joined.generationId}, there is ${generationId}`)
      if (generationId !== joined.generationId || this.asking.has(name)) continue
      const fault = groups.heartbeat('g', claim(joined, name))
      if (fault !== 'NONE') found.push(`${name}: ${fault}`)
      const synced = await groups.sync('g', syncRequest(joined, EMPTY, name))
      const now = decoder.decode(synced.assignment)
      if (fault === 'NONE' && now !== assignment) found.push(`${name} was told "${assignment}" and has "${now}"`)
    }
    return found
  }
}

const seeds = process.env.SEED === undefined ? Array.from({ length: SEED_COUNT }, (_, at) => at + 1) : [Number(process.env.SEED)]

async function live(seed: number, disk: Partial<SimDiskOptions> = {}): Promise<{ violations: string[]; rounds: number }> {
  const run = new Run(seed, disk)
  const violations: string[] = []
  try {
    await run.open()
    for (let cut = 0; cut < CUT_COUNT; cut++) {
      const { broker } = run
      run.live(broker as Broker).catch((error: unknown) => violations.push(`a call failed: ${String(error)}`))
      await run.machine.run(run.machine.prng.between(1, 400))
      run.cut()
      await run.open()
      violations.push(...(await run.violations()))
    }
    run.cut()
  } catch (error) {
    violations.push(`the life ended: ${String(error)}`)
  }
  return { violations, rounds: run.rounds }
}

t.test('what members were told before a power cut is so after it', async (t) => {
  let rounds = 0
  for (const seed of seeds) {
    const life = await live(seed)
    t.same(life.violations, [], `SEED=${seed}`)
    rounds += life.rounds
  }
  t.ok(rounds > 20 * seeds.length, `${rounds} rounds in ${seeds.length} runs of ${CUT_COUNT} power cuts`)
})

t.test('a disk that skips syncs is caught (canary of the rig)', async (t) => {
  const lives = await Promise.all([1, 2, 3].map((seed) => live(seed, { lie: 'sync-skipped' })))
  t.ok(lives.some(({ violations }) => violations.length > 0))
})
