// One text for all that a simulated life left behind, on the disk and at the centre: the same seed gives the same one. Not for: judging it.

import type { Core } from '../../runtime/core/core.ts'
import type { SimCentre } from './sim-centre.ts'
import type { SimClock } from './sim-clock.ts'
import type { SimDisk } from './sim-disk.ts'

export function fingerprintOf(
  world: { readonly disk: SimDisk; readonly centre: SimCentre; readonly clock: SimClock },
  { core, topics }: { core: Core; topics: readonly string[] }
): string {
  const encoder = new TextEncoder()
  let crc = 0
  for (const { path, bytes } of world.disk.files()) crc = core.crc32c(bytes, core.crc32c(encoder.encode(path), crc))
  for (const name of topics) {
    for (let index = 0; index < world.centre.partitionCount(name); index++) {
      const text = world.centre.committed(name, index).map((record) => `${record.offset} ${record.value}`)
      crc = core.crc32c(encoder.encode(text.join('\n')), crc)
    }
  }
  return `${crc.toString(16)}-${world.clock.monotonicMs()}`
}
