// A socket with a gate in front of its reader, whose reading can be paused. Whoever reads it calls `socket.read()` on 'readable', as
// before.
//
// Invariants: what read() returns has passed the gate; while reading is paused read() returns null behind the CONNECT and the bytes stay in the socket, so
// that TCP slows the device down; after a pause 'readable' is emitted again, so that a reader that was turned away comes back.
// Not for: which bytes are allowed (gate.ts), when to pause (the ReadPause that is handed in).

import type { Socket } from 'node:net'
import type { Gate } from './gate.ts'

export interface ReadPause {
  /**
   * 'read': go on. 'wait': leave the bytes in the socket until onceReadable calls back. 'discard': the broker is closing; what arrives is
   * read and thrown away, so that the end of the connection is seen.
   */
  readonly state: 'read' | 'wait' | 'discard'
  /** Most bytes that one read may give now; at least 1. */
  readonly readBytesMax: number
  /** Calls back once, when `state` should be looked at again. */
  onceReadable(callback: () => void): void
}

export interface GuardedSocket {
  /** Reading is paused, or was less than a second ago: bytes that arrived during the pause may not have been read yet. */
  readonly isPaused: boolean
}

const AFTER_PAUSE_MS = 1_000
const CONNECT_PIECE_BYTES = 256

/** Changes `socket.read` in place. On a fault read returns null and the socket is destroyed with a GateFault, behind the fault's answer if it has one. */
export function guardSocket(socket: Socket, gate: Gate, pause: ReadPause): GuardedSocket {
  const readThrough = socket.read.bind(socket) as (size?: number) => Buffer | null
  let isWaiting = false
  let hasFailed = false
  let pausedUntilMs = 0
  const wait = (): null => {
    if (isWaiting) return null
    isWaiting = true
    pause.onceReadable(() => {
      isWaiting = false
      pausedUntilMs = performance.now() + AFTER_PAUSE_MS
      if (!socket.destroyed) socket.emit('readable')
    })
    return null
  }
  socket.read = (size?: number): Buffer | null => {
    const { state } = pause
    if (state === 'wait' && gate.isPastConnect) return socket.readableLength === 0 ? readThrough(0) : wait() // read(0): the end is seen
    // A CONNECT is read also meanwhile, in small pieces: who comes again takes the place of his dead connection, and who leaves is seen to leave.
    const readBytesMax = state === 'wait' ? Math.min(pause.readBytesMax, CONNECT_PIECE_BYTES) : pause.readBytesMax
    const isMore = typeof size !== 'number' && socket.readableLength > readBytesMax
    const chunk = readThrough(isMore ? readBytesMax : size)
    if (isMore) setImmediate(() => socket.destroyed || socket.emit('readable'))
    if (chunk === null || state === 'discard' || hasFailed) return null
    const fault = gate.check(chunk)
    if (fault === null) return chunk
    hasFailed = true
    if (fault.answer) socket.end(fault.answer, () => socket.destroy(fault))
    else socket.destroy(fault)
    return null
  }
  return {
    get isPaused() {
      return isWaiting || performance.now() < pausedUntilMs
    }
  }
}
