// What is read behind the request that is being read is little: it may have to wait in memory for its turn.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import t from 'tap'
import { withSharedReads } from '../../adapters/kafka-server/shared-reads.ts'

const SENT_BYTES = 256 * 1024

/** Sizes of the reads of a connection on which everything was sent before the first read. */
async function readSizes(t: { teardown(work: () => void): void }, expectedBytes: (receivedBytes: number) => number): Promise<number[]> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [accepted] = (await once(server, 'connection')) as [Socket]
  t.teardown(() => {
    client.destroy()
    accepted.destroy()
    server.close()
  })
  const sizes: number[] = []
  let receivedBytes = 0
  await new Promise<void>((resolve) => {
    const socket = withSharedReads(accepted, {
      expectedBytes: () => expectedBytes(receivedBytes),
      onBytes: ({ byteLength }) => {
        sizes.push(byteLength)
        receivedBytes += byteLength
        if (receivedBytes < SENT_BYTES) return
        socket.destroy()
        resolve()
      }
    })
    client.write(Buffer.alloc(SENT_BYTES), () => socket.resume())
  })
  return sizes
}

t.test('while the length of a request is not known, 4 KiB are read at a time', async (t) => {
  t.ok(Math.max(...(await readSizes(t, () => 0))) <= 4 * 1024)
})

t.test('of a request whose memory is there as much is read as is missing, and 4 KiB behind it', async (t) => {
  const requestBytes = 100_000
  const sizes = await readSizes(t, (receivedBytes) => Math.max(0, requestBytes - receivedBytes))
  let at = 0
  for (const bytes of sizes) {
    t.ok(bytes <= Math.max(0, requestBytes - at) + 4 * 1024, `${bytes} bytes at ${at}`)
    at += bytes
  }
  t.ok(Math.max(...sizes) > 16 * 1024, 'in reads that are worth it')
})
