// What we note locally about deliveries, in the store's state. The centre's position always wins; the hint is asked only when the
// centre has none (it forgets committed offsets after seven days, by default).
//
// confirmed: next offsets after the last transaction we know to be committed.
// ending:    written before EndTxn: if this transaction was committed, `next` counts. Whether it was, the centre can still be asked
//            (probe), because the hint says which producer wrote at which base offset.

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export const HINT_KEY = 'uplink/position'

export type NextOffsets = ReadonlyMap<string, readonly number[]>

export interface EndingTarget {
  readonly topicName: string
  readonly partitionIndex: number
  readonly baseOffset: number
}

export interface Ending {
  readonly producerId: bigint
  readonly targets: readonly EndingTarget[]
  readonly next: NextOffsets
}

export interface Hint {
  readonly confirmed: NextOffsets
  readonly ending: Ending | null
  /** Upstream topic → its id when we last wrote there: a change means it was made anew. */
  readonly topicIds: ReadonlyMap<string, string>
}

export function encodeHint(hint: Hint): Uint8Array {
  const { ending } = hint
  return encoder.encode(
    JSON.stringify({
      version: 1,
      confirmed: [...hint.confirmed],
      ending: ending && {
        producerId: ending.producerId.toString(),
        targets: ending.targets.map((target) => [target.topicName, target.partitionIndex, target.baseOffset]),
        next: [...ending.next]
      },
      topicIds: [...hint.topicIds]
    })
  )
}

/** null when there is none, or it is not readable: a hint may be missing at any time. */
export function decodeHint(bytes: Uint8Array | undefined): Hint | null {
  if (!bytes) return null
  try {
    const value = JSON.parse(decoder.decode(bytes))
    if (value.version !== 1) return null
    return {
      confirmed: readOffsets(value.confirmed),
      ending: value.ending && {
        producerId: BigInt(value.ending.producerId),
        targets: value.ending.targets.map(([topicName, partitionIndex, baseOffset]: [string, number, number]) => ({
          topicName: String(topicName),
          partitionIndex: readCount(partitionIndex),
          baseOffset: readCount(baseOffset)
        })),
        next: readOffsets(value.ending.next)
      },
      topicIds: new Map(value.topicIds)
    }
  } catch {
    return null
  }
}

function readOffsets(entries: [string, number[]][]): NextOffsets {
  return new Map(entries.map(([topic, offsets]) => [String(topic), offsets.map(readCount)]))
}

function readCount(value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not an offset: ${value}`)
  return value
}
