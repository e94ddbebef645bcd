// A model of MQTT sessions that publish at QoS 2 through two listeners: the real memory of packet ids over the real log store, on the
// simulated disk. Devices follow the protocol, use the lowest free packet id again at once and mostly say the same thing: what is
// remembered too long is a lost event then, what is forgotten too early a second one. Connections break and are taken over, PUBLISH and PUBREL are
// repeated over either listener, commits are refused, the process is killed, the power is cut, devices begin a clean session.
// Not for: bytes on the wire and aedes (test/mqtt).

import { Qos2Memory } from '../../adapters/mqtt/qos2-memory.ts'
import { WadiError } from '../../runtime/base/errors.ts'
import type { Store } from '../../runtime/log/contract.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { loadTestCore } from '../helpers/core.ts'
import { event, readAll, SimMachine } from '../helpers/sim-store.ts'
import { Prng } from './prng.ts'
import { noFaults } from './sim-disk.ts'

/** What a canary breaks. */
export type Qos2Mutation = 'none' | 'a memory for each listener' | 'PUBCOMP before it is durable' | 'a refused deletion forgets'

interface InFlight {
  readonly name: string
  readonly content: string
  stage: 'publish' | 'pubrel'
}

interface Connection {
  readonly client: { readonly id: string; readonly clean: boolean }
  readonly memory: Qos2Memory
  isClosed: boolean
}

interface Device {
  readonly id: string
  sent: number
  connection: Connection | null
  wantsClean: boolean
  readonly window: Map<number, InFlight>
  /** Ids that the device forgot at a reboot and that the gateway may still remember: the next message on one says something new. */
  readonly stale: Set<number>
}

const DEVICES = 3
const MESSAGES = 12
const WINDOW = 3
const STEPS_MAX = 4_000
const CALM_MS = 5_000

export class Qos2World {
  readonly violations: string[] = []
  /** What was met, and how often. */
  readonly reached = new Map<string, number>()
  readonly #prng: Prng
  readonly #machine: SimMachine
  readonly #mutation: Qos2Mutation
  readonly #devices: Device[]
  /** Messages by name: whether the device knows that they arrived, or gave them up. */
  readonly #messages = new Map<string, 'open' | 'complete' | 'given-up'>()
  #store!: LogStore
  #memories: readonly Qos2Memory[] = []
  #areFaultsOn = true

  constructor(seed: number, mutation: Qos2Mutation = 'none') {
    this.#machine = new SimMachine(seed)
    this.#machine.disk.faults = { ...noFaults, stallPercent: 4, stallMs: 40 }
    this.#prng = new Prng(seed ^ 0x905_2)
    this.#mutation = mutation
    this.#devices = Array.from({ length: DEVICES }, (_, index) => ({
      id: `device/${index}`,
      sent: 0,
      connection: null,
      wantsClean: false,
      window: new Map(),
      stale: new Set()
    }))
  }

  async run(): Promise<void> {
    await this.#open()
    await this.#machine.settle(this.#store.createTopic('events'))
    for (let step = 0; step < STEPS_MAX && !this.#isDone(); step++) {
      await this.#machine.run(this.#prng.between(0, 6))
      if (this.#prng.chance(0.7)) await this.#crash()
      this.#act(this.#prng.pick(this.#devices))
    }
    this.#areFaultsOn = false
    for (let turn = 0; turn < 500 && !this.#isDone(); turn++) {
      await this.#machine.run(CALM_MS / 100)
      for (const device of this.#devices) this.#act(device)
    }
    if (!this.#isDone()) this.violations.push('the devices did not come to an end')
    await this.#judge()
  }

  async #open(): Promise<void> {
    this.#store = await this.#machine.open()
    const store = this.#refusing(this.#store)
    const memory = (): Qos2Memory => {
      const isConnected = (clientId: string): boolean => this.#devices.some(({ id, connection }) => id === clientId && connection !== null)
      return this.#mutated(new Qos2Memory({ store, core: loadTestCore(), perClientMax: WINDOW, totalMax: 100, isConnected }))
    }
    const first = memory()
    this.#memories = [first, this.#mutation === 'a memory for each listener' ? memory() : first]
  }

  /** Sometimes a commit is refused, in its place in the order and without effect. */
  #refusing(store: LogStore): Pick<Store, 'commit' | 'listState' | 'getState'> {
    return {
      commit: async (appends, state) => {
        if (!this.#isRefused()) return store.commit(appends, state)
        await store.commit([], [{ key: 'refused/x', value: null }])
        throw noSpace()
      },
      listState: (prefix) => store.listState(prefix),
      getState: (key) => store.getState(key)
    }
  }

  #isRefused(): boolean {
    const isRefused = this.#prng.chance(8) && this.#areFaultsOn
    if (isRefused) this.#reach('refused')
    return isRefused
  }

  #mutated(memory: Qos2Memory): Qos2Memory {
    const release = memory.release.bind(memory)
    const isRemembered = memory.isRemembered.bind(memory)
    if (this.#mutation === 'PUBCOMP before it is durable') {
      memory.release = async (client, packetId) => void release(client, packetId).catch(() => {})
    }
    if (this.#mutation === 'a refused deletion forgets') {
      const forgotten = new Set<string>()
      memory.release = (client, packetId) => {
        forgotten.add(`${client.id}/${packetId}`)
        return release(client, packetId)
      }
      memory.isRemembered = (client, packetId) => !forgotten.delete(`${client.id}/${packetId}`) && isRemembered(client, packetId)
    }
    return memory
  }

  async #crash(): Promise<void> {
    for (const device of this.#devices) this.#close(device.connection)
    if (this.#prng.chance(50)) this.#machine.kill()
    else this.#machine.powerCut()
    this.#reach('crashes')
    await this.#open()
  }

  #isDone(): boolean {
    return this.#devices.every(({ sent, window }) => sent === MESSAGES && window.size === 0)
  }

  // --- the device

  #act(device: Device): void {
    if (device.connection?.isClosed) device.connection = null
    const prng = this.#prng
    if (device.connection === null) return this.#connect(device)
    if (this.#areFaultsOn && prng.chance(4)) {
      device.wantsClean = prng.chance(25)
      this.#reach(device.connection.isClosed ? 'reconnects' : 'takeovers')
      return this.#connect(device)
    }
    if (this.#areFaultsOn && prng.chance(5)) return this.#close(device.connection)
    if (this.#areFaultsOn && prng.chance(2)) return this.#reboot(device)
    if (prng.chance(10)) {
      for (const [packetId, message] of device.window) this.#send(device, packetId, message)
      return
    }
    if (device.sent === MESSAGES || device.window.size === WINDOW || device.wantsClean) return
    let packetId = 1
    while (device.window.has(packetId)) packetId++
    const message: InFlight = { name: `${device.id}#${device.sent++}`, content: this.#contentFor(device, packetId), stage: 'publish' }
    this.#messages.set(message.name, 'open')
    device.window.set(packetId, message)
    this.#send(device, packetId, message)
  }

  #contentFor(device: Device, packetId: number): string {
    const isUsual = this.#prng.chance(85)
    if (device.stale.delete(packetId)) return `after reboot ${device.sent}`
    return isUsual ? 'on' : 'off'
  }

  /** The device loses its session and counts from 1 again, without a word. */
  #reboot(device: Device): void {
    this.#reach('reboots')
    this.#giveUpWindow(device)
    this.#connect(device)
    this.#act(device)
  }

  #giveUpWindow(device: Device): void {
    for (const [packetId, { name }] of device.window) {
      this.#messages.set(name, 'given-up')
      device.stale.add(packetId)
    }
    device.window.clear()
  }

  #connect(device: Device): void {
    this.#close(device.connection)
    const memory = this.#prng.pick(this.#memories)
    const connection: Connection = { client: { id: device.id, clean: device.wantsClean }, memory, isClosed: false }
    device.connection = connection
    if (!device.wantsClean) {
      for (const [packetId, message] of device.window) this.#send(device, packetId, message)
      return
    }
    this.#reach('clean sessions')
    this.#giveUpWindow(device)
    this.#later(connection, () => {
      memory.forget(device.id).then(
        () =>
          this.#later(connection, () => {
            device.stale.clear()
            device.wantsClean = false
            this.#close(connection)
          }),
        () => this.#close(connection)
      )
    })
  }

  #send(device: Device, packetId: number, message: InFlight): void {
    const { connection } = device
    if (!connection || connection.client.clean) return
    const { stage } = message
    this.#later(connection, () => {
      if (stage === 'publish') this.#takePublish(device, connection, packetId, message)
      else this.#takePubrel(device, connection, packetId, message)
    })
  }

  // --- the gateway, as publish-intake.ts and aedes do it

  #takePublish(device: Device, connection: Connection, packetId: number, message: InFlight): void {
    const known = connection.memory.begin(connection.client, { packetId, mqttTopic: 't', payload: Buffer.from(message.content) })
    const answer = (error: Error | null): void => {
      if (error) return this.#close(connection)
      this.#later(connection, () => {
        if (device.window.get(packetId) !== message || message.stage !== 'publish') return
        message.stage = 'pubrel'
        this.#send(device, packetId, message)
      })
    }
    this.#reach(known.kind)
    if (known.kind === 'full') return this.#close(connection)
    if (known.kind === 'later') {
      return known.whenSettled(() => {
        if (!connection.isClosed) this.#takePublish(device, connection, packetId, message)
      })
    }
    if (known.kind === 'repeat') return known.whenDone(answer)
    const partition = this.#store.topics.get('events')?.partitions[0]
    if (!partition) throw new Error('no topic')
    const isRefused = this.#isRefused()
    const done = (error: WadiError | null): void => {
      const outcome = isRefused ? noSpace() : error
      known.settle(outcome, outcome === null)
      answer(outcome)
    }
    if (isRefused) this.#store.commit([], [{ key: 'refused/x', value: null }]).then(() => done(null), done)
    else this.#store.append(partition, event(message.content, { key: message.name }), done, known.state)
  }

  #takePubrel(device: Device, connection: Connection, packetId: number, message: InFlight): void {
    const complete = (): void =>
      this.#later(connection, () => {
        if (device.window.get(packetId) !== message) return
        device.window.delete(packetId)
        this.#messages.set(message.name, 'complete')
        this.#reach('complete')
      })
    if (!connection.memory.isRemembered(connection.client, packetId)) return complete()
    connection.memory.release(connection.client, packetId).then(complete, () => this.#close(connection))
  }

  #close(connection: Connection | null): void {
    if (connection) connection.isClosed = true
  }

  /** One packet on its way: in order, some time later, lost with the connection. */
  #later(connection: Connection, arrive: () => void): void {
    this.#machine.clock.after(3, () => {
      if (!connection.isClosed) arrive()
    })
  }

  async #judge(): Promise<void> {
    const partition = this.#store.topics.get('events')?.partitions[0]
    const counts = new Map<string, number>()
    for (const { key } of partition ? await this.#machine.settle(readAll(partition)) : []) {
      const name = new TextDecoder().decode(key ?? new Uint8Array())
      counts.set(name, (counts.get(name) ?? 0) + 1)
    }
    for (const [name, state] of this.#messages) {
      const count = counts.get(name) ?? 0
      if (count > 1) this.violations.push(`${name} is there ${count} times`)
      if (count === 0 && state === 'complete') this.violations.push(`${name} is lost`)
    }
    const stale = new Set(this.#devices.flatMap(({ id, stale }) => [...stale].map((packetId) => `mqtt.qos2/${id}/${packetId}`)))
    const left = this.#store.listState('mqtt.qos2/').filter((key) => !stale.has(key))
    if (this.#isDone() && left.length > 0) this.violations.push(`still remembered: ${left.join(', ')}`)
    await this.#machine.settle(this.#store.close())
  }

  #reach(what: string): void {
    this.reached.set(what, (this.reached.get(what) ?? 0) + 1)
  }
}

function noSpace(): WadiError {
  return new WadiError('WADI_DISK_FULL', { happened: 'No space.', kept: 'All that was acknowledged.', next: 'Make room.' })
}
