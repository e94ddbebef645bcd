// Bounds that all Kafka clients share: one that takes much takes it from the others, who are refused. So it is told that, and what takes the room.

export type SharedBound = 'members of consumer groups' | 'committed offsets' | 'transactions'

/** A client was refused because of it. `holders` says who has the room, in words for an operator. */
export type OnFull = (bound: SharedBound, holders: () => string) => void

const NAME_CHARACTERS_TOLD = 100

/** A name that a client chose, for a line of the log. */
export function quoted(name: string): string {
  return JSON.stringify(name.slice(0, NAME_CHARACTERS_TOLD))
}
