// Proves for frame-memory.ts: a block that is handed on is hardly larger than what was asked for, so that a budget of requested bytes bounds
// the memory; a block of about the size is handed on; what nobody takes is given back whole.

import t from 'tap'
import { FrameMemory } from '../../adapters/kafka-server/frame-memory.ts'

const MiB = 1024 * 1024

t.test(
  'a request never gets a block much larger than itself: requests in all bytes of a budget hold little more than the budget',
  async (t) => {
    for (const askedBytes of [MiB, 3 * MiB, 5 * MiB, 7 * MiB, 8 * MiB]) {
      const memory = new FrameMemory(() => undefined)
      memory.give(memory.take(8 * MiB))
      const block = memory.take(askedBytes)
      t.equal(block.byteLength, askedBytes)
      t.ok(block.buffer.byteLength <= (askedBytes * 9) / 8, `${askedBytes} bytes lie in ${block.buffer.byteLength}`)
    }
  }
)

t.test('a request of the same size takes the block of the one before it; the rest is released, once', async (t) => {
  const released: number[] = []
  const memory = new FrameMemory(({ buffer }) => void released.push(buffer.byteLength))
  const first = memory.take(MiB)
  memory.give(first)
  const second = memory.take(MiB - 100)
  t.equal(second.buffer, first.buffer)
  t.same(released, [])
  memory.give(second)
  memory.trim()
  memory.trim()
  t.same(released, [MiB])
})
