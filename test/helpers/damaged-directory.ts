// A data directory of this machine whose topic "plant" has damage in its middle.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openEdges } from '../../gateway/edges.ts'
import { toOffset } from '../../runtime/base/offset.ts'
import { LogStore } from '../../runtime/log/log-store.ts'
import { event } from './sim-store.ts'

/** Events 0 to `events` - 1, each with its number as value; of several segments the first has a wrong byte in its middle. */
export async function damagedDirectory(
  directory: string,
  { events, deliveredOffset }: { events: number; deliveredOffset: number }
): Promise<void> {
  const settings = { segmentBytes: 16 * 1024, segmentBytesMin: 4 * 1024, sealBytes: 4 * 1024, defaultCodec: 'none' as const }
  const store = await LogStore.open({ ...openEdges(), directory, settings })
  const [partition] = (await store.createTopic('plant')).partitions
  if (!partition) throw new Error('no partition')
  for (let index = 0; index < events; index += 20) {
    const records = Array.from({ length: 20 }, (_, at) => ({ partition, content: { record: event(`${index + at}`.padEnd(150)) } }))
    await store.commit(records, [])
  }
  store.setDelivered(partition, toOffset(deliveredOffset))
  await store.flush()
  await store.close()
  const log = readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.log'))
    .sort()[0] as string
  const bytes = readFileSync(join(directory, log))
  bytes[bytes.byteLength >> 1] = (bytes[bytes.byteLength >> 1] ?? 0) ^ 1
  writeFileSync(join(directory, log), bytes)
}
