// Proves for adapters/mqtt/socket-input.ts: bytes come out in order however they are read; what is left when the turn ends is a copy, and the socket is not
// read before it was taken; sockets of a server are read into memory that is used again, each read with a view of its own.

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import t from 'tap'
import { readAsStream, SocketInput, SocketReads, type Transport } from '../../adapters/mqtt/socket-input.ts'
import { Prng } from '../sim/prng.ts'
import { socketPair } from './socket-pair.ts'

const MIB = 1024 * 1024

const WAYS: readonly (readonly [string, (socket: Socket) => Transport])[] = [
  ['into memory that is used again', (socket) => new SocketReads().take(socket)],
  ['as a stream', readAsStream]
]

for (const [way, take] of WAYS) {
  t.test(`${way}: all bytes in order, whatever is taken at once, and the end`, async (t) => {
    for (let seed = 1; seed <= 5; seed++) {
      const { ours: accepted, theirs } = await socketPair(t, { pauseOnConnect: true })
      const prng = new Prng(seed)
      const { socket, input } = take(accepted)
      t.teardown(() => socket.destroy())
      const sent = Buffer.from(prng.bytes(300_000 + prng.below(500_000)))
      const received: Buffer[] = []
      const read = (): void => {
        for (;;) {
          if (prng.chance(20)) return void setImmediate(read) // later: what waits is kept
          const bytes = input.read(prng.chance(50) ? Number.POSITIVE_INFINITY : 1 + prng.below(40_000))
          if (bytes === null) return
          received.push(Buffer.from(bytes))
        }
      }
      input.start(read)
      const ended = once(socket, 'close')
      theirs.end(sent)
      await ended
      t.equal(Buffer.compare(Buffer.concat(received), sent), 0, `seed ${seed}`)
    }
  })

  t.test(`${way}: who takes nothing has little of it in memory`, async (t) => {
    const { ours: accepted, theirs } = await socketPair(t, { pauseOnConnect: true })
    const { socket, input } = take(accepted)
    t.teardown(() => socket.destroy())
    let calls = 0
    input.start(() => {
      calls++
    })
    const sent = Buffer.alloc(32 * MIB, 7)
    theirs.write(sent)
    await new Promise((resolve) => setTimeout(resolve, 200))
    t.equal(calls, 1, 'the socket is not read any more')
    t.ok(input.length > 0 && input.length <= 64 * 1024, `${input.length} bytes wait`)
    t.ok(theirs.writableLength > 0, 'the rest waits at the sender')
    let taken = 0
    const takeAll = (): void => {
      for (let bytes = input.read(MIB); bytes !== null; bytes = input.read(MIB)) taken += bytes.length
    }
    input.start(takeAll)
    takeAll()
    while (taken < sent.length) await new Promise((resolve) => setTimeout(resolve, 5))
    t.equal(taken, sent.length)
  })

  t.test(`${way}: what is thrown away lets the end through`, async (t) => {
    const { ours: accepted, theirs } = await socketPair(t, { pauseOnConnect: true })
    const { socket, input } = take(accepted)
    input.start(() => undefined)
    const ended = once(socket, 'close')
    theirs.write(Buffer.alloc(8 * MIB))
    await new Promise((resolve) => setTimeout(resolve, 50))
    t.ok(input.length > 0)
    input.discard()
    t.equal(input.length, 0)
    theirs.end(Buffer.alloc(8 * MIB))
    await ended
    t.pass('closed')
  })
}

t.test('sockets of one listener share the memory; a new socket stands in for the accepted one', async (t) => {
  const reads = new SocketReads()
  const memory = new Set<ArrayBufferLike>()
  const views = new Set<Buffer>()
  for (let i = 0; i < 3; i++) {
    const { ours: accepted, theirs } = await socketPair(t, { pauseOnConnect: true })
    const { remoteAddress, remotePort } = accepted
    const { socket, input } = reads.take(accepted)
    t.teardown(() => socket.destroy())
    t.not(socket, accepted)
    t.same([socket.remoteAddress, socket.remotePort], [remoteAddress, remotePort])
    let count = 0
    input.start(() => {
      const bytes = input.read(10) as Buffer
      t.ok(input.isShared)
      memory.add(bytes.buffer)
      views.add(bytes)
      count++
    })
    for (let sent = 1; sent <= 3; sent++) {
      theirs.write('ten bytes!')
      while (count < sent) await new Promise((resolve) => setImmediate(resolve))
    }
  }
  t.equal(memory.size, 1)
  t.equal(views.size, 9, 'each read has a view of its own')
})

t.test('what is left is not what the next read overwrites', async (t) => {
  const memory = Buffer.from('first second')
  let resumes = 0
  const input = new SocketInput(() => {
    resumes++
  })
  const read: string[] = []
  let isWanted = true
  input.start(() => {
    if (isWanted) read.push(String(input.read(6)))
  })
  t.equal(input.arrived(memory), false, 'something is left: no more')
  memory.fill('x')
  isWanted = false
  t.equal(input.isShared, false)
  read.push(String(input.read(100)))
  t.same(read, ['first ', 'second'])
  t.equal(resumes, 1)
  t.equal(input.read(100), null)
  t.equal(resumes, 2, 'nothing waits: it is read on')
})

t.test('a server counts the sockets that stand in for its own, until they close', async (t) => {
  const reads = new SocketReads()
  const sockets: Socket[] = []
  const server = createServer({ pauseOnConnect: true }, (accepted) => sockets.push(reads.take(accepted).socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const count = (): Promise<number> =>
    new Promise((resolve, reject) => server.getConnections((error, open) => (error ? reject(error) : resolve(open))))
  const clients = [1, 2, 3].map(() => connect((server.address() as { port: number }).port, '127.0.0.1'))
  while (sockets.length < 3) await new Promise((resolve) => setImmediate(resolve))
  t.equal(await count(), 3)
  sockets[0]?.destroy()
  await once(sockets[0] as Socket, 'close')
  t.equal(await count(), 2)
  let isClosed = false
  const closed = new Promise<void>((resolve) =>
    server.close(() => {
      isClosed = true
      resolve()
    })
  )
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.notOk(isClosed, 'two are open')
  for (const client of clients) client.destroy()
  for (const socket of sockets) socket.destroy()
  await closed
  t.equal(await count(), 0)
})
