// A Kafka client on one connection that says exactly what a test wants it to say, and in which order: several requests may be on their way.

import { connect, type Socket } from 'node:net'
import type { Api, Draft } from '../../adapters/kafka-protocol/api.ts'
import { FrameSplitter } from '../../adapters/kafka-protocol/frame.ts'
import { joinChunks } from '../../adapters/kafka-protocol/writer.ts'
import { until } from './centre.ts'

export class WireClient {
  readonly socket: Socket
  /** Correlation ids of the answers, in the order in which they came. */
  readonly answered: number[] = []
  isClosed = false
  readonly #frames = new Map<number, Uint8Array>()
  #correlationId = 0

  constructor(port: number) {
    const splitter = new FrameSplitter(2 ** 30)
    this.socket = connect({ host: '127.0.0.1', port, noDelay: true })
    this.socket.on('data', (chunk) => {
      for (const frame of splitter.push(chunk as Buffer)) {
        const correlationId = new DataView(frame.buffer, frame.byteOffset).getInt32(0)
        this.#frames.set(correlationId, frame)
        this.answered.push(correlationId)
      }
    })
    this.socket.on('error', () => undefined)
    this.socket.on('close', () => {
      this.isClosed = true
    })
  }

  /** Sends it, and says what its answer is known by. */
  send<Request, Response>(api: Api<Request, Response>, version: number, request: Draft<Request>): number {
    const correlationId = ++this.#correlationId
    this.socket.write(joinChunks(api.encodeRequest(version, request, { correlationId, clientId: 'test' })))
    return correlationId
  }

  /** The answer to what was sent. @throws Error when it does not come */
  async answer<Response>(api: Api<unknown, Response>, version: number, correlationId: number): Promise<Response> {
    await until(() => this.#frames.has(correlationId) || this.isClosed, `the answer ${correlationId} of ${api.name}`)
    const frame = this.#frames.get(correlationId)
    if (!frame) throw new Error(`${api.name}: the connection was closed`)
    return api.decodeResponse(version, frame).response
  }

  call<Request, Response>(api: Api<Request, Response>, version: number, request: Draft<Request>): Promise<Response> {
    return this.answer(api as unknown as Api<unknown, Response>, version, this.send(api, version, request))
  }

  close(): void {
    this.socket.destroy()
  }
}
