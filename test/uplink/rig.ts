// A log store on a simulated disk, an uplink and a simulated centre, step by step: for the rules of the uplink one by one.

import type { TopicConfig } from '../../runtime/log/contract.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import type { Notice } from '../../runtime/uplink/notices.ts'
import type { UplinkSettings } from '../../runtime/uplink/settings.ts'
import { Uplink } from '../../runtime/uplink/uplink.ts'
import { loadTestCore } from '../helpers/core.ts'
import { event, SimMachine } from '../helpers/sim-store.ts'
import { Prng } from '../sim/prng.ts'
import { SimCentre, type SimUpstream } from '../sim/sim-centre.ts'
import type { SimProcessClock } from '../sim/sim-clock.ts'
import { simCodec } from '../sim/sim-codec.ts'
import type { SimDisk } from '../sim/sim-disk.ts'

export const ID = 'edge.test.gateway'
const GATEWAY_ID = 'g1'
const core = loadTestCore()

export class Rig {
  readonly machine: SimMachine
  readonly centre: SimCentre
  readonly notices: Notice[] = []
  store!: LogStore
  uplink!: Uplink
  process!: SimProcessClock
  upstream!: SimUpstream

  /** `beside`: another machine with `disk`, at the same time and before the same centre. */
  constructor({ beside, disk, ...options }: { batchBytesMax?: number; beside?: Rig; disk?: SimDisk } = {}) {
    this.machine = beside && disk ? new SimMachine(77, { beside: { clock: beside.machine.clock, disk } }) : new SimMachine(1)
    this.centre = beside?.centre ?? new SimCentre({ clock: this.machine.clock, prng: new Prng(2), ...options })
  }

  async open(topics: Record<string, Partial<TopicConfig>> = { plant: {} }): Promise<void> {
    this.store = await this.machine.open()
    for (const [name, config] of Object.entries(topics))
      if (!this.store.topics.has(name)) await this.machine.settle(this.store.createTopic(name, config))
  }

  start(settings: Partial<UplinkSettings> = {}): void {
    this.process = this.machine.clock.process()
    const { gatewayId = GATEWAY_ID } = settings
    this.upstream = this.centre.connect(this.process, gatewayId === GATEWAY_ID ? ID : `edge.test.${gatewayId}`)
    this.uplink = new Uplink({
      store: this.store,
      core,
      codec: simCodec,
      clock: this.process,
      random: new Prng(3),
      upstream: this.upstream,
      settings: { topics: new Map([['plant', 'centre.plant']]), gatewayId, ...settings }
    })
    this.uplink.onNotice((notice) => this.notices.push(notice))
    this.uplink.start()
  }

  /** Appends and waits until all are durable. */
  async append(
    texts: readonly string[],
    options: { topic?: string; partition?: number; keys?: readonly string[]; header?: readonly [string, string] } = {}
  ): Promise<void> {
    const partition = this.store.topics.get(options.topic ?? 'plant')?.partitions[options.partition ?? 0]
    if (!partition) throw new Error('no partition')
    const done = texts.map(
      (text, index) =>
        new Promise<void>((resolve, reject) => {
          const [key, { header }] = [options.keys?.[index], options]
          this.store.append(partition, event(text, { ...(key === undefined ? {} : { key }), ...(header && { header }) }), (error) =>
            error ? reject(error) : resolve()
          )
        })
    )
    await this.machine.settle(Promise.all(done))
  }

  /** The process dies; the disk's cache stays. */
  kill(): void {
    this.process.kill()
    this.machine.kill()
  }

  /** Appends to one topic and partition and lets the uplink deliver. */
  async deliver(texts: readonly string[], options: { topic?: string; partition?: number } = {}): Promise<void> {
    await this.append(texts, options)
    await this.machine.run(5_000)
  }

  values(topic = 'centre.plant', partition = 0): (string | null)[] {
    return this.centre.committed(topic, partition).map((record) => record.value)
  }

  noticeKinds(): string[] {
    return this.notices.map((notice) => notice.kind)
  }

  async close(): Promise<void> {
    await this.machine.settle(this.uplink.close({ deadlineMs: 5_000 }))
    await this.machine.settle(this.store.close())
  }
}

export const numbers = (count: number, from = 0): string[] => Array.from({ length: count }, (_, index) => `e${from + index}`)
