// The segment files of a data directory, as they lie there. Not for: what is in them.

import type { Inspection } from './inspection.ts'
import { parseSegmentFileName, TOPICS_DIRECTORY } from './layout.ts'
import { namesIn, sizeOf } from './salvage-read.ts'

export interface SegmentFile {
  /** Others follow: nothing is cut from it. */
  readonly isLast: boolean
  readonly partitionName: string
  readonly path: string
  readonly baseOffset: number
  readonly bytes: number
}

const PARTITION_NAME = /^[a-zA-Z0-9._-]+-\d+$/

/** Every segment file, by partition and offset; none when there is no topics directory. @throws DiskError when one cannot be read */
export async function listSegmentFiles({ disk, directory }: Pick<Inspection, 'disk' | 'directory'>): Promise<SegmentFile[]> {
  const files: SegmentFile[] = []
  for (const partitionName of await namesIn(disk, `${directory}/${TOPICS_DIRECTORY}`)) {
    if (!PARTITION_NAME.test(partitionName)) continue // not Wadi's
    const partition = `${directory}/${TOPICS_DIRECTORY}/${partitionName}`
    const bases = (await namesIn(disk, partition)).flatMap((name) => {
      const baseOffset = parseSegmentFileName(name)
      return baseOffset === null ? [] : [{ name, baseOffset }]
    })
    for (const [at, { name, baseOffset }] of bases.entries()) {
      const path = `${partition}/${name}`
      files.push({
        partitionName,
        path,
        baseOffset,
        bytes: (await sizeOf(disk, path, { untold: 0 })) ?? 0,
        isLast: at === bases.length - 1
      })
    }
  }
  return files
}
