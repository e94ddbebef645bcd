// Proves: what a write that was refused has left behind the end of a segment goes with the next checkpoint, also when the segment does not grow any more;
// where an earlier version left it, it is not served.

import t from 'tap'
import { readBatchHeader } from '../../runtime/core/batch-header.ts'
import { type Disk, DiskError } from '../../runtime/io/disk.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import { LogStore } from '../../runtime/log/log-store.ts'
import { loadTestCore } from '../helpers/core.ts'
import { appendText, readAll, SimMachine, textOf } from '../helpers/sim-store.ts'
import { Prng } from '../sim/prng.ts'
import { simCodec } from '../sim/sim-codec.ts'

const SETTINGS = {
  checkpointAgeMs: 600_000,
  sealAgeMs: 600_000,
  housekeepingIntervalMs: 600_000,
  segmentBytes: 4096,
  segmentBytesMin: 1024
}

/** `target` with some members in the place of its own. */
function withOther<T extends object>(target: T, other: Partial<T>): T {
  return new Proxy(target, {
    get(_, name) {
      const member: unknown = Reflect.get(other, name) ?? Reflect.get(target, name, target)
      return typeof member === 'function' ? member.bind(target) : member
    }
  })
}

/** The next write of a segment arrives on the disk, and is refused. */
function refusing(disk: Disk): { disk: Disk; refuse(): void } {
  let isDue = false
  const open: Disk['open'] = async (path, mode) => {
    const file = await disk.open(path, mode)
    if (!path.endsWith('.log')) return file
    return withOther(file, {
      writeAt: async (position, bytes) => {
        await file.writeAt(position, bytes)
        if (!isDue) return
        isDue = false
        throw new DiskError('ENOSPC', { operation: 'write', path })
      }
    })
  }
  return {
    disk: withOther(disk, { open }),
    refuse: () => {
      isDue = true
    }
  }
}

const plantOf = (store: LogStore): Partition => store.topics.get('plant')?.partitions[0] as Partition
const logs = (machine: SimMachine): { path: string; bytes: Uint8Array }[] =>
  machine.disk.files().filter(({ path, bytes }) => path.endsWith('.log') && bytes.byteLength > 0)

t.test('a segment that does not grow any more ends where it should', async (t) => {
  const machine = new SimMachine(1, { settings: SETTINGS })
  const { disk, refuse } = refusing(machine.disk)
  const clock = machine.clock.process()
  const options = {
    disk,
    clock,
    random: new Prng(2),
    core: loadTestCore(),
    codec: simCodec,
    directory: '/data',
    settings: machine.settings
  }
  const store = await machine.settle(LogStore.open(options))
  await machine.settle(store.createTopic('plant', { codec: 'none' }))
  const texts: string[] = []
  const append = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      texts.push(`event ${texts.length} ${'x'.repeat(80)}`)
      await machine.settle(appendText(store, plantOf(store), texts.at(-1) as string))
    }
  }
  await append(34)
  await machine.settle(store.flush())
  const [first] = logs(machine)
  await append(3)
  refuse()
  await t.rejects(machine.settle(store.flush()), { code: 'ENOSPC' })
  t.ok((logs(machine)[0]?.bytes.byteLength ?? 0) > (first?.bytes.byteLength ?? 0), 'it is there')
  await append(20) // no room for all of it in the first segment
  await machine.settle(store.flush())
  t.ok(logs(machine).length > 1)
  t.equal(logs(machine)[0]?.bytes.byteLength, first?.bytes.byteLength, 'it is gone')
  await machine.settle(store.close())
  machine.powerCut()
  t.equal(logs(machine)[0]?.bytes.byteLength, first?.bytes.byteLength, 'after a power cut too')
  const again = await machine.open()
  t.same((await machine.settle(readAll(plantOf(again)))).map(textOf), texts)
  await machine.settle(again.close())
})

t.test('what lies behind the end of a segment is not served', async (t) => {
  const machine = new SimMachine(1, { settings: SETTINGS })
  const store = await machine.open()
  await machine.settle(store.createTopic('plant', { codec: 'none' }))
  const texts: string[] = []
  for (let i = 0; i < 60; i++) {
    texts.push(`event ${i} ${'x'.repeat(80)}`)
    await machine.settle(appendText(store, plantOf(store), texts.at(-1) as string))
    if (i % 5 === 4) await machine.settle(store.flush())
  }
  await machine.settle(store.close())
  const [first, second] = logs(machine)
  if (!first || !second) throw new Error('one segment only')
  const file = await machine.settle(machine.disk.open(first.path, 'create'))
  await machine.settle(file.writeAt(first.bytes.byteLength, second.bytes.slice(0, readBatchHeader(second.bytes)?.batchBytes)))
  await machine.settle(file.sync())
  await machine.settle(file.close())
  const again = await machine.open()
  t.same(again.report.damagedFiles, [])
  t.same((await machine.settle(readAll(plantOf(again)))).map(textOf), texts)
  await machine.settle(again.close())
})
