// Proves for runtime/log/former-beginnings.ts: what is kept of a long history never says that a start began later than it did, and has a bound.

import t from 'tap'
import { decodeBeginnings, encodeBeginnings, type FormerBeginning, withinBound } from '../../runtime/log/former-beginnings.ts'

function history(partitions: number, starts: number): FormerBeginning[] {
  return Array.from({ length: partitions }, (_, partitionIndex) =>
    Array.from({ length: starts }, (__, at) => ({ partitionIndex, incarnation: at + 1, startOffset: at * 10 + partitionIndex }))
  ).flat()
}

/** First offset of the partition that a start after `incarnation` wrote. */
function firstAfter(list: readonly FormerBeginning[], partitionIndex: number, incarnation: number): number {
  return Math.min(
    ...list.filter((one) => one.partitionIndex === partitionIndex && one.incarnation > incarnation).map((one) => one.startOffset)
  )
}

t.test('what fits stays as it is, there and back', async (t) => {
  const all = history(4, 64)
  t.same(withinBound(all), all)
  t.same(decodeBeginnings(encodeBeginnings(all)), all)
  t.same(withinBound([]), [])
})

for (const [partitions, starts] of [
  [4, 65],
  [1, 1_000],
  [100, 16],
  [1_024, 16]
] as const) {
  t.test(`${partitions} partitions and ${starts} starts`, async (t) => {
    const all = history(partitions, starts)
    const kept = withinBound(all)
    t.ok(kept.length <= Math.max(256, partitions), `${kept.length} are kept`)
    t.ok(JSON.stringify(encodeBeginnings(kept)).length < 48 * 1024)
    let later = 0
    let earlier = 0
    for (let partition = 0; partition < partitions; partition++) {
      for (let after = 0; after < starts; after++) {
        const [is, was] = [firstAfter(kept, partition, after), firstAfter(all, partition, after)]
        if (is > was) later++
        if (is < was) earlier++
      }
      t.equal(kept.findLast(({ partitionIndex }) => partitionIndex === partition)?.incarnation, starts)
    }
    t.equal(later, 0)
    t.ok(earlier > 0, 'it is cut')
  })
}
