// Proves for runtime/base/lent-memory.ts: a piece is lent to one at a time, is used again, and no more are kept than was said.

import t from 'tap'
import { LentMemory } from '../../runtime/base/lent-memory.ts'

t.test('one behind the other has the same memory, at once they have their own', async (t) => {
  const memory = new LentMemory({ pieceBytes: 100, freeMax: 1 })
  const used: ArrayBufferLike[] = []
  const use = (bytes: number): Promise<void> =>
    memory.lend(bytes, async (piece) => {
      t.equal(piece.byteLength, bytes)
      used.push(piece.buffer)
      await new Promise((resolve) => setImmediate(resolve))
    })
  await use(100)
  await use(7)
  t.equal(used[0], used[1])
  await Promise.all([use(1), use(1), use(1)])
  t.equal(new Set(used).size, 3)
  await Promise.all([use(1), use(1)])
  t.equal(new Set(used).size, 4, 'one was kept')
  await use(101)
  await use(100)
  t.equal(new Set(used).size, 5, 'larger ones are made for the moment')
})

t.test('it comes back when the work fails', async (t) => {
  const memory = new LentMemory({ pieceBytes: 10, freeMax: 1 })
  const used: ArrayBufferLike[] = []
  const fail = async (piece: Uint8Array): Promise<void> => {
    used.push(piece.buffer)
    throw new Error('no')
  }
  await t.rejects(memory.lend(5, fail), /no/)
  await t.rejects(memory.lend(5, fail), /no/)
  t.equal(used[0], used[1])
})
