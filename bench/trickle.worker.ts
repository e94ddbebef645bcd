// One event a second for so many simulated minutes, with the product's settings: the real storage and the real uplink on a simulated disk,
// clock, link and centre, so that ten minutes take seconds. Says { commits, syncs, writtenBytes, delivered }: what the store counts.
// Arguments: minutes, 'uplink' | 'alone'.

import { toOffset } from '../runtime/base/offset.ts'
import { defaultStorageSettings, MIB } from '../runtime/log/settings.ts'
import { Uplink } from '../runtime/uplink/uplink.ts'
import { loadTestCore } from '../test/helpers/core.ts'
import { SimMachine } from '../test/helpers/sim-store.ts'
import { Prng } from '../test/sim/prng.ts'
import { SimCentre } from '../test/sim/sim-centre.ts'
import { simCodec } from '../test/sim/sim-codec.ts'
import { sensorPayload } from './harness.ts'
import { tell } from './worker.ts'

const SECOND_MS = 1_000
const PAYLOAD_BYTES = 100
/** For what the last events still cause. */
const QUIET_MS = 5_000

const [minutes = '10', mode = 'uplink'] = process.argv.slice(2)
const machine = new SimMachine(1, { settings: { ...defaultStorageSettings, journalFileBytes: 4 * MIB, freeBytesMin: 0 } })
const centre = new SimCentre({ clock: machine.clock, prng: new Prng(2) })
const store = await machine.open()
const topic = await machine.settle(store.createTopic('readings', { partitionCount: 4 }))
if (mode === 'uplink') {
  const life = machine.clock.process()
  new Uplink({
    store,
    core: loadTestCore(),
    codec: simCodec,
    clock: life,
    random: new Prng(3),
    upstream: centre.connect(life, 'edge.trickle'),
    settings: { topics: new Map([['readings', 'readings']]), gatewayId: 'trickle' }
  }).start()
  await machine.run(QUIET_MS)
}
const before = counts()
const events = Math.round(Number(minutes) * 60)
for (let index = 0; index < events; index++) {
  const partition = topic.partitions[index % topic.partitions.length]
  if (!partition) throw new Error('a topic without partitions')
  const record = { timestampMs: machine.clock.wallMs(), key: null, value: sensorPayload(index, PAYLOAD_BYTES), headers: [] }
  store.append(partition, record, (error) => {
    if (error) throw error
  })
  await machine.run(SECOND_MS)
}
await machine.run(QUIET_MS)
const after = counts()
const delivered = topic.partitions.reduce((sum, _, index) => sum + centre.committed('readings', index).length, 0)
const stored = topic.partitions.reduce((sum, { highWatermark }) => sum + highWatermark - toOffset(0), 0)
if (stored !== events || (mode === 'uplink' && delivered !== events))
  throw new Error(`${stored} stored, ${delivered} delivered of ${events}`)
tell({
  commits: after.commits - before.commits,
  syncs: after.syncs - before.syncs,
  writtenBytes: after.writtenBytes - before.writtenBytes,
  delivered
})
process.on('disconnect', () => process.exit(0))
setInterval(() => undefined, 60_000)

function counts(): { commits: number; syncs: number; writtenBytes: number } {
  const { commits, syncs, writtenBytes } = store.metrics
  return { commits, syncs, writtenBytes: Object.values(writtenBytes).reduce((sum, bytes) => sum + bytes, 0) }
}
