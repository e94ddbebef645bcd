// Lives of a gateway on a volatile device: each begins with an empty ext4, is loaded, and has the power taken in thought several times.
// The cut is a copy: device, ledgers and sensors are copied in one turn of this process, which serves the device and plays the sensors,
// so that what was acknowledged before the cut is known exactly. While an image is judged the sensors pause and the gateway runs on.

import { type ChildProcess, spawn } from 'node:child_process'
import { copyFile, mkdir, mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { type GatewayOptions, GatewayProcess } from '../../faults/gateway-process.ts'
import type { LedgerCounts } from '../../sim/ledger.ts'
import type { Prng } from '../../sim/prng.ts'
import { checkImage, forgetImage, type ImageVerdict, type PowerCut, SHIPPED_PROGRAM } from './image-check.ts'
import { NbdServer } from './nbd-server.ts'
import { JOURNAL_SIZES, type JournalSize, Plant, plantConfig } from './plant.ts'
import { attachLoop, attachNbd, makeExt4, mountExt4, run } from './system-tools.ts'
import type { UndoStack } from './undo-stack.ts'
import { CUT_MODES, type CutMode, VolatileDevice } from './volatile-device.ts'

export type { ImageVerdict }

/** The gateway leaves 64 MiB of its disk alone; the rest is enough for a life. */
const DEVICE_BYTES = 256 * 2 ** 20
const IMAGES_PER_LIFE = 7
/** Those that change the machine below and not the program. */
const SHIPPED_MUTATIONS: ReadonlySet<string> = new Set(['syncs-removed', 'segment-syncs-removed'])
const CENTRE_READY_WITHIN_MS = 20_000
const LOAD_MS = { min: 100, max: 1_500 }
const ACKNOWLEDGES_WITHIN_MS = 20_000
const REMARKS_MAX = 3
/** A cut comes behind this many writes and flushes after the moment that was drawn, or after the wait without so many. */
const STEPS_MAX = 200
const STEPS_WITHIN_MS = 1_000

export interface LivesOptions {
  readonly undo: UndoStack
  readonly scratch: string
  readonly images: number
  readonly prng: Prng
  readonly isBad: (verdict: ImageVerdict) => boolean
  readonly keepDirectory: string | null
  readonly mutation?: NonNullable<GatewayOptions['mutation']>
  /** The first image that disproves ends it. */
  readonly endsWithFault?: boolean
}

/** Counts of comparisons are sums over all images; sent and acked are those of the lives themselves. */
export interface Summary extends Omit<LedgerCounts, 'refused'> {
  images: number
  badImages: number
  imagesByMode: Record<CutMode, number>
  imagesBeforeReady: number
  imagesWithVolatileWrites: number
  volatileBytesMax: number
  ackedCompared: number
  imagesWithTrouble: number
  imagesWithRemarks: number
  recoveryMsMax: number
  flushes: number
  writes: number
  writtenBytes: number
}

function newSummary(): Summary {
  const imagesByMode = Object.fromEntries(CUT_MODES.map((mode) => [mode, 0])) as Record<CutMode, number>
  const counts = { sent: 0, acked: 0, ackedCompared: 0, unknown: 0, read: 0, lost: 0, phantom: 0, altered: 0, reordered: 0, duplicated: 0 }
  const images = { images: 0, badImages: 0, imagesByMode, imagesBeforeReady: 0, imagesWithVolatileWrites: 0, volatileBytesMax: 0 }
  return { ...images, ...counts, imagesWithTrouble: 0, imagesWithRemarks: 0, recoveryMsMax: 0, flushes: 0, writes: 0, writtenBytes: 0 }
}

export async function runLives(options: LivesOptions): Promise<Summary> {
  const summary = newSummary()
  while (summary.images < options.images && !isOver(options, summary)) {
    const { undo, unwind } = options.undo.nested('end a life')
    try {
      await new Life(options, undo, summary).live(Math.min(IMAGES_PER_LIFE, options.images - summary.images))
    } finally {
      await unwind()
    }
  }
  return summary
}

const isOver = ({ endsWithFault = false }: LivesOptions, { lost, duplicated }: Summary): boolean => endsWithFault && lost + duplicated > 0

class Life {
  readonly #options: LivesOptions
  readonly #undo: UndoStack
  readonly #summary: Summary
  readonly #device = new VolatileDevice(DEVICE_BYTES)
  readonly #journalSize: JournalSize
  #plant: Plant | null = null

  constructor(options: LivesOptions, undo: UndoStack, summary: Summary) {
    this.#options = options
    this.#undo = undo
    this.#summary = summary
    this.#journalSize = JOURNAL_SIZES[Math.floor(summary.images / IMAGES_PER_LIFE) % JOURNAL_SIZES.length] ?? JOURNAL_SIZES[0]
  }

  async live(images: number): Promise<void> {
    const { mutation, scratch } = this.#options
    const directory = await mkdtemp(join(scratch, 'life-'))
    const data = join(await this.#mountDevice(directory), 'data')
    const centre = await startCentre(this.#undo, join(directory, 'centre'))
    const isShipped = mutation === undefined || SHIPPED_MUTATIONS.has(mutation)
    const options = { isShipped, dataDirectory: data, config: plantConfig(centre, this.#journalSize), ...(mutation && { mutation }) }
    const gateway = await GatewayProcess.create(options)
    this.#undo.push('end the gateway', () => gateway.remove())

    // The first cut comes while the gateway makes its directory.
    const firstCut = this.#cutSoon()
    await gateway.start()
    await this.#judge(await firstCut)

    const plant = new Plant(gateway.port)
    this.#plant = plant
    this.#undo.push('end the sensors', async () => plant.end())
    for (let image = 1; image < images && !isOver(this.#options, this.#summary); image++) {
      await this.#load(plant, gateway)
      const cut = await this.#cutSoon()
      plant.pause()
      await this.#judge(cut)
    }
    this.#summary.sent += plant.sentCount
    this.#summary.acked += plant.ackedCount
    const { flushes, writes, writtenBytes } = this.#device.counters
    this.#summary.flushes += flushes
    this.#summary.writes += writes
    this.#summary.writtenBytes += writtenBytes
  }

  /** For a time that is drawn, and until something new was acknowledged. @throws Error when nothing is: there is nothing to prove then */
  async #load(plant: Plant, gateway: GatewayProcess): Promise<void> {
    const before = plant.ackedCount
    const giveUpMs = performance.now() + ACKNOWLEDGES_WITHIN_MS
    plant.resume()
    await new Promise((resolve) => setTimeout(resolve, this.#options.prng.between(LOAD_MS.min, LOAD_MS.max)))
    while (plant.ackedCount === before) {
      if (!gateway.isRunning || performance.now() > giveUpMs)
        throw new Error(`the gateway acknowledges nothing any more; its last lines:\n${gateway.lastLines.slice(-3).join('\n')}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** @returns where the new file system is mounted */
  async #mountDevice(directory: string): Promise<string> {
    const socketPath = join(directory, 'nbd.sock')
    const server = await NbdServer.listen(this.#device, socketPath)
    this.#undo.push('close the device', () => server.close())
    const disk = await attachNbd(this.#undo, socketPath, join(directory, 'nbd'))
    const { device } = await attachLoop(this.#undo, disk, true)
    await makeExt4(device)
    const mounted = join(directory, 'mounted')
    await mountExt4(this.#undo, device, mounted)
    const before = this.#device.counters.flushes
    await run('sync', '--file-system', mounted)
    await run('mkdir', join(mounted, 'data'))
    await run('sync', '--file-system', mounted)
    if (this.#device.counters.flushes === before) throw new Error('a sync of the file system does not reach the device as a flush')
    return mounted
  }

  /**
   * The power goes behind one of the next writes, or behind one of the next flushes: then something is durable that nobody was told of yet.
   */
  #cutSoon(): Promise<Cut> {
    const { prng } = this.#options
    const isBehindFlush = prng.chance(35)
    let left = prng.between(1, STEPS_MAX)
    return new Promise((resolve) => {
      const take = (): void => {
        clearTimeout(timer)
        this.#device.onStep = null
        resolve(this.#cut())
      }
      const timer = setTimeout(take, STEPS_WITHIN_MS)
      this.#device.onStep = (step) => {
        if (--left <= 0 && (step === 'flush' || !isBehindFlush)) take()
      }
    })
  }

  /** All in one turn: nothing is written or acknowledged meanwhile. */
  #cut(): Cut {
    const mode = CUT_MODES[this.#summary.images % CUT_MODES.length] as CutMode
    const image = this.#device.survivors(mode, this.#options.prng)
    return { mode, image, journalSize: this.#journalSize, volatileBytes: this.#device.volatileBytes, known: this.#plant?.know() ?? null }
  }

  async #judge(cut: Cut): Promise<void> {
    const { undo, scratch, images, keepDirectory, isBad } = this.#options
    const summary = this.#summary
    const file = join(scratch, 'image')
    const verdict = await checkImage(undo, cut, file, join(scratch, 'image-mounted'))
    summary.images++
    summary.imagesByMode[cut.mode]++
    if (cut.known === null) summary.imagesBeforeReady++
    if (cut.volatileBytes > 0) summary.imagesWithVolatileWrites++
    summary.volatileBytesMax = Math.max(summary.volatileBytesMax, cut.volatileBytes)
    summary.ackedCompared += verdict.acked
    for (const name of ['unknown', 'read', 'lost', 'phantom', 'altered', 'reordered', 'duplicated'] as const) summary[name] += verdict[name]
    if (verdict.remarks.length > 0) summary.imagesWithRemarks++
    summary.recoveryMsMax = Math.max(summary.recoveryMsMax, verdict.recoveryMs)
    if (verdict.trouble !== null) summary.imagesWithTrouble++
    if (undo.isInterrupted) return
    console.error(imageLine(summary.images, images, cut, verdict))
    const told = [...(verdict.trouble === null ? [] : [verdict.trouble]), ...verdict.remarks]
    for (const remark of told.slice(0, REMARKS_MAX)) console.error(`    ${remark}`)
    if (told.length > REMARKS_MAX) console.error(`    and ${told.length - REMARKS_MAX} more`)
    if (isBad(verdict)) {
      summary.badImages++
      if (keepDirectory !== null) {
        await mkdir(keepDirectory, { recursive: true })
        await copyFile(file, join(keepDirectory, `power-${summary.images}.img`))
      }
    }
    await forgetImage(file)
  }
}

interface Cut extends PowerCut {
  readonly mode: CutMode
  readonly volatileBytes: number
}

function imageLine(done: number, total: number, { mode, volatileBytes, known }: Cut, verdict: ImageVerdict): string {
  const { acked, read, lost, phantom, altered, reordered, duplicated, recoveryMs } = verdict
  const faults = Object.entries({ lost, phantom, altered, reordered, duplicated }).filter(([, count]) => count > 0)
  const named = [...(verdict.trouble === null ? [] : ['unusable']), ...faults.map(([name, count]) => `${count} ${name}`)]
  const outcome = named.length === 0 ? 'all there' : `BAD: ${named.join(', ')}`
  const when = known === null ? 'during the first start' : `${acked} acknowledged, ${read} read`
  return `image ${done} of ${total}: ${mode}, ${Math.ceil(volatileBytes / 1024)} KiB volatile, ${when}, started in ${recoveryMs} ms: ${outcome}`
}

/** The centre of `wadi demo`, which ends when this process does. @returns host:port */
async function startCentre(undo: UndoStack, directory: string): Promise<string> {
  const child: ChildProcess = spawn(process.execPath, [SHIPPED_PROGRAM, '_centre', '--data', directory], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    detached: true
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  undo.push('end the centre', async () => {
    child.kill('SIGKILL')
    await ended
  })
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the centre did not start')), CENTRE_READY_WITHIN_MS)
    child.once('message', ({ address: { host, port } }: { address: { host: string; port: number } }) => {
      clearTimeout(timer)
      resolve(`${host}:${port}`)
    })
    child.once('error', reject)
  })
}
