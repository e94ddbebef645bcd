// Which places of which groups open transactions hold offsets for: asked for each place of each OffsetFetch, so it is counted and not looked for.

import { placeKey, type TopicPartition } from './committed-offsets.ts'

type Place = TopicPartition & { readonly groupId: string }

export class PendingPlaces {
  /** Group → place → how many offsets of open transactions are for it. */
  readonly #groups = new Map<string, Map<string, number>>()

  add(places: readonly Place[]): void {
    for (const place of places) {
      const group = this.#groups.get(place.groupId) ?? new Map<string, number>()
      this.#groups.set(place.groupId, group)
      const key = placeKey(place)
      group.set(key, (group.get(key) ?? 0) + 1)
    }
  }

  remove(places: readonly Place[]): void {
    for (const place of places) {
      const group = this.#groups.get(place.groupId)
      const key = placeKey(place)
      const left = (group?.get(key) ?? 0) - 1
      if (left > 0) group?.set(key, left)
      else group?.delete(key)
      if (group?.size === 0) this.#groups.delete(place.groupId)
    }
  }

  has(place: Place): boolean {
    return this.#groups.get(place.groupId)?.has(placeKey(place)) ?? false
  }

  hasGroup(groupId: string): boolean {
    return this.#groups.has(groupId)
  }
}
