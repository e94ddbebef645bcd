// An embedded centre for tests: the real storage engine in a temporary directory, our listener on a free loopback port.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createKafkaListener, type KafkaListener, type KafkaListenerOptions } from '../../adapters/kafka-server/listener.ts'
import { type Broker, type BrokerSettings, openBroker } from '../../runtime/broker/broker.ts'
import type { Disk } from '../../runtime/io/disk.ts'
import { nodeClock } from '../../runtime/io/node-clock.ts'
import { createNodeCodec } from '../../runtime/io/node-codec.ts'
import { nodeDisk } from '../../runtime/io/node-disk.ts'
import { nodeRandom } from '../../runtime/io/node-random.ts'
import { LogStore } from '../../runtime/log/log-store.ts'
import type { StorageSettings } from '../../runtime/log/settings.ts'
import { loadTestCore } from '../helpers/core.ts'

const WAIT_MS_MAX = 20_000
const MIB = 1024 * 1024

export interface Centre {
  readonly port: number
  readonly listener: KafkaListener
  readonly broker: Broker
  readonly store: LogStore
  /** Closes listener and store and opens both again on the same directory and port. */
  restart(): Promise<void>
}

interface ListenerOptions extends KafkaListenerOptions {
  readonly disk?: Disk
  readonly broker?: Partial<BrokerSettings>
  readonly storage?: Partial<StorageSettings>
}

export async function startCentre(t: { teardown(work: () => Promise<void>): void }, options: ListenerOptions = {}): Promise<Centre> {
  const directory = await mkdtemp(path.join(tmpdir(), 'wadi-centre-'))
  let open = await openCentre(directory, 0, options)
  const { port } = open.listener.address
  const closeBoth = async (): Promise<void> => {
    await open.listener.close()
    open.broker.close()
    await open.store.close()
  }
  t.teardown(async () => {
    await closeBoth()
    await rm(directory, { recursive: true, force: true })
  })
  return {
    port,
    get listener() {
      return open.listener
    },
    get broker() {
      return open.broker
    },
    get store() {
      return open.store
    },
    async restart() {
      await closeBoth()
      open = await openCentre(directory, port, options)
    }
  }
}

async function openCentre(
  directory: string,
  port: number,
  options: ListenerOptions
): Promise<{ store: LogStore; broker: Broker; listener: KafkaListener }> {
  const core = loadTestCore()
  const edges = { clock: nodeClock, random: nodeRandom, core, codec: createNodeCodec() }
  const store = await LogStore.open({
    ...edges,
    disk: options.disk ?? nodeDisk,
    directory,
    settings: { journalFileBytes: 4 * MIB, lingerMs: 0, ...options.storage }
  })
  const broker = openBroker({ ...edges, store, settings: { initialRebalanceDelayMs: 0, ...options.broker } })
  const release = (block: Uint8Array): void => edges.codec.release(block) // as the gateway does: of a block nothing is left behind it
  const listener = await createKafkaListener({ release, ...options, port, broker, clusterId: store.logId })
  return { store, broker, listener }
}

/** Looks again and again until it is so. @throws Error naming what did not come in time */
export async function until(isSo: () => boolean, what: string): Promise<void> {
  const endMs = Date.now() + WAIT_MS_MAX
  while (!isSo()) {
    if (Date.now() > endMs) throw new Error(`waited ${WAIT_MS_MAX} ms for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
