// `npm run prove -- power`: power cuts under a real ext4. The gateway writes to a block device of ours whose cache is lost with the power;
// images of what would survive are taken at random moments while it runs, and each is judged.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Prng } from '../../sim/prng.ts'
import type { Rig } from '../rig.ts'
import { type ImageVerdict, runLives, type Summary } from './lives.ts'
import { whatIsMissing } from './system-tools.ts'
import { UndoStack } from './undo-stack.ts'
import { CUT_MODES } from './volatile-device.ts'

/** Broken gateways that the rig must notice, each within this many images; it stops with the first that shows it. */
const CANARIES = [
  { mutation: 'syncs-removed', breaks: 'lost' },
  { mutation: 'segment-syncs-removed', breaks: 'lost' },
  { mutation: 'qos2-forgotten', breaks: 'duplicated' }
] as const
const CANARY_IMAGES_MAX = 12

const help = `npm run prove -- power [--images N] [--seed N] [--canary] [--keep DIR]

Power cuts under a real ext4: an acknowledged event is there after each of them, once, whole and in order.

The gateway as it ships takes in events (QoS 1 and 2, several topics, one with a quota that deletes, a centre that they are delivered to)
on an ext4 whose block device is a server of ours (NBD): what is written is volatile until a flush. While it runs, images of
what a power cut would leave are taken:
  all-lost   nothing since the last flush
  prefix     what was written since, in order, up to a point
  random     any of the writes since, others not
  torn       any of their 512-byte sectors
Each image is mounted, verified, a gateway is started on it, and what is stored is compared with what the sensors knew at that moment.

  --images N   how many (default 60; about 3 s each)
  --seed N     what is drawn: moments, modes, which writes survive (default: drawn, and printed). The timing of the machine is not
               in it: the same seed gives the same kind of run, not the same bytes
  --canary     afterwards the same with three broken gateways: one never syncs, one never syncs its segments, one does not store the
               packet ids of QoS 2. The rig must notice each
  --keep DIR   keeps images that disprove, for "mount -o loop"

Needs Linux, root, nbdfuse (Debian: libnbd-bin), losetup and mount (mount), mkfs.ext4 (e2fsprogs), /dev/fuse and /dev/loop-control.
Everything is unmounted, detached and removed at the end, also after Ctrl-C.`

interface Options {
  readonly images: number
  readonly seed: number
  readonly isCanaryWanted: boolean
  readonly keepDirectory: string | null
}

/** @throws TypeError for options that are not there, RangeError for values that make no sense */
function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      images: { type: 'string', default: '60' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      canary: { type: 'boolean', default: false },
      keep: { type: 'string' }
    }
  })
  const images = Number(values.images)
  const seed = Number(values.seed)
  if (!Number.isInteger(images) || images < 2) throw new RangeError(`--images ${values.images}: a count from 2 on`)
  if (!Number.isInteger(seed)) throw new RangeError(`--seed ${values.seed}: a whole number`)
  return { images, seed, isCanaryWanted: values.canary, keepDirectory: values.keep ?? null }
}

const isBad = ({ lost, phantom, altered, reordered, duplicated, trouble }: ImageVerdict): boolean =>
  trouble !== null || lost + phantom + altered + reordered + duplicated > 0

async function prove({ images, seed, isCanaryWanted, keepDirectory }: Options, undo: UndoStack): Promise<number> {
  const scratch = await mkdtemp(join(tmpdir(), 'wadi-power-'))
  undo.push('remove the working directory', () => rm(scratch, { recursive: true, force: true }))
  console.error(
    `seed ${seed}, ${images} images; one topic has a quota and drops its oldest, so fewer events are read than were acknowledged`
  )
  const summary = await runLives({ undo, scratch, images, keepDirectory, isBad, prng: new Prng(seed) })
  let canary = 'not run'
  if (isCanaryWanted) {
    canary = 'caught'
    for (const { mutation, breaks } of CANARIES) {
      console.error(`canary: ${mutation}`)
      const prng = new Prng(seed ^ 0x5ca1ab1e)
      const lives = { undo, scratch, images: CANARY_IMAGES_MAX, keepDirectory: null, isBad, prng, mutation, endsWithFault: true }
      if ((await runLives(lives))[breaks] === 0) canary = `missed: ${mutation}`
    }
  }
  const isProved = summary.badImages === 0 && summary.acked > 0 && !canary.startsWith('missed')
  console.log(JSON.stringify(report(seed, summary, canary, isProved)))
  return isProved ? 0 : 1
}

function report(seed: number, summary: Summary, canary: string, isProved: boolean): object {
  return { rig: 'power cuts under ext4', isProved, seed, modes: CUT_MODES, ...summary, canary }
}

export const powerRig: Rig = {
  name: 'power',
  proves: 'a PUBACK survives power cuts under a real ext4 (root; about 3 minutes)',
  help,
  async run(args) {
    let options: Options
    try {
      options = readOptions(args)
    } catch (error) {
      console.error(`${(error as Error).message}\n\n${help}`)
      return 2
    }
    const missing = whatIsMissing()
    if (missing.length > 0) {
      console.error(`power cuts cannot be proved here, nothing was done. Missing:\n${missing.map((what) => `  ${what}`).join('\n')}`)
      return 2
    }
    const undo = new UndoStack()
    try {
      return await undo.around(() => prove(options, undo))
    } catch (error) {
      console.error(`the rig itself failed: ${(error as Error).stack}`)
      return 2
    }
  }
}
