// Serves a VolatileDevice over NBD (fixed newstyle, simple replies) on a unix socket: read, write, FUA, flush; nothing else is offered.
// https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md has the protocol.
//
// Invariant: requests of a connection are carried out in the order they came, each before its answer leaves.
// Not for: the network (no TLS, no limits): the socket lies in a directory of ours.

import { createServer, type Server, type Socket } from 'node:net'
import type { VolatileDevice } from './volatile-device.ts'

const HELLO = Buffer.from('NBDMAGICIHAVEOPT')
const OPTION_MAGIC = Buffer.from('IHAVEOPT')
const OPTION_REPLY_MAGIC = 0x3e889045565a9n
const REQUEST_MAGIC = 0x25609513
const REPLY_MAGIC = 0x67446698
const REQUEST_BYTES = 28
const REQUEST_PAYLOAD_MAX = 32 * 2 ** 20

const FLAGS = { fixedNewstyle: 1, noZeroes: 2 } as const
const OPTION = { exportName: 1, abort: 2, info: 6, go: 7 } as const
const REPLY = { ack: 1, info: 3, unsupported: 0x80000001 } as const
const COMMAND = { read: 0, write: 1, disconnect: 2, flush: 3 } as const
/** Has flags, takes FLUSH, takes FUA. */
const TRANSMISSION_FLAGS = 1 | 4 | 8
const COMMAND_FLAG_FUA = 1
const EINVAL = 22

/** One client: bytes come in as they like, `#step` takes one message when all of it is there. */
class Connection {
  readonly #device: VolatileDevice
  readonly #socket: Socket
  #input: Buffer = Buffer.alloc(0)
  #phase: 'flags' | 'options' | 'transmission' = 'flags'

  constructor(device: VolatileDevice, socket: Socket) {
    this.#device = device
    this.#socket = socket
    socket.on('error', () => socket.destroy())
    socket.on('data', (chunk) => {
      this.#input = this.#input.byteLength === 0 ? chunk : Buffer.concat([this.#input, chunk])
      while (!socket.destroyed) {
        const taken = this.#step()
        if (taken === 0) break
        this.#input = this.#input.subarray(taken)
      }
    })
    const hello = Buffer.alloc(18)
    HELLO.copy(hello)
    hello.writeUInt16BE(FLAGS.fixedNewstyle | FLAGS.noZeroes, 16)
    socket.write(hello)
  }

  /** Bytes of the input that were dealt with; 0 = more is needed. */
  #step(): number {
    if (this.#phase === 'transmission') return this.#request()
    if (this.#phase === 'options') return this.#option()
    if (this.#input.byteLength < 4) return 0
    this.#phase = 'options'
    return 4
  }

  #option(): number {
    const input = this.#input
    if (input.byteLength < 16) return 0
    const length = input.readUInt32BE(12)
    if (!input.subarray(0, 8).equals(OPTION_MAGIC) || length > 4_096) return this.#refuse()
    if (input.byteLength < 16 + length) return 0
    const option = input.readUInt32BE(8)
    if (option === OPTION.exportName) {
      this.#socket.write(this.#exportInfo().subarray(2))
      this.#phase = 'transmission'
    } else if (option === OPTION.info || option === OPTION.go) {
      this.#answerOption(option, REPLY.info, this.#exportInfo())
      this.#answerOption(option, REPLY.ack)
      if (option === OPTION.go) this.#phase = 'transmission'
    } else if (option === OPTION.abort) {
      this.#answerOption(option, REPLY.ack)
      this.#socket.end()
    } else this.#answerOption(option, REPLY.unsupported)
    return 16 + length
  }

  /** NBD_INFO_EXPORT: type, size, flags. */
  #exportInfo(): Buffer {
    const info = Buffer.alloc(12)
    info.writeBigUInt64BE(BigInt(this.#device.sizeBytes), 2)
    info.writeUInt16BE(TRANSMISSION_FLAGS, 10)
    return info
  }

  #answerOption(option: number, type: number, data: Buffer = Buffer.alloc(0)): void {
    const head = Buffer.alloc(20)
    head.writeBigUInt64BE(OPTION_REPLY_MAGIC, 0)
    head.writeUInt32BE(option, 8)
    head.writeUInt32BE(type, 12)
    head.writeUInt32BE(data.byteLength, 16)
    this.#socket.write(Buffer.concat([head, data]))
  }

  #request(): number {
    const input = this.#input
    if (input.byteLength < REQUEST_BYTES) return 0
    const [flags, command] = [input.readUInt16BE(4), input.readUInt16BE(6)]
    const [offset, length] = [Number(input.readBigUInt64BE(16)), input.readUInt32BE(24)]
    if (input.readUInt32BE(0) !== REQUEST_MAGIC || length > REQUEST_PAYLOAD_MAX) return this.#refuse()
    const total = REQUEST_BYTES + (command === COMMAND.write ? length : 0)
    if (input.byteLength < total) return 0
    const cookie = input.subarray(8, 16)
    if (command === COMMAND.disconnect) this.#socket.end()
    else if (command === COMMAND.flush) {
      this.#device.flush()
      this.#reply(cookie, 0)
    } else if (offset + length > this.#device.sizeBytes) this.#reply(cookie, EINVAL)
    else if (command === COMMAND.read) this.#reply(cookie, 0, this.#device.read(offset, length))
    else if (command === COMMAND.write) {
      this.#device.write(offset, input.subarray(REQUEST_BYTES, total), (flags & COMMAND_FLAG_FUA) !== 0)
      this.#reply(cookie, 0)
    } else this.#reply(cookie, EINVAL)
    return total
  }

  #reply(cookie: Buffer, error: number, data?: Buffer): void {
    const head = Buffer.alloc(16)
    head.writeUInt32BE(REPLY_MAGIC, 0)
    head.writeUInt32BE(error, 4)
    cookie.copy(head, 8)
    this.#socket.write(data ? Buffer.concat([head, data]) : head)
  }

  #refuse(): number {
    this.#socket.destroy()
    return 0
  }
}

export class NbdServer {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(server: Server) {
    this.#server = server
  }

  static async listen(device: VolatileDevice, socketPath: string): Promise<NbdServer> {
    const server = createServer()
    const result = new NbdServer(server)
    server.on('connection', (socket) => {
      result.#sockets.add(socket)
      socket.once('close', () => result.#sockets.delete(socket))
      new Connection(device, socket)
    })
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(socketPath, () => resolve()))
    return result
  }

  /** Connections are cut: whoever still needs the device gets errors. */
  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
