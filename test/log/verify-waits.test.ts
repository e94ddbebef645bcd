// Proves: a verify comes to an end also where both journal files are full, and the checkpoint that would free one meets a file that cannot be opened
// or read. It says that a start is refused, or would wait for ever.

import t from 'tap'
import { type Disk, DiskError } from '../../runtime/io/disk.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import { DryDisk } from '../../runtime/log/dry-disk.ts'
import { verifyDirectory } from '../../runtime/log/inspect.ts'
import { LogStore } from '../../runtime/log/log-store.ts'
import { KIB, MIB } from '../../runtime/log/settings.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, SimMachine } from '../helpers/sim-store.ts'
import { simCodec } from '../sim/sim-codec.ts'
import { withMembers } from '../sim/with-members.ts'

/** Both files are full of what is in no segment; the process is gone. */
async function fullJournal(): Promise<SimMachine> {
  const settings = { journalFileBytes: 4 * MIB, commitBytesMax: MIB, batchBytesMax: MIB, sealBytes: 64 * MIB, tailBytesMax: 64 * MIB }
  const machine = new SimMachine(1, { settings: { ...settings, sealAgeMs: 600_000, checkpointAgeMs: 600_000, lingerMs: 0 } })
  const store = await machine.open()
  const partition = (await machine.settle(store.createTopic('plant', { codec: 'none' }))).partitions[0] as Partition
  await machine.settle(appendText(store, partition, 'in a segment'))
  await machine.settle(store.flush())
  machine.disk.capacityBytes = machine.disk.usedBytes
  let refused = 0
  while (refused === 0) await machine.settle(appendText(store, partition, 'v'.repeat(900 * KIB)).catch(() => refused++))
  machine.kill()
  machine.disk.heal()
  return machine
}

/** Indexes cannot be opened. */
function refusingDisk(disk: Disk): Disk {
  const open: Disk['open'] = async (path, mode) => {
    if (path.endsWith('index')) throw new DiskError('EIO', { operation: mode === 'read' ? 'open-read' : 'open', path })
    return disk.open(path, mode)
  }
  return withMembers(disk, { open })
}

t.test('a checkpoint of the start meets a file that cannot be opened: verify says what the start says', async (t) => {
  const machine = await fullJournal()
  const inspection = { core: loadTestCore(), codec: simCodec, directory: '/data' }
  t.same((await machine.settle(verifyDirectory({ ...inspection, disk: machine.disk }))).problems, [], 'when it can be opened')
  const report = await machine.settle(verifyDirectory({ ...inspection, disk: refusingDisk(machine.disk) }))
  t.match(report.problems, [{ file: '/data', what: /^WADI_LOG_FAILED: .*open .*index: EIO/, meaning: 'a start is refused' }])
  const { disk, settings, prng } = machine
  const clock = machine.clock.process()
  const start = LogStore.open({
    ...inspection,
    disk: refusingDisk(disk),
    clock,
    random: prng,
    settings: { ...settings, commitBytesMax: MIB }
  })
  await t.rejects(machine.settle(start), { code: 'WADI_LOG_FAILED' })
})

t.test('the start would wait for ever: verify comes to an end and says so', async (t) => {
  const { open } = DryDisk.prototype
  t.teardown(() => Object.assign(DryDisk.prototype, { open }))
  const machine = await fullJournal()
  DryDisk.prototype.open = async function (path, mode) {
    if (path.endsWith('index')) throw new DiskError('EIO', { operation: 'open-read', path })
    return open.call(this, path, mode)
  }
  const report = await machine.settle(verifyDirectory({ disk: machine.disk, core: loadTestCore(), codec: simCodec, directory: '/data' }))
  const what = /^WADI_DATA_DIR_UNUSABLE: The start of \/data waits for room in the journal/
  t.match(report.problems, [{ file: '/data', what, meaning: 'a start is refused' }])
})
