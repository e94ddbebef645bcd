// Who may connect, publish and subscribe. The broker asks at every CONNECT, every PUBLISH, every will that is sent, and every filter of
// every SUBSCRIBE, those of a resumed session included. What is refused is neither stored nor acknowledged nor handed on.
// Not for: names that nobody may use (name-rules.ts), limits (limits.ts).

/** A client as its CONNECT presents it. The same object is handed to all calls of one connection: what is known of it may hang on it. */
export interface ClientIdentity {
  /** The one that the broker chose when CONNECT had none. */
  readonly clientId: string
  /** CONNECT has an id. */
  readonly isNamed: boolean
  /** null = CONNECT has none. */
  readonly userName: string | null
  /** Of the peer; empty when it was gone before it was accepted. */
  readonly remoteAddress: string
  /** Of its certificate, signed by the CA of the listener: RFC 2253, CN=press-7,O=Plant; null = it has shown none, or there is no TLS. */
  readonly certificateSubject: string | null
  /** The listener that it connects to. */
  readonly listener: { readonly host: string; readonly port: number }
}

/** 'unavailable': it cannot be decided now; the client may try again. */
export type ConnectDecision = 'allowed' | 'bad-credentials' | 'not-authorized' | 'unavailable'

export interface Authorizer {
  /**
   * Called once for each connection, before anything of its session is touched. A promise must settle: the connection waits for it, what
   * it sent behind CONNECT is not looked at. One that rejects counts as 'unavailable'.
   * @param password null = CONNECT has none
   */
  connect(client: ClientIdentity, password: Uint8Array | null): ConnectDecision | Promise<ConnectDecision>
  /** Called for each message: must be quick, and must not throw. `topic` is a valid topic name. */
  mayPublish(client: ClientIdentity, topic: string): boolean
  /** Must not throw. `filter` may have wildcards: it is allowed when every topic that it matches may be read. */
  maySubscribe(client: ClientIdentity, filter: string): boolean
  /**
   * `listener` is to be called before what mayPublish() says of any client and topic changes: then it is asked once for each of them and not for every
   * message. Without this member messages do not go by the fast lane.
   */
  onChange?(listener: () => void): void
}

/** Everybody may do everything. */
export const everybody: Authorizer = {
  connect: () => 'allowed',
  mayPublish: () => true,
  maySubscribe: () => true,
  onChange: () => undefined
}
