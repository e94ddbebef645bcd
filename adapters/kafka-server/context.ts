// What a handler may use, and the shape of a handler.

import type { Broker } from '../../runtime/broker/broker.ts'
import type { Draft } from '../kafka-protocol/api.ts'

export interface NodeAddress {
  readonly nodeId: number
  /** As clients reach us: the advertised address. */
  readonly host: string
  readonly port: number
}

export interface ServerContext {
  readonly broker: Broker
  readonly node: NodeAddress
  readonly clusterId: string
  readonly autoCreateTopics: boolean
  /** Clients may delete topics: said, not decided here. */
  readonly deleteTopics: boolean
  /** Most bytes one Fetch answer carries, whatever the client asks. */
  readonly fetchBytesMax: number
}

export interface ConnectionContext extends ServerContext {
  /** Of the client's certificate (TLS), which was verified: RFC 2253, as Kafka names principals; null = it has shown none. */
  readonly certificateSubject: string | null
}

export interface RequestContext extends ConnectionContext {
  readonly apiVersion: number
  readonly clientId: string
  readonly clientHost: string
  /** Which connection it came by: of all that are open another one each. */
  readonly connectionId: number
  /** Aborts when the connection is gone, or others wait behind this: stop waiting. */
  readonly signal: AbortSignal
  /** Before an answer that may be large is made: resolves when all connections together have room for so many bytes more. false: nobody takes it any more. */
  reserveAnswer(bytes: number): Promise<boolean>
  /** Of all connections together, now: nobody holds them, and nobody waits. */
  answerBytesFree(): number
  /** How long this request may wait for something to happen: it holds bytes that others may need. */
  readonly waitMsMax: number
  /** The request is decoded and nothing refers to its bytes any more: others may have them while this one waits. */
  releaseRequest(): void
  /** `block` is made for the answer: its memory is given back when the kernel has the answer. */
  releaseWhenSent(block: Uint8Array): void
}

/** null = this request gets no answer. @throws ConnectionRefusal when the connection has to end */
export type Handler<Request, Response> = (
  request: Request,
  context: RequestContext
) => Promise<Draft<Response> | null> | Draft<Response> | null

/** The request cannot be answered in words: Kafka closes the connection, and so do we. */
export class ConnectionRefusal extends Error {
  override readonly name = 'ConnectionRefusal'
  readonly reason: 'unsupported' | 'refused'

  constructor(reason: 'unsupported' | 'refused', message: string) {
    super(message)
    this.reason = reason
  }
}
