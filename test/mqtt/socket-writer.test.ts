// Proves for adapters/mqtt/socket-writer.ts: bytes arrive in the order of the writes whatever their sizes; the pieces of one turn leave in one write;
// flush() keeps nothing back; a peer that does not read is told of by isWritable, and 'drain' follows.

import { once } from 'node:events'
import type { Socket } from 'node:net'
import t from 'tap'
import { SocketWriter } from '../../adapters/mqtt/socket-writer.ts'
import { Prng } from '../sim/prng.ts'
import { socketPair } from './socket-pair.ts'

async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

t.test('pieces of any size arrive in order, also what is written just before end()', async (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const { ours, theirs } = await socketPair(t)
    const writer = new SocketWriter(ours)
    const prng = new Prng(seed)
    const received = readAll(theirs)
    const sent: Buffer[] = []
    for (let turn = 0; turn < 10; turn++) {
      for (let i = prng.below(300); i > 0; i--) {
        const piece = Buffer.from(prng.bytes(prng.chance(3) ? prng.below(40_000) + 1 : prng.below(20) + 1))
        sent.push(piece)
        writer.write(piece)
      }
      if (turn % 3 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    sent.push(Buffer.from('last'))
    writer.write(Buffer.from('la'))
    writer.write(Buffer.from('st'))
    writer.flush()
    ours.end()
    const expected = Buffer.concat(sent)
    const found = await received
    t.ok(found.equals(expected), `seed ${seed}: ${found.length} of ${expected.length} bytes`)
  }
})

t.test('the pieces of one turn leave in one write, those of the next in another', async (t) => {
  const { ours, theirs } = await socketPair(t)
  let writes = 0
  const real = ours.write
  ours.write = ((...args: Parameters<Socket['write']>) => {
    writes++
    return real.apply(ours, args)
  }) as Socket['write']
  const writer = new SocketWriter(ours)
  const received = readAll(theirs)
  for (let turn = 1; turn <= 3; turn++) {
    for (let i = 0; i < 450; i++) writer.writeShort(0x40, i)
    t.equal(writes, turn - 1, 'not before the turn ends')
    await new Promise((resolve) => setImmediate(resolve))
    t.equal(writes, turn)
  }
  ours.end()
  t.equal((await received).length, 3 * 1_800)
})

t.test('a peer that does not read: write() says so, and drain follows when it does', async (t) => {
  const { ours, theirs } = await socketPair(t)
  const writer = new SocketWriter(ours)
  theirs.pause()
  let writtenBytes = 0
  let isTaken = true
  const piece = Buffer.alloc(1_000)
  for (let turn = 0; turn < 100_000 && isTaken; turn++) {
    writtenBytes += piece.length
    writer.write(piece)
    await new Promise((resolve) => setImmediate(resolve))
    isTaken = writer.isWritable
  }
  t.notOk(isTaken, 'isWritable said so')
  t.ok(ours.writableNeedDrain)
  const drained = once(ours, 'drain')
  const received = readAll(theirs)
  await drained
  ours.end()
  t.equal((await received).length, writtenBytes)
})

t.test('what is written to a socket that is gone is nobody’s fault', async (t) => {
  const { ours } = await socketPair(t)
  const writer = new SocketWriter(ours)
  ours.on('error', (error) => t.fail(`${error}`))
  writer.write(Buffer.from('lost'))
  ours.destroy()
  writer.write(Buffer.from('lost too'))
  await new Promise((resolve) => setImmediate(resolve))
  t.pass()
})
