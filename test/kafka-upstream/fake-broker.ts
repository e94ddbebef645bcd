// A broker that says what a test tells it to: real sockets, real codec, no behaviour of its own.

import { createServer, type Server, type Socket } from 'node:net'
import { api, apiByKey } from '../../adapters/kafka-protocol/apis.ts'
import { decodeRequestHeader, FrameSplitter, type RequestHeader } from '../../adapters/kafka-protocol/frame.ts'
import { joinChunks } from '../../adapters/kafka-protocol/writer.ts'

/** Bytes to send (a whole frame), 'silence', or 'reset'. */
export type FakeAnswer = Uint8Array[] | Uint8Array | 'silence' | 'reset'
export type FakeHandler = (header: RequestHeader, frame: Uint8Array, socket: Socket) => FakeAnswer

export class FakeBroker {
  /** Names of the APIs asked for, ApiVersions left out. */
  readonly asked: string[] = []
  readonly handlers = new Map<number, FakeHandler>()
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  static async start(): Promise<FakeBroker> {
    const broker = new FakeBroker()
    await new Promise<void>((resolve) => broker.#server.listen(0, '127.0.0.1', resolve))
    broker.handlers.set(api.ApiVersions.key, (header) =>
      api.ApiVersions.encodeResponse(header.apiVersion, { apiKeys: [...apiByKey.values()].map(rangeOf) }, header)
    )
    broker.handlers.set(api.FindCoordinator.key, (header) =>
      api.FindCoordinator.encodeResponse(
        header.apiVersion,
        { coordinators: [{ key: 'k', nodeId: 1, host: '127.0.0.1', port: broker.port }] },
        header
      )
    )
    return broker
  }

  constructor() {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
      const splitter = new FrameSplitter(64 * 1024 * 1024)
      socket.on('error', () => undefined)
      socket.on('data', (chunk) => {
        for (const frame of splitter.push(chunk)) this.#answer(socket, frame)
      })
    })
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port
  }

  get address(): string {
    return `127.0.0.1:${this.port}`
  }

  /** Answers one API with each of `answers` in turn, the last one for ever. */
  script(apiKey: number, ...answers: FakeHandler[]): void {
    let next = 0
    this.handlers.set(apiKey, (header, frame, socket) => answers[Math.min(next++, answers.length - 1)]!(header, frame, socket))
  }

  /** Metadata: this broker leads every partition of the topic. */
  leads(topicName: string | readonly string[], partitionCount = 1): void {
    this.handlers.set(api.Metadata.key, (header) =>
      api.Metadata.encodeResponse(
        header.apiVersion,
        {
          brokers: [{ nodeId: 1, host: '127.0.0.1', port: this.port }],
          controllerId: 1,
          topics: [topicName].flat().map((name) => ({
            name,
            partitions: Array.from({ length: partitionCount }, (_, partitionIndex) => ({ partitionIndex, leaderId: 1 }))
          }))
        },
        header
      )
    )
  }

  get connectionCount(): number {
    return this.#sockets.size
  }

  /** Closes every connection, as a broker does with what is idle. */
  hangUp(): void {
    for (const socket of this.#sockets) socket.end()
    this.#sockets.clear()
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #answer(socket: Socket, frame: Uint8Array): void {
    const header = decodeRequestHeader(frame)
    if (header.apiKey !== api.ApiVersions.key) this.asked.push(header.api?.name ?? `key ${header.apiKey}`)
    const handler = this.handlers.get(header.apiKey)
    const answer = handler ? handler(header, frame, socket) : 'silence'
    if (answer === 'silence') return
    if (answer === 'reset') {
      socket.resetAndDestroy()
      return
    }
    socket.write(answer instanceof Uint8Array ? answer : joinChunks(answer))
  }
}

function rangeOf(known: { key: number; minVersion: number; maxVersion: number }): {
  apiKey: number
  minVersion: number
  maxVersion: number
} {
  return { apiKey: known.key, minVersion: known.minVersion, maxVersion: known.maxVersion }
}
