// What a power cut left, judged: the image is mounted (ext4 replays its journal), verified offline, a gateway is started on it, QoS 2
// sensors send again what had no answer, and everything stored is compared with what the sensors knew at the moment of the cut.

import { execFile } from 'node:child_process'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Verdict } from '../../faults/event-ledger.ts'
import { GatewayProcess } from '../../faults/gateway-process.ts'
import { readTopicEvents, withStoredLog } from '../../faults/stored-events.ts'
import { type JournalSize, Plant, type PlantKnowledge, plantConfig, TOPICS } from './plant.ts'
import type { SparseBytes } from './sparse-bytes.ts'
import { attachLoop, mountExt4 } from './system-tools.ts'
import type { UndoStack } from './undo-stack.ts'

const SETTLES_WITHIN_MS = 20_000
export const SHIPPED_PROGRAM = fileURLToPath(new URL('../../../wadi.mjs', import.meta.url))

export interface PowerCut {
  readonly image: SparseBytes
  /** null: the cut came before the gateway was ready, nothing was sent. */
  readonly known: PlantKnowledge | null
  readonly journalSize: JournalSize
}

export interface ImageVerdict extends Verdict {
  /** What kept the image from being mounted, started or answered; null when nothing did. */
  readonly trouble: string | null
  /** From the start of the process to "ready". */
  readonly recoveryMs: number
  /** What `wadi log verify` and the start have to say of it, torn ends left out: they are what a power cut leaves. */
  readonly remarks: readonly string[]
}

/** A line of the gateway that tells more than what every power cut leaves. */
const isRemark = (line: string): boolean => /"level":"(warn|error)"/.test(line) && !line.includes('were not whole and were cut')

const NOTHING: Verdict = { sent: 0, acked: 0, unknown: 0, read: 0, lost: 0, phantom: 0, altered: 0, reordered: 0, duplicated: 0 }

function sum(left: Verdict, right: Verdict): Verdict {
  return Object.fromEntries(Object.entries(left).map(([name, count]) => [name, count + right[name as keyof Verdict]])) as unknown as Verdict
}

/** `file` is where the image is kept while it is looked at; it stays there. */
export async function checkImage(undo: UndoStack, cut: PowerCut, file: string, directory: string): Promise<ImageVerdict> {
  const { image, known } = cut
  const acked = known === null ? 0 : [...known.values()].reduce((count, { ledger }) => count + ledger.ackedCount, 0)
  await image.save(file)
  const { device, detach } = await attachLoop(undo, file, false)
  try {
    const unmount = await mountExt4(undo, device, directory)
    try {
      return await checkMounted(undo, cut, join(directory, 'data'))
    } finally {
      await unmount()
    }
  } catch (error) {
    // Nothing of it can be read: all that was acknowledged is lost.
    return { ...NOTHING, acked, lost: acked, trouble: (error as Error).message, recoveryMs: 0, remarks: [] }
  } finally {
    await detach()
  }
}

async function checkMounted(undo: UndoStack, { known, journalSize }: PowerCut, data: string): Promise<ImageVerdict> {
  await mkdir(data, { recursive: true })
  const problems = known === null ? [] : await verify(data)
  const gateway = await GatewayProcess.create({ isShipped: true, dataDirectory: data, config: plantConfig(null, journalSize) })
  const remove = undo.push('end a gateway', () => gateway.remove())
  let plant: Plant | null = null
  try {
    const startedMs = performance.now()
    await gateway.start()
    const recoveryMs = Math.round(performance.now() - startedMs)
    const remarks = [...problems, ...gateway.lastLines.filter(isRemark)]
    plant = new Plant(gateway.port, known ?? undefined)
    // First what had no answer, then new events: what is appended now must not fall on what was there.
    const isSettled = (await plant.settles(SETTLES_WITHIN_MS)) && (await plant.sendsMore(SETTLES_WITHIN_MS))
    plant.end()
    await gateway.stop()
    const trouble = isSettled ? null : 'the sensors did not get their answers from the gateway that was started on the image'
    return { ...(await judge(plant, data)), trouble, recoveryMs, remarks }
  } finally {
    plant?.end()
    await remove()
  }
}

/** The compared counts of all topics. What was sent to this gateway only counts too. */
async function judge(plant: Plant, data: string): Promise<Verdict> {
  return withStoredLog(data, async (store) => {
    let total = NOTHING
    for (const topic of TOPICS) {
      const mayLackOldest = topic === 'spool'
      const verdict = plant.ledgerOf(topic).judge(await readTopicEvents(store, topic), { mayLackOldest })
      const stored = (store.topics.get(topic)?.partitions ?? []).reduce((count, { highWatermark }) => count + highWatermark, 0)
      // What the quota took was stored once: each acknowledged event has an offset.
      const neverStored = mayLackOldest ? Math.max(0, verdict.acked - stored) : 0
      total = sum(total, { ...verdict, lost: Math.max(verdict.lost, neverStored) })
    }
    return total
  })
}

function verify(data: string): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const options = { encoding: 'utf8', maxBuffer: 64 * 2 ** 20 } as const
    execFile(process.execPath, [SHIPPED_PROGRAM, 'log', 'verify', data, '--json'], options, (error, stdout, stderr) => {
      try {
        const { problems } = JSON.parse(stdout) as { problems: { file: string; positionBytes: number; what: string; meaning: string }[] }
        const told = problems.filter(({ meaning }) => !meaning.includes('a torn end'))
        resolve(
          told.map(
            (problem) =>
              `log verify: ${problem.file.slice(data.length + 1)} byte ${problem.positionBytes}: ${problem.what}, ${problem.meaning}`
          )
        )
      } catch {
        reject(new Error(`wadi log verify: ${stderr.trim() || error?.message}`))
      }
    })
  })
}

/** Takes the file of an image away. */
export const forgetImage = (file: string): Promise<void> => rm(file, { force: true })
