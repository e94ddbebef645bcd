// Reads of all connections go into memory that they share, and are copied from there to where they belong. Node's own way takes 64 KiB from the
// heap's outside for every read, and leaves what was read to the collector, which takes little note of memory outside the heap: a thousand
// connections that send at once take 64 MiB before a single request is looked at.
// The only file here that knows node's insides: a net.Server cannot hand over sockets with `onread`, which net.Socket has (documented), so the
// handle of the accepted one is given to a second one. Without that inside, the accepted socket is used as it is.

import { Socket, type SocketConstructorOpts } from 'node:net'

/** What somebody may send before we know how long his request is, and what is read behind a request at most: it may have to wait in memory. */
const FIRST_READ_BYTES = 4 * 1024
const READ_BYTES = 64 * 1024

// Filled by the kernel and emptied by onBytes within one call: no two connections meet in them.
const firstRead = Buffer.allocUnsafeSlow(FIRST_READ_BYTES)
const wideRead = Buffer.allocUnsafeSlow(READ_BYTES)

export interface SharedReads {
  /** What is missing of a request whose memory is there already; 0 when nothing is known of what comes. */
  expectedBytes(): number
  /** Only until it returns. */
  onBytes(bytes: Uint8Array): void
}

interface Inside {
  _handle: { useUserBuffer?: unknown } | null
}

/** The connection of an accepted socket that has not been read, paused. Of the two only the result is to be used. */
export function withSharedReads(accepted: Socket, reads: SharedReads): Socket {
  const inside = accepted as unknown as Inside
  const handle = inside._handle
  // A socket of TLS has a handle as well, and its own memory for what it has decrypted.
  if (accepted.constructor !== Socket || typeof handle?.useUserBuffer !== 'function')
    return accepted.on('data', (bytes: Buffer) => reads.onBytes(bytes))
  const onread = {
    buffer: () => {
      const expectedBytes = reads.expectedBytes()
      return expectedBytes === 0 ? firstRead : wideRead.subarray(0, expectedBytes + FIRST_READ_BYTES)
    },
    callback: (count: number, buffer: Uint8Array) => {
      reads.onBytes(buffer.subarray(0, count))
      return true
    }
  }
  inside._handle = null
  const socket = new Socket({ handle, onread, pauseOnCreate: true, allowHalfOpen: true } as SocketConstructorOpts)
  socket.once('close', () => accepted.destroy()) // the server counts it as open until then
  return socket
}
