// JSON values over a stream, one per line. What is too long or not JSON is a named error, not an endless buffer.

import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'

const NEWLINE = 0x0a

/** @throws RangeError on a line longer than `lineBytesMax`, SyntaxError on one that is not JSON */
export async function* readJsonLines(stream: Readable, options: { lineBytesMax: number }): AsyncGenerator<unknown> {
  let held: Buffer[] = []
  let heldBytes = 0
  for await (const part of stream) {
    let chunk = part as Buffer
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE)) {
      const line = Buffer.concat([...held, chunk.subarray(0, end)]).toString('utf8')
      held = []
      heldBytes = 0
      chunk = chunk.subarray(end + 1)
      if (line.trim() !== '') yield JSON.parse(line)
    }
    if (chunk.byteLength > 0) held.push(chunk)
    heldBytes += chunk.byteLength
    if (heldBytes > options.lineBytesMax) throw new RangeError(`line longer than ${options.lineBytesMax} bytes`)
  }
}

/** Resolves when the socket has room for more; false when it is gone. */
export function writeJsonLine(socket: Socket, value: unknown): Promise<boolean> {
  if (socket.destroyed || !socket.writable) return Promise.resolve(false)
  if (socket.write(`${JSON.stringify(value)}\n`)) return Promise.resolve(true)
  return new Promise((resolve) => {
    const settle = (): void => {
      socket.off('drain', settle).off('close', settle)
      resolve(!socket.destroyed)
    }
    socket.once('drain', settle).once('close', settle)
  })
}
